"""Numbers of a model card that are none of its run's."""

from __future__ import annotations

import re
from pathlib import Path

from common import card, checklists, datasets, networks, runs
from common.errors import InputError
from common.files import read_json
from common.metrics import shown
from common.report import files as run_files

NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w+])")


def numbers_of(value):
    """Every number in a JSON value, and as a card may write it."""
    if isinstance(value, dict):
        return set().union(*map(numbers_of, value.values()), set())
    if isinstance(value, list):
        return set().union(*map(numbers_of, value), set())
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return set()
    forms = {repr(value), *(f"{value:.{d}f}" for d in (3, 4)),
             *(f"{100 * value:.{d}f}" for d in (1, 2))}  # fmt: skip
    return forms | {form.lstrip("-") for form in forms}


def foreign(folder: Path, *said: str) -> set[str]:
    """Numbers in a run's card that its scores, split and generated images do not hold.

    What is `said` beside them is left out.
    """
    text = card.card(run_files.read(folder))
    record = runs.load(folder).record
    scores = read_json(folder / "metrics.json", repair="")
    set_aside = [*record.leaks, record.preset, "95 %", networks.title(record.config), *said]
    for each in shown.of_test(scores):  # names of scores
        set_aside += [each.score.title, each.meaning]
    try:
        data = datasets.get(record.dataset)
        set_aside += [data.CITATION, data.HOME, data.LICENCE]
    except InputError:
        pass  # of one's own
    for name in checklists.CHECKLISTS:
        listed = checklists.checklist(name)
        set_aside += [f"{listed.source}. doi {listed.doi}"]
        set_aside += [item.title for item in listed.items]
    for name in checklists.CHECKLISTS:  # their own counts of items
        first, _, rest = text.partition(f"## {checklists.checklist(name).title}")
        text = first + re.sub(r"^\| \d+ \|", "|", rest, flags=re.M)
    text = re.sub(r'^license: ".*"$', "", text, flags=re.M)
    for each in sorted(filter(None, set_aside), key=len, reverse=True):
        text = text.replace(each, " ")
    for name in record.classes:  # the class "0" is a name
        text = re.sub(rf"^\| {re.escape(name)} \|", "|", text, flags=re.M)
        text = text.replace(f"`{name}`", "")
    text = "\n".join(line for line in text.splitlines() if not line.startswith("|  | "))
    found = {n.lstrip("-") for n in NUMBER.findall(text)}
    assert len(found) > 10
    known = numbers_of(scores) | numbers_of(record.get("generated"))
    split = run_files.read(folder).split
    for _, rows in split.groupby("part"):  # images of each part and class, and patients
        known |= {str(len(rows)), str(rows["case"].nunique())}
        known |= {str(n) for n in rows.groupby("label")["image"].count()}
    return found - known
