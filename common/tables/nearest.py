"""What an impossible number would have to be, as `common.forensics` finds it."""

from __future__ import annotations

from collections.abc import Sequence

from common import forensics


def nearest(package: str, wrong: Sequence[bool]) -> list[str]:
    """Nearest possible value of every printed number that is impossible.

    Parameters
    ----------
    package : str
        Name of the paper's package.
    wrong : sequence of bool
        Of the numbers of its published.csv, in order: whether it is impossible.

    Returns
    -------
    list of str
        ``95.00``: that which, if all others are right, comes nearest to the printed one; ``81 with
        TN 47`` of one that may stay as it is if that other one is changed; "" of what is possible,
        and where none is known.
    """
    if not any(wrong):
        return [""] * len(wrong)
    numbers = forensics.numbers(forensics.of_paper(package), package)
    found = [each for each in forensics.findings(numbers, package) if each.possible is False]
    return [_nearest(line, numbers, found) if bad else "" for line, bad in enumerate(wrong)]


def _nearest(
    line: int, numbers: Sequence[forensics.Number], found: Sequence[forensics.Finding]
) -> str:
    own = [each for each in found if line in each.lines]
    mine = [each.repairs[line] for each in own if each.repairs.get(line)]
    printed = numbers[line].printed
    if mine:
        return min(mine, key=lambda text: abs(float(text) - float(printed.text)))
    for each in own:
        others = [f"{numbers[at].score.upper()} {to}" for at, to in each.repairs.items() if to]
        if others:
            return f"{printed.text} with {' or '.join(others)}"
    return ""
