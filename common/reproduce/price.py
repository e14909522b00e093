"""What a split over images is worth: the same trainings twice, patients whole and mixed.

    python -m common.splits price breakhis --data-dir D -- --network mobilenet_v2 --epochs 8

Folds in which patients stay whole, and beside each the fold that tests on as many images of each
class, drawn from all patients: so every network has a twin that trains on as many images. Every
image is predicted once per seed and kind by a network that has not seen it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import config as configuration
from common import (
    datasets,
    evaluation,
    material,
    metrics,
    notices,
    papers,
    predictions,
    splits,
)
from common.errors import InputError
from common.files import read_json, write_csv, write_json
from common.metrics.summary import aligned

if TYPE_CHECKING:
    import pandas as pd

    from common.runs import Run

FILE = "price.json"
KINDS = ("patient", "image")


@dataclass(frozen=True)
class Plan:
    """Trainings in pairs.

    Attributes
    ----------
    package : str
        The paper whose network and protocol are trained.
    request : Request
        Its settings.
    output : Path
        Folder of the runs, the split files and the result.
    folds, seeds : int
    """

    package: str
    request: configuration.Request[Any]
    output: Path
    folds: int
    seeds: int


def planned(
    package: str,
    data_dir: Path | None,
    output: Path,
    folds: int,
    seeds: int,
    settings: Sequence[str] = (),
) -> Plan:
    """Read what is to be trained.

    Parameters
    ----------
    package : str
        One of `common.papers.PAPERS`.
    data_dir : Path or None
        Folder of the images; None: the environment variable.
    output : Path
        Folder of all that is written.
    folds, seeds : int
        At least 2 folds, 3 where a fold is for validation, and 1 seed.
    settings : sequence of str
        Flags of the paper's training command, ``--network mobilenet_v2`` for example.

    Raises
    ------
    InputError
        If a number cannot be.
    """
    if package not in papers.PAPERS:
        raise InputError(f"unknown paper {package!r}; there are {', '.join(papers.PAPERS)}")
    if folds < 2 or seeds < 1:
        raise InputError(f"--folds {folds} --seeds {seeds}: 2 folds and 1 seed are the least")
    module = papers.module_of(package, "config")
    flags = [*settings, "--split", "file", "--runs-dir", str(output)]
    if data_dir is not None:
        flags += ["--data-dir", str(data_dir)]
    request = configuration.parse(
        module.Config, module.PRESETS, package=package, description="", arguments=flags
    )
    if folds < 3 and getattr(request.config, "select_on", "last") == "validation":
        raise InputError(
            f"--folds {folds}: with --select-on validation one fold tests, one validates and none "
            "is left to train on; give --folds 3 or more, or -- --select-on last"
        )
    return Plan(package, request, output, folds, seeds)


def run(plan: Plan) -> dict[str, Any]:
    """Train all pairs, or take those that are finished, and write the result.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    dict
        What `FILE` holds: `package`, `dataset`, `network`, `images`, `patients`, `folds`, `seeds`,
        `synthetic`, `settings` that differ from the paper's, `pairs` [{`seed`, `fold`, `patient`,
        `image`}] accuracies, `cases` [{`label`, `case`, `images`,
        `patient`, `image`}], `difference` image-wise minus patient-wise, `over_pairs` its interval
        by Student's t over the pairs, `over_patients` that by leaving each patient out, `majority`.

    Raises
    ------
    InputError
        If the patients of the images are not known, or are too few for the folds.
    """
    config = plan.request.config
    name = papers.module_of(plan.package, "experiments").dataset(config)
    index = index_of(plan)
    frames: dict[str, list[pd.DataFrame]] = {kind: [] for kind in KINDS}
    pairs = []
    for seed in range(plan.seeds):
        numbers = folds_of(index, plan.folds, seed)
        for fold in range(plan.folds):
            pair: dict[str, Any] = {"seed": seed, "fold": fold}
            for kind in KINDS:
                found = tested(trained(plan, index, numbers[kind], kind, seed, fold))
                pair[kind] = float(predictions.correct(found).mean())
                # An image under several seeds is several lines of one patient.
                frames[kind].append(found.assign(image=found["image"] + f" {seed}"))
            pairs.append(pair)
    result = {
        "package": plan.package,
        "dataset": "own images" if plan.request.execution.images else name,
        "network": getattr(config, "network", ""),
        "images": len(index),
        "patients": int(index["case"].nunique()),
        "folds": plan.folds,
        "seeds": plan.seeds,
        "synthetic": bool(index["synthetic"].any()),
        "settings": _settings(plan),
        "pairs": pairs,
        "cases": _cases(frames, plan.seeds),
        **summed(frames, pairs),
        "majority": float(index["label"].value_counts(normalize=True).iloc[0]),
    }
    write_json(plan.output / FILE, result)
    return result


def index_of(plan: Plan) -> pd.DataFrame:
    """Give the images that a plan is about.

    Parameters
    ----------
    plan : Plan

    Raises
    ------
    InputError
        If there are none.
    """
    name = papers.module_of(plan.package, "experiments").dataset(plan.request.config)
    load = papers.module_of(plan.package, "data").load_index
    return material.gather(plan.request, lambda: datasets.get(name), load).index


def folds_of(index: pd.DataFrame, folds: int, seed: int) -> dict[str, np.ndarray]:
    """Number the folds of each image, patients whole and mixed.

    Parameters
    ----------
    index : DataFrame
    folds : int
    seed : int

    Returns
    -------
    dict
        "patient" and "image" -> int array (n,), with as many images of each class in each fold.

    Raises
    ------
    InputError
        As `splits.k_folds`.
    """
    whole = splits.k_folds(index, folds, seed=seed, group="case")
    mixed = whole.copy()
    rng = np.random.default_rng([seed, 1])
    names = index["image"].map(lambda image: image.rpartition("/")[2]).to_numpy()
    labels = index["label"].to_numpy()
    for label in sorted(set(labels)):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(names[rows], kind="stable")]  # wherever the files lie
        mixed[rows] = whole[rng.permutation(rows)]
    return {"patient": whole, "image": mixed}


def summed(
    frames: Mapping[str, Sequence[pd.DataFrame]], pairs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Difference of the two kinds, with its intervals.

    Parameters
    ----------
    frames : mapping
        "patient" and "image" -> predictions of the same images.
    pairs : sequence of mapping
        Accuracies of each pair of trainings.

    Returns
    -------
    dict
        `difference`, `over_pairs`, `over_patients`.
    """
    import pandas as pd
    from scipy.special import stdtrit

    both = [pd.concat(frames[kind], ignore_index=True) for kind in ("image", "patient")]
    found = metrics.compare(*both)
    each = np.array([pair["image"] - pair["patient"] for pair in pairs])
    ends = None
    if len(each) > 1:
        half = float(stdtrit(len(each) - 1, 0.975)) * each.std(ddof=1) / math.sqrt(len(each))
        ends = [float(each.mean() - half), float(each.mean() + half)]
    return {
        "difference": found["difference"],
        "over_pairs": ends,
        "over_patients": found["difference_ci"],
    }


