"""What is known of a paper: its claim, its numbers beside ours, its rounds and their runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import config as configuration
from common import papers, protocols, results, runs, tables
from common.errors import InputError
from common.files import expanded, read_text
from common.reproduce import Item, items
from common.reproduce.states import Place, State, states

if TYPE_CHECKING:
    import pandas as pd

AT_HAND = "at hand, not collected"
"""Beside the tiers: a run whose folder is here, and that stands in no results file."""


@dataclass(frozen=True)
class Known:
    """A paper, and all that is known of its rows.

    Attributes
    ----------
    package : str
    about : Paper
        Title, authors, venue.
    claim : str
        In a sentence.
    table : DataFrame
        Every printed number with ours beside it.
    paper : Paper
        Runs by row.
    items : list of Item
        The work that the rows take.
    state : dict
        Key -> state, of the run folders.
    tiers : dict
        Key of a finished training -> who vouches for it.
    runs : list of Run
        Finished ones that are at hand.
    place : Place
    """

    package: str
    about: protocols.Paper
    claim: str
    table: pd.DataFrame
    paper: tables.Paper
    items: list[Item]
    state: dict[str, State]
    tiers: dict[str, str]
    runs: list[runs.Run]
    place: Place

    @property
    def trainings(self) -> list[Item]:
        """The items that are trainings: one for each round."""
        return [item for item in self.items if item.step is None]

    def done(self, *, twins: bool) -> tuple[int, int]:
        """How many rounds are done, and of how many.

        Parameters
        ----------
        twins : bool
            Of the honest twins, or of the rows.
        """
        mine = [item for item in self.trainings if item.twin == twins]
        return sum(item.key in self.tiers for item in mine), len(mine)

    @property
    def cited(self) -> str:
        """Authors, venue and year."""
        venue = self.about.venue
        venue = "venue not printed" if venue == "not printed" else venue
        return f"{', '.join(self.about.authors)}: {venue}, {self.about.year}."

    @property
    def vouched(self) -> dict[str, int]:
        """How many trainings each tier has, in the order of `results.TIERS`."""
        count = Counter(self.tiers.values())
        return {name: count[name] for name in (*results.TIERS, AT_HAND) if count[name]}

    @property
    def tally(self) -> tables.Tally:
        """How many printed numbers have which judgement, and for which reason none."""
        return tables.tally(self.table)


def gather(package: str, place: Place, results_dir: Path | None) -> Known:
    """Read all that is known of a paper.

    Parameters
    ----------
    package : str
    place : Place
        Where runs live. Synthetic ones fill no row, and then nothing does.
    results_dir : Path or None
        Folder of results files.

    Returns
    -------
    Known

    Raises
    ------
    InputError
        If a file of a run or of the results is damaged.
    """
    shown = place.synthetic and not place.fabricated
    nowhere = place.folder / "no runs"  # synthetic values never stand beside printed numbers
    paper = tables.load(
        package,
        nowhere if shown else place.runs_dir,
        None if shown else results_dir,
        fabricated=place.fabricated,
    )
    work = items([package], demo=shown)
    state = states(work, place)
    lines = [] if shown or results_dir is None else _lines(results_dir, package)
    found = runs.find(place.runs_dir, package)
    return Known(
        package, protocols.protocol(package).paper, claim(package), tables.compared(paper), paper,
        work, state, _tiers(work, state, lines, place),
        [run for run in found if place.takes(run.record)], place,
    )  # fmt: skip


def claim(package: str) -> str:
    """A paper's claim, as its README gives it.

    Parameters
    ----------
    package : str

    Raises
    ------
    InputError
        If the README has none.
    """
    file = papers.folder(package) / "README.md"
    found = re.search(r"^\*\*Claim\.\*\* (.+?)\n\n", read_text(file), re.M | re.S)
    if found is None:
        raise InputError(f"{file}: no paragraph begins with **Claim.**")
    return " ".join(found[1].split())


def setting_beside(package: str) -> str:
    """The setting whose values a paper wants in one picture of learning curves; "" for none.

    Parameters
    ----------
    package : str
    """
    return str(getattr(papers.module_of(package, "experiments"), "BESIDE", ""))


def _lines(folder: Path, package: str) -> list[results.Recorded]:
    file = expanded(folder) / f"{package}.csv"
    return results.recorded(results.read(file)) if file.is_file() else []


def _tiers(
    work: Sequence[Item],
    state: dict[str, State],
    lines: Sequence[results.Recorded],
    place: Place,
) -> dict[str, str]:
    """Who vouches for each finished training: its lines, or nobody yet."""
    known: dict[Any, str] = {}
    for line in lines:
        mine = line.fabricated if place.fabricated else not line.synthetic
        if mine and line.metrics.keys() & {"accuracy", "fid"}:  # others are of benches and counts
            known.setdefault((line.config_sha256, tuple(sorted(line.config.items()))), line.tier)
    found = {}
    for item in work:
        if item.step is not None:
            continue
        key = configuration.config_sha256(item.config), tuple(sorted(item.round.items()))
        if key in known:
            found[item.key] = known[key]
        elif state[item.key].done:
            found[item.key] = AT_HAND
    return found
