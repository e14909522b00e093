"""The life of a run, the same for every paper: from its index and its `fit` to its report page.

A paper's `train` gives the images, how they are drawn into parts, and how a network is fitted to
them; `complete` opens the run's folder, or finds it, and does the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from common import acquaintance, appearance, evaluation, images, loggers, networks, runs, terminal
from common.config import PaperConfig, Request
from common.datasets import Card
from common.errors import RESTORE, InputError, listed
from common.material import Material
from common.material import data_folder as data_folder
from common.runs import Run
from common.splits import PARTS, leakage, two_patients

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from common.images import Pixels


def complete(
    package: str,
    request: Request[PaperConfig],
    card: Card,
    data_dir: Path,
    index: pd.DataFrame,
    pixels: Pixels,
    *,
    material: Material[Any] | None = None,
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
    material : Material, optional
        Where `card`, `data_dir` and `index` come from; unset, a public data set.
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
    own = {} if material is None else material.facts()
    record = runs.describe(
        package,
        request,
        card,
        index,
        leaks=leaks,
        skipped=pixels.skipped,
        expected_images=expected_images,
        more_data=more_data if material is None else material.more(index, more_data),
    ).changed(**own, **(facts or {}))
    execution = request.execution
    loggers.require(execution.log)
    with runs.open_run(execution.runs_dir, record, fresh=execution.fresh, pixels=pixels) as run:
        run.log = execution.log
        if run.finished:
            _mend(run, request, data_dir, pixels, draw)
        else:
            # Imported here: a finished run answers without a framework.
            from common import backend, report

            split, samples = draw()
            runs.settle(run, split, samples)
            terminal.line(_beginning(run, split, samples))
            _tell_weak_parts(split)
            if own:
                used = split.image[split.part != ""]
                acquaintance.tell_sizes([data_dir / name for name in used])
            backend.load()
            run.note_machine()
            from common import evidence

            trained = split.image[split.part == "train"]
            run.note(
                appearance=appearance.of_training(pixels, pixels.rows(trained)),
                trained_size=images.commonest_size([data_dir / name for name in trained]),
            )
            _tell_leaks(run, evidence.compare_parts(run, split, data_dir, pixels), material)
            model, judged = fit(run, split, samples)
            evaluation.predict_run(run, model, split, judged, request.config.batch_size)
            evaluation.evaluate_run(run.path)
            evidence.collect(run, model, split, judged)
            run.record_environment()
            report.write(run.path)
            run.finish()
    tell(run, *(["images of your own: this run fills no row of the paper's tables"] if own else []))
    return run


def tell(run: Run, *more: str, summary: Callable[[Any], str] = evaluation.summary) -> None:
    """Give out what a finished run shows and where it lies; the path alone after `--quiet`.

    Parameters
    ----------
    run : Run
        Finished.
    *more : str
        Lines that follow.
    summary : callable
        Words for what its metrics.json holds; by default a classifier's.
    """
    if terminal.is_quiet():
        terminal.out(run.path)
        return
    for text in (summary(evaluation.read_metrics(run)), run.closing_words(), *more):
        terminal.out(text)


def require_whole(run: Run, write_page: Callable[[Path], Any]) -> None:
    """Refuse to answer from a finished run of which the page alone can be made again: a GAN's.

    Parameters
    ----------
    run : Run
        Finished. Without a manifest it is taken as it is.
    write_page : callable
        Writes its page again, from the run's folder.

    Raises
    ------
    InputError
        Naming what has changed or is missing. Of pictures it is only said.
    """
    damaged = set(_damaged(run)) if runs.has_manifest(run.path) else set()
    if "report.html" in damaged:
        write_page(run.path)
        damaged = set(_damaged(run))
    pictures = {name for name in damaged if not _is_ours(name) or name.startswith("figures/")}
    if pictures:
        terminal.line(f"warning: {listed(sorted(pictures))}: changed or missing", always=True)
    if damaged - pictures:
        _refuse(run, damaged - pictures)


def _mend(
    run: Run,
    request: Request[PaperConfig],
    data_dir: Path,
    pixels: Pixels,
    draw: Callable[[], tuple[pd.DataFrame, pd.DataFrame]],
) -> None:
    """Make again what of a finished run is damaged or gone; what cannot be made stops the command.

    Raises
    ------
    InputError
        Naming what cannot be made again, or not as it was.
    """
    damaged = set(_damaged(run))
    if not damaged:
        return
    _tell_others(damaged)
    lost = _lost(damaged)
    if "config.json" in damaged or lost - {"model.keras"}:
        _refuse(run, lost | damaged & {"config.json"})
    ours = {name for name in damaged if _is_ours(name)}
    makeable = ours - lost - (_BY_MODEL if lost else set())
    if makeable:
        terminal.line(f"{run.path}: made again: {listed(sorted(makeable))}", always=True)
        _make_again(run, request, data_dir, pixels, draw, makeable)
    if left := {name for name in _damaged(run) if _is_ours(name)}:
        _refuse(run, left)


_FROM_DRAW = {"split.csv", "samples.csv"}
_EXACT = {*_FROM_DRAW, "images.csv", "predictions.csv"}
"""What must come out as it was: the evidence. The other files are views of it."""
_BY_MODEL = {"predictions.csv", *(f"figures/{n}.png" for n in ("examples", "mistakes", "gradcam"))}
_LEAKAGE = {"leakage.json", "looks.bin", "figures/leakage.png"}
_VIEWS = {"metrics.json", "report.html"}


def _is_ours(name: str) -> bool:
    """Whether the training command wrote a file, and no command that came after it."""
    return "/" not in name or name.startswith("figures/")


def _lost(damaged: set[str]) -> set[str]:
    """What of it cannot be made again."""
    return {
        name for name in damaged
        if _is_ours(name) and not name.startswith("figures/")
        and name not in _EXACT | _LEAKAGE | _VIEWS
    }  # fmt: skip


def _damaged(run: Run) -> dict[str, str]:
    if not runs.has_manifest(run.path):  # of an earlier version: what is gone is seen all the same
        return {name: "missing" for name in _VIEWS if not (run.path / name).is_file()}
    found = runs.compare(run.path, quick=True)
    return {name: what for name, what in found.items() if what != "additional"}


def _tell_others(damaged: set[str]) -> None:
    others = sorted(name for name in damaged if not _is_ours(name))
    if others:
        terminal.line(
            f"warning: {listed(others)}: changed or missing; the command that wrote it makes it "
            "again",
            always=True,
        )


def _refuse(run: Run, names: set[str]) -> NoReturn:
    what = _damaged(run)
    listing = listed(f"{name} ({what.get(name, 'changed')})" for name in sorted(names))
    raise InputError(
        f"{run.path}: damaged since the run finished, and cannot be made again as it was: "
        f"{listing}; {RESTORE}"
    )


def _make_again(
    run: Run,
    request: Request[PaperConfig],
    data_dir: Path,
    pixels: Pixels,
    draw: Callable[[], tuple[pd.DataFrame, pd.DataFrame]],
    names: set[str],
) -> None:
    from common import backend, evidence, report

    config = request.config
    if names & (_FROM_DRAW | _LEAKAGE | _BY_MODEL):
        for name in names & _FROM_DRAW:
            (run.path / name).unlink(missing_ok=True)
        split, samples = draw()
        runs.settle(run, split, samples)
    if names & _LEAKAGE:
        with runs.changing(run.path):
            evidence.compare_parts(run, split, data_dir, pixels)
    if names & _BY_MODEL:
        backend.load()
        from common import training

        training.set_seed(
            config.seed,
            deterministic=bool(run.config.get("deterministic", True)),
            mixed_precision=str(run.config.get("mixed_precision", "off")),
        )
        model = runs.load_model(run)
        judged = _judged(run, request, data_dir, pixels, split)
        if "predictions.csv" in names:
            evaluation.predict_run(run, model, split, judged, config.batch_size)
            if "predictions.csv" in _damaged(run):
                _refuse(run, {"predictions.csv"})
        with runs.changing(run.path):
            evidence.collect(run, model, split, judged)
    if "images.csv" in names:  # as it is today, and not as it was
        return
    if "metrics.json" in names:
        evaluation.evaluate_run(run.path)
    report.write(run.path)


def _judged(
    run: Run, request: Request[PaperConfig], data_dir: Path, pixels: Pixels, split: pd.DataFrame
) -> Pixels:
    """The images as the run's model was judged on them."""
    state = run.record.get("stain_normalizer")
    if state is None:
        return pixels
    from common import images, stain

    normalizer = stain.from_state(state)
    return images.cached(
        data_dir,
        split.image,
        request.config.image_size,
        filter=request.config.resize_filter,
        cache_dir=request.execution.cache_dir,
        transform=normalizer.transform,
        transform_id=normalizer.identity(),
    )


