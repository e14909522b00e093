"""How numbers and settings look on the page."""

from __future__ import annotations

from typing import Any, TypeGuard

from common.metrics.shown import Shown

UNKNOWN = "–"


def known(value: Any) -> TypeGuard[float]:
    """Whether a value from a file is a number.

    Parameters
    ----------
    value : object
        Anything; booleans count as 0 and 1.

    Returns
    -------
    bool
        False for None, NaN and text.
    """
    return isinstance(value, (int, float)) and value == value


def percent(value: Any, decimals: int = 2) -> str:
    """Write a share.

    Parameters
    ----------
    value : float
        A fraction.
    decimals : int
        Of the percentage.

    Returns
    -------
    str
        A dash if it is unknown; the space before the sign breaks no line.
    """
    return f"{100 * value:.{decimals}f}\xa0%" if known(value) else UNKNOWN


def number(value: Any, decimals: int = 3) -> str:
    """Write a number with a real minus sign.

    Parameters
    ----------
    value : float
        Any number.
    decimals : int
        How many are shown.

    Returns
    -------
    str
        A dash if it is unknown.
    """
    return f"{value:.{decimals}f}".replace("-", "−") if known(value) else UNKNOWN


def signed(value: float, decimals: int) -> str:
    """Write a difference with its sign.

    Parameters
    ----------
    value : float
        Any number.
    decimals : int
        How many are shown.

    Returns
    -------
    str
        With a real minus sign; what rounds to 0 has a plus.
    """
    return f"{round(value, decimals) + 0.0:+.{decimals}f}".replace("-", "−")


def score(shown: Shown) -> str:
    """Write a score as the catalogue says.

    Parameters
    ----------
    shown : Shown
        A score with its value.

    Returns
    -------
    str
        A percentage or a number; a dash if it is unknown.
    """
    write = percent if shown.score.percent else number
    return write(shown.value, shown.score.decimals)


def interval(shown: Shown) -> str:
    """Write a score's interval in the score's unit.

    Parameters
    ----------
    shown : Shown
        A score with its interval.

    Returns
    -------
    str
        Percentages to one decimal, numbers to the score's; a dash if there is none.
    """
    if shown.interval is None:
        return UNKNOWN
    low, high = shown.interval
    if shown.score.percent:
        return f"{100 * low:.1f}–{percent(high, 1)}"
    between = "–" if low >= 0 else " to "  # no dash beside a minus
    return f"{number(low, shown.score.decimals)}{between}{number(high, shown.score.decimals)}"


def count(value: Any) -> str:
    """Write a count with commas between the thousands.

    Parameters
    ----------
    value : int
        Of images, patients and the like.

    Returns
    -------
    str
        A dash if it is no whole number.
    """
    return f"{value:,}" if isinstance(value, int) else UNKNOWN


def size(length: int) -> str:
    """Write the size of a file.

    Parameters
    ----------
    length : int
        Bytes.

    Returns
    -------
    str
        In bytes, kB or MB (powers of 1000).
    """
    if length < 1000:
        return f"{length} bytes"
    return f"{length / 1e3:.1f} kB" if length < 1e6 else f"{length / 1e6:.1f} MB"


def value(setting: Any) -> str:
    """Write a setting as a person would: no quotes around names, no brackets around lists.

    Parameters
    ----------
    setting : object
        As JSON gives it.

    Returns
    -------
    str
        None and empty lists are `none`; true and false `yes` and `no`.
    """
    if setting is None:
        return "none"
    if isinstance(setting, bool):
        return "yes" if setting else "no"
    if isinstance(setting, float):
        return f"{setting:g}"
    if isinstance(setting, (list, tuple)):
        return ", ".join(map(value, setting)) or "none"
    return str(setting)


def plural(amount: int, noun: str) -> str:
    """Write a count with its noun.

    Parameters
    ----------
    amount : int
        How many.
    noun : str
        In the singular; its plural ends in s.

    Returns
    -------
    str
        For example `1 image`, `1,200 images`.
    """
    return f"{amount:,} {noun}" + ("" if amount == 1 else "s")


def duration(seconds: Any) -> str:
    """Write how long something took.

    Parameters
    ----------
    seconds : float
        Any number from 0 on.

    Returns
    -------
    str
        The two largest of hours, minutes and seconds; a dash if it is unknown.
    """
    if not known(seconds):
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
