"""What a review says: each fault, doubt and question, in words."""

from __future__ import annotations

from dataclasses import dataclass

from common.errors import many

LEVELS = {
    "wrong": "cannot be right as it stands",
    "doubt": "may be right, and needs a word",
    "told": "worth knowing",
}
"""How sure a finding is, the surest first."""

TOPICS = {
    "numbers": "the printed numbers",
    "split": "the split",
    "predictions": "the predictions",
    "together": "the files beside each other",
    "images": "the images",
}
"""What a finding is about."""


@dataclass(frozen=True)
class Finding:
    """One thing that a review says.

    Attributes
    ----------
    level : str
        Of `LEVELS`.
    topic : str
        Of `TOPICS`.
    rule : str
        Name of what was looked at: the same for the same kind of finding.
    what : str
        What was found, with its numbers.
    shown : str
        Names, lines or sums that show it.
    question : str
        What to ask the authors; "" where there is nothing to ask.
    """

    level: str
    topic: str
    rule: str
    what: str
    shown: str = ""
    question: str = ""


def of_all(amount: int, total: int, noun: str = "image") -> str:
    """Write an amount out of a total, with its share.

    Parameters
    ----------
    amount, total : int
    noun : str
        In the singular.
    """
    share = f" ({100 * amount / total:.1f} %)" if total else ""
    return f"{amount} of {many(total, noun)}{share}"
