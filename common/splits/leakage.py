"""What leaks between the parts of a split: shared patients and slides, duplicate images.

Exact duplicates are found by the hash of the decoded pixels, near ones (re-saved, resized,
brightened, turned or mirrored copies; one field photographed twice) by a perceptual hash.

    python -m common.splits report --split-file runs/.../split.csv --data-dir D
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import terminal
from common.backend import cores
from common.datasets import is_synthetic, listed
from common.errors import InputError
from common.splits.arguments import require_table
from common.splits.draw import sorted_rows
from common.splits.pairs import (
    PAIRS_OF_PARTS,
    SHOWN_PAIRS,
    SHOWN_SETS,
    Pairs,
    Tally,
    equal_sets,
    near_pairs,
)
from common.splits.parts import GROUPS, PARTS, shared_groups
from common.splits.said import copies, shared, text
from common.splits.two_patients import TwoPatients

if TYPE_CHECKING:
    import pandas as pd

    from common.images import Pixels
    from common.images.fingerprints import Fingerprints

__all__ = [
    "NEAR_BITS",
    "PAIRS_OF_PARTS",
    "SHOWN_PAIRS",
    "copies",
    "fingerprints",
    "report",
    "shared",
    "text",
]

# Bits in which two hashes differ (128 for unrelated images). Measured on 213 BreakHis fields at
# 100X: re-compressed, resized, brightened, blurred or slightly cropped copies of 71 of them differ
# in at most 40 bits, 3 % crops in 54 in the middle; of 22,578 pairs of different fields, most of
# them tissue of the same twelve cases, one pair differs in 52 bits (one field photographed twice)
# and all others, in any of eight orientations, in 90 or more. 64 lies between; with the spread of
# unrelated pairs (mean 128, sd 9.4 bits at the lower end) it is 6.8 sd away, so that the 250
# million comparisons of 7,909 images in eight orientations give no chance hit.
NEAR_BITS = 64


def report(
    split: pd.DataFrame,
    data_dir: str | os.PathLike | None = None,
    pixels: Pixels | None = None,
    *,
    near: bool = True,
) -> dict[str, Any]:
    """Find what the parts of a split share: patients, slides, and images.

    Parameters
    ----------
    split : DataFrame
        An index with `part`, or a split.csv as `read` gives it.
    data_dir : path, optional
        Folder of the images. Without it, and without pixels, only the names are compared.
    pixels : Pixels, optional
        The images of the split as `images.cached` gives them: they know their fingerprints, and no
        image is decoded again.
    near : bool
        Look for near duplicates too, not for exact ones alone.

    Returns
    -------
    dict
        Ready for JSON. `parts` {part: images}; `groups` {"case" | "slide" | "folder": {`unknown`
        images, `groups`, `shared` groups in more than one part, `pairs` {"train-test": {`groups`,
        `names`, `images` of the second part whose group also lies in the first, `share`}}}};
        `exact` and `near` (None where not looked for): {`pairs` in all, `across` parts,
        `by_parts`, `label_conflicts` pairs whose labels differ, `test_images` with a twin that is
        trained on, `share`, `worst` list of pairs across parts, nearest first, and `within` one:
        {`a`, `a_part`, `b`, `b_part`, `bits`, ...}}; `near` holds exact copies too only in
        `test_images`; `exact` has besides `sets` of equal images, `set_images` in them, and the
        `largest_sets`: {`images`, `parts` {part: images}, `first` name}; `two_patients` what
        `TwoPatients.found` gives of both kinds, None where not looked for; `notes` for readers.

    Raises
    ------
    InputError
        If an image is missing or cannot be read, or `split` is none.

    Notes
    -----
    Exact duplicates have the same decoded pixels, whatever the files' bytes. Near duplicates have
    perceptual hashes (signs of the 16 x 16 lowest DCT frequencies of the grey image against their
    median) that differ in at most `NEAR_BITS` of 256 bits, in any of the eight orientations by
    flips and quarter turns. Neighbouring fields of a slide look alike to the eye but not to this
    hash: they do not count as duplicates.
    """
    require_table(split, "image", "part", name="split")
    wrong = sorted({str(part) for part in split["part"]} - {*PARTS, ""})
    if wrong:
        raise InputError(f"split: unknown part {', '.join(wrong)}; parts are {', '.join(PARTS)}")
    used = split[split["part"] != ""]
    used = used.iloc[sorted_rows(used)]
    sizes = {part: int((used["part"] == part).sum()) for part in PARTS}
    report: dict[str, Any] = {
        "images": len(used),
        "parts": sizes,
        "groups": {group: _group_report(used, group) for group in GROUPS},
        "exact": None,
        "near": None,
        "two_patients": None,
        "near_bits": NEAR_BITS,
        "synthetic": bool(used["synthetic"].any()) if "synthetic" in used else None,
        "notes": [],
    }
    notes = report["notes"]
    unknown = report["groups"]["case"]["unknown"]
    if unknown:
        notes.append(
            f"slides and patients of {unknown} of {len(used)} images are unknown: patient leakage "
            "cannot be excluded"
        )
    names = list(used["image"])
    known = _fingerprints(names, data_dir, pixels)
    if known is None:
        notes.append("no data folder was given: images were not compared")
        return report
    if report["synthetic"] is None and data_dir is not None:
        report["synthetic"] = is_synthetic(data_dir, names)
    parts = used["part"].to_numpy()
    labels = used["label"].to_numpy(str) if "label" in used else np.full(len(used), "")
    listed_of = TwoPatients(used)
    number, sets = equal_sets(known.pixels)
    listed_of.add_sets(sets)
    exact = Tally(parts, labels)
    exact.add_sets(sets)
    report["exact"] = _pair_report(used, exact, near=False) | _set_report(used, sets)
    if near:
        others = Tally(parts, labels)
        others.twins |= exact.twins
        for pairs in near_pairs(known.hashes, NEAR_BITS):
            equal = number[pairs.a] == number[pairs.b]
            unequal = Pairs(*(each[~equal] for each in pairs))
            others.add(unequal)
            listed_of.add(unequal)
        report["near"] = _pair_report(used, others, near=True)
    report["two_patients"] = listed_of.found()
    return report


def fingerprints(data_dir: str | os.PathLike, images: Sequence[str]) -> Fingerprints:
    """Decode images and hash their pixels.

    Parameters
    ----------
    data_dir : path
    images : sequence of str
        Paths below `data_dir`.

    Returns
    -------
    Fingerprints
        In their order.

    Raises
    ------
    InputError
        If an image is missing or cannot be read.
    """
    from concurrent.futures import ThreadPoolExecutor

    from common.images import fingerprints as taking
    from common.images import read

    root = Path(data_dir)
    missing = [name for name in images if not (root / name).is_file()]
    if missing:
        raise InputError(
            f"{root}: {len(missing)} of {len(images)} images of the split are not there: "
            f"{listed(missing)}; give the --data-dir that the split was made on"
        )

    def one(name: str) -> np.void:
        return taking.fingerprint(read(root / name))

    # Decoding and hashing release the interpreter lock, so threads are enough.
    with (
        terminal.progress("comparing", len(images), "images") as bar,
        ThreadPoolExecutor(cores()) as pool,
    ):
        return taking.together(list(bar.over(pool.map(one, images))))


def _fingerprints(
    names: Sequence[str], data_dir: str | os.PathLike | None, pixels: Pixels | None
) -> Fingerprints | None:
    """Those of the images; None if there are no images to look at."""
    known = None if pixels is None else pixels.fingerprints()
    if pixels is not None and known is not None:
        return known[pixels.rows(names)]
    return None if data_dir is None else fingerprints(data_dir, names)


def _group_report(split: pd.DataFrame, group: str) -> dict[str, Any]:
    if group not in split:  # a user's own file may hold images and parts alone
        split = split.assign(**{group: ""})
    known = split[split[group] != ""]
    pairs = {}
    for first, second in PAIRS_OF_PARTS:
        left = set(known.loc[known["part"] == first, group])
        right = known.loc[known["part"] == second, group]
        shared = sorted(left & set(right))
        images = int(right.isin(shared).sum())
        total = int((split["part"] == second).sum())
        pairs[f"{first}-{second}"] = {
            "groups": len(shared),
            "names": shared,
            "images": images,
            "share": images / total if total else None,
        }
    return {
        "unknown": len(split) - len(known),
        "groups": int(known[group].nunique()),
        "shared": len(shared_groups(known, group)),
        "pairs": pairs,
    }


def _pair_report(split: pd.DataFrame, found: Tally, near: bool) -> dict[str, Any]:
    """Say how many pairs there are, and which are the worst."""
    parts, images = split["part"].to_numpy(), split["image"].to_numpy()
    tested, twins = int((parts == "test").sum()), int(found.twins.sum())
    worst, within = (
        [
            {
                "a": images[first], "a_part": parts[first], "b": images[second],
                "b_part": parts[second], "bits": bits, "turned": turned,
                "same_label": bool(found.label[first] == found.label[second]), "exact": not near,
            }
            for first, second, bits, turned in zip(*(x.tolist() for x in pairs), strict=True)
        ]
        for pairs in (found.worst, found.within)
    )  # fmt: skip
    return {
        "pairs": found.pairs,
        "across": found.across,
        "by_parts": found.by_pair_of_parts(),
        "label_conflicts": found.label_conflicts,
        "test_images": twins,
        "share": twins / tested if tested else None,
        "worst": worst,
        "within": within,
    }


def _set_report(split: pd.DataFrame, sets: Sequence[np.ndarray]) -> dict[str, Any]:
    """Say how many sets of equal images there are, and which are the largest."""
    parts = split["part"].to_numpy()
    largest = sorted(sets, key=lambda rows: -len(rows))[:SHOWN_SETS]
    return {
        "sets": len(sets),
        "set_images": sum(map(len, sets)),
        "largest_sets": [
            {
                "images": len(rows),
                "parts": {part: int((parts[rows] == part).sum()) for part in PARTS},
                "first": split["image"].iloc[rows[0]],
            }
            for rows in largest
        ],
    }
