"""What a run was worth on other data, beside its own test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common import confidence, runs
from common.errors import DAMAGE
from common.metrics import shown
from common.report.files import RunFiles
from common.report.words import interval, number, percent, plural, score

Cell = tuple[str, str]
"""A value, and what stands beside it."""

SCORES = ("accuracy", "balanced_accuracy", "auc", "f1_macro", "brier")
"""What is set beside the internal result."""


def section(files: RunFiles) -> dict[str, Any] | None:
    """Set results on other data beside those on the run's test images.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None if the run was judged on no other data.
    """
    results, notes = runs.elsewhere(files.path)
    if not results and not notes:
        return None
    lines, adapted = [], []
    if files.metrics:
        lines.append(_line("its own test images", files.metrics))
    for each in results:
        try:
            told = _notes(each.found)
            lines.append(_line(each.title, each.metrics))
            if each.without_copies is not None:
                lines.append(_line(f"{each.title}, without copies", each.without_copies))
            if each.adapted is not None:
                adapted.append(_adapted(each.title, each.adapted))
                told += [f"{name}: {why}" for name, why in each.adapted["failed"].items()]
            notes += [f"{each.title}: {words}" for words in told]
        except DAMAGE as error:
            notes.append(f"{runs.EXTERNAL}/{each.name} is damaged and was left out: {error}")
    return {
        "scores": _table(lines, "cells"),
        "sure": _table(lines, "sure"),
        "chosen": next((words for each in results if (words := chosen(each.metrics))), ""),
        "notes": notes,
        "adapted": adapted,
    }


def _table(lines: Sequence[Mapping[str, Any]], kind: str) -> dict[str, Any]:
    """Heads that some line has, and the lines that have some of them."""
    heads = list(dict.fromkeys(head for each in lines for head in each[kind]))
    return {
        "heads": heads,
        "rows": [
            (each["title"], each["images"], [each[kind].get(head, ("–", "")) for head in heads])
            for each in lines
            if each[kind]
        ],
    }


def chosen(metrics: Mapping[str, Any]) -> str:
    """Say what a run chose on its validation images, and why it did not choose the rest.

    Parameters
    ----------
    metrics : mapping
        With the section `confidence`.

    Returns
    -------
    str
        Sentences; "" without the section.
    """
    found = confidence.checked(metrics)
    if found is None:
        return ""
    why, part = found["reasons"], found["validation"]
    if not part["n"]:
        return "There were no validation images on which the run could choose anything."
    of = "" if part["n_patients"] is None else f" of {plural(part['n_patients'], 'patient')}"
    told = [f"On {plural(part['n'], 'validation image')}{of} the run chose:"]
    if found["temperature"] is None:
        told.append(f"no temperature ({why.get('temperature', 'not known')});")
    else:
        told.append(f"temperature {found['temperature']:.3g};")
    if abstain := found["abstain"]:
        told.append(
            f"to answer from a confidence of {percent(abstain['below'], 1)} on, where "
            f"{percent(abstain['risk'], 0)} were wrong at most;"
        )
    else:
        told.append(f"no threshold for abstaining ({why.get('abstain', 'not known')});")
    if sets := found["sets"]:
        told.append(
            f"sets that are to hold the class of {percent(sets['level'], 0)} of a new patient's "
            "images."
        )
    else:
        told.append(f"no prediction sets ({why.get('sets', 'not known')}).")
    if part["trained_patients"]:
        told.append(f"Of these patients {part['trained_patients']} were trained on.")
    return " ".join(told)


def held(metrics: Mapping[str, Any]) -> dict[str, Cell]:
    """Say how what a run chose on its validation images holds on those that were judged.

    Parameters
    ----------
    metrics : mapping
        With the section `confidence`.

    Returns
    -------
    dict
        Head -> value and what stands below it; empty without the section.
    """
    found = confidence.checked(metrics)
    if found is None:
        return {}
    cells: dict[str, Cell] = {}
    before, after = found["before"], found["after"]
    for key, head in (("ece", "Calibration error"), ("log_loss", "Log loss")):
        if after:
            cells[f"{head}, with temperature"] = (
                number(after[key]), f"{number(before[key])} without",
            )  # fmt: skip
        else:
            cells[head] = (number(before[key]), "")
    if abstain := found["abstain"]:
        cells["Answered"] = (percent(abstain["coverage"], 1), "")
        cells["Wrong of these"] = (percent(abstain["error"], 1), _ends(abstain["error_ci"]))
    if sets := found["sets"]:
        by_patient = sets["coverage"] is not None
        cells["Sets that hold the class"] = (
            percent(sets["coverage" if by_patient else "coverage_of_images"], 1),
            _ends(sets["coverage_ci"]) or ("" if by_patient else "of the images"),
        )
        cells["Mean size of a set"] = (number(sets["mean_size"], 2), "")
    return cells


def _ends(pair: Sequence[float] | None) -> str:
    return "" if pair is None else f"{percent(pair[0], 1)} to {percent(pair[1], 1)}"


def difference(way: Mapping[str, Any]) -> str:
    """Say how the accuracy of an adapted network differs from that of the same as it was.

    Parameters
    ----------
    way : mapping
        One of `ways` of adapted.json: `difference` and `difference_ci`.

    Returns
    -------
    str
        In points; no word of better or worse where the interval holds 0.
    """
    value, ends = way["difference"], way["difference_ci"]
    points = f"{100 * value:+.1f}".replace("-", "\u2212")
    if ends is None:
        return f"{points} points, no interval"
    low, high = (f"{100 * end:+.1f}".replace("-", "\u2212") for end in ends)
    told = "" if ends[0] > 0 or ends[1] < 0 else ": no difference is shown"
    return f"{points} points ({low} to {high}){told}"


def _adapted(title: str, found: Mapping[str, Any]) -> dict[str, Any]:
    unit = plural(int(found["held_out"]), "image")
    if found["held_out_patients"]:
        unit += f" of {plural(int(found['held_out_patients']), 'patient')}"
    return {
        "title": f"{title}: adapted to {plural(int(found['adapted']), 'image')}, judged on "
        f"{unit} (drawn by {found['by']})",
        "heads": ["Accuracy", "Balanced", "ECE", "Log loss"],
        "rows": [
            {
                "name": str(way["name"]),
                "what": str(way["what"]),
                "cells": [
                    percent(way["metrics"]["accuracy"]),
                    percent(way["metrics"]["balanced_accuracy"]),
                    number(way["metrics"]["ece"]),
                    number(way["metrics"]["log_loss"]),
                ],
                "difference": difference(way) if "difference" in way else "",
            }
            for way in found["ways"]
        ],
    }


def _line(title: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    found = [each for each in shown.of_test(metrics) if each.score.key in SCORES]
    patients = metrics.get("n_patients")
    told = f"{plural(patients, 'patient')}" if patients else "patients unknown"
    told = shown.half_known(metrics) or told
    return {
        "title": title,
        "images": f"{plural(int(metrics['n']), 'image')}, {told}",
        "cells": {each.score.title: (score(each), interval(each)) for each in found},
        "sure": held(metrics),
    }


def _notes(found: Mapping[str, Any]) -> list[str]:
    words = [str(each) for each in found["leaks"]]
    if found["scale"]["words"]:
        words.append(str(found["scale"]["words"]))
    renamed = [f"{a} as {b}" for a, b in found["labels"].items() if b and a != b]
    if renamed:
        words.append(f"classes were read so: {', '.join(renamed)}")
    left = [f"{n} {name}" for name, n in found["left_out"].items()]
    if left:
        words.append(f"left out: {', '.join(left)}")
    words += [f"{n} of {found['images']} images: {kind}" for kind, n in found["unlike"].items()]
    return words
