"""What a paper's rows take, as data: trainings and their rounds, and the commands around them.

A paper's module `experiments` says beside its presets:

`EXPERIMENTS`
    Preset -> `Experiment`.
`DEMO_PRESETS`, `DEMO_EXPERIMENTS`
    The same for minutes on synthetic tissue: the same chains with small networks.
`work(config)`
    About how many multiply-accumulates a training takes.
`dataset(config)`
    Name of the data set.
`TABLES`, where needed
    Table that prints no results -> presets whose runs tell of it.
`BESIDE`
    The setting whose values belong in one picture of learning curves; it may be missing.

`common.reproduce` plans from them. Every command can be typed by hand, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Round = Mapping[str, int]
"""One repetition: values of `seed`, `split_seed` or `fold`; the rest is the preset's."""


@dataclass(frozen=True)
class Step:
    """Commands that are given once a run is finished, or that need none.

    Attributes
    ----------
    kind : str
        What they make: "generation", "export", "bench"; "complexity": counts, of no run.
    commands : tuple of tuple of str
        What follows ``python``, each. ``{run}`` stands for the run's folder, ``{out}`` for the
        folder that the step fills, ``{data}`` for the data set's.
    proof : str
        A file that is there when all is done, under ``{run}`` or ``{out}``. A JSON file that has
        a ``finished`` must not have null there.
    name : str
        What tells it from other steps of its kind.
    """

    kind: str
    commands: tuple[tuple[str, ...], ...]
    proof: str
    name: str = ""


@dataclass(frozen=True)
class Needed:
    """What is made of another training's run and read by this one.

    Attributes
    ----------
    preset : str
        The other training's preset; its round is the same.
    step : Step
    flag : str
        With which the training is told the step's folder.
    """

    preset: str
    step: Step
    flag: str


@dataclass(frozen=True)
class Experiment:
    """A preset, as often as its rows take it, with what comes before and after.

    Attributes
    ----------
    preset : str
    module : str
        The training command's module in the package.
    rounds : tuple of Round
        The paper's repetitions.
    needed : Needed, optional
        What must be made before.
    after : tuple of Step
        What is made of the first round's run.
    twin : bool
        Whether it is the honest twin of a row.
    as_printed : bool
        Whether it does as the paper did where the row does not, because that flatters.
    yields : str
        Preset of a row whose run the same training leaves as well; "" of none.
    seeds : bool
        Whether its rounds are seeds, so that another number of seeds takes their place.
    counted : Step, optional
        What counts its network's parameters and operations, without data; the same step for all
        rows of the paper that print them.
    """

    preset: str
    module: str = "train"
    rounds: tuple[Round, ...] = field(default=({},))
    needed: Needed | None = None
    after: tuple[Step, ...] = ()
    twin: bool = False
    as_printed: bool = False
    yields: str = ""
    seeds: bool = False
    counted: Step | None = None

    def repeated(self, seeds: int | None, first: int) -> tuple[Round, ...]:
        """The rounds, each with so many seeds.

        Parameters
        ----------
        seeds : int or None
            How many; None: the paper's.
        first : int
            The preset's seed.

        Returns
        -------
        tuple of Round
            Every one names its seed.
        """
        if self.seeds:
            start = self.rounds[0]["seed"]
            count = len(self.rounds) if seeds is None else seeds
            return tuple({"seed": start + i} for i in range(count))
        return tuple(
            {**each, "seed": each.get("seed", first) + i}
            for i in range(seeds or 1)
            for each in self.rounds
        )


def experiments(
    presets: Mapping[str, Any],
    honest: Mapping[str, str],
    rows: Sequence[str],
    as_printed: Mapping[str, str] | None = None,
    **settings: Any,
) -> dict[str, Experiment]:
    """One experiment for each row, each honest twin, and each row as it was printed.

    Parameters
    ----------
    presets : mapping
        Name -> config.
    honest : mapping
        Row's preset -> that of its twin, or ``none:`` and why there is none.
    rows : sequence of str
        The rows' presets.
    as_printed : mapping, optional
        Row's preset -> that of the paper's own way with it.
    **settings : object
        Of every `Experiment`.

    Returns
    -------
    dict
        Preset -> experiment, each row before its twin.
    """
    found = {}
    for row in rows:
        found[row] = Experiment(row, **settings)
        twin = honest.get(row, "none: ")
        if twin in presets:
            found[twin] = Experiment(twin, twin=True, **settings)
        own = (as_printed or {}).get(row, "")
        if own in presets:
            found[own] = Experiment(own, as_printed=True, **settings)
    return found


def counting(module: str, *flags: str) -> Step:
    """The step that counts a paper's networks.

    Parameters
    ----------
    module : str
        Its command, ``ernet.complexity``.
    *flags : str
        For the command.

    Returns
    -------
    Step
    """
    return Step("complexity", (("-m", module, *flags, "--json", "{out}.json"),), "{out}.json")


def counting_demo(found: Mapping[str, Experiment]) -> dict[str, Experiment]:
    """The same experiments, those counted by the demo's networks.

    Parameters
    ----------
    found : mapping
        Preset -> experiment.

    Returns
    -------
    dict
    """
    return {
        name: each
        if each.counted is None
        else replace(each, counted=counting(each.counted.commands[0][1], "--demo"))
        for name, each in found.items()
    }


def training_work(images: float, epochs: int, per_image: float) -> float:
    """Multiply-accumulates of a training: a pass back costs about twice a pass forward.

    Parameters
    ----------
    images : float
        Trained on in an epoch.
    epochs : int
    per_image : float
        Multiply-accumulates of one image, forward.

    Returns
    -------
    float
    """
    return 3.0 * images * epochs * per_image