def trained(
    plan: Plan, index: pd.DataFrame, numbers: np.ndarray, kind: str, seed: int, fold: int
) -> Run:
    """Train a network that is tested on one fold, or find it trained.

    Parameters
    ----------
    plan : Plan
    index : DataFrame
        From `index_of`.
    numbers : int array (n,)
        Fold of each image.
    kind : str
        What to call these folds in the name of the split file.
    seed, fold : int

    Returns
    -------
    Run
        Finished.
    """
    import pandas as pd

    from common.backend import keras

    config = plan.request.config
    parts = np.where(numbers == fold, "test", "train").astype(object)
    if getattr(config, "select_on", "last") == "validation":
        parts[numbers == (fold + 1) % plan.folds] = "validation"
    file = plan.output / "splits" / f"{kind}-seed{seed}-fold{fold}.csv"
    write_csv(file, pd.DataFrame({"image": index["image"], "part": parts}))
    seeds = {name: seed for name in ("seed", "split_seed") if hasattr(config, name)}
    module = papers.module_of(plan.package, "config")
    config = dataclasses.replace(config, **seeds)
    execution = dataclasses.replace(plan.request.execution, split_file=file)
    preset = configuration.preset_name(config, module.PRESETS)
    train = papers.module_of(plan.package, "train").train
    run: Run = train(configuration.Request(config, execution, preset))
    keras.backend.clear_session()
    return run