def _tell_leaks(run: Run, found: Mapping[str, Any], material: Material[Any] | None = None) -> None:
    """Say before the training what the parts share and no config says; note it."""
    by_file = run.config.get("split") == "file"  # of every other, the config tells of patients
    words = leakage.shared(found, groups=by_file)
    patients = found["two_patients"]
    said = [*words, *two_patients.sentences(patients)]
    if not said:
        return
    run.note(leaks=list(dict.fromkeys([*run.record.leaks, *said])))  # once, also on resuming
    for each in words:
        what = "the split file leaks: " if by_file else ""
        terminal.line(f"warning: {what}{each}", always=True)
    images = None if material is None else material.images
    for each in two_patients.sentences(patients, None if images is None else images.where):
        terminal.line(f"warning: {each}", always=True)


def _beginning(run: Run, split: pd.DataFrame, samples: pd.DataFrame) -> str:
    """Say what is about to be trained, before the first epoch, which takes its time to begin."""
    from common.report.words import plural

    words = []
    for part in PARTS:
        rows = split[split.part == part]
        if len(rows):
            cases = rows.case[rows.case != ""].nunique()
            patients = f" of {plural(cases, 'patient')}" if cases else ""
            words.append(f"{plural(len(rows), f'{part} image')}{patients}")
    trained = int((samples.part == "train").sum())
    made = trained - int((split.part == "train").sum())
    if made > 0:
        words[0] += f" (and {made} made of them)"
    config = run.config
    if network := networks.title(config):
        words.append(network)
    words.append(f"{config['image_size']} px")
    steps = plural(math.ceil(trained / config["batch_size"]), "step")
    words.append(f"{plural(config['epochs'], 'epoch')} of {steps}")
    return f"{', '.join(words)}; run {run.path}"


def _tell_weak_parts(split: pd.DataFrame) -> None:
    """Say before hours are spent which parts have few patients, and which classes have one."""
    from common.report.verdict import weak_parts

    for each in weak_parts(split):
        terminal.line(f"warning: the {each}", always=True)
