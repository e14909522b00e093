"""`python -m PKG.evaluate`: a run's metrics again, or the run on other data."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from common import acquaintance, datasets, evaluation, notices, runs, slides, terminal
from common.errors import InputError, listed, many
from common.external import scale
from common.external.adapting import METHODS
from common.external.evaluating import evaluate
from common.external.others import Others, of_dataset, of_images, parsed_map
from common.files import path_argument
from common.metrics import shown
from common.report.elsewhere import chosen, difference, held
from common.report.words import interval, number, percent, plural, score

if TYPE_CHECKING:
    import argparse


def main(package: str, arguments: list[str] | None = None) -> int:
    """Entry point of ``python -m PKG.evaluate``.

    Parameters
    ----------
    package : str
        The paper's package, which must have made the run.
    arguments : list of str, optional
        Instead of the command line's.

    Returns
    -------
    int
        0.
    """
    from common.arguments import Parser

    parser = Parser(
        prog=f"python -m {package}.evaluate",
        description="Recompute metrics.json of a run from its predictions.csv, and print it, which "
        "needs no model and no images; or, with --images or --dataset, judge the run on other data "
        f"and write that under RUN/external. {notices.RESEARCH_USE}",
    )
    parser.add_argument(
        "--run", required=True, type=path_argument, metavar="RUN", help="a run folder"
    )
    _add_flags(parser)
    flags = parser.parse_args(arguments)
    if flags.images is None and flags.dataset is None:
        for name in (
            "label_map",
            "name",
            "data_dir",
            "patients",
            "magnification",
            "stain",
            "adapt",
            "match_scale",
            "mpp",
            "trained_mpp",
            "trained_size",
            "trained_data_dir",
            "stain_method",
        ):
            if getattr(flags, name):
                raise InputError(f"--{name.replace('_', '-')}: is for --images or --dataset")
        return evaluation.main(package, ["--run", str(flags.run)])
    run = runs.load_classifier(flags.run, package)
    runs.require_model(run)
    label_map = parsed_map(flags.label_map)
    if flags.images is not None:
        if flags.magnification or flags.stain:
            raise InputError(
                "--magnification, --stain: are for --dataset; a list says magnifications in a "
                "column, and --mpp the scale"
            )
        others = of_images(
            run, flags.images, label_map,
            data_dir=flags.data_dir, listing=flags.patients, name=flags.name,
        )  # fmt: skip
    else:
        others = of_dataset(
            run, flags.dataset, label_map, data_dir=flags.data_dir, listing=flags.patients,
            magnifications=flags.magnification, stain=flags.stain, name=flags.name,
        )  # fmt: skip
    match = _match(run, others, flags)
    if match is not None:
        name = others.name if flags.name else f"{others.name}-at-scale"
        title = f"{others.title}, at the training's scale"
        others = dataclasses.replace(others, name=name, title=title)
    if flags.stain_method and "stain" not in flags.adapt:
        raise InputError("--stain-method: is for --adapt stain")
    terminal.line(acquaintance.introduction(run))
    terminal.line(_introduction(others))
    if not 0 < flags.adapt_share < 1:
        raise InputError(f"--adapt-share {flags.adapt_share}: give a share between 0 and 1")
    found = evaluate(
        run, others, list(dict.fromkeys(flags.adapt)), share=flags.adapt_share,
        seed=flags.adapt_seed, match=match,
        stain_method=flags.stain_method or "macenko",
        trained_data_dir=flags.trained_data_dir,
    )  # fmt: skip
    print(evaluation.summary(found["metrics"]))
    print(f"\n{_beside(run, found)}")
    print(f"\n{_held(run, found)}")
    if found["adapted"]:
        print(f"\n{_adapted(found['adapted'])}")
    print(
        f"written to {run.path / runs.EXTERNAL / others.name}, and into {run.path / 'report.html'}"
    )
    print(notices.RESEARCH_USE)
    return 0


def _match(run: runs.Run, others: Others, flags: argparse.Namespace) -> scale.Match | None:
    """How images are brought to the training's scale, if that is asked for."""
    if not flags.match_scale:
        for name in ("mpp", "trained_mpp", "trained_size"):
            if getattr(flags, name) is not None:
                raise InputError(f"--{name.replace('_', '-')}: is for --match-scale")
        return None
    return scale.match(
        run, others, mpp=flags.mpp, trained_mpp=flags.trained_mpp, trained_size=flags.trained_size
    )


