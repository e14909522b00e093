"""What the run was trained and tested on: images of every class and part, and what parts share."""

from __future__ import annotations

from typing import Any

import pandas as pd

from common.report import pictures
from common.report.files import RunFiles
from common.splits import PARTS

GROUPS = (("case", "Patients"), ("slide", "Slides"), ("folder", "Folders"))
"""Groups that a leakage report compares, with their names here."""


def data(files: RunFiles) -> dict[str, Any] | None:
    """Count images and patients of every class in every part.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None without split.csv.
    """
    split = files.split
    if split is None:
        return None
    known = bool((split["case"] != "").all()) if "case" in split else False
    parts = [part for part in PARTS if (split["part"] == part).any()]
    extra = [name for name in split["label"].unique() if name not in files.classes]

    def row(chosen: pd.DataFrame) -> list[dict[str, Any]]:
        # Cells of the parts, and of all parts together.
        places = [chosen[chosen["part"] == part] for part in parts]
        places.append(chosen[chosen["part"].isin(parts)])
        return [
            {"images": len(rows), "patients": int(rows["case"].nunique()) if known else None}
            for rows in places
        ]

    rows = [(name, row(split[split["label"] == name])) for name in [*files.classes, *extra]]
    lone = [
        (name, next(p for p, cell in zip(parts, cells, strict=False) if cell["patients"]))
        for name, cells in rows
        if known and cells[-1]["patients"] == 1
    ]
    shared = 0
    if known:
        used = split[split["part"].isin(parts)]
        shared = int((used.groupby("case")["part"].nunique() > 1).sum())
    return {
        "parts": parts,
        "rows": rows,
        "total": row(split),
        "known": known,
        "lone": lone,
        "shared": shared,
        "images": int(split["part"].isin(parts).sum()),
        "expected": None if files.synthetic else files.record.expected_images,
        "split": files.metrics.get("split") or files.config.get("split"),
    }


def leakage(files: RunFiles) -> dict[str, Any] | None:
    """Say what two parts share.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None if nothing was compared.
    """
    compared = files.leakage
    picture = pictures.found(
        files, "leakage", "Pairs of nearly identical images in different parts"
    )
    if not compared and picture is None:
        return None
    rows: list[tuple[str, Any, Any, Any, str]] = []
    for group, noun in GROUPS:
        of_group = (compared.get("groups") or {}).get(group) or {}
        pairs = of_group.get("pairs") or {}
        # Where no image's patient is known, none is found in both parts: that is no 0.
        none_known = of_group.get("groups") == 0
        part_known = bool(of_group.get("unknown")) and not none_known
        for name, pair in pairs.items():
            first, second = name.split("-")
            # Patients are always told; slides and folders only where there is something to say.
            if group == "case" or pair["groups"]:
                unknown = ("unknown", None, None)
                found = (pair["groups"], pair["images"], pair["share"])
                known = ", as far as known" if part_known else ""
                rows.append((f"{noun} in both {first} and {second}{known}",
                             *(unknown if none_known else found), second))  # fmt: skip
    for kind, what in (("exact", "an exact copy"), ("near", "an exact or near copy")):
        twins = compared.get(kind)
        if twins:
            rows.append((f"Test images with {what} in training", None, twins["test_images"],
                         twins["share"], "test"))  # fmt: skip
    return {
        "text": str(compared.get("text") or ""),
        "rows": rows,
        "notes": [str(note) for note in compared.get("notes") or [] if str(note)],
        "picture": picture,
    }


def examples(files: RunFiles) -> pictures.Picture | None:
    """Give the picture of training images.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None if there is none.
    """
    return pictures.found(files, "examples", "Example images of the training part")
