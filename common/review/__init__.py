"""One page about any study, from what there is of it: python -m common.review.

Printed numbers, a split, predictions and images are each looked at alone, and beside the others:
whether the numbers can be, whether parts share patients or copies, what the predictions are worth
over patients and whether they give the numbers. What files cannot show becomes a question.

finding, names -> predicted -> reading, judged -> agreement; parts -> together, pictures;
numbers, gaps -> making -> show
"""

from common.review.finding import LEVELS, TOPICS, Finding
from common.review.judged import resolvable
from common.review.making import Review, review
from common.review.show import content, text

__all__ = ["LEVELS", "TOPICS", "Finding", "Review", "content", "resolvable", "review", "text"]