def _add_flags(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--images", type=path_argument, metavar="FILE",
        help="your own images: a CSV with image,label and, where known, patient, slide, "
        "magnification, or a folder with a folder per class",
    )  # fmt: skip
    which.add_argument("--dataset", choices=datasets.MODULES, help="a public data set")
    parser.add_argument(
        "--data-dir", type=path_argument, metavar="D",
        help="folder of the data set, or that the list's paths count from",
    )  # fmt: skip
    parser.add_argument(
        "--label-map", nargs="+", default=[], metavar="THEIRS=OURS",
        help="classes of the images -> classes of the run; THEIRS= leaves one out",
    )  # fmt: skip
    parser.add_argument(
        "--patients", type=path_argument, metavar="FILE", help="CSV with image,patient"
    )
    parser.add_argument(
        "--magnification", nargs="+", default=[], metavar="M", help="of BreakHis: 40X 100X ..."
    )
    parser.add_argument("--stain", choices=("he", "ihc"), help="of BCI (default: the run's)")
    parser.add_argument(
        "--match-scale", action="store_true",
        help="bring the images to the scale of the run's training images: resampled to as many "
        "micrometres per px, and cut into fields as large, whose probabilities are averaged; where "
        "an image shows less, its border is mirrored",
    )  # fmt: skip
    slides.add_scale_flags(parser, size="--trained-size")
    parser.add_argument(
        "--trained-data-dir", type=path_argument, metavar="D",
        help="folder of the run's own images, where they have moved: their stains are taken for "
        "--adapt stain, and of a run that did not note their looks near copies are looked for",
    )  # fmt: skip
    parser.add_argument(
        "--adapt", nargs="+", choices=tuple(METHODS), default=[],
        help="adapt to a part of the images, and judge on the rest: "
        + "; ".join(f"{name}: {what}" for name, what in METHODS.items()),
    )  # fmt: skip
    parser.add_argument(
        "--adapt-share", type=float, default=0.3, metavar="S",
        help="share of the images that adapt, whole patients where all are known (default: 0.3)",
    )  # fmt: skip
    parser.add_argument(
        "--stain-method", metavar="NAME",
        help="of --adapt stain: macenko (the default), vahadane or reinhard",
    )  # fmt: skip
    parser.add_argument("--adapt-seed", type=int, default=0, metavar="N", help="of their draw")
    parser.add_argument("--name", help="what to call these data (default: from FILE or NAME)")


def _introduction(others: Others) -> str:
    sizes = datasets.counts(others.table, "label")
    known = others.table["case"][others.table["case"] != ""].nunique()
    unknown = int((others.table["case"] == "").sum())
    who = plural(known, "patient") if known else "patients unknown"
    if known and unknown:
        who += f", and {plural(unknown, 'image')} whose patient is unknown"
    left = [f"{n} {name}" for name, n in others.left_out.items()]
    return (
        f"judged on {others.title}: {many(len(others.table), 'image')}, "
        f"{', '.join(f'{n} {name}' for name, n in sizes.items())}, "
        f"{who}{f'; left out: {listed(left)}' if left else ''}"
    )


def _beside(run: runs.Run, found: Mapping[str, Any]) -> str:
    """Accuracy here beside that on the run's own test images."""
    lines = []
    if found["scale"]["words"]:
        lines.append(f"scale: {found['scale']['words']}")
    with contextlib.suppress(InputError):
        lines.insert(0, f"on its own test images  {_score(evaluation.read_metrics(run))}")
    lines.insert(len(lines) and 1, f"on {found['title']}  {_score(found['metrics'])}")
    if found["without_copies"]:
        lines.append(f"without copies of the run's images  {_score(found['without_copies'])}")
    return "\n".join(lines)


def _held(run: runs.Run, found: Mapping[str, Any]) -> str:
    """How what was chosen on the run's validation images holds here, and on its test images."""
    own: Mapping[str, Any] = {}
    with contextlib.suppress(InputError):
        own = held(evaluation.read_metrics(run))
    lines = [f"{chosen(found['metrics'])} Here, and on its own test images:"]
    here = held(found["metrics"])
    width = max(map(len, here))
    for head, cell in here.items():
        told = [" ".join(filter(None, (value, f"({below})" if below else ""))) for value, below in
                (cell, own.get(head, ("–", "")))]  # fmt: skip
        lines.append(f"  {head:<{width}}  {told[0]:<36}  {told[1]}")
    return "\n".join(lines)


def _adapted(found: Mapping[str, Any]) -> str:
    """Each way on the held-out images, and how its accuracy differs from the run's as it is."""
    lines = [
        f"adapted to {many(found['adapted'], 'image')}, judged on the other {found['held_out']} "
        f"(drawn by {found['by']}):"
    ]
    for way in found["ways"]:
        metrics = way["metrics"]
        words = [f"accuracy {percent(metrics['accuracy'])}"]
        words += [f"balanced accuracy {percent(metrics['balanced_accuracy'])}"]
        words += [f"ECE {number(metrics['ece'])}, log loss {number(metrics['log_loss'])}"]
        if "difference" in way:
            words.append(f"accuracy {difference(way)}")
        lines.append(f"  {way['name']:<12} {'; '.join(words)}")
    lines += [f"  {name:<12} {why}" for name, why in found["failed"].items()]
    return "\n".join(lines)


def _score(metrics: Mapping[str, Any]) -> str:
    found = {each.score.key: each for each in shown.of_test(metrics)}
    words = []
    for name in ("accuracy", "balanced_accuracy"):
        if each := found.get(name):
            ends = "" if each.interval is None else f" ({interval(each)})"
            words.append(f"{each.score.title.lower()} {score(each)}{ends}")
    return ", ".join([many(metrics["n"], "image"), *words])
