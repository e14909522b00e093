"""What the front page shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common import protocols, results, tables
from common.report.words import UNKNOWN
from common.reproduce import price
from common.site.gather import AT_HAND, Known


def page(found: Sequence[Known], data: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """Gather what the template shows.

    Parameters
    ----------
    found : sequence of Known
    data : sequence of (str, str, str)
        Title, address and a few words of each data set.

    Returns
    -------
    dict
    """
    demo = found[0].place.synthetic and not found[0].place.fabricated
    used = {name for known in found for name in known.vouched}
    listed = [_paper(known, demo) for known in found]
    return {
        "title": "Five breast-histopathology papers, reproduced",
        "kicker": "histopapers",
        "any_results": demo or any(known.tiers for known in found),
        "run_command": "python -m common.reproduce run --data-dir DIR",
        "papers": listed,
        "any_price": any(each["price"] != UNKNOWN for each in listed),
        "tiers": [name for name in (*results.TIERS, AT_HAND) if name in used],
        "data": data,
    }


def _paper(known: Known, demo: bool) -> dict[str, Any]:
    about = known.about
    return {
        "package": known.package,
        "address": f"papers/{known.package}.html",
        "title": about.title,
        "cited": known.cited,
        "claim": known.claim,
        "headline": headline(known, shown=not demo),
        "done": known.done(twins=False),
        "twins": known.done(twins=True),
        "tiers": known.vouched,
        "price": _price(known),
        "numbers": len(known.table),
        "verdicts": known.tally.judgements if known.tiers and not demo else {},
        "discrepancies": len(protocols.discrepancies(known.package)),
    }


def _price(known: Known) -> str:
    """What a split over images adds to a paper's accuracy, where it was measured."""
    file = known.place.runs_dir / f"price-{known.package}" / price.FILE
    if not file.is_file():
        return UNKNOWN
    found = price.read(file)
    if found["synthetic"] != known.place.synthetic:
        return UNKNOWN
    ends = found["over_patients"]
    more = "no interval" if ends is None else f"{100 * ends[0]:+.1f} to {100 * ends[1]:+.1f}"
    return f"{100 * found['difference']:+.1f} points ({more})"


def headline(known: Known, *, shown: bool = True) -> dict[str, str]:
    """The number that stands for a paper, with ours and the honest twin's.

    Parameters
    ----------
    known : Known
    shown : bool
        Show ours.

    Returns
    -------
    dict
        `what, where, printed, ours, ours_more, twin, twin_more`.
    """
    name, row, metric = known.about.headline
    table = known.table
    chosen = table[(table["table"] == name) & (table["row"] == row) & (table["metric"] == metric)]
    record = chosen.to_dict("records")[0]
    title = tables.table_title(name)
    out = {"what": metric, "where": f"{title[:1].upper()}{title[1:]}, {row}",
           "printed": f"{record['printed']}\xa0%"}  # fmt: skip
    for key, prefix in (("ours", ""), ("twin", "honest_")):
        value, low, high = (record[f"{prefix}{end}"] for end in ("ours", "low", "high"))
        there = shown and not tables.unknown(value)
        out[key] = f"{value:.2f}\xa0%" if there else UNKNOWN
        out[f"{key}_more"] = "not run" if shown else "synthetic runs fill no row"
        if there:
            ends = "" if tables.unknown(low) else f"95\xa0% interval {low:.1f} to {high:.1f}"
            out[f"{key}_more"] = ends or "no interval"
    if record["honest"].startswith("none: "):
        out["twin_more"] = "none can be made"
    if shown and not tables.unknown(record["ours"]):
        out["ours_more"] += f"; {record['status']}"
    return out
