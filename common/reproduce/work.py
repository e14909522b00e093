"""From experiments to items of work: trainings, and what is made before and after them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from common import config as configuration
from common import experiments, measurements, tables
from common.errors import InputError
from common.experiments import Experiment, Round, Step
from common.papers import PAPERS, module_of

if TYPE_CHECKING:
    import pandas as pd

TWINS = ("yes", "no", "only")
"""Rows with their honest twins, without them, or these alone."""


@dataclass(frozen=True)
class Work:
    """What a paper says of its rows.

    Attributes
    ----------
    paper : str
    presets : mapping
        Name -> config.
    experiments : mapping
        Preset -> experiment.
    amount : callable
        Config -> multiply-accumulates of a training with it.
    dataset : callable
        Config -> name of its data set.
    tables : mapping
        Table that prints no results -> presets whose runs tell of it.
    """

    paper: str
    presets: Mapping[str, Any]
    experiments: Mapping[str, Experiment]
    amount: Callable[[Any], float]
    dataset: Callable[[Any], str]
    tables: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """One piece of work: a training, or a step after it.

    Attributes
    ----------
    key : str
        Its name: paper, preset, round and, of a step, what it makes.
    paper, preset : str
        The latter "" of what is made for all rows at once.
    kind : str
        "training", or the step's kind.
    config : dataclass
        Of the training.
    round : mapping
        `seed`, `split_seed` and `fold` of the training, as far as its config has them.
    needs : tuple of str
        Keys of what must be done before.
    step : Step, optional
    of : str
        Key of the training that a step belongs to; "" of one that needs none.
    module : str
        Of a training: its command.
    flag : str
        With which a training is told the folder of the step that it needs.
    twin : bool
        Whether it belongs to an honest twin alone.
    amount : float
        Multiply-accumulates; 0 where they are not known.
    dataset : str
        Name of the data set; "" where it is not known.
    """

    key: str
    paper: str
    preset: str
    kind: str
    config: Any = field(repr=False)
    round: Mapping[str, int]
    needs: tuple[str, ...] = ()
    step: Step | None = None
    of: str = ""
    module: str = "train"
    flag: str = ""
    twin: bool = False
    amount: float = 0.0
    dataset: str = ""

    @property
    def slug(self) -> str:
        """The key as the name of a file."""
        return self.key.replace("/", "--").replace(" ", "-")


@functools.cache
def of_paper(package: str, demo: bool = False) -> Work:
    """Read what a paper says of its rows.

    Parameters
    ----------
    package : str
        In `common.papers.PAPERS`. Without a module `experiments`, each row is one training.
    demo : bool
        Of its rows in small, for synthetic tissue.

    Raises
    ------
    InputError
        If there is no such paper.
    """
    if package not in PAPERS:
        raise InputError(f"--paper {package}: none of {', '.join(PAPERS)}")
    settings = module_of(package, "config")
    presets = settings.PRESETS | getattr(settings, "OTHER_PRESETS", {})
    if find_spec(f"{package}.experiments") is not None:
        said = module_of(package, "experiments")
        more = getattr(said, "TABLES", {})
        found = said.EXPERIMENTS
        if demo:
            presets, found = said.DEMO_PRESETS, said.DEMO_EXPERIMENTS
        return Work(package, presets, found, said.work, said.dataset, more)
    rows = list(dict.fromkeys(tables.published(package)["preset"]))
    found = experiments.experiments(presets, getattr(settings, "HONEST", {}), rows)
    return Work(package, presets, found, lambda config: 0.0, lambda config: "")


def items(
    papers: Sequence[str] = PAPERS,
    *,
    table: str | None = None,
    row: str | None = None,
    twins: str = "yes",
    as_printed: bool = False,
    seeds: int | None = None,
    rounds: int | None = None,
    demo: bool = False,
    only: str | None = None,
) -> list[Item]:
    """All work that rows take, each item after what it needs.

    Parameters
    ----------
    papers : sequence of str
        Names of the packages.
    table : str, optional
        Rows of one table alone, ``T1``.
    row : str, optional
        One preset alone, and its twin if `twins` says so.
    twins : {"yes", "no", "only"}
    as_printed : bool
        The papers' own ways beside rows that do otherwise, too.
    seeds : int, optional
        Trainings of every round with as many seeds; unset: as the papers.
    rounds : int, optional
        As many first rounds (folds, trials) of each row alone; unset: all.
    demo : bool
        The rows in small, for synthetic tissue.
    only : str, optional
        Work of one kind alone, and what it needs: "bench", "complexity".

    Returns
    -------
    list of Item
        Presets that are equal are one.

    Raises
    ------
    InputError
        If nothing fits, or `seeds` or `rounds` is less than 1.
    """
    for name, number in (("seeds", seeds), ("rounds", rounds)):
        if number is not None and number < 1:
            raise InputError(f"--{name} {number}: must be 1 or more")
    found: dict[str, Item] = {}
    for package in papers:
        work = of_paper(package, demo)
        chosen = _chosen(work, table, row, twins, as_printed)
        chosen = [replace(each, rounds=each.rounds[:rounds]) for each in chosen]
        planner = _Planner(work, chosen, _counted_alone(work, table))
        for each in planner.items(seeds):
            found.setdefault(each.key, each)
    if only is not None:
        found = _only(found, only)
    if not found:
        flags = {"table": table, "row": row, "only": only, "twins": twins}
        asked = " ".join(f"--{name} {value}" for name, value in flags.items() if value is not None)
        raise InputError(f"{asked}: no experiment of {', '.join(papers)}")
    return list(found.values())


def _chosen(
    work: Work, table: str | None, row: str | None, twins: str, as_printed: bool
) -> list[Experiment]:
    rows = set(work.experiments)
    if table is not None:
        told = {*_printed(work, table)["preset"], *work.tables.get(table, ())}
        rows &= _with_beside(work, told)
    if row is not None:
        rows &= _with_beside(work, {row})
    wanted = {
        "yes": lambda name, twin: True,
        "no": lambda name, twin: not twin or name == row,
        "only": lambda name, twin: twin,
    }[twins]
    return [
        each
        for name, each in work.experiments.items()
        if name in rows
        and wanted(name, each.twin)
        and (as_printed or not each.as_printed or name == row)
    ]


def _with_beside(work: Work, names: Set[str]) -> set[str]:
    """Rows with their twins, and with the papers' own ways of them."""
    settings = module_of(work.paper, "config")
    beside = [getattr(settings, name, {}) for name in ("HONEST", "AS_PRINTED")]
    return set(names) | {each[name] for each in beside for name in names if name in each}


