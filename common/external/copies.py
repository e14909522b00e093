"""What other data share with the data that a run was trained on: images, near copies, patients."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from common import runs, terminal
from common.errors import InputError, listed
from common.external import trained
from common.external.others import Others
from common.files import file_hash, read_table
from common.images import fingerprints
from common.report.words import plural
from common.splits.leakage import NEAR_BITS
from common.splits.pairs import near_pairs
from common.splits.parts import PARTS

if TYPE_CHECKING:
    from common.images.fingerprints import Fingerprints

_WHAT = {"train": "trained on", "validation": "chosen by", "test": "tested on"}

_SHOWN = 20
"""Pairs of copies that external.json lists."""


def shared(
    run: runs.Run,
    others: Others,
    marks: Mapping[str, np.void],
    own: trained.Trained | str,
) -> tuple[dict[str, Any], set[str]]:
    """Find images and patients that the run has.

    Parameters
    ----------
    run : Run
    others : Others
    marks : mapping
        Image -> its fingerprint.
    own : Trained or str
        The run's own images, or why they are not there.

    Returns
    -------
    found : dict
        `copies` by the hash of their files, and `near` by their looks, these included, each {part:
        images}, an image counted in the first part where it has a copy; `near` None where the run's
        images are not there; `pairs`, the first near ones, {`image`, `own`, `part`, `bits`};
        `leaks`, sentences.
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
    part_of = _by_hash(others, parts or {})
    found: dict[str, Any] = {"copies": _counted(part_of), "near": None, "pairs": []}
    if isinstance(own, str):
        leaks.append(f"near copies of the run's images were not looked for: {own}")
    elif (marked := own.pixels.fingerprints()) is not None:
        near, found["pairs"] = _near(own, marked, marks)
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


def _by_hash(others: Others, parts: Mapping[str, str]) -> dict[str, str]:
    names = others.table["image"].tolist() if parts else []
    with terminal.progress("comparing", len(names), "images") as bar:
        found = {name: parts.get(file_hash(others.root / name), "") for name in bar.over(names)}
    return {name: part for name, part in found.items() if part}


def _near(
    own: trained.Trained, marked: Fingerprints, marks: Mapping[str, np.void]
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Images that look like one of the run's, turned or not -> its part; and the first pairs."""
    rows, names = len(marked), list(marks)
    theirs = fingerprints.together([marks[name] for name in names])
    parts, images = own.split["part"].tolist(), own.split["image"].tolist()
    found: dict[str, str] = {}
    pairs: list[dict[str, Any]] = []
    for some in near_pairs(np.concatenate([marked.hashes, theirs.hashes]), NEAR_BITS):
        across = (some.a < rows) & (some.b >= rows)
        for a, b, bits in zip(some.a[across], some.b[across], some.bits[across], strict=True):
            name = names[int(b) - rows]
            part = parts[int(a)]
            found[name] = min(part, found.get(name, part), key=PARTS.index)
            pairs.append({"image": name, "own": images[int(a)], "part": part, "bits": int(bits)})
    pairs.sort(key=lambda pair: (pair["bits"], pair["image"], pair["own"]))
    return found, pairs[:_SHOWN]


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
