"""What the page of a paper shows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from common import protocols, tables
from common.reproduce import Item
from common.site import printed as forensics_pages
from common.site.gather import Known
from common.site.pictures import Runs, curves, magnifications, overview
from common.site.run import address
from common.tables import unprinted as rows_lacking

OTHER = "Same task, other images"

HEADS = ("Printed", "Ours", "95 % interval", "Difference", "Verdict", OTHER, "Honest twin", "Notes")
"""Columns beside the number's name; the first four hold numbers. `OTHER` stands where a table has
such a judgement."""

NUMERIC = 4
LONG = 80
"""A table of more numbers is folded."""


def page(known: Known, made: Runs, data: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Gather what the template shows.

    Parameters
    ----------
    known : Known
    made : mapping
        See `Runs`.
    data : sequence of (str, str)
        Names and addresses of the pages of its data sets.

    Returns
    -------
    dict
    """
    demo = known.place.synthetic and not known.place.fabricated
    notes = tables.Notes()
    done, twins = known.done(twins=False), known.done(twins=True)
    about = known.about
    shown = [] if demo else overview(known)
    return {
        "title": about.title,
        "package": known.package,
        "kicker": f"Paper · {known.package}",
        "claim": known.claim,
        "cited": known.cited,
        "doi": about.doi,
        "licence": about.licence,
        "data": data,
        "demo": demo,
        "any_results": bool(known.tiers) and not demo,
        "run_command": f"python -m common.reproduce run --paper {known.package} --data-dir DIR",
        "row_command": row_command(known),
        "done": done,
        "twins": twins,
        "tiers": known.vouched,
        "verdicts": [] if demo else verdicts(known),
        "verdicts_told": [] if demo else tables.in_words(known.tally),
        "numbers": len(known.table),
        "experiments": experiments(known, made),
        "others": others(known),
        "overview": shown,
        "tables": numbers(known, notes, printed_only=demo),
        "numeric": 1 if demo else NUMERIC,
        "legend": "" if demo else _legend(known),
        "notes": [_note(text) for text in notes.texts],
        "elsewhere": [tables.elsewhere.cells([line])[0] for line in known.paper.elsewhere],
        "elsewhere_heads": tables.elsewhere.HEADER,
        "elsewhere_title": tables.elsewhere.TITLE,
        "curves": [] if demo else curves(known, made),
        "magnifications": [] if demo else magnifications(known, made),
        "needs_runs": needs_runs(known, made) if not demo else "",
        "unprinted": None if demo else unprinted(known),
        "quoted": tables.quoted(known.package),
        "not_built": [
            re.sub(r"[*`]", "", protocols.left_out(each))
            for each in protocols.protocol(known.package).not_built.values()
        ],
        "forensics": forensics_pages.page(known.package)["in_brief"],
        "found": list(protocols.discrepancies(known.package).values()),
        "deviations": [
            re.sub(r"[*`]", "", protocols.deviation(each))
            for each in protocols.protocol(known.package).deviations
        ],
    }


def _legend(known: Known) -> str:
    lines = tables.LEGEND + (tables.LEGEND_OTHER if known.tally.other_images else [])
    return " ".join(lines).replace("status:", "Verdict:").replace("same task,", "Same task,")


def verdicts(known: Known) -> list[dict[str, Any]]:
    """How many numbers have which judgement, each with what it says.

    Parameters
    ----------
    known : Known

    Returns
    -------
    list of dict
        As the template shows them.
    """
    found = []
    for name, count in known.tally.judgements.items():
        word, _, because = name.partition(": ")
        means = tables.REASONS[because] if because else tables.JUDGEMENTS[word]
        found.append({"name": name, "count": count, "means": means, "css": _css(word)})
    return found


def row_command(known: Known) -> str:
    """The command of one row, the first that is not whole.

    Parameters
    ----------
    known : Known
    """
    left = [item.preset for item in known.trainings if item.key not in known.tiers]
    row = left[0] if left else known.trainings[0].preset
    if known.place.synthetic and not known.place.fabricated:
        return f"python -m common.reproduce run --demo --paper {known.package} --row {row}"
    return f"python -m common.reproduce run --row {row} --data-dir DIR"


# --- rounds ---------------------------------------------------------------------------------------


def experiments(known: Known, made: Runs) -> list[dict[str, Any]]:
    """Rounds of each experiment, with the pages of its runs.

    Parameters
    ----------
    known : Known
    made : mapping
        See `Runs`.

    Returns
    -------
    list of dict
        As the template shows them.
    """
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in known.items:
        kind = item.kind if item.step is not None else ""
        groups.setdefault((item.preset, kind), []).append(item)
    found = []
    for (preset, kind), group in groups.items():
        done = [item for item in group if _is_done(known, item)]
        left = Counter(known.state[item.key].name for item in group if item not in done)
        words = ", ".join(f"{count} {name}" for name, count in left.items())
        found.append(
            {
                "name": preset or "all rows",
                "kind": kind,
                "twin": group[0].twin,
                "done": len(done),
                "total": len(group),
                "words": words or "all done",
                "runs": [
                    (_round(item, len(group)), f"../{made[item.key][0]}")
                    for item in group
                    if item.key in made
                ],
            }
        )
    return found


