"""Tukey's honestly significant difference of groups of any sizes.

`scipy.stats.tukey_hsd` gives the same. To import it would take a quarter of what a comparison of
250 runs takes, so that its distribution is integrated here.

References
----------
J. W. Tukey, "Comparing individual means in the analysis of variance", 1949; C. Y. Kramer,
"Extension of multiple range tests to group means with unequal numbers of replications", 1956.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

_FAR = 40.0
"""Where a density is exp(-40) of its peak, nothing is left of it."""


class StudentizedRange:
    """Range of k normal means, over their standard error, which is estimated too.

    Parameters
    ----------
    k : int
        Means, at least 2.
    df : int
        Degrees of freedom of the estimate, at least 1.

    Notes
    -----
    Both integrals, over the least mean and over the logarithm of the estimate, are sums over even
    steps: what is integrated is smooth and vanishes at both ends, where these converge at once.
    """

    def __init__(self, k: int, df: int):
        low = -math.sqrt(_FAR / df) - _FAR / df
        high = min(math.sqrt(_FAR / df), 0.5 * math.log(1 + 2 * _FAR / df) + 1)
        logs, step = np.linspace(low, high, max(64, math.ceil((high - low) / 0.1)), retstep=True)
        peak = math.log(2) + df / 2 * math.log(df / 2) - math.lgamma(df / 2) - df / 2
        self._s = np.exp(logs)
        self._of_s = step * np.exp(peak + df * (logs - (self._s**2 - 1) / 2))
        self._z, step = np.linspace(-9, 9, 128, retstep=True)
        self._of_z = step * k * np.exp(-(self._z**2) / 2) / math.sqrt(2 * math.pi)
        self._below = _normal(self._z)
        self._k = k

    def cdf(self, q: float) -> float:
        """Probability of at most `q`.

        Parameters
        ----------
        q : float
            At least 0.
        """
        if math.isinf(q):
            return 1.0
        within = _normal(self._z + q * self._s[:, None]) - self._below
        return min(1.0, float(self._of_s @ within ** (self._k - 1) @ self._of_z))

    def quantile(self, level: float) -> float:
        """What is not exceeded with a probability of `level`.

        Parameters
        ----------
        level : float
            In (0, 1).
        """
        a, b = 0.0, 2.0
        of_a, of_b = -level, self.cdf(b) - level
        while of_b < 0:
            a, of_a, b = b, of_b, 2 * b
            of_b = self.cdf(b) - level
        for _ in range(100):  # false position, as the Illinois algorithm mends it
            q = (a * of_b - b * of_a) / (of_b - of_a)
            of_q = self.cdf(q) - level
            if abs(of_q) < 1e-13:
                break
            if of_q * of_b < 0:
                a, of_a = b, of_b
            else:
                of_a /= 2
            b, of_b = q, of_q
        return q


def _normal(x: np.ndarray) -> np.ndarray:
    """Distribution function of the standard normal."""
    scaled = (x / -math.sqrt(2)).ravel().tolist()
    return np.fromiter(map(math.erfc, scaled), float, len(scaled)).reshape(x.shape) / 2


def pairs(
    groups: Sequence[np.ndarray], level: float
) -> list[tuple[int, int, float, float, float, float]]:
    """Compare the means of groups pairwise, adjusted for the number of pairs.

    Parameters
    ----------
    groups : sequence of float array
        At least two, each of at least two values.
    level : float
        Of the simultaneous intervals, in (0, 1).

    Returns
    -------
    list of (a, b, difference, low, high, p)
        Numbers of two groups, a < b; mean of a minus mean of b, its interval, and p.
    """
    sizes = [len(each) for each in groups]
    means = [float(np.mean(each)) for each in groups]
    df = sum(sizes) - len(groups)
    within = sum(float(np.var(each, ddof=1)) * (len(each) - 1) for each in groups) / df
    known = StudentizedRange(len(groups), df)
    radius = known.quantile(level)
    found = []
    for b, a in itertools.product(range(len(groups)), repeat=2):
        if a >= b:
            continue
        difference = means[a] - means[b]
        error = math.sqrt((1 / sizes[a] + 1 / sizes[b]) * within / 2)
        # Of values that do not scatter every difference is one.
        far = abs(difference) / error if error else math.inf if difference else 0.0
        low, high = difference - radius * error, difference + radius * error
        found.append((a, b, difference, low, high, 1 - known.cdf(far)))
    return found