def _printed(work: Work, table: str) -> pd.DataFrame:
    printed = tables.published(work.paper)
    return printed[printed["table"] == table]


def _counted_alone(work: Work, table: str | None) -> set[str]:
    """Presets of which a table prints how large their network is, and nothing else."""
    if table is None:
        return set()
    printed = _printed(work, table)
    counts = printed["metrics_key"].map(measurements.kind_of) == "complexity"
    alone = set(printed["preset"][counts]) - set(printed["preset"][~counts])
    return _with_beside(work, alone)


def _only(found: Mapping[str, Item], kind: str) -> dict[str, Item]:
    """Items of a kind, and what they need."""
    waiting = [key for key, item in found.items() if item.kind == kind]
    wanted: set[str] = set()
    while waiting:
        key = waiting.pop()
        wanted.add(key)
        waiting += [need for need in found[key].needs if need not in wanted]
    return {key: item for key, item in found.items() if key in wanted}


class _Planner:
    """Items of a paper's experiments.

    Parameters
    ----------
    work : Work
    chosen : sequence of Experiment
    counted_alone : set of str
        Presets of which the network is counted and nothing trained.
    """

    def __init__(
        self, work: Work, chosen: Sequence[Experiment], counted_alone: Set[str] = frozenset()
    ) -> None:
        self.work, self.chosen, self.counted_alone = work, chosen, counted_alone
        self.known: dict[str, str] = {}  # training -> its key
        self.yielded_by = {each.yields: each for each in chosen if each.yields}

    def items(self, seeds: int | None) -> Iterator[Item]:
        """All of them, each after what it needs.

        Parameters
        ----------
        seeds : int or None
            As `items` takes it.
        """
        for experiment in self.chosen:
            if experiment.counted is not None:
                yield self._counts(experiment, experiment.counted)
            if experiment.preset in self.counted_alone:
                continue
            after = experiment.after
            for values in experiment.repeated(seeds, self.work.presets[experiment.preset].seed):
                yield from self._training(experiment, values, after)
                after = ()  # of the first round alone

    def _training(
        self, experiment: Experiment, values: Round, after: Sequence[Step] = ()
    ) -> Iterator[Item]:
        """A training, after what it needs and before its steps."""
        work = self.work
        config = replace(work.presets[experiment.preset], **values)
        same = _same(experiment.module, config)
        if same in self.known:  # another name of the same row
            return
        needs: tuple[str, ...] = ()
        flag = ""
        amount = float(work.amount(config))
        if experiment.needed is not None:
            needed = experiment.needed
            before = work.experiments[needed.preset]
            seed = {"seed": values["seed"]} if "seed" in values else {}
            source = replace(work.presets[needed.preset], **seed)
            yield from self._training(before, seed)
            of = self.known[_same(before.module, source)]
            made = self._step(before, source, of, needed.step, (of,))
            yield made
            needs, flag = (made.key,), needed.flag
        elif experiment.preset in self.yielded_by:
            other = self.yielded_by[experiment.preset]
            yield from self._training(other, values)
            needs, amount = (self._key(other, values),), 0.0  # done when that is
        key = self.known[same] = self._key(experiment, values)
        yield Item(
            key, work.paper, experiment.preset, "training", config, varied(config), needs,
            module=experiment.module, flag=flag, twin=experiment.twin, amount=amount,
            dataset=work.dataset(config),
        )  # fmt: skip
        last = key
        for step in after:
            made = self._step(experiment, config, key, step, tuple({key: 0, last: 0}))
            yield made
            last = made.key

    def _counts(self, experiment: Experiment, step: Step) -> Item:
        """Counts of a paper's networks, once for all rows that print them; no data, no run."""
        config = self.work.presets[experiment.preset]
        key = f"{self.work.paper}/{step.kind}"
        return Item(key, self.work.paper, "", step.kind, config, {}, step=step)

    def _step(
        self, experiment: Experiment, config: Any, of: str, step: Step, needs: tuple[str, ...]
    ) -> Item:
        return Item(
            f"{of}/{step.kind} {step.name}".strip(), self.work.paper, experiment.preset, step.kind,
            config, varied(config), needs, step, of, twin=experiment.twin,
            dataset=self.work.dataset(config),
        )  # fmt: skip

    def _key(self, experiment: Experiment, values: Round) -> str:
        return f"{self.work.paper}/{experiment.preset}/{_words(values) or 'once'}"


def varied(config: Any) -> dict[str, int]:
    """Seeds and fold of a config, as far as it has them.

    Parameters
    ----------
    config : dataclass
    """
    return {
        name: int(getattr(config, name)) for name in configuration.VARIED if hasattr(config, name)
    }


def _same(module: str, config: Any) -> str:
    return f"{module} {configuration.config_sha256(config)} {sorted(varied(config).items())}"


def _words(values: Round) -> str:
    """A round in words: ``seed=0,fold=3``."""
    return ",".join(f"{name}={value}" for name, value in values.items())
