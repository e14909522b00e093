"""The life of a run, the same for every paper: from its index and its `fit` to its report page.

A paper's `train` gives the images, how they are drawn into parts, and how a network is fitted to
them; `complete` opens the run's folder, or finds it, and does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import datasets, evaluation, runs, terminal
from common.config import PaperConfig, Request
from common.datasets import Card, synthetic
from common.runs import Run
from common.splits import PARTS, leakage

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from common.images import Pixels


def data_folder(request: Request[Any], card: Card) -> Path:
    """Where a run's images lie: the folder asked for, or a demo's synthetic tissue.

    Parameters
    ----------
    request : Request
        Its `data_dir`; unset, the demo grows its tissue in the runs folder, and every other run
        reads the folder that $HISTOPAPERS_DATA names.
    card : Card
        The data set.

    Raises
    ------
    InputError
        If there is no such folder; the message says how the data are obtained.
    """
    execution = request.execution
    if execution.data_dir is None and request.preset.startswith("demo"):
        return synthetic.demo(execution.runs_dir, card.NAME)
    return datasets.data_folder(card, execution.data_dir)


def complete(
    package: str,
    request: Request[PaperConfig],
    card: Card,
    data_dir: Path,
    index: pd.DataFrame,
    pixels: Pixels,
    *,
    draw: Callable[[], tuple[pd.DataFrame, pd.DataFrame]],
    fit: Callable[[Run, pd.DataFrame, pd.DataFrame], tuple[keras.Model, Pixels]],
    leaks: Sequence[str] = (),
    expected_images: int | None = None,
    more_data: str = "",
    facts: Mapping[str, Any] | None = None,
) -> Run:
    """Begin a run, or take it up where it was killed, and end it; answer from a finished one.

    Parameters
    ----------
    package : str
        The paper's package.
    request : Request
        Settings, and where the run's folder is to be.
    card : Card
        The data set.
    data_dir : Path
        Where the images lie.
    index : DataFrame
        The images used, one row each (`common.datasets.COLUMNS`).
    pixels : Pixels
        The images decoded, as they are in the files but for their size.
    draw : callable
        Gives the split (index with `part`) and the samples trained and validated on. It must give
        the same whenever it is called: a run that goes on is refused another draw.
    fit : callable
        ``fit(run, split, samples)`` trains, saves `model.keras` by `common.training.fit` and gives
        the model of the kept epoch with the images on which it is to be judged: `pixels`, or these
        after the paper's stain normalisation.
    leaks : sequence of str
        What may flatter the result, in words.
    expected_images : int, optional
        How many images the whole data set has under this config; unset, the card says.
    more_data : str
        Hash of what else is trained on, such as generated images.
    facts : mapping, optional
        What else `config.json` is to say from the start.

    Returns
    -------
    Run
        Finished.

    Raises
    ------
    InputError
        If the folder cannot be written or has another draw; whatever `draw` and `fit` raise.
    """
    record = runs.describe(
        package,
        request,
        card,
        index,
        leaks=leaks,
        skipped=pixels.skipped,
        expected_images=expected_images,
        more_data=more_data,
    ).changed(**(facts or {}))
    execution = request.execution
    with runs.open_run(execution.runs_dir, record, fresh=execution.fresh, pixels=pixels) as run:
        if not run.finished:
            # Imported here: a finished run answers without a framework.
            from common import backend, report

            split, samples = draw()
            runs.settle(run, split, samples)
            backend.load()
            run.note_machine()
            from common import evidence

            _tell_leaks(run, evidence.compare_parts(run, split, data_dir, pixels))
            terminal.line(_beginning(run, split, samples))
            model, judged = fit(run, split, samples)
            evaluation.predict_run(run, model, split, judged, request.config.batch_size)
            evaluation.evaluate_run(run.path)
            evidence.collect(run, model, split, judged)
            run.record_environment()
            report.write(run.path)
            run.finish()
    terminal.out(evaluation.summary(evaluation.read_metrics(run)))
    terminal.out(run.closing_words())
    return run


def _tell_leaks(run: Run, found: Mapping[str, Any]) -> None:
    """Say before the training what a user's own split shares between its parts; note it."""
    if run.config.get("split") != "file":
        return  # of every other split, the config says what it leaks
    words = leakage.shared(found)
    if words:
        run.note(leaks=list(dict.fromkeys([*run.record.leaks, *words])))  # once, also on resuming
        for each in words:
            terminal.line(f"warning: the split file leaks: {each}", always=True)


def _beginning(run: Run, split: pd.DataFrame, samples: pd.DataFrame) -> str:
    """Say what is about to be trained, before the first epoch, which takes its time to begin."""
    words = []
    for part in PARTS:
        rows = split[split.part == part]
        if len(rows):
            cases = rows.case[rows.case != ""].nunique()
            patients = f" of {cases} patients" if cases else ""
            words.append(f"{len(rows)} {part} images{patients}")
    made = int((samples.part == "train").sum()) - int((split.part == "train").sum())
    if made > 0:
        words[0] += f" (and {made} made of them)"
    return f"{', '.join(words)}; run {run.path}"
