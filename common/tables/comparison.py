"""Every printed number with ours beside it, as one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import measurements
from common.metrics import clopper_pearson
from common.tables import elsewhere
from common.tables.arithmetic import paper_counts, size_remarks
from common.tables.judge import difference, judgement, other_images
from common.tables.nearest import nearest
from common.tables.ours import Estimate, estimate, measured
from common.tables.paper import Paper, command, load
from common.tables.printed import SCALES
from common.tables.resolution import resolved

if TYPE_CHECKING:
    import pandas as pd


def rows(package: str, runs_dir: str | Path) -> pd.DataFrame:
    """Every printed number with ours beside it.

    Parameters
    ----------
    package : str
        Name of the paper's package.
    runs_dir : path
        Where runs live.

    Returns
    -------
    DataFrame
        One row per row of published.csv: its columns, then ``paper_possible, paper_remark,
        paper_k, paper_n, paper_low, paper_high``; ours (``ours, sd, n_runs, low, high, k, n,
        varied, independent``), ours minus the paper's (``difference, difference_low,
        difference_high``), ``status``, ``because`` (why it is not comparable, of `words.REASONS`),
        ``reason`` (in full), ``nearest`` (the possible number, of an impossible one),
        ``other_images`` (the second judgement, of `words.OTHER_IMAGES`); the honest twin
        (``honest`` its preset or why there is none, ``honest_ours, honest_sd, honest_n_runs,
        honest_low, honest_high``), ``leaks, command, honest_command``; what the test set can
        tell apart (`resolution.COLUMNS`). Values are in the printed unit.
    """
    return compared(load(package, runs_dir))


def compared(paper: Paper) -> pd.DataFrame:
    """Columns and rows of `rows`, of a paper whose runs are read.

    Parameters
    ----------
    paper : Paper
        From `load`.

    Returns
    -------
    DataFrame
        See `rows`.
    """
    import pandas as pd

    records: list[dict[str, Any]] = []
    # Once a group, not once a number: it reads the runs' predictions.
    independent = {name: group.independent for name, group in paper.groups.items()}
    counts, remarks = paper_counts(paper.table), size_remarks(paper.table)
    mended = nearest(paper.package, [counted.possible is False for counted in counts])
    printed = paper.table.to_dict("records")
    for row, counted, remark, near in zip(printed, counts, remarks, mended, strict=True):
        possible, k, n = counted
        scale = SCALES.get(row["unit"], 1)
        paper_low, paper_high = clopper_pearson(k, n) if possible and n else (None, None)
        twin = paper.honest.get(row["preset"], "none: not set up")
        group, twin_group = paper.groups.get(row["preset"]), paper.groups.get(twin)
        kind = measurements.kind_of(row["metrics_key"])
        if kind is not None:  # no score: runs have nothing to do with it
            ours, beside = (
                measured(row, paper.measured.get(name, ())) for name in (row["preset"], twin)
            )
            group = None
        else:
            ours = estimate(group, row["metrics_key"]) if group else None
            beside = estimate(twin_group, row["metrics_key"]) if twin_group else None
        rounds = group.rounds(row["metrics_key"]) if group else None
        judged = judgement(row, possible, k, n, ours, rounds)
        apart = difference(row, possible, k, n, ours)
        record = {
            **row,
            "paper_possible": possible,
            "paper_remark": remark,
            "paper_k": k if possible else None,
            "paper_n": n if possible else None,
            "paper_low": _scaled(paper_low, n if row["unit"] == "images" else scale),
            "paper_high": _scaled(paper_high, n if row["unit"] == "images" else scale),
            **_columns(ours, scale),
            "k": ours.k if ours else None,
            "n": ours.n if ours else None,
            "varied": ",".join(group.varied) if group else "",
            "independent": independent[row["preset"]] if group else None,
            "difference": _scaled(apart.value, scale),
            "difference_low": _scaled(apart.low, scale),
            "difference_high": _scaled(apart.high, scale),
            "status": judged.status,
            "because": judged.because,
            "reason": judged.reason,
            "nearest": near,
            "other_images": other_images(judged, row, apart),
            "measured": _told(ours),
            "honest": twin,
            **{f"honest_{name}": value for name, value in _columns(beside, scale).items()},
            "leaks": "" if kind else paper.leaks.get(row["preset"], ""),
            "command": command(paper.package, row["preset"], paper.trained_by, paper.chains, kind),
            "honest_command": (
                command(paper.package, twin, paper.trained_by, paper.chains, kind)
                if twin in paper.presets
                else ""
            ),
        }
        records.append(record)
    return _typed(pd.DataFrame(records).join(resolved(paper.table, paper.groups)))


def with_others(table: pd.DataFrame, paper: Paper) -> pd.DataFrame:
    """Add what runs were worth on other data: lines of a table of their own.

    Parameters
    ----------
    table : DataFrame
        From `compared`.
    paper : Paper
        From `load`.

    Returns
    -------
    DataFrame
        Of the same columns.
    """
    import pandas as pd

    if not paper.elsewhere:
        return table
    lines = [*table.to_dict("records"), *elsewhere.records(paper.elsewhere)]
    return _typed(pd.DataFrame(lines, columns=table.columns))


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Give every column the type that it has whatever the runs."""
    kinds = {
        **dict.fromkeys(("n_test", "paper_k", "paper_n", "n_runs", "honest_n_runs"), "Int64"),
        **dict.fromkeys(("k", "n"), "Int64"),
        **dict.fromkeys(("paper_possible", "independent"), "boolean"),
        **dict.fromkeys(("ours", "sd", "low", "high", "paper_low", "paper_high"), "float64"),
        **dict.fromkeys(("difference", "difference_low", "difference_high"), "float64"),
        **dict.fromkeys(("honest_ours", "honest_sd", "honest_low", "honest_high"), "float64"),
    }
    return table.astype(kinds)


def _told(ours: Estimate | None) -> str:
    """How something that is no score was measured, and on which device."""
    if ours is None or not ours.words:
        return ""
    return f"{ours.words}, on {ours.device}" if ours.device else ours.words


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else scale * value


def _columns(ours: Estimate | None, scale: float) -> dict[str, Any]:
    if ours is None:
        return {"ours": None, "sd": None, "n_runs": 0, "low": None, "high": None}
    return {
        "ours": _scaled(ours.value, scale),
        "sd": _scaled(ours.sd, scale),
        "n_runs": ours.n_runs,
        "low": _scaled(ours.low, scale),
        "high": _scaled(ours.high, scale),
    }
