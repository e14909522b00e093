"""What other data share with the data that a run was trained on: images, near copies, patients."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from common import runs, splits
from common.errors import InputError, listed
from common.external import trained
from common.external.others import Others
from common.external.reading import Seen
from common.files import read_table
from common.images import fingerprints
from common.report.words import plural
from common.runs.contents import read_looks
from common.splits import two_patients
from common.splits.leakage import NEAR_BITS
from common.splits.pairs import near_pairs
from common.splits.parts import PARTS
from common.splits.two_patients import TwoPatients

if TYPE_CHECKING:
    import pandas as pd

_WHAT = {"train": "trained on", "validation": "chosen by", "test": "tested on"}

_SHOWN = 20
"""Pairs of copies that external.json lists."""


def shared(
    run: runs.Run,
    others: Others,
    seen: Seen,
    own: Callable[[], trained.Trained | str],
) -> tuple[dict[str, Any], set[str]]:
    """Find images and patients that the run has.

    Parameters
    ----------
    run : Run
    others : Others
    seen : Seen
        What was noted of the other data's images.
    own : callable
        Gives the run's own images, or why they are not there; called where the run did not note
        what they look like.

    Returns
    -------
    found : dict
        `copies` by the hash of their files, and `near` by their looks, these included, each {part:
        images}, an image counted in the first part where it has a copy; `near` None where nothing
        says what the run's images look like; `pairs`, the first near ones, {`image`, `own`, `part`,
        `bits`}; `leaks`, sentences.
    names : set of str
        Images that are copies.
    """
    leaks: list[str] = []
    parts, cases = _parts(run)
    if parts is None:
        leaks.append("whether images are copies of those trained on is not known: the run's "
                     "images.csv or split.csv is missing")  # fmt: skip
    else:
        leaks += _patients(run, others, cases)
    leaks += _two_patients(others, seen)
    part_of = {name: part for name, sha in seen.digests.items() if (part := (parts or {}).get(sha))}
    found: dict[str, Any] = {"copies": _counted(part_of), "near": None, "pairs": []}
    looks = _looks(run, own)
    if isinstance(looks, str):
        leaks.append(f"near copies of the run's images were not looked for: {looks}")
    elif looks is not None:
        near, found["pairs"] = _near(*looks, seen.marks)
        part_of = {
            name: min(filter(None, (part_of.get(name), near.get(name))), key=PARTS.index)
            for name in {*part_of, *near}
        }
        found["near"] = _counted(part_of)
    count = len(others.table)
    of = found["near"] or found["copies"]
    kind = "copies or near copies" if found["near"] else "copies"
    for part, what in _WHAT.items():
        if of[part]:
            leaks.append(
                f"{of[part]} of {count} images are {kind} of images that the run was {what}: these "
                "are no other data"
            )
    return found | {"leaks": leaks}, set(part_of)


def _counted(part_of: Mapping[str, str]) -> dict[str, int]:
    return {part: sum(each == part for each in part_of.values()) for part in PARTS}


def _parts(run: runs.Run) -> tuple[dict[str, str] | None, set[str]]:
    """Hash of each of a run's files -> its part; and the run's patients."""
    with contextlib.suppress(InputError):
        split = read_table(run.path / "split.csv", ("image", "part"))
        hashes = read_table(run.path / "images.csv", ("image", "sha256"))
        names = split["image"].str.rpartition("/")[2]
        parts = dict(zip(names, split["part"], strict=True))
        parts |= dict(zip(split["image"], split["part"], strict=True))
        seen: dict[str, str] = {}
        for image, sha in zip(hashes["image"], hashes["sha256"], strict=True):
            part = parts.get(image, "")
            if part in PARTS:  # of equal files the one that was trained on counts
                seen[sha] = min(part, seen.get(sha, part), key=PARTS.index)
        return seen, set(split.get("case", ())) - {""}
    return None, set()


def _looks(
    run: runs.Run, own: Callable[[], trained.Trained | str]
) -> tuple[pd.DataFrame, np.ndarray] | str | None:
    """Rows of the run's split and their images' hashes (n, 4): as noted, else of its images."""
    with contextlib.suppress(InputError):
        split = splits.read(run.path / "split.csv")
        noted = read_looks(run.path, len(split))
        if noted is not None:
            used = (split["part"] != "").to_numpy()
            return split[used], noted[used]
    there = own()
    if isinstance(there, str):
        return there
    marked = there.pixels.fingerprints()
    return None if marked is None else (there.split, marked.hashes[:, 0])


def _near(
    split: pd.DataFrame, hashes: np.ndarray, marks: Mapping[str, np.void]
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Images that look like one of the run's, turned or not -> its part; and the first pairs."""
    rows, names = len(hashes), list(marks)
    theirs = fingerprints.together([marks[name] for name in names]).hashes
    parts, images = split["part"].tolist(), split["image"].tolist()
    found: dict[str, str] = {}
    pairs: list[dict[str, Any]] = []
    # The earlier image of a pair is not turned, so that the run's have one orientation.
    as_they_are = np.repeat(hashes[:, None], theirs.shape[1], axis=1)
    for some in near_pairs(np.concatenate([as_they_are, theirs]), NEAR_BITS):
        across = (some.a < rows) & (some.b >= rows)
        for a, b, bits in zip(some.a[across], some.b[across], some.bits[across], strict=True):
            name = names[int(b) - rows]
            part = parts[int(a)]
            found[name] = min(part, found.get(name, part), key=PARTS.index)
            pairs.append({"image": name, "own": images[int(a)], "part": part, "bits": int(bits)})
    pairs.sort(key=lambda pair: (pair["bits"], pair["image"], pair["own"]))
    return found, pairs[:_SHOWN]


def _two_patients(others: Others, seen: Seen) -> list[str]:
    """Other images that are listed of two patients, who may be one."""
    table = others.table[others.table["image"].isin(list(seen.marks))]
    if table["case"].replace("", np.nan).nunique() < 2:
        return []
    found = TwoPatients(table.assign(part=""))
    marks = fingerprints.together([seen.marks[name] for name in table["image"]])
    for pairs in near_pairs(marks.hashes, NEAR_BITS):
        found.add(pairs)
    return two_patients.sentences(found.found())


def _patients(run: runs.Run, others: Others, cases: set[str]) -> list[str]:
    """Patients of the run's data; where a list named them, equal names may be chance."""
    shared = others.table["case"].isin(cases)
    same = others.dataset and others.dataset == run.record.dataset
    if not shared.any() or not (same or run.record.own or not others.dataset):
        return []
    names = others.table["case"][shared].unique()
    some = f"{int(shared.sum())} of {len(shared)} images are of {plural(len(names), 'patient')}"
    if same:
        return [f"{some} of the run's own data"]
    return [
        f"{some} whose names stand in the run's own data, too ({listed(names)}): they may be the "
        "same"
    ]