def tested(run: Run) -> pd.DataFrame:
    """Read the predictions of a run's test images.

    Parameters
    ----------
    run : Run
        Finished.
    """
    return predictions.of_part(evaluation.read_run(run), "test")


def _settings(plan: Plan) -> dict[str, str]:
    """What differs from the paper's main row, seeds and split aside."""
    config = plan.request.config
    names = configuration.differences(config, type(config)())
    return {name: str(getattr(config, name)) for name in names if name != "split"}


def _cases(frames: Mapping[str, Sequence[pd.DataFrame]], seeds: int) -> list[dict[str, Any]]:
    """Accuracy of each patient under both kinds of folds, over the seeds."""
    import pandas as pd

    rates = {}
    for kind in KINDS:
        frame = pd.concat(frames[kind], ignore_index=True)
        right = pd.Series(predictions.correct(frame), frame.index)
        rates[kind] = right.groupby([frame["label"], frame["case"]]).agg(["mean", "size"])
    return [
        {"label": label, "case": case, "images": int(row["size"]) // seeds,
         "patient": float(row["mean"]), "image": float(rates["image"].loc[(label, case), "mean"])}
        for (label, case), row in rates["patient"].iterrows()
    ]  # fmt: skip


def text(result: Mapping[str, Any]) -> str:
    """Say a result in lines for a terminal.

    Parameters
    ----------
    result : mapping
        What `run` gave.
    """
    lines = [notices.SYNTHETIC] if result["synthetic"] else []
    lines += [
        f"{result['package']}, {result['network']}, {result['dataset']}: {result['images']} images "
        f"of {result['patients']} patients, {result['folds']} folds, {result['seeds']} seeds",
        "",
    ]
    for seed in range(result["seeds"]):
        mine = [pair for pair in result["pairs"] if pair["seed"] == seed]
        texts = [f"{100 * p['patient']:.1f} and {100 * p['image']:.1f}" for p in mine]
        lines.append(f"seed {seed}: patient-wise and image-wise, by fold: {'; '.join(texts)} %")
    lines += [
        "",
        *aligned(
            [
                ["class", "case", "images", "patient-wise", "image-wise"],
                *(
                    [c["label"], c["case"], str(c["images"]), *(f"{100 * c[k]:.1f}" for k in KINDS)]
                    for c in result["cases"]
                ),
            ]
        ),
        "",
        f"always the commonest class: {100 * result['majority']:.1f} %",
        "",
        f"image-wise minus patient-wise: {100 * result['difference']:+.1f} points",
        f"  95 % interval over {len(result['pairs'])} pairs of trainings: "
        f"{_ends(result['over_pairs'])} (which share images)",
        f"  95 % interval over {result['patients']} patients: {_ends(result['over_patients'])}",
    ]
    return "\n".join(lines)


def _ends(pair: Sequence[float] | None) -> str:
    return "none" if pair is None else f"{100 * pair[0]:+.1f} to {100 * pair[1]:+.1f} points"


def read(path: Path) -> dict[str, Any]:
    """Read a result.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        If it is damaged.
    """
    found = read_json(path, repair="run python -m common.splits price again")
    wanted = {"package", "dataset", "difference", "over_patients", "pairs", "synthetic"}
    if not wanted <= set(found) or not isinstance(found["difference"], float):
        raise InputError(f"{path}: no price of a split; run python -m common.splits price again")
    return found
