"""What an audit found, as lines for a terminal and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from common import notices
from common.errors import listed
from common.splits import leakage
from common.splits.audit import Audit, Shared
from common.splits.pairs import PAIRS_OF_PARTS
from common.splits.parts import GROUPS, PARTS

SHOWN_NAMES = 12
"""Shared cases and slides that the text names; a table has all."""


def text(found: Audit) -> str:
    """Say an audit in lines for a terminal.

    Parameters
    ----------
    found : Audit
    """
    sizes = ", ".join(f"{part} {found.parts[part]}" for part in PARTS if found.parts[part])
    lines = [found.title, f"  names: {sizes}"]
    if found.copies is not None and found.copies["synthetic"]:
        lines.insert(0, notices.SYNTHETIC)
    for group in (*GROUPS, found.kind):
        if group in GROUPS and group not in found.groups:
            lines.append(f"  {group}s: unknown")
            continue
        here = [each for each in found.shared if each.group == group]
        if not here:
            lines.append(f"  {group}s: none in two parts")
        for first, second in PAIRS_OF_PARTS:
            pair = [each for each in here if each.parts == (first, second)]
            if pair:
                lines += _pair_lines(found, group, first, second, pair)
    if found.copies is not None:
        lines += [f"  {line}" for line in leakage.copies(found.copies)]
    return "\n".join(lines + [f"  note: {note}" for note in found.notes])


def _pair_lines(
    found: Audit, group: str, first: str, second: str, pair: Sequence[Shared]
) -> list[str]:
    """What two parts share of one kind."""
    concerned = len({name for each in pair for name in each.names[1]})
    total = found.groups[group][second] if group in GROUPS else found.parts[second]
    lines = [
        f"  {group}s: {len(pair)} of {total} of {second} are in {first}, too"
        + ("" if group not in GROUPS else f", with {concerned} of its {found.parts[second]} names")
    ]
    for each in pair[:SHOWN_NAMES]:
        if group not in GROUPS:
            lines.append(f"    {each.name}")
            continue
        a, b = (listed(sorted(within)) for within in each.within)
        lines.append(f"    {each.name}: {first} {a}; {second} {b}")
    if len(pair) > SHOWN_NAMES:
        lines.append(f"    and {len(pair) - SHOWN_NAMES} more")
    return lines


COLUMNS = ("split", "group", "name", "part", "other_part", "within", "other_within", "names",
           "other_names")  # fmt: skip
"""Of the table of what is shared: the last two count names of the list."""


def table(audits: Iterable[Audit]) -> list[dict[str, str]]:
    """Lay out what is shared as lines of a table, copies of images among them.

    Parameters
    ----------
    audits : iterable of Audit

    Returns
    -------
    list of dict
        Of `COLUMNS`; of copies the 100 nearest pairs.
    """
    lines = []
    for found in audits:
        for each in found.shared:
            values = (
                found.title, each.group, each.name, *each.parts, *map("; ".join, each.within),
                *(str(len(names)) for names in each.names),
            )  # fmt: skip
            lines.append(dict(zip(COLUMNS, values, strict=True)))
        for kind in ("exact", "near"):
            for pair in ((found.copies or {}).get(kind) or {}).get("worst", ()):
                values = (
                    found.title, f"{kind} copy", f"{pair['bits']} bits", pair["a_part"],
                    pair["b_part"], pair["a"], pair["b"], "1", "1",
                )  # fmt: skip
                lines.append(dict(zip(COLUMNS, values, strict=True)))
    return lines
