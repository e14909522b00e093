"""Temperature scaling: one number that divides the logits, chosen on validation images.

It changes how sure a network is and never what it says. Probabilities are enough for it: their
logarithms are the logits but for a constant of each image, which a softmax does not see.
"""

from __future__ import annotations

import numpy as np

from common.metrics.arguments import judged, softmax

LOWEST, HIGHEST = 0.05, 20.0
"""Temperatures that are taken seriously; what would lie outside is none."""

_TINY = 1e-38
"""Stands for a probability of 0, which is what float32 makes of less."""

_HALVINGS = 60  # of an interval of length 6: to the last digit of a double


def apply_temperature(probabilities: np.ndarray, temperature: float | None) -> np.ndarray:
    """Divide the logits behind probabilities by a temperature.

    Parameters
    ----------
    probabilities : float array (n, K)
        Softmax outputs.
    temperature : float or None
        Above 0; above 1 it makes less sure, below surer. None leaves the probabilities alone.

    Returns
    -------
    float64 array (n, K)
        Each row adds up to 1, in the order that it had.

    Raises
    ------
    ValueError
        If a row is no softmax, or `temperature` is none.

    References
    ----------
    Guo et al., On calibration of modern neural networks, 2017, section 4.2.
    """
    table = softmax(probabilities)
    if temperature is None:
        return table
    if not isinstance(temperature, int | float | np.floating) or not 0 < temperature < np.inf:
        raise ValueError(f"temperature must be a number above 0, not {temperature!r}")
    return np.exp(_log_softmax(_logits(table) / float(temperature)))


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> tuple[float | None, str]:
    """Choose the temperature with the smallest log loss.

    Parameters
    ----------
    labels : int array (n,)
        True class numbers, of images that were not trained on.
    probabilities : float array (n, K)
        Softmax outputs.

    Returns
    -------
    temperature : float or None
        In [`LOWEST`, `HIGHEST`]; None where these images decide none.
    reason : str
        Why there is none; else empty.

    Raises
    ------
    ValueError
        If labels and probabilities do not fit, or there is no image.
    """
    labels, table = judged(labels, probabilities)
    if len(np.unique(labels)) == 1:
        return None, "all validation images are of one class"
    logits = _logits(table)
    true = logits[np.arange(len(labels)), labels].mean()

    def slope(log_inverse: float) -> float:
        # Of the loss by 1 / T, which grows with 1 / T: the loss is convex in it.
        chances = np.exp(_log_softmax(logits * np.exp(log_inverse)))
        return float((chances * logits).sum(axis=1).mean() - true)

    low, high = -np.log(HIGHEST), -np.log(LOWEST)
    if slope(low) >= 0:
        return None, f"the best one lies above {HIGHEST:g}"
    if slope(high) <= 0:
        right = (table.argmax(axis=1) == labels).all()
        why = "no validation image is wrong" if right else f"the best one lies below {LOWEST:g}"
        return None, why
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return float(np.exp(-(low + high) / 2)), ""


def _logits(table: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(table, _TINY))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
