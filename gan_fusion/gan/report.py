"""The page of a GAN's run, from its files alone: python -m gan_fusion.gan.report RUN."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import errors, notices, report, terminal
from common.arguments import Parser
from common.errors import InputError
from common.files import path_argument
from common.report import RunFiles, data, making, pictures
from common.report.words import number, percent

SHEETS = 4
"""Sheets of samples that show how the images changed; there may be dozens in the folder."""

APART = 2.0
"""Standard errors by which two values of KID must differ to be called different."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m gan_fusion.gan.report RUN...``.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.
    """
    parser = Parser(
        prog="python -m gan_fusion.gan.report",
        description="Write report.html of a GAN's run from the files of its folder. "
        f"{notices.RESEARCH_USE}",
    )
    parser.add_argument(
        "run", nargs="+", type=path_argument, metavar="RUN", help="a run folder of train_gan"
    )
    for path in parser.parse_args(arguments).run:
        terminal.out(write(path))
    return 0


def write(run_path: str | Path) -> Path:
    """Write `report.html` into a GAN's run folder.

    Parameters
    ----------
    run_path : path

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the folder is no run folder, or a classifier's.
    WriteError
        If the page cannot be written.
    """
    files = report.read(run_path, classifier=False)
    if files.record.facts.get("kind") != "gan":
        raise InputError(f"{run_path}: a classifier's run; python -m common.report {run_path}")
    return report.write_page(
        files, "gan_fusion.gan/page.html", SECTIONS, "python -m gan_fusion.gan.report"
    )


# --- what it says ------------------------------------------------------------------------------


def verdict(files: RunFiles) -> list[str] | None:
    """Say in plain words how good the images are, by fixed rules.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    list of str
        Sentences, the finding first; None without metrics.json.
    """
    found = files.metrics
    if not found:
        return None
    points, floor = found["points"], found["floor"]
    first, last = points[0], points[-1]
    kid = f"KID {_kid(last)}, two halves of the real images {_kid(floor)}"
    told = []
    if found["features"]["weights"] == "none":
        told.append(
            "How good these images are was not measured: distances are taken with a network that "
            f"was never trained ({kid})."
        )
    else:
        can = "can" if _apart(last, floor) > 0 else "by these features cannot"
        told.append(f"This GAN’s images {can} be told from real ones: {kid}.")
        if len(points) > 1:
            told.append(_course(first, last, min(points, key=lambda point: point["kid"])))
        copied = found["memorisation"]["below_half"]
        told.append(
            f"{percent(copied, 1)} of its samples lie nearly on a training image: look at them."
            if copied
            else "No sample lies nearly on a training image."
        )
    if files.synthetic:
        told.append("It learnt from synthetic images, so this says nothing about tissue.")
    return told


def _course(first: dict[str, float], last: dict[str, float], best: dict[str, float]) -> str:
    """How the images came nearer to real ones from evaluation to evaluation, or did not."""
    change = _apart(last, first)
    if change < 0:
        return "They came nearer to real images while it trained."
    if change == 0:
        return "They are as near to real images at the end as at the first evaluation."
    return (
        "They went away from real images while it trained: they were nearest at "
        f"{best['kimg']:g} kimg."
    )


def _apart(one: dict[str, float], other: dict[str, float]) -> int:
    """Whether a KID is larger (1) or smaller (-1) than another, or not clearly either (0)."""
    gap, noise = one["kid"] - other["kid"], math.hypot(one["kid_se"], other["kid_se"])
    return 0 if abs(gap) <= APART * noise else (1 if gap > 0 else -1)


def _kid(point: dict[str, float]) -> str:
    return f"{point['kid']:.2g} ± {point['kid_se']:.1g}".replace("-", "−")


def scores(files: RunFiles) -> dict[str, Any] | None:
    """List every evaluation.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None without metrics.json.
    """
    found = files.metrics
    if not found:
        return None
    features, floor = found["features"], found["floor"]
    return {
        "rows": [_row(f"{point['kimg']:g}", point) for point in found["points"]],
        "floor": _row("two halves of the real images", floor),
        "generated": found["generated_images"],
        "real": found["real_images"],
        "features": f"{features['network']} ({features['weights'][:10]}), {features['size']} px, "
        f"{features['resize']}",
        "comparable": features["comparable"],
        "copies": found["memorisation"],
        "classes": list(found["classes"]),
    }


def _row(name: str, point: dict[str, Any]) -> list[str]:
    shares = [number(point.get(key), 2) for key in ("precision", "recall")]
    return [name, _kid(point), f"{point['fid']:.4g}", *shares]


def sheets(files: RunFiles) -> list[tuple[str, pictures.Picture]]:
    """Give sheets of samples over the training, `SHEETS` at most, evenly chosen.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    list of (str, dict)
        Thousands of images shown by then, and the picture.
    """
    found = {}
    for path in (files.path / "figures").glob("samples-*-kimg.png"):
        if named := re.fullmatch(r"samples-([\d.e+-]+)-kimg", path.stem):
            found[float(named[1])] = path.stem
    ordered = sorted(found)
    last = len(ordered) - 1
    chosen = sorted({round(i * last / (SHEETS - 1)) for i in range(SHEETS)}) if ordered else []
    shown = []
    for place in chosen:
        kimg = ordered[place]
        picture = pictures.found(files, found[kimg], f"Samples after {kimg:g} kimg")
        if picture is not None:
            shown.append((f"{kimg:g}", picture))
    return shown


def warnings(files: RunFiles) -> list[str]:
    """Say what a reader must know before the numbers.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    list of str
        Sentences.
    """
    if files.metrics:
        return []
    return ["This run is not complete: start the same command again to finish it."]


SECTIONS: dict[str, Any] = {
    "verdict": verdict,
    "scores": scores,
    "data": data.data,
    "curves": lambda files: pictures.found(files, "curves", "Losses, KID and FID over training"),
    "samples": lambda files: pictures.found(files, "samples", "Generated images of each class"),
    "real": lambda files: pictures.found(files, "real", "Real images of each class"),
    "nearest": lambda files: pictures.found(files, "nearest", "Samples nearest to real images"),
    "sheets": sheets,
    "settings": making.settings,
    "warnings": warnings,
    "environment": making.environment,
    "files": making.listing,
}
"""What the template shows under each name."""

if __name__ == "__main__":
    errors.main(main)
