"""What a run was worth on other data, beside its own test images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.files import read_json
from common.metrics import read_scores, shown
from common.report.files import DAMAGE, EXTERNAL, WITHOUT_COPIES, RunFiles
from common.report.words import interval, number, percent, plural, score

SCORES = ("accuracy", "balanced_accuracy", "auc", "f1_macro", "ece", "brier")
"""What is set beside the internal result."""


_AGAIN = "judge the run on these data again, with PKG.evaluate"


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
    columns, notes, adapted = [], [], []
    for folder in sorted((files.path / EXTERNAL).glob("*/external.json")):
        try:
            found = read_json(folder)
            metrics = read_scores(folder.parent / "metrics.json", repair=_AGAIN)
            columns.append(_column(str(found["title"]), str(found["name"]), metrics))
            if (folder.parent / WITHOUT_COPIES).is_file():
                apart = read_scores(folder.parent / WITHOUT_COPIES, repair=_AGAIN)
                title = f"{found['title']}, without copies"
                columns.append(_column(title, f"{found['name']} without copies", apart))
            notes += [f"{found['title']}: {words}" for words in _notes(found)]
            if (folder.parent / "adapted.json").is_file():
                ways = read_json(folder.parent / "adapted.json")
                adapted.append(_adapted(str(found["title"]), ways))
                failed = ways["failed"].items()
                notes += [f"{found['title']}, {name}: {why}" for name, why in failed]
        except DAMAGE as error:
            notes.append(f"{EXTERNAL}/{folder.parent.name} is damaged and was left out: {error}")
    if not columns and not notes:
        return None
    if files.metrics:
        columns.insert(0, _column("its own test images", "", files.metrics))
    titles = {name: title for each in columns for name, title in each["titles"].items()}
    return {
        "columns": columns,
        "rows": [
            (title, [each["cells"].get(name, ("–", "")) for each in columns])
            for name, title in titles.items()
        ],
        "notes": notes,
        "adapted": adapted,
    }


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


def _column(title: str, name: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    found = [each for each in shown.of_test(metrics) if each.score.key in SCORES]
    patients = metrics.get("n_patients")
    told = f", {plural(patients, 'patient')}" if patients else ", patients unknown"
    return {
        "title": title,
        "name": name,
        "images": f"{plural(int(metrics['n']), 'image')}{told}",
        "titles": {each.score.key: each.score.title for each in found},
        "cells": {each.score.key: (score(each), interval(each)) for each in found},
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
