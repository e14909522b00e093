"""Rows that a paper lacks, and that would say what its idea is worth: ours beside our own rows."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common import config as configuration
from common import evaluation, runs
from common.tables.as_printed import apart_text, value_text
from common.tables.ours import Group, ends_text, estimate
from common.tables.paper import Paper, command, missing_images
from common.tables.show import markdown_table

TITLE = "Rows that the paper lacks"
HEADING = f"## {TITLE}"

HEADER = ("row", "accuracy %", "95 % interval", "of the paper's row", "difference", "honest twin")

_PERCENT = (100, 2)
"""Scale and decimals."""

SHOWN = 2
"""Commands of rows without a run that are named."""


@dataclass(frozen=True)
class Unprinted:
    """Rows that a paper lacks.

    Attributes
    ----------
    rows : list of list of str
        Of those that have runs: cells in the order of `HEADER`.
    left : list of str
        Commands of the others.
    """

    rows: list[list[str]]
    left: list[str]

    @property
    def told(self) -> str:
        """How many have no run; "" if none."""
        noun = "row has" if len(self.left) == 1 else "rows have"
        return f"{len(self.left)} {noun} no run yet. Made, for example, by:" if self.left else ""


def unprinted(paper: Paper, runs_dir: str | Path) -> Unprinted:
    """Put the rows that a paper lacks beside those that it has.

    Parameters
    ----------
    paper : Paper
        From `load`. Its package's ``config.UNPRINTED`` has the rows: what each is -> the preset of
        the row beside it, and the settings by which it differs.
    runs_dir : path
        Where runs live.

    Returns
    -------
    Unprinted
    """
    module = importlib.import_module(f"{paper.package}.config")
    rows: Mapping[str, tuple[str, Mapping[str, Any]]] = getattr(module, "UNPRINTED", {})
    known = [
        run for run in runs.find(runs_dir, paper.package)
        if paper.takes(run.record) and not missing_images(run.record)
    ] if rows else []  # fmt: skip
    lines: list[list[str]] = []
    left = []
    for what, (base, settings) in rows.items():
        config = replace(paper.presets[base], **settings)
        group = _filled(known, config)
        if group is None:
            left.append(_command(paper, base, config, settings))
            continue
        honest = paper.honest.get(base, "")
        twin = None
        if honest in paper.presets:
            twin = _filled(known, replace(paper.presets[honest], **settings))
        ours = estimate(group, "accuracy")
        beside = paper.groups.get(base)
        theirs = estimate(beside, "accuracy") if beside else None
        lines.append(
            [what, value_text(ours, *_PERCENT), ends_text(ours.ends, *_PERCENT),
             value_text(theirs, *_PERCENT), apart_text(ours, theirs, *_PERCENT),
             value_text(estimate(twin, "accuracy") if twin else None, *_PERCENT)]
        )  # fmt: skip
    return Unprinted(lines, left)


def unprinted_markdown(paper: Paper, runs_dir: str | Path) -> str:
    """Lay out the rows that a paper lacks.

    Parameters
    ----------
    paper : Paper
        From `load`.
    runs_dir : path
        Where runs live.

    Returns
    -------
    str
        Under a heading of their own; "" where a paper has none.
    """
    found = unprinted(paper, runs_dir)
    if not found.rows and not found.left:
        return ""
    out = [HEADING, ""]
    if found.rows:
        out += [*markdown_table(HEADER, found.rows), ""]
    out += [found.told, "", *(f"- `{text}`" for text in found.left[:SHOWN])]
    return "\n".join(out).rstrip() + "\n"


def _filled(known: list[runs.Run], config: Any) -> Group | None:
    """Runs of a config; None if there is none."""
    found = [run for run in known if not configuration.differences(run.config, config)]
    return Group([*found], [evaluation.read_metrics(run) for run in found]) if found else None


def _command(paper: Paper, base: str, config: Any, settings: Mapping[str, Any]) -> str:
    for name, preset in paper.presets.items():
        if preset == config:
            return command(paper.package, name, paper.trained_by, paper.chains)
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in settings.items())
    made = command(paper.package, base, paper.trained_by, paper.chains)
    return made.replace(" --data-dir", f" {flags} --data-dir")
