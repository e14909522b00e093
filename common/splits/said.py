"""What a report of `common.splits.leakage` says, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common import notices
from common.errors import many
from common.splits import two_patients
from common.splits.parts import PARTS

_VERBS = {"train": "is also trained on", "validation": "is also validated on"}


def text(report: Mapping[str, Any]) -> str:
    """Say a report in lines for a terminal.

    Parameters
    ----------
    report : mapping
        As `report` gives it, or read from a run's leakage.json.

    Returns
    -------
    str
    """
    parts = report["parts"]
    lines = [
        f"{many(report['images'], 'image')}: "
        + ", ".join(f"{part} {parts[part]}" for part in PARTS if parts[part])
    ]
    if report["synthetic"]:
        lines.insert(0, notices.SYNTHETIC)
    for group, found in report["groups"].items():
        if not found["groups"]:
            lines.append(f"{group + 's':<8}unknown")
            continue
        lines.append(
            f"{group + 's':<8}{found['shared']} of {found['groups']} in more than one part"
        )
        for name, pair in found["pairs"].items():
            first, second = name.split("-")
            # A case holds its slides and folders: for these the line that matters is enough.
            if pair["groups"] and (group == "case" or name == "train-test"):
                lines.append(
                    f"        {pair['images']} of {parts[second]} {second} images "
                    f"({pair['share']:.1%}) belong to a {group} that {_VERBS[first]}"
                )
    lines += copies(report) + [f"note: {note}" for note in report["notes"]]
    return "\n".join(lines)


def copies(report: Mapping[str, Any]) -> list[str]:
    """Say what a report tells of duplicates, in lines for a terminal.

    Parameters
    ----------
    report : mapping
        As `report` gives it.
    """
    parts, lines = report["parts"], []
    for kind, title in (("exact", "exact duplicates"), ("near", "near duplicates")):
        found = report[kind]
        if found is None:
            lines.append(f"{title}: not looked for")
            continue
        limit = f" (at most {report['near_bits']} of 256 bits differ)" if kind == "near" else ""
        lines.append(
            f"{title}{limit}: {many(found['pairs'], 'pair')}, {found['across']} across parts"
        )
        # A pair is a set of two: only larger ones say more than the pairs do.
        if found.get("sets") and found["set_images"] > 2 * found["sets"]:
            largest = found["largest_sets"][0]
            lines.append(
                f"        {found['set_images']} images in {many(found['sets'], 'set')} of equal "
                f"ones; the largest has {largest['images']} ({_file(largest['first'])} ...)"
            )
        if parts["test"] and found["test_images"]:
            what = "an exact copy" if kind == "exact" else "an exact or near copy"
            lines.append(
                f"        {found['test_images']} of {parts['test']} test images "
                f"({found['share']:.1%}) have {what} among the training images"
            )
        if found["label_conflicts"]:
            lines.append(f"        {many(found['label_conflicts'], 'pair')} with different labels")
        for pair in found["worst"][:5]:
            turned = ", turned or flipped" if pair["turned"] else ""
            lines.append(
                f"        {_file(pair['a'])} ({pair['a_part']}) and {_file(pair['b'])} "
                f"({pair['b_part']}): {pair['bits']} bits{turned}"
            )
    questions = two_patients.sentences(report.get("two_patients"))
    return lines + [f"two patients: {each}" for each in questions]


def shared(report: Mapping[str, Any], *, groups: bool = True) -> list[str]:
    """Say what lies in the training and in the test part, one sentence each.

    Parameters
    ----------
    report : mapping
        As `report` gives it.
    groups : bool
        Whether patients and slides are said, and not copies alone.

    Returns
    -------
    list of str
        Patients, or slides where no patient is shared, and copies; empty if nothing is shared.
    """
    tested = report["parts"]["test"]
    found: list[str] = []
    for group, noun in (("case", "patients"), ("slide", "slides")):
        pair = report["groups"][group]["pairs"]["train-test"]
        if groups and pair["groups"] and not found:
            found.append(
                f"{pair['images']} of {tested} test images ({pair['share']:.1%}) are of "
                f"{pair['groups']} {noun} that are also trained on"
            )
    for kind, noun in (("exact", "an exact copy"), ("near", "an exact or near copy")):
        twins = report[kind]
        if twins and twins["test_images"] and (kind == "near" or not report["near"]):
            found.append(
                f"{twins['test_images']} of {tested} test images ({twins['share']:.1%}) have "
                f"{noun} among the training images"
            )
    return found


def _file(image: str) -> str:
    return image.rpartition("/")[2]