def _is_done(known: Known, item: Item) -> bool:
    return item.key in known.tiers if item.step is None else known.state[item.key].done


def _round(item: Item, count: int) -> str:
    """What tells a round from the others."""
    if count == 1:
        return "run"
    names = ("fold",) if "fold" in item.round else ("seed",)
    return " ".join(f"{name} {item.round[name]}" for name in names if name in item.round)


def others(known: Known) -> list[tuple[str, str, str]]:
    """Runs that fill no row: name, address, what differs.

    Parameters
    ----------
    known : Known

    Returns
    -------
    list of (str, str, str)
    """
    return [
        (run.path.name, f"../{address(run.path)}", "; ".join(what[:3]))
        for _, run, what in known.paper.others
    ]


# --- numbers --------------------------------------------------------------------------------------


def numbers(known: Known, notes: tables.Notes, *, printed_only: bool) -> list[dict[str, Any]]:
    """The paper's tables.

    Parameters
    ----------
    known : Known
    notes : Notes
        Gets what the cells refer to.
    printed_only : bool
        Leave out all that is ours.

    Returns
    -------
    list of dict
        As the template shows them.
    """
    found = []
    for name, lines in tables.cells(known.table, tables.Notes(), notes):
        rows: list[dict[str, Any]] = []
        other = any(line[tables.HEADER.index(tables.OTHER)] for line in lines)
        heads = [head for head in HEADS if head != OTHER or other]
        for row, metric, printed, ours, interval, apart, status, second, twin, _, marks in lines:
            if row or not rows:
                rows.append({"name": row, "lines": [], "tied": row.endswith(tables.MARK)})
            first, last = _cell(printed), _cell("", marks)
            between = [_cell(ours), _cell(interval), _cell(_minus(apart)), _verdict(status),
                       *([_cell(second)] if other else []), _marked(twin)]  # fmt: skip
            cells = [first, last] if printed_only else [first, *between, last]
            rows[-1]["lines"].append({"metric": metric, "cells": cells})
        title = tables.table_title(name)
        told = tables.told(known.table[known.table["table"] == name])
        found.append(
            {
                "id": "table-" + re.sub(r"\W+", "-", name).strip("-").lower(),
                "title": title[:1].upper() + title[1:],
                "heads": heads[:1] + heads[-1:] if printed_only else heads,
                "rows": rows,
                "told": [] if printed_only else told,
                "count": len(lines),
                "long": len(lines) > LONG,
                "caption": f"{len(lines)} printed numbers"
                + ("." if printed_only else ", in the unit in which they are printed.")
                + " A star: impossible as printed." * any("*" in line[2] for line in lines),
            }
        )
    return found


def unprinted(known: Known) -> dict[str, Any] | None:
    """Rows that the paper lacks, beside those that it has.

    Parameters
    ----------
    known : Known

    Returns
    -------
    dict or None
        As the template shows it; None where a paper lacks none.
    """
    found = rows_lacking.unprinted(known.paper, known.place.runs_dir)
    if not found.rows and not found.left:
        return None
    heads = [head[:1].upper() + head[1:] for head in rows_lacking.HEADER]
    return {
        "title": rows_lacking.TITLE,
        "heads": heads,
        "rows": [[name, *map(_minus, values)] for name, *values in found.rows],
        "told": found.told,
        "commands": found.left[: rows_lacking.SHOWN],
    }


def _cell(text: str, marks: str = "", css: str = "", more: str = "") -> dict[str, Any]:
    return {"text": text, "marks": re.findall(r"\d+", marks), "css": css, "more": more}


def _marked(text: str) -> dict[str, Any]:
    """``none [3]`` refers to a note; ``94.10 [93.00 to 95.00]`` is an interval."""
    if found := re.fullmatch(r"(.*) \[(\d+)\]", text):
        return _cell(found[1], found[2])
    value, _, ends = _minus(text).partition(" [")
    return _cell(value, more=ends.removesuffix("]"))


def _verdict(status: str) -> dict[str, Any]:
    """``not comparable: unit``, ``impossible as printed; nearest 95.00``: the word, then more."""
    word = re.split(r"(?<=[:;]) ", status)[0]
    space, more = status[len(word) :][:1], status[len(word) + 1 :]
    return _cell(word + space, css=_css(word.rstrip(":;")), more=more)


def _css(word: str) -> str:
    return f"verdict-{word.split()[0]}" if word else ""


def _minus(text: str) -> str:
    return re.sub(r"-(?=\d)", "−", text)


def _note(text: str) -> dict[str, str]:
    found = re.fullmatch(r"([A-Z]\d\d): (.*)", text, re.S)
    return {"id": found[1], "text": found[2]} if found else {"id": "", "text": text}


def needs_runs(known: Known, made: Runs) -> str:
    """Say what a page without run folders cannot show; "" if it has them all.

    Parameters
    ----------
    known : Known
    made : mapping
        See `Runs`.
    """
    missing = sum(key not in made for key in known.tiers)
    if not missing:
        return ""
    return (
        f"Of {missing} trainings only the scores are known: paired comparisons, learning curves "
        "and figures by magnification need the run folders (--runs-dir)."
    )
