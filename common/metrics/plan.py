"""How many patients a study needs, and what one with few can tell: from simulated studies.

    python -m common.metrics plan --patients 24 --accuracy 0.9 --detect 0.03

The studies are those of `common.metrics.simulation`, the intervals those of metrics.json and of
`python -m common.metrics compare`: nothing is assumed of them but what docs/intervals.md shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from common.errors import InputError
from common.metrics import simulation

STUDIES = simulation.STUDIES
MOST_PATIENTS = 5000
POWER = 0.8


@dataclass(frozen=True)
class Question:
    """What studies are like.

    Attributes
    ----------
    accuracy : float
        That is expected.
    correlation : float
        Intraclass correlation of right and wrong within a patient.
    images : int or None
        Of each patient; None: as cases of BreakHis have at 100x.
    seed : int
    """

    accuracy: float
    correlation: float = simulation.CORRELATION
    images: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("accuracy", self.accuracy), ("correlation", self.correlation)):
            if not 0 < value < 1:
                raise InputError(f"--{name} {value:g}: a share between 0 and 1, 0.9 for example")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: a whole number from 0")
        if self.images is not None and self.images < 1:
            raise InputError(f"--images {self.images}: a patient has one image at least")


@dataclass(frozen=True)
class Width:
    """Of the accuracy's interval.

    Attributes
    ----------
    middle, low, high : float
        Median width over the studies, and the widths between which 80 % of them lie.
    held : float
        Share of the studies whose interval holds the truth.
    """

    middle: float
    low: float
    high: float
    held: float


def width(question: Question, patients: int, studies: int = STUDIES) -> Width:
    """Find how wide the accuracy's interval will be.

    Parameters
    ----------
    question : Question
    patients : int
        Of a study, at least 2.
    studies : int
        That are simulated.

    Returns
    -------
    Width
    """
    drawn = simulation.studies(
        _patients(patients), question.accuracy, question.correlation, studies,
        images=question.images, seed=question.seed,
    )  # fmt: skip
    low, high = simulation.jackknife(drawn, "accuracy")
    middle, narrow, wide = np.quantile(high - low, [0.5, 0.1, 0.9])
    held = simulation.held(question.accuracy, low, high).share
    return Width(float(middle), float(narrow), float(wide), held)


def power(question: Question, patients: int, difference: float, studies: int = STUDIES) -> float:
    """Find how often two networks on the same images will be told apart.

    Parameters
    ----------
    question : Question
        Its accuracy is the better one's.
    patients : int
        Of a study, at least 2.
    difference : float
        By how much the other one is worse.
    studies : int
        That are simulated.

    Returns
    -------
    float
        Share of the studies in which the interval of the difference lies above 0.

    Raises
    ------
    InputError
        If the other one's accuracy would not lie between 0 and 1.
    """
    if not 0 < difference < question.accuracy:
        raise InputError(
            f"a difference of {difference:g}: between 0 and the accuracy, {question.accuracy:g}"
        )
    drawn = simulation.pairs(
        _patients(patients), question.accuracy, difference, question.correlation, studies,
        images=question.images, seed=question.seed,
    )  # fmt: skip
    low, _ = simulation.jackknife_difference(drawn)
    return float(np.mean(low > 0))  # NaN, where nothing differs, is none


def patients_for_width(question: Question, wanted: float) -> int | None:
    """Find how many patients give an interval of a width.

    Parameters
    ----------
    question : Question
    wanted : float
        Median width, in (0, 1).

    Returns
    -------
    int or None
        About; None if more than `MOST_PATIENTS`.
    """
    return _fewest(lambda n, studies: width(question, n, studies).middle <= wanted)


def patients_for_power(question: Question, difference: float, wanted: float = POWER) -> int | None:
    """Find how many patients tell two networks apart.

    Parameters
    ----------
    question : Question
    difference : float
        Between them.
    wanted : float
        In which share of the studies.

    Returns
    -------
    int or None
        About; None if more than `MOST_PATIENTS`.
    """
    return _fewest(lambda n, studies: power(question, n, difference, studies) >= wanted)


def smallest_difference(question: Question, patients: int, wanted: float = POWER) -> float | None:
    """Find the smallest difference that so many patients tell apart.

    Parameters
    ----------
    question : Question
    patients : int
    wanted : float
        In which share of the studies.

    Returns
    -------
    float or None
        About, to half a point; None if none does.
    """
    low, high = 0, int(200 * question.accuracy) - 1
    if high < 1 or power(question, patients, high / 200) < wanted:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if power(question, patients, middle / 200, STUDIES // 2) >= wanted:
            high = middle
        else:
            low = middle
    return high / 200


def _fewest(enough: Callable[[int, int], bool]) -> int | None:
    """Fewest patients that are enough, to a twentieth."""
    low, high = 2, 4
    while not enough(high, _studies(high)):
        if high == MOST_PATIENTS:
            return None
        low, high = high, min(2 * high, MOST_PATIENTS)
    while high - low > max(1, low // 20):
        middle = (low + high) // 2
        if enough(middle, _studies(middle)):
            high = middle
        else:
            low = middle
    return high


def _studies(patients: int) -> int:
    """Fewer of many patients, which vary less: so that an answer takes seconds."""
    return int(np.clip(100_000 // patients, 200, STUDIES))


def _patients(count: int) -> int:
    if not 2 <= count <= MOST_PATIENTS:
        raise InputError(f"--patients {count}: from 2 to {MOST_PATIENTS}")
    return count


def answer(
    question: Question,
    patients: int | None = None,
    difference: float | None = None,
    wanted_width: float | None = None,
    wanted_power: float = POWER,
) -> str:
    """Answer in lines for a terminal.

    Parameters
    ----------
    question : Question
    patients : int, optional
        That there are.
    difference : float, optional
        That is to be told apart.
    wanted_width : float, optional
        That the interval is to have.
    wanted_power : float
        In which share of the studies.

    Raises
    ------
    InputError
        If nothing is asked, or a value cannot be.
    """
    if patients is None and difference is None and wanted_width is None:
        raise InputError("nothing is asked: give --patients, --width or --detect")
    for name, value in (("width", wanted_width), ("power", wanted_power)):
        if value is not None and not 0 < value < 1:
            raise InputError(f"--{name} {value:g}: a share between 0 and 1, 0.1 for example")
    images = "as cases of BreakHis at 100x" if question.images is None else str(question.images)
    lines = [
        f"assumed      accuracy {100 * question.accuracy:g} %, intraclass correlation within "
        f"patients {question.correlation:g}, images of each: {images}; two networks find the same "
        f"patients hard (correlation {simulation.ALIKE:g})"
    ]
    if patients is not None:
        found = width(question, patients)
        lines.append(
            f"{patients} patients".ljust(13)
            + f"95 % interval of the accuracy {_points(found.middle)} wide, in 80 of 100 studies "
            f"{100 * found.low:.1f} to {_points(found.high)}; holds the truth in "
            f"{100 * found.held:.0f} of 100"
        )
        least = smallest_difference(question, patients, wanted_power)
        if difference is not None:
            lines.append(
                f"{'':<13}a network {_points(difference)} worse on the same images is told apart "
                f"in {100 * power(question, patients, difference):.0f} of 100 studies"
            )
        least_text = "none" if least is None else f"about {_points(least)}"
        lines.append(
            f"{'':<13}smallest difference told apart in {100 * wanted_power:g} of 100: {least_text}"
        )
    needed = []
    if wanted_width is not None:
        needed.append(
            (
                f"an interval {_points(wanted_width)} wide",
                patients_for_width(question, wanted_width),
            )
        )
    if difference is not None:
        enough = patients_for_power(question, difference, wanted_power)
        needed.append((f"{_points(difference)} in {100 * wanted_power:g} of 100 studies", enough))
    for what, count in needed:
        text = f"more than {MOST_PATIENTS}" if count is None else f"about {count}"
        lines.append(f"needed       {text} patients for {what}")
    return "\n".join(lines)


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"
