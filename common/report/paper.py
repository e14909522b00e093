"""The run beside the paper: its printed numbers, and why they may not be comparable."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from common import papers, tables
from common.errors import InputError
from common.report.files import RunFiles
from common.report.words import UNKNOWN, known

if TYPE_CHECKING:
    import pandas as pd


def published(files: RunFiles) -> dict[str, Any] | None:
    """Put the paper's printed numbers beside ours; the paper's package is not imported.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None if the paper prints nothing for the run's preset.
    """
    package, preset = files.record.package, files.record.preset
    if not files.metrics or not _prints(package):
        return None
    table = tables.published_text(package)
    # The honest twin differs from the row on purpose; the row stands beside it all the same.
    row_preset = preset.removesuffix("-honest").removesuffix("-changed")
    table = table[table["preset"] == row_preset]
    if table.empty:
        return None
    groups: dict[str, list[dict[str, Any]]] = {}
    for _, row in table.iterrows():
        group = groups.setdefault(f"{row['table']}, {row['row']}", [])
        ours, difference = _ours(files, row)
        # Neighbours with the same note share one cell.
        first = next((r for r in reversed(group) if r["lines"]), None)
        same = first is not None and first["note"] == row["note"]
        if first is not None and same:
            first["lines"] += 1
        group.append(
            {
                "metric": row["metric"] + (" (%)" if row["unit"] == "percent" else ""),
                "printed": row["printed"],
                "ours": ours,
                "difference": difference,
                "note": row["note"],
                "lines": 0 if same else 1,
            }
        )
    return {
        "groups": groups,
        "reasons": _incomparable(files, table, preset, row_preset),
        "rounds": max(int(each or 1) for each in table["rounds"]),
    }


def _prints(package: str) -> bool:
    """Whether there are printed numbers of a package; it may be unknown here."""
    with contextlib.suppress(InputError):
        return (papers.folder(package) / "published.csv").is_file()
    return False


def _ours(files: RunFiles, row: pd.Series) -> tuple[str, str]:
    """Our number as the paper would print it, and how far it is from the printed one."""
    ours = tables.lookup(files.metrics, row["metrics_key"])
    if not known(ours):
        reason = tables.reason(files.metrics, row["metrics_key"])
        return f"{UNKNOWN} {reason}" if reason else UNKNOWN, UNKNOWN
    decimals = int(row["decimals"] or 2)
    ours = 100 * ours if row["unit"] == "percent" else ours
    difference = UNKNOWN
    with contextlib.suppress(ValueError):
        difference = f"{ours - float(row['printed']):+.{decimals}f}".replace("-", "−")
    return f"{ours:.{decimals}f}", difference


def _incomparable(files: RunFiles, table: pd.DataFrame, preset: str, row_preset: str) -> list[str]:
    """Why the paper's numbers and ours are not measurements of the same thing."""
    reasons = []
    if files.synthetic:
        reasons.append("this run saw synthetic images")
    if preset == f"{row_preset}-honest":
        reasons.append("this is the row’s honest twin, which leaves out what leaks in the row")
    elif preset != row_preset:
        reasons.append("settings differ from the row’s (see Settings)")
    if not files.whole and not files.synthetic:
        reasons.append("the data were not whole")
    if files.record.get("recompressed"):
        reasons.append("the images are JPEG copies")
    sizes = {int(size) for size in table["n_test"] if size.isdigit()}
    if sizes and sizes != {files.metrics["n"]}:
        listed = " and ".join(f"{size:,}" for size in sorted(sizes))
        reasons.append(
            f"the paper tested on {listed} images, this run on {files.metrics['n']:,}: another "
            "test set"
        )
    return reasons
