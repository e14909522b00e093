"""What remains wrong when a network may abstain: risk-coverage curve and what is read off it.

The images on which the network is surest are answered first. Coverage is the share of images that
is answered, risk the share of these that is wrong. Images of equal confidence cannot be told apart
by any threshold: a curve goes through them in a straight line of errors, which is the mean over all
their orders, and what needs a threshold takes all of them or none.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from common.metrics.arguments import numbers, truths

COVERAGE = 0.8
"""Share of images that is answered, of `error_at_coverage`."""

RISK = 0.05
"""Share of the answered images that may be wrong, of `coverage_at_risk`."""

_ROUNDING = 1e-9


def risk_coverage(correct: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of wrong answers among the surest images, for each number of them.

    Parameters
    ----------
    correct : bool array (n,)
        Which images are right.
    confidence : float array (n,)
        Larger means surer: the largest probability of each image.

    Returns
    -------
    coverage : float array (n,)
        1 / n, 2 / n, ... 1.
    risk : float array (n,)
        In [0, 1]; the mean over all orders of equal confidences.

    Raises
    ------
    ValueError
        If there is no image, the lengths differ, or a confidence is not finite.

    References
    ----------
    El-Yaniv and Wiener, On the foundations of noise-free selective classification, 2010.
    """
    ends, wrong, _ = _blocks(correct, confidence)
    answered = np.arange(1, ends[-1] + 1)
    errors = np.interp(answered, np.append(0, ends), np.append(0.0, wrong))
    return answered / ends[-1], errors / answered


def aurc(correct: np.ndarray, confidence: np.ndarray) -> float:
    """Area under the risk-coverage curve: the mean risk over all coverages.

    Parameters
    ----------
    correct : bool array (n,)
        Which images are right.
    confidence : float array (n,)
        Larger means surer.

    Returns
    -------
    float
        In [0, 1]; 0 without an error, the share of errors where all are equally sure.

    Raises
    ------
    ValueError
        As `risk_coverage`.

    References
    ----------
    Geifman, Uziel and El-Yaniv, Bias-reduced uncertainty estimation for deep neural classifiers,
    2019.
    """
    return float(risk_coverage(correct, confidence)[1].mean())


def error_at_coverage(
    correct: np.ndarray, confidence: np.ndarray, coverage: float = COVERAGE
) -> float:
    """Share of wrong answers when a share of the images is answered, the surest first.

    Parameters
    ----------
    correct : bool array (n,)
        Which images are right.
    confidence : float array (n,)
        Larger means surer.
    coverage : float
        In (0, 1]; of 7 images 0.8 are 6, the next whole number.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        As `risk_coverage`, or if `coverage` is none.
    """
    answered = math.ceil(_share(coverage, "coverage") * np.size(correct) - _ROUNDING)
    risks = risk_coverage(correct, confidence)[1]
    return float(risks[max(answered, 1) - 1])


def threshold_at_risk(
    correct: np.ndarray, confidence: np.ndarray, risk: float = RISK
) -> float | None:
    """Smallest confidence above which, itself included, few enough answers are wrong.

    Parameters
    ----------
    correct : bool array (n,)
        Which images are right.
    confidence : float array (n,)
        Larger means surer.
    risk : float
        In (0, 1]: the share of answers that may be wrong.

    Returns
    -------
    float or None
        One of the confidences; None if no threshold is enough.

    Raises
    ------
    ValueError
        As `risk_coverage`, or if `risk` is none.
    """
    ends, wrong, values = _blocks(correct, confidence)
    enough = np.flatnonzero(wrong / ends <= _share(risk, "risk") + _ROUNDING)
    return float(values[enough[-1]]) if len(enough) else None


def coverage_at_risk(correct: np.ndarray, confidence: np.ndarray, risk: float = RISK) -> float:
    """Largest share of the images that a threshold can answer with few enough errors.

    Parameters
    ----------
    correct : bool array (n,)
        Which images are right.
    confidence : float array (n,)
        Larger means surer.
    risk : float
        In (0, 1]: the share of answers that may be wrong.

    Returns
    -------
    float
        In [0, 1]; 0 if no threshold is enough.

    Raises
    ------
    ValueError
        As `threshold_at_risk`.
    """
    threshold = threshold_at_risk(correct, confidence, risk)
    if threshold is None:
        return 0.0
    return float((numbers(confidence, "confidence").astype(np.float64) >= threshold).mean())


def _blocks(correct: Any, confidence: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each distinct confidence, largest first: images down to it, wrong ones, the value."""
    correct = truths(correct, "correct")
    confidence = numbers(confidence, "confidence").astype(np.float64)
    if confidence.shape != correct.shape or not correct.size:
        raise ValueError(
            f"confidence {confidence.shape} and correct {correct.shape} must be (n,), n at least 1"
        )
    if not np.isfinite(confidence).all():
        raise ValueError("confidence must be finite")
    order = np.argsort(-confidence)
    values, wrong = confidence[order], np.cumsum(~correct[order])
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    return last + 1, wrong[last], values[last]


def _share(value: Any, name: str) -> float:
    number = isinstance(value, int | float | np.integer | np.floating)
    if not number or isinstance(value, bool) or not 0 < value <= 1:
        raise ValueError(f"{name} must be a share above 0, at most 1, not {value!r}")
    return float(value)
