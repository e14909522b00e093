"""What scores rest on: why there is none, why it has no interval, which samples leave it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.metrics.score import RestsOn

CONSTANT = "the same in every bootstrap sample"
"""Why a score that rests on enough has no interval all the same."""

NEARLY = "the same in nearly every bootstrap sample"
"""The same, where the few others leave its interval without any width."""

UNMOVED = "the same without any one patient"
"""The same, where patients are left out one by one."""

STILL = (CONSTANT, NEARLY, UNMOVED)
"""All of them: the interval is missing since nothing varies."""

NEEDED = "not defined without one of the patients"
"""Why a score has none that needs a certain patient."""


@dataclass(frozen=True)
class Ground:
    """Images and units of the classes of a test set; units are what the bootstrap draws.

    Attributes
    ----------
    names : list of str
        K classes.
    images : int array (K,)
        Images of each.
    units : int array (K,)
        Patients with an image of the class, or its images where patients are not known.
    other_units : int array (K,)
        The same of all other classes together.
    total : int
        All units.
    unit : str
        "patient" or "image".
    """

    names: list[str]
    images: np.ndarray
    units: np.ndarray
    other_units: np.ndarray
    total: int
    unit: str

    def missing(self, rests_on: RestsOn, number: int | None = None) -> str:
        """Why a score has no value.

        Parameters
        ----------
        rests_on : RestsOn
            What it rests on.
        number : int, optional
            Class of a score per class.

        Returns
        -------
        str
            "" where nothing is lacking.
        """
        present = np.flatnonzero(self.images)
        if number is None:
            alone = rests_on == "classes" and len(present) == 1
            return f"all test images are of {self.names[present[0]]}" if alone else ""
        if rests_on != "others" and not self.images[number]:
            return f"no test image of {self.names[number]}"
        if rests_on != "class" and self.images.sum() == self.images[number]:
            return f"no test image of {self._others(number)}"
        return ""

    def lone(self, rests_on: RestsOn, number: int | None = None) -> str:
        """Why a score has no interval: a single unit stands for what it rests on.

        Parameters
        ----------
        rests_on : RestsOn
            What it rests on.
        number : int, optional
            Class of a score per class.

        Returns
        -------
        str
            "" where there are units to draw.
        """
        if self.total < 2 and self.unit == "patient":
            return "one patient"
        if number is None:
            if rests_on == "images":
                return ""
            names = [self.names[i] for i in np.flatnonzero(self.units == 1)]
            each = " each" if len(names) > 1 else ""
            return f"one {self.unit}{each} of {', '.join(names)}" if names else ""
        if rests_on != "others" and self.units[number] == 1:
            return f"one {self.unit} of {self.names[number]}"
        if rests_on != "class" and self.other_units[number] == 1:
            return f"one {self.unit} of {self._others(number)}"
        return ""

    def held(self, rests_on: RestsOn, images: np.ndarray, number: int | None = None) -> np.ndarray:
        """Which bootstrap samples hold what a score rests on.

        Parameters
        ----------
        rests_on : RestsOn
            What it rests on.
        images : array (..., K)
            Images of each class in the samples.
        number : int, optional
            Class of a score per class.

        Returns
        -------
        bool array (...)
            What the test set itself lacks, no sample needs.
        """
        found: np.ndarray = np.ones(images.shape[:-1], dtype=bool)
        if rests_on == "images":
            return found
        if number is None:
            return np.all(images[..., self.images > 0] > 0, axis=-1)
        others = images.sum(axis=-1) - images[..., number]
        if rests_on != "others" and self.images[number]:
            found &= images[..., number] > 0
        if rests_on != "class" and self.other_units[number]:
            found &= others > 0
        return found

    def _others(self, number: int) -> str:
        """What the classes beside one are called."""
        if len(self.names) == 2:
            return self.names[1 - number]
        return f"any class but {self.names[number]}"


def ground_of(labels: np.ndarray, classes: Sequence[str], cases: np.ndarray | None) -> Ground:
    """Count what scores rest on.

    Parameters
    ----------
    labels : int array (n,)
        True class numbers.
    classes : sequence of str
        K class names.
    cases : str array (n,) or None
        Patient of each image; None where they are not known.

    Returns
    -------
    Ground
    """
    unit = np.arange(len(labels)) if cases is None else np.unique(cases, return_inverse=True)[1]
    has = np.zeros((int(unit.max()) + 1, len(classes)), dtype=np.int64)
    np.add.at(has, (unit, labels), 1)
    others = has.sum(axis=1, keepdims=True) - has
    return Ground(
        names=list(classes),
        images=has.sum(axis=0),
        units=(has > 0).sum(axis=0),
        other_units=(others > 0).sum(axis=0),
        total=len(has),
        unit="image" if cases is None else "patient",
    )
