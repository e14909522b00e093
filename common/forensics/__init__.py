"""Whether printed numbers can be: python -m common.forensics numbers.csv, for any paper.

A share of n images is k/n with a whole k; all scores of two classes follow from four counts; means
keep within what their parts allow. Each number is judged by every arithmetic that what is known of
it allows, exactly. Where a search would be too large, or more would have to be known, nothing is
called impossible.

rounding -> scores, means -> binary; cells -> reading -> finding -> shares, readings -> groups ->
half, witness -> bounds, beside -> across, equals -> judge -> show

>>> import pandas as pd
>>> from common import forensics
>>> table = pd.DataFrame(
...     [("accuracy", "99.03"), ("per_class.benign.precision", "98.53"),
...      ("per_class.benign.recall", "98.40"), ("per_class.benign.f1", "98.46")],
...     columns=["metrics_key", "printed"],
... ).assign(unit="percent", n_test=2373, classes="benign; malignant")
>>> print(forensics.judged(table)["counts"][1])
(736, 12, 11, 1614) (737, 12, 11, 1613)
"""

from common.forensics.binary import Fits, matrices
from common.forensics.finding import RULES, VERDICTS, Finding
from common.forensics.judge import ADDED, findings, judged, with_verdicts
from common.forensics.means import f1_range, grimmer
from common.forensics.reading import COLUMNS, Number, numbers, of_paper, read, table_of
from common.forensics.rounding import Printed, printed, recover_count, rounds_to
from common.forensics.scores import Matrix, score

__all__ = [
    "ADDED",
    "COLUMNS",
    "RULES",
    "VERDICTS",
    "Finding",
    "Fits",
    "Matrix",
    "Number",
    "Printed",
    "f1_range",
    "findings",
    "grimmer",
    "judged",
    "matrices",
    "numbers",
    "of_paper",
    "printed",
    "read",
    "recover_count",
    "rounds_to",
    "score",
    "table_of",
    "with_verdicts",
]
