"""The section `confidence` as it is read again: looked at before a page or a network uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.confidence.conformal import prediction_sets
from common.confidence.temperature import HIGHEST, LOWEST, apply_temperature
from common.errors import RESTORE, InputError, brief
from common.metrics import RISK, read_scores

_SHARE = (0.0, 1.0)
_COUNT = (0, 2**53)
_CALIBRATION = {"log_loss": (0.0, 1e6), "ece": _SHARE, "brier": (0.0, 2.0)}
_RIGHT = {"correct": _COUNT, "accuracy": _SHARE, "accuracy_ci": [_SHARE]}
_WANTED: dict[str, Any] = {
    "validation": {"n": _COUNT, "n_patients": _COUNT, "trained_patients": _COUNT},
    "temperature": (LOWEST, HIGHEST),
    "before": _CALIBRATION,
    "after": _CALIBRATION,
    "abstain": {
        "risk": _SHARE, "below": _SHARE, "answered": _COUNT, "wrong": _COUNT, "coverage": _SHARE,
        "error": _SHARE, "error_ci": [_SHARE],
    },
    "risk_coverage": {"coverage": [_SHARE], "error": [_SHARE]},
    "sets": {
        "level": _SHARE, "method": str, "needed_patients": _COUNT, "n_patients": _COUNT,
        "limit": _SHARE, "coverage": _SHARE, "coverage_ci": [_SHARE], "coverage_of_images": _SHARE,
        "mean_size": (0.0, 1e6), "single": _SHARE, "empty": _SHARE,
    },
    "patients": {
        "n": _COUNT, "mixed": _COUNT, "mean": _RIGHT, "vote": _RIGHT,
        "threshold": {"value": _SHARE} | _RIGHT,
    },
}  # fmt: skip
"""What stands under each key: a mapping, a list, a text, or a number between two ends."""


class Kept(NamedTuple):
    """What is known of how sure a run's network is, as it is used on new images."""

    temperature: float | None = None
    below: float | None = None
    """Confidence, after the temperature, below which no answer is given."""
    abstains: bool = False
    """Whether such a confidence was looked for; without one, every image is left open."""
    limit: float | None = None
    """Of the prediction sets."""
    level: float | None = None
    seen: bool = False
    """Whether all this was chosen on images of patients that were trained on."""

    def __str__(self) -> str:
        if not self.abstains:
            return "probabilities as the network gives them, without a temperature"
        share = f"{100 * RISK:g} %"
        told = [
            "probabilities as the network gives them, without a temperature"
            if self.temperature is None
            else f"probabilities with temperature {self.temperature:.3g}",
            f"abstains from all: no confidence left {share} errors on validation images"
            if self.below is None
            else f"abstains below {100 * self.below:.1f} %: of the validation images above it, "
            f"at most {share} were wrong",
        ]
        if self.level is not None:
            told.append(
                f"sets are to hold the class of {100 * self.level:g} % of the images of a new "
                "patient like those of the validation"
            )
        if self.seen:
            told.append(
                "warning: chosen on images of patients that it was trained on, so that "
                "new ones will be wrong more often than that"
            )
        return "; ".join(told)

    def calibrated(self, probabilities: np.ndarray) -> np.ndarray:
        """Apply the temperature.

        Parameters
        ----------
        probabilities : float array (n, K)
            Of the network.

        Returns
        -------
        float array (n, K)
            The same where there is no temperature.
        """
        if self.temperature is None:
            return probabilities
        return apply_temperature(probabilities, self.temperature)

    def left_open(self, probabilities: np.ndarray) -> np.ndarray | None:
        """Say for which images no answer is given.

        Parameters
        ----------
        probabilities : float array (n, K)
            Of the network, before the temperature.

        Returns
        -------
        bool array (n,) or None
            None where nothing was chosen.
        """
        if not self.abstains:
            return None
        sure = self.calibrated(probabilities).max(axis=1)
        return sure < (np.inf if self.below is None else self.below)

    def columns(self, probabilities: np.ndarray, classes: Sequence[str]) -> dict[str, list[str]]:
        """Give what stands beside the probabilities of new images.

        Parameters
        ----------
        probabilities : float array (n, K)
            Of the network, before the temperature.
        classes : sequence of str
            K class names.

        Returns
        -------
        dict of str to list of str
            ``abstain``, yes or no, and ``set``, classes with ``|`` between them; each only where
            something was chosen.
        """
        found, left, sets = {}, self.left_open(probabilities), self.sets(probabilities)
        if left is not None:
            found["abstain"] = ["yes" if each else "no" for each in left]
        if sets is not None:
            found["set"] = ["|".join(np.asarray(classes)[inside]) for inside in sets]
        return found

    def sets(self, probabilities: np.ndarray) -> np.ndarray | None:
        """Say which classes are in the set of each image.

        Parameters
        ----------
        probabilities : float array (n, K)
            Of the network, before the temperature.

        Returns
        -------
        bool array (n, K) or None
            None where no set can be given.
        """
        return None if self.limit is None else prediction_sets(probabilities, self.limit)


