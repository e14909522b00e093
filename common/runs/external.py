"""What a run was worth on other data, read from its folder: a folder for each of these data."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import DAMAGE
from common.files import read_json
from common.metrics import read_scores

EXTERNAL = "external"
"""Folder of a run that holds its results on other data, a folder for each."""

WITHOUT_COPIES = "metrics-without-copies.json"
"""In such a folder: the metrics without images that are copies of the run's own."""

_AGAIN = "judge the run on these data again, with PKG.evaluate"


class Elsewhere(NamedTuple):
    """A run's results on other data.

    Attributes
    ----------
    name, title : str
        The folder's name, and how texts name these data, with the name where two would be one.
    found : dict
        What external.json holds.
    metrics : dict
        What metrics.json holds.
    without_copies : dict or None
        The same of what is no copy of the run's images, where some are.
    adapted : dict or None
        What adapted.json holds, where the run was adapted.
    """

    name: str
    title: str
    found: dict[str, Any]
    metrics: dict[str, Any]
    without_copies: dict[str, Any] | None
    adapted: dict[str, Any] | None


def elsewhere(path: Path) -> tuple[list[Elsewhere], list[str]]:
    """Read a run's results on other data.

    Parameters
    ----------
    path : Path
        The run's folder.

    Returns
    -------
    results : list of Elsewhere
        By name. A folder whose command was stopped is none.
    damaged : list of str
        A sentence for each that was left out.
    """
    results, damaged = [], []
    for file in sorted((path / EXTERNAL).glob("*/external.json")):
        folder = file.parent
        try:
            found = read_json(file)
            apart, ways = folder / WITHOUT_COPIES, folder / "adapted.json"
            results.append(
                Elsewhere(
                    str(found["name"]),
                    str(found["title"]),
                    found,
                    read_scores(folder / "metrics.json", repair=_AGAIN),
                    read_scores(apart, repair=_AGAIN) if apart.is_file() else None,
                    read_json(ways) if ways.is_file() else None,
                )
            )
        except DAMAGE as error:
            damaged.append(f"{EXTERNAL}/{folder.name} is damaged and was left out: {error}")
    often = Counter(each.title for each in results)
    told = [
        each._replace(title=f"{each.title} ({each.name})") if often[each.title] > 1 else each
        for each in results
    ]
    return told, damaged
