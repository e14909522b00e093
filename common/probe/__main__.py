"""Command: what features of any network are worth, by patient-wise folds or a run's parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common import errors, evaluation, notices, runs
from common.arguments import Parser
from common.datasets.words import likely_positive
from common.errors import InputError, many
from common.files import (
    output_folder,
    path_argument,
    require_not_among,
    write_csv,
    write_json,
)
from common.metrics import shown
from common.metrics.summary import aligned
from common.probe import features, fitting, listing

SHOWN = ("accuracy", "balanced_accuracy", "auc", "patient_recognition_rate", "log_loss")
"""Scores that are printed; all stand in probe.json."""


_WHY_BELOW = (
    "With few patients a class that is left out of what is fitted is more frequent in what is "
    "judged, so features that tell nothing of the classes, or tell patients, lie there: it is no "
    "sign of anything that would serve the other way round (docs/probe.md)"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m common.probe``.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of those of the command line.

    Returns
    -------
    int
        0.
    """
    parser = Parser(
        prog="python -m common.probe",
        description="Fit a linear and a nearest-neighbour probe to features of images, judge them "
        f"on images of other patients. Needs no images and no network. {notices.RESEARCH_USE}",
    )
    parser.add_argument("--features", required=True, type=path_argument, metavar="FILE",
                        help=f"{features.WAYS}")  # fmt: skip
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", type=path_argument, metavar="CSV",
                        help="a CSV with image,label and, where known, patient and part, or a "
                        "folder with a folder per class")  # fmt: skip
    source.add_argument("--run", type=path_argument, metavar="RUN",
                        help="a run, whose parts are used, and which stands beside")  # fmt: skip
    parser.add_argument("--folds", type=int, default=5, metavar="K", help="default: 5")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--positive", metavar="CLASS", help="of two classes")
    parser.add_argument("--out", type=output_folder, metavar="DIR",
                        help="write predictions and probe.json there")  # fmt: skip
    flags = parser.parse_args(arguments)
    if flags.out:
        inputs = [each for each in (flags.features, flags.images) if each]
        written = [flags.out / name for name in ("images.csv", "probe.json")]
        require_not_among(written, inputs, "--out")
    run = None if flags.run is None else runs.load_classifier(flags.run)
    table = listing.of_source(flags.images) if run is None else listing.of_run(run)
    classes = sorted(set(table["label"])) if run is None else list(run.record["classes"])
    positive = _positive(flags.positive, classes, run)
    if len(classes) < 2:
        raise InputError(f"all images are of one class, {classes[0]}; a probe needs two")
    values = features.read(flags.features, table["image"].tolist())
    found: dict[str, Any] = {}
    divided = fitting.divisions(table, flags.folds, flags.seed)
    for kind in fitting.PROBES:
        probed = fitting.probe(values, table, classes, kind, divided=divided)
        scores = evaluation.evaluate(probed.predictions, classes, positive=positive)
        found[kind] = {"chosen": probed.chosen, "metrics": scores}
        if flags.out:
            name = kind.partition(" ")[0]
            evaluation.write_predictions(flags.out / f"predictions-{name}.csv", probed.predictions)
    if run is not None:
        scores = evaluation.evaluate(evaluation.read_run(run), classes, positive=positive)
        found["the run"] = {"chosen": [], "metrics": scores}
    print(_text(found, len(table), values.shape[1]))
    if flags.out:
        write_json(flags.out / "probe.json", {"features": flags.features.name, "probes": found})
        write_csv(flags.out / "images.csv", table)
    print(notices.RESEARCH_USE)
    return 0


def _positive(given: str | None, classes: Sequence[str], run: runs.Run | None) -> str | None:
    """The positive class: as given, as the run has it, or the one whose name says so."""
    if given is not None:
        if given not in classes or len(classes) != 2:
            raise InputError(f"--positive {given}: is none of two classes, {', '.join(classes)}")
        return given
    if run is not None:
        return run.record.positive
    return likely_positive(classes)


def _text(found: Mapping[str, Mapping[str, Any]], images: int, length: int) -> str:
    rows: list[list[str]] = []
    for kind, each in found.items():
        told = {one.score.key: one for one in shown.of_test(each["metrics"])}
        keys = [key for key in SHOWN if key in told]
        if not rows:
            rows.append(["", *(told[key].score.title for key in keys), "chosen"])
        cells = []
        for key in keys:
            one = told[key]
            ends = ""
            if one.interval is not None:
                low, high = (one.score.text(end).removesuffix(" %") for end in one.interval)
                ends = f" ({low} to {high})"
            cells.append(f"{one.text}{ends}")
        rows.append([kind, *cells, " ".join(f"{value:g}" for value in each["chosen"]) or "–"])
    first = next(iter(found.values()))["metrics"]
    unit = "patients" if first["n_patients"] is not None else "images"
    of = f" of {many(first['n_patients'], 'patient')}" if first["n_patients"] is not None else ""
    head = (
        f"{first['n']} of {many(images, 'image')}{of} judged, by {length} features; in "
        "parentheses 95 % "
        f"intervals over {unit}"
    )
    below = [kind for kind, each in found.items() if _below_chance(each["metrics"])]
    more = [f"\nbelow chance: {', '.join(below)}. {_WHY_BELOW}"] if below else []
    return "\n".join([head, "", *aligned(rows), *more])


def _below_chance(found: Mapping[str, Any]) -> bool:
    """Whether unseen patients are told worse than by chance, as far as the interval says."""
    area = shown.interval(found, "auc")
    return found["n_patients"] is not None and area is not None and area[1] < 0.5


if __name__ == "__main__":
    errors.main(main)