def read(folder: Path) -> Kept:
    """Give what a run keeps for new images.

    Parameters
    ----------
    folder : Path
        The run's.

    Returns
    -------
    Kept
        Nothing where an earlier version made the run, or metrics.json is missing.

    Raises
    ------
    InputError
        If metrics.json is damaged: whether there is a temperature cannot be told then.
    """
    path, repair = folder / "metrics.json", f"python -m common.metrics recompute {folder}"
    if not path.is_file():
        return Kept()
    found = read_scores(path, repair=repair)
    checked(found, path, repair=repair)
    return kept(found)


def kept(metrics: Mapping[str, Any]) -> Kept:
    """Give what a metrics.json keeps for new images.

    Parameters
    ----------
    metrics : mapping
        What metrics.json holds; one of an earlier version keeps nothing.

    Returns
    -------
    Kept

    Raises
    ------
    InputError
        As `checked`.
    """
    found = checked(metrics)
    if found is None:
        return Kept()
    abstain, sets = found["abstain"] or {}, found["sets"] or {}
    return Kept(
        temperature=found["temperature"],
        below=abstain.get("below"),
        abstains=bool(found["validation"]["n"]),
        limit=sets.get("limit"),
        level=sets.get("level"),
        seen=bool(found["validation"]["trained_patients"]),
    )


def checked(
    metrics: Mapping[str, Any], path: str | Path = "metrics.json", *, repair: str = RESTORE
) -> Mapping[str, Any] | None:
    """Give the section of a metrics.json.

    Parameters
    ----------
    metrics : mapping
        What metrics.json holds.
    path : path
        The file, for the message.
    repair : str
        What to do about a damaged file, to end the message.

    Returns
    -------
    mapping or None
        None where an earlier version wrote the file.

    Raises
    ------
    InputError
        Naming the value that cannot be.
    """
    if "confidence" not in metrics:
        return None
    section = metrics["confidence"]
    try:
        _require(section, _WANTED, "confidence", optional=False)
        for name, reason in _mapping(section.get("reasons"), "confidence.reasons").items():
            _require(reason, str, f"confidence.reasons.{name}", optional=False)
        curve = section["risk_coverage"]
        if len(curve["coverage"]) != len(curve["error"]):
            raise ValueError("confidence.risk_coverage has lists of different lengths")
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); {repair}") from error
    return section


def _require(value: Any, wanted: Any, place: str, *, optional: bool = True) -> None:
    if value is None and optional:
        return
    fine = True
    if isinstance(wanted, dict):
        found = _mapping(value, place)
        if missing := sorted(set(wanted) - set(found)):
            raise ValueError(f"{place} lacks {', '.join(missing)}")
        for name, inner in wanted.items():
            _require(found[name], inner, f"{place}.{name}", optional=_may_lack(place, name))
    elif isinstance(wanted, list):
        fine = isinstance(value, list)
        for each in value if fine else ():
            _require(each, wanted[0], place, optional=False)
        fine = fine and (not place.endswith("_ci") or (len(value) == 2 and value[0] <= value[1]))
    elif wanted is str:
        fine = isinstance(value, str)
    else:
        whole = isinstance(wanted[0], int)
        number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        fine = number and wanted[0] <= value <= wanted[1]
    if not fine:
        raise ValueError(f"{place} is {brief(value)}")


def _mapping(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} is {brief(value)}")
    return value


def _may_lack(place: str, name: str) -> bool:
    """Whether a value may be null: whole sections, intervals, and what rests on known patients."""
    if place == "confidence":
        return name not in ("validation", "before", "risk_coverage")
    optional = {"n_patients", "trained_patients", "error", "coverage", "threshold"}
    return name.endswith("_ci") or (name in optional and place != "confidence.risk_coverage")
