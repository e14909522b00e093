"""The words with which a printed number is judged: a closed list, each with what it says."""

from __future__ import annotations

import re

VERDICTS = {
    "consistent": "the interval of the difference holds 0 and is at most 6 points wide; a count of "
    "parameters rounds to the printed one",
    "inconclusive": "the interval holds 0 and is wider, or there is none",
    "above": "ours is above the paper's: the interval leaves out 0",
    "below": "ours is below the paper's: the interval leaves out 0",
}
"""Judgements that answer whether the number was had again."""

ROUNDS, IMPOSSIBLE = "m of n rounds", "impossible as printed"
NOT_COMPARABLE, NOT_RUN = "not comparable", "not run"

JUDGEMENTS = VERDICTS | {
    ROUNDS: "the paper's number is a mean of n runs, of which m are done: judged when all are",
    IMPOSSIBLE: "no test images give the number, or not with what is printed beside it; the "
    "nearest possible one is named",
    NOT_COMPARABLE: "ours and the paper's do not measure the same, for exactly one reason",
    NOT_RUN: "nothing of ours is there",
}
"""All judgements: every printed number has exactly one."""

UNIT, OTHER_TEST_SET, QUOTED_TOTALS = "unit", "other test set", "quoted totals"
NO_TEST_SIZE, OTHER_DEVICE, NO_VALUE = "no test size", "other device", "no value"

REASONS = {
    UNIT: "it is no score of test images, or by which rule the paper measured is not known",
    OTHER_TEST_SET: "ours has another number of test images, or of images of the class",
    QUOTED_TOTALS: "a count out of a total that the paper quotes and that our test set has not",
    NO_TEST_SIZE: "on how many images the paper tested is not known",
    OTHER_DEVICE: "it was timed on another device than the paper's",
    NO_VALUE: "our runs have no such number, or it is not defined on their test images",
}
"""Why a number is not comparable; the first that applies, of device, unit, value, test size."""

OTHER_IMAGES = {
    "alike": "the interval of the difference holds 0 and is at most 6 points wide",
    "unclear": "the interval holds 0 and is wider, or there is none",
    "higher": "ours is higher: the interval leaves out 0",
    "lower": "ours is lower: the interval leaves out 0",
}
"""Second judgement, same task on other images: never a reproduction, never counted as one."""

_ROUNDS = re.compile(r"\d+ of \d+ rounds")


def judgement_of(status: str) -> str:
    """Word of `JUDGEMENTS` for what stands in a table.

    Parameters
    ----------
    status : str
        As there: ``2 of 5 rounds``.

    Returns
    -------
    str
    """
    return ROUNDS if _ROUNDS.fullmatch(status) else status
