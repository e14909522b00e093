"""The page about a slide: its maps, shares by class, warnings, and what was done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common import acquaintance, confidence, metrics, notices, predictions, report, runs
from common.files import write_text
from common.report.pictures import Picture, embed
from common.report.summary import dataset
from common.report.words import percent, plural
from common.slides.structure import Image

_MANY_ODD = 0.25  # share of tiles


def warnings_of(odd: Mapping[str, Sequence[int]], count: int, more: Sequence[str]) -> list[str]:
    """Say what a reader should know before the map is believed.

    Parameters
    ----------
    odd : mapping
        In which way tiles are unlike the training images -> their numbers.
    count : int
        Tiles in all.
    more : sequence of str
        What else is to be said, first.

    Returns
    -------
    list of str
        Sentences.
    """
    texts = list(more)
    unlike = len({row for rows in odd.values() for row in rows})
    if unlike:
        ways: Counter[str] = Counter()
        for kind, rows in odd.items():
            for way in kind.removeprefix(acquaintance.UNLIKE).split(", "):
                ways[way] += len(rows)
        named = ", ".join(f"{way} ({number:,})" for way, number in ways.most_common())
        weight = " The map says little." if unlike > _MANY_ODD * count else ""
        texts.append(
            f"{unlike:,} of {plural(count, 'tile')} {'is' if unlike == 1 else 'are'} unlike what "
            f"the network was trained on: {named}.{weight}"
        )
    return texts


def left_open(kept: confidence.Kept, count: int | None, tiles: int) -> list[str]:
    """Say for how many tiles the run gives no answer.

    Parameters
    ----------
    kept : Kept
        What the run keeps of how sure it is.
    count : int or None
        Tiles without an answer; None where nobody looked for a threshold.
    tiles : int
        All of them.

    Returns
    -------
    list of str
        A sentence, or none.
    """
    if not count:
        return []
    if kept.below is None:
        which = "all of"
        why = f"no confidence left {100 * metrics.RISK:g} % errors on its validation images"
    else:
        which = f"{count:,} of"
        why = f"its confidence is below {100 * kept.below:.1f} % there"
    return [
        f"The run abstains from {which} {plural(tiles, 'tile')}: {why} (column abstain of "
        "tiles.csv); maps and shares show its guesses."
    ]


def shares(found: pd.DataFrame, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Count tiles by predicted class.

    Parameters
    ----------
    found : DataFrame
        The tiles' table.
    classes : sequence of str

    Returns
    -------
    list of dict
        name, tiles, share of all, mean probability over all tiles.
    """
    counts = found["predicted"].value_counts()
    return [
        {
            "name": name,
            "tiles": int(counts.get(name, 0)),
            "share": float(counts.get(name, 0) / len(found)),
            "mean": float(found[predictions.column(name)].astype(float).mean()),
        }
        for name in classes
    ]


def pale_outside(thumbnail: Image, mask: NDArray[np.bool_]) -> Image:
    """Give a thumbnail on which all that is no tissue is pale.

    Parameters
    ----------
    thumbnail : uint8 array (H, W, 3)
    mask : bool array (H, W)
    """
    pale = np.uint8(255) - (np.uint8(255) - thumbnail) // 4
    return np.where(mask[..., None], thumbnail, pale).astype(np.uint8)


def write(
    folder: Path,
    run: runs.Run,
    facts: Mapping[str, Any],
    pictures: Mapping[str, Path],
    command: str,
) -> Path:
    """Write `index.html`, which needs no other file.

    Parameters
    ----------
    folder : Path
    run : Run
    facts : mapping
        What `slide.json` holds.
    pictures : mapping
        "heat", "map" and "tissue" -> a PNG.
    command : str
        What made it.

    Returns
    -------
    Path
        The page.
    """
    files = report.read(run.path)
    field, rows = facts["tile"], facts["classes"]
    shown = facts["heatmap"]
    of_shown = next(row for row in rows if row["name"] == shown)
    drawn: dict[str, Picture] = {name: embed(path, name) for name, path in pictures.items()}
    known = {
        "title": facts["slide"],
        "run_name": run.path.name,
        "synthetic": facts["synthetic"],
        "synthetic_notice": notices.SYNTHETIC if not run.synthetic else notices.SYNTHETIC_MODEL,
        "research_use": notices.RESEARCH_USE,
        "dataset": dataset(files),
        "field": {**field, "mpp": f"{field['mpp']:.3g}"},
        "counts": {"tiles": plural(facts["tiles"], "tile")},
        "key": [
            (f"Predicted {shown}", percent(of_shown["share"], 1),
             f"{of_shown['tiles']:,} of {plural(facts['tiles'], 'tile')} with tissue"),
            ("Tissue", f"{facts['tissue_mm2']:.3g} mm²",
             f"on {facts['slide_mm2']:.3g} mm² of slide"),
            ("Unlike the training images", f"{facts['unlike']:,}",
             f"of {plural(facts['tiles'], 'tile')}"),
        ],
        "warnings": facts["warnings"],
        "shown": shown,
        "rows": rows,
        "least": percent(facts["least_tissue"], 0),
        "done": _done(run, facts),
        "page_command": command,
        **drawn,
    }  # fmt: skip
    path = folder / "index.html"
    write_text(path, report.render("common.slides/page.html", known))
    return path


def _done(run: runs.Run, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    scale, field = facts["mpp"], facts["tile"]
    side, (left, top) = facts["tile_px"], facts["origin"]
    part = f"; what was scanned, from px {left}, {top} of its canvas" if left or top else ""
    return [
        ("Slide",
         f"{facts['slide']}: {facts['width']}x{facts['height']} px, {facts['kind']}{part}"),
        ("Its scale", f"{scale[0]:.4g} micrometres per px, as {facts['mpp_said_by']} says"),
        ("Tile", f"{field['width']}x{field['height']} px at {field['mpp']:.4g} micrometres per px: "
         f"{side[0]:.1f}x{side[1]:.1f} px of the slide"),
        ("Step between tiles", _step(facts["stride"])),
        ("Tissue", f"at least {percent(facts['least_tissue'], 0)} of a tile; "
         f"{facts['looked_at'] - facts['tiles']:,} of {facts['looked_at']:,} were left out"),
        ("Stain normalisation", facts["stain"]),
        ("How sure", facts["confidence"]),
        ("Network's input", f"{run.setting('image_size', int)} px"),
        ("Run", f"{run.path.name}; {acquaintance.introduction(run)}".replace("\n", ". ")),
    ]  # fmt: skip


def _step(stride: float) -> str:
    """How far tiles lie from each other."""
    if stride == 1:
        return "a tile's side: they touch and do not overlap"
    share = percent(stride, 0)
    if stride < 1:
        return f"{share} of a tile's side: they overlap"
    return f"{share} of a tile's side: what lies between them was not looked at"
