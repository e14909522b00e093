"""What would run: a table for people, a list for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from common import tables
from common.reproduce.hours import GUESSED, START, STEP, Estimate, disk
from common.reproduce.states import State
from common.reproduce.work import Item

KINDS = {
    "training": "trainings",
    "generation": "generations",
    "export": "exports",
    "bench": "benches",
    "complexity": "counts",
}
"""Kinds of items, in the order in which they are shown, and what several are called."""


def entries(
    items: Sequence[Item], found: Mapping[str, State], hours: Mapping[str, Estimate]
) -> list[dict[str, Any]]:
    """One entry per item, as ``--json`` gives them.

    Parameters
    ----------
    items : sequence of Item
    found : mapping
        Key -> state.
    hours : mapping
        Key -> estimate.

    Returns
    -------
    list of dict
        ``key, kind, paper, preset, module, twin, seed, split_seed, fold, needs, state, words, run,
        hours, hours_from``.
    """
    return [
        {
            "key": item.key,
            "kind": item.kind,
            "paper": item.paper,
            "preset": item.preset,
            "module": item.module if item.step is None else None,
            "twin": item.twin,
            **{name: item.round.get(name) for name in ("seed", "split_seed", "fold")},
            "needs": list(item.needs),
            "state": found[item.key].name,
            "words": found[item.key].words,
            "run": None if (run := found[item.key].run) is None else str(run),
            "hours": round(hours[item.key].hours, 4),
            "hours_from": hours[item.key].source,
        }
        for item in items
    ]


def text(items: Sequence[Item], found: Mapping[str, State], hours: Mapping[str, Estimate]) -> str:
    """The plan in words.

    Parameters
    ----------
    items : sequence of Item
    found : mapping
        Key -> state.
    hours : mapping
        Key -> estimate.
    """
    out: list[str] = []
    for paper in dict.fromkeys(item.paper for item in items):
        mine = [item for item in items if item.paper == paper]
        out += [paper, "", *tables.markdown_table(HEADER, _lines(mine, found, hours)), ""]
    out += [*tables.markdown_table(TOTALS, _totals(items, found, hours)), ""]
    out += [*_notes(items, found, hours)]
    return "\n".join(out)


HEADER = ["experiment", "what", "rounds", "done", "needs", "hours to go", "from"]
"""Heads of a paper's table."""

TOTALS = ["paper", *KINDS.values(), "done", "hours to go"]
"""Heads of the last table."""


def _lines(
    items: Sequence[Item], found: Mapping[str, State], hours: Mapping[str, Estimate]
) -> list[list[str]]:
    groups: dict[tuple[str, str, str], list[Item]] = {}
    for item in items:
        module = item.module if item.step is None else item.key.rpartition("/")[2]
        groups.setdefault((item.preset, module, item.kind), []).append(item)
    lines = []
    for (preset, module, kind), group in groups.items():
        left = [item for item in group if not found[item.key].done]
        varied = [
            n for n in ("seed", "split_seed", "fold") if len({i.round.get(n) for i in group}) > 1
        ]
        rounds = f"{len(group)}" + (f" ({', '.join(varied)})" if varied else "")
        needs = {key.partition("/")[2] for item in group for key in item.needs}
        sources = dict.fromkeys(hours[item.key].source for item in left)
        lines.append(
            [
                preset,
                module if kind == "training" else kind if module == kind else module,
                rounds,
                f"{len(group) - len(left)}",
                _shortest(needs, preset),
                f"{sum(hours[item.key].hours for item in left):.1f}",
                ", ".join(sources),
            ]
        )
    return lines


def _shortest(needs: set[str], preset: str) -> str:
    """What a group needs, without its own rounds."""
    words = {need.partition("/")[0] + " " + need.rpartition("/")[2] for need in needs}
    if all(need.startswith(f"{preset}/") for need in needs):
        words = {need.rpartition("/")[2] for need in needs}
        words = {"its training" if "=" in word or word == "once" else word for word in words}
    return ", ".join(sorted(words))


def _totals(
    items: Sequence[Item], found: Mapping[str, State], hours: Mapping[str, Estimate]
) -> list[list[str]]:
    papers = list(dict.fromkeys(item.paper for item in items))
    lines = []
    for name in [*papers, "all"] if len(papers) > 1 else papers:
        mine = [item for item in items if name in (item.paper, "all")]
        count = Counter(item.kind for item in mine)
        left = sum(hours[item.key].hours for item in mine if not found[item.key].done)
        done = sum(found[item.key].done for item in mine)
        lines.append(
            [
                name,
                *(str(count[kind]) for kind in KINDS),
                f"{done}/{len(mine)}",
                f"{left:,.0f}" if left >= 10 else f"{left:.1f}",
            ]
        )
    return lines


def _notes(
    items: Sequence[Item], found: Mapping[str, State], hours: Mapping[str, Estimate]
) -> list[str]:
    out = [f"Disk to go: about {disk(items, found) / 1e9:.1f} GB."]
    sources = {hours[item.key].source for item in items if not found[item.key].done}
    if "guess" in sources:
        out.append(
            f'Hours from "guess": operations at {GUESSED / 1e9:.0f} billion multiply-accumulates a '
            f"second and {3600 * START:.0f} seconds for each command, {STEP} hours for other steps "
            "on real images; `doctor --time` measures this machine."
        )
    stale = sum(found[item.key].name == "stale" for item in items)
    if stale:
        out.append(f"{stale} done by another commit: `run --stale` makes them again.")
    return out
