"""Discrepancies of a paper that its printed numbers alone show, and the block that says so."""

from __future__ import annotations

import re
from pathlib import Path

from common import files, protocols
from common.forensics.finding import Finding
from common.forensics.judge import findings
from common.forensics.reading import Number, numbers, of_paper
from common.forensics.show import assumed, named

BEGIN, END = "<!-- forensics:begin -->", "<!-- forensics:end -->"
"""What the block in a README stands between."""

SHOWN = 3
"""Findings that the block shows of each discrepancy and rule; of more it says how many."""

_NAMED = re.compile(r"\b([A-Z]\d\d):")


class Found:
    """Findings about a paper, by the discrepancies that its numbers are marked with.

    Parameters
    ----------
    package : str
        Name of its package, which is not imported.

    Attributes
    ----------
    numbers : list of Number
    findings : list of Finding
        Those that speak against something, and remarks.
    by : dict of (str, str) to list of Finding
        Id of a discrepancy and rule; a finding stands under each id that one of its numbers has.
    """

    numbers: list[Number]
    findings: list[Finding]
    by: dict[tuple[str, str], list[Finding]]

    def __init__(self, package: str) -> None:
        table = of_paper(package)
        self.numbers = numbers(table, package)
        columns = table.reindex(columns=["note", "discrepancy"], fill_value="")
        marks = [{*_NAMED.findall(note), *ids.split()} for note, ids in columns.to_numpy()]
        self.by = {}
        self.findings = [
            each
            for each in findings(self.numbers, package)
            if each.remark or each.verdict in ("impossible", "impossible together", "differs")
        ]
        for each in self.findings:
            for name in sorted(set().union(*(marks[line] for line in each.lines))):
                self.by.setdefault((name, each.rule), []).append(each)


def block(package: str) -> str:
    """Markdown of the discrepancies that arithmetic finds, with the sums.

    Parameters
    ----------
    package : str
        Name of the paper's package.

    Returns
    -------
    str
    """
    known = protocols.discrepancies(package).values()
    countable = [each for each in known if each.found_by]
    found = Found(package)
    out = [
        f"Arithmetic on the printed numbers alone finds {len(countable)} of the {len(known)} (the "
        f"others take reading): `python -m common.forensics {package}`.",
        "",
    ]
    for each in countable:
        parts = []
        for rule in each.found_by:
            own = found.by.get((each.id, rule), [])
            texts = [f"{x.shown} ({named(x, found.numbers)})" for x in own[:SHOWN]]
            rest = len(own) - len(texts)
            parts.append(f"*{rule}*: " + "; ".join(texts) + (f"; and {rest} more" if rest else ""))
        out.append(f"- **{each.id}** {'. '.join(parts)}.")
    own = [each for parts in found.by.values() for each in parts]
    if sentences := assumed(found.numbers, own):
        out += ["", " ".join(sentences)]
    return "\n".join(out) + "\n"


def update_readme(path: str | Path, package: str) -> bool:
    """Replace what stands between a README's two markers by `block`.

    Parameters
    ----------
    path : path
        The README.
    package : str
        Name of the paper's package.

    Returns
    -------
    bool
        Whether the file changed.

    Raises
    ------
    InputError
        If the markers are not there, once each and in order.
    """
    return files.replace_block(path, BEGIN, END, block(package))
