"""A printed number as what it may stand for: the exact values that round to it, or are cut to it.

Halves count either way (half-up and half-even are both rounding), so the interval is closed.
Everything is a `Fraction` where rounding decides: no floating point, no slack.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

SLACK = 1e-9
"""Beyond half a unit of the last digit: what floating point may add to a tie in `rounds_to`."""

ONE = Fraction(1)
ZERO = Fraction(0)


@dataclass(frozen=True)
class Printed:
    """A number as it is printed.

    Attributes
    ----------
    text : str
        As it stands there.
    decimals : int
        Digits after the point.
    scale : int
        What 1 is printed as: 100 for percent, else 1.
    """

    text: str
    decimals: int
    scale: int = 1

    @property
    def value(self) -> Fraction:
        """The number, in terms of 1."""
        return Fraction(self.text) / self.scale

    @property
    def unit(self) -> Fraction:
        """One unit of the last digit, in terms of 1."""
        return Fraction(1, 10**self.decimals * self.scale)

    @property
    def low(self) -> Fraction:
        """Least exact value that rounds to it."""
        return self.value - self.unit / 2

    @property
    def high(self) -> Fraction:
        """Largest exact value that rounds to it."""
        return self.value + self.unit / 2

    def holds(self, exact: Fraction) -> bool:
        """Whether an exact value rounds to it.

        Parameters
        ----------
        exact : Fraction
            In terms of 1.
        """
        return self.low <= exact <= self.high

    def cut_holds(self, exact: Fraction) -> bool:
        """Whether an exact value is cut to it, towards zero.

        Parameters
        ----------
        exact : Fraction
            In terms of 1.
        """
        away = abs(exact) - abs(self.value)
        return exact * self.value >= 0 and 0 <= away < self.unit

    def counts(self, n: int) -> range:
        """Whole numbers k for which k/n rounds to it, 0 <= k <= n.

        Parameters
        ----------
        n : int
            At least 1.
        """
        return range(max(0, math.ceil(self.low * n)), min(n, math.floor(self.high * n)) + 1)

    def said(self, exact: Fraction) -> str:
        """Give an exact value with the decimals and in the unit of this number, half up.

        Parameters
        ----------
        exact : Fraction
            In terms of 1.
        """
        return shown(exact * self.scale, self.decimals)


def printed(text: str, unit: str = "percent", decimals: int | None = None) -> Printed:
    """Make a `Printed` of text.

    Parameters
    ----------
    text : str
        As printed: ``97.30``.
    unit : str
        ``percent``, or anything else, in which 1 is 1.
    decimals : int, optional
        Default: as many as the text has.

    Returns
    -------
    Printed

    Examples
    --------
    >>> list(printed("93.91").counts(407))
    []
    >>> list(printed("93.86").counts(407))
    [382]
    """
    text = text.strip()
    if decimals is None:
        decimals = len(text.partition(".")[2])
    return Printed(text, decimals, 100 if unit == "percent" else 1)


def shown(value: Fraction, decimals: int) -> str:
    """Write an exact number with so many decimals, halves up.

    Parameters
    ----------
    value : Fraction
    decimals : int
    """
    power = 10**decimals
    whole = math.floor(abs(value) * power + Fraction(1, 2))
    sign = "-" if value < 0 and whole else ""
    if not decimals:
        return f"{sign}{whole}"
    return f"{sign}{whole // power}.{whole % power:0{decimals}}"


def nearest_counts(number: Printed, n: int) -> list[int]:
    """Give the one or two counts out of n whose shares are nearest to a number, below and above.

    Parameters
    ----------
    number : Printed
    n : int
        At least 1.

    Returns
    -------
    list of int
        In [0, n].
    """
    below = math.floor(number.value * n)
    return sorted({min(max(k, 0), n) for k in (below, below + 1)})


def recover_count(printed: str | float, decimals: int, n: int) -> int | None:
    """Count k for which k/n, in percent, rounds to the printed number; None if there is none.

    Numbers halfway between two roundings are accepted either way. With so many images that
    several counts fit, the nearest one is given.

    Parameters
    ----------
    printed : str or float
        The number as printed, in percent.
    decimals : int
        Its digits after the point.
    n : int
        Images it is a share of.

    Returns
    -------
    int or None
        In [0, n].

    References
    ----------
    Brown and Heathers, The GRIM test, 2017.
    """
    number = Printed(str(printed), decimals, 100)
    k = round(number.value * n)
    return k if 0 <= k <= n and n and number.holds(Fraction(k, n)) else None


def rounds_to(exact: float, printed: float, decimals: int) -> bool:
    """Whether an exact value may be printed so: half a unit of the last digit off is still it.

    Parameters
    ----------
    exact : float
        In the unit of `printed`.
    printed : float
        The printed number.
    decimals : int
        Its digits after the point.

    Returns
    -------
    bool
    """
    return abs(exact - printed) <= 0.5 * 10.0**-decimals + SLACK
