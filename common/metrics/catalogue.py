"""Every score: its place in metrics.json, what it is called, how it is shown, how it is computed.

To add a metric, write its function and one `Score`:

- A score of the whole test set goes into `SCORES`. If a confusion matrix is enough for it, write
  ``from_matrix``, in `common.metrics.counts`, so that it takes many matrices at once: it gets a
  bootstrap interval. Else write ``from_images``.
- A score of each class against the rest goes into `PER_CLASS`; its mean over the classes follows
  under the same key with ``_macro``.

`compute` writes it to metrics.json; `evaluation.summary`, the report and every page that asks
`common.metrics.shown` print it. The order here is the order in metrics.json.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from common.metrics.counts import (
    accuracy,
    balanced_accuracy,
    f1,
    fpr,
    kappa,
    mcc,
    precision,
    ratio,
    recall,
    tnr,
    two_by_two,
)
from common.metrics.groups import patient_recognition_rate
from common.metrics.probabilities import auc_of, brier, ece, log_loss

CALIBRATION = "calibration"
"""Line of the scores that say how far the probabilities can be believed."""


class Counts(NamedTuple):
    """Counts of a test set, or of many bootstrap samples of it at once."""

    matrix: np.ndarray
    """(..., K, K), true classes in rows."""
    tp_at_half: np.ndarray
    """(...), images whose true class has a probability above one half."""
    above_half: np.ndarray
    """(...), probabilities above one half."""


class Images(NamedTuple):
    """The images of a test set, one by one."""

    labels: np.ndarray
    """int64 (n,), true class numbers."""
    probabilities: np.ndarray
    """float64 (n, K)."""
    correct: np.ndarray
    """bool (n,), which have their label predicted."""
    matrix: np.ndarray
    """int64 (K, K), their confusion matrix."""
    cases: np.ndarray | None
    """str (n,), patients; None unless all are known."""
    positive: int | None
    """Number of the positive class; None without one."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One score.

    Attributes
    ----------
    key : str
        Its path in metrics.json; ``{positive_class}`` stands for that class's name. An entry
        without a function is a number that another entry writes.
    title : str
        What it is called on a page.
    meaning : str
        What it is, in a few words. Keys of metrics.json in braces are filled in, and
        ``{of_positive}``, the positive class after a comma.
    line : str, optional
        Scores with the same one stand together, in one line of the summary. Unset, it stands in
        metrics.json and in no list; of a score per class, it is a column of the table of classes.
    short : str
        What it is called within its line, where the line has several scores.
    aside : str
        What its line says in parentheses, filled in as `meaning` is.
    percent : bool
        Whether it is shown as a percentage; else as a plain number.
    decimals : int
        How many are shown.
    applies : {"always", "two classes", "patients", "per class"}
        To what it applies: every test set; two classes of which one is positive; known patients;
        each class against the rest. Where it does not apply it is null, and not shown.
    k_of_n : (str, str), optional
        Keys of the two counts that a proportion is made of; they stand before it.
    facts : tuple of str
        Keys that say what the value is of; they stand after it.
    interval : str, optional
        Path of its interval in `intervals`, where that is another one than `key`.
    mean_line : str, optional
        Of a score per class: the `line` of its mean over the classes.
    mean_of : str, optional
        Key of the score per class whose mean over the classes it is.
    from_matrix : callable, optional
        Confusion matrices (..., K, K) to values (...), or (..., K) for a score per class.
    from_counts : callable, optional
        `Counts` to values (...).
    from_images : callable, optional
        `Images` to a float, or None where it is not defined. It gets no interval.
    """

    key: str
    title: str
    meaning: str
    line: str | None = None
    short: str = ""
    aside: str = ""
    percent: bool = True
    decimals: int = 2
    applies: Literal["always", "two classes", "patients", "per class"] = "always"
    k_of_n: tuple[str, str] | None = None
    facts: tuple[str, ...] = ()
    interval: str | None = None
    mean_line: str | None = None
    mean_of: str | None = None
    from_matrix: Callable[[np.ndarray], np.ndarray] | None = None
    from_counts: Callable[[Counts], np.ndarray] | None = None
    from_images: Callable[[Images], float | None] | None = None

    def text(self, value: float | None) -> str:
        """Write a value as it is shown.

        Parameters
        ----------
        value : float or None
            A fraction where `percent` is set.

        Returns
        -------
        str
            With its sign of percent; a dash where it is undefined.
        """
        if value is None:
            return "–"
        return (
            f"{100 * value:.{self.decimals}f} %" if self.percent else f"{value:.{self.decimals}f}"
        )


PER_CLASS = (
    Score(
        key="precision",
        title="Precision",
        short="precision",
        meaning="share of the images predicted as the class that are of it",
        line="classes",
        mean_line="macro averages",
        applies="per class",
        from_matrix=precision,
    ),
    Score(
        key="recall",
        title="Recall",
        short="recall",
        meaning="share of the images of the class that are predicted as it",
        line="classes",
        mean_line="macro averages",
        applies="per class",
        from_matrix=recall,
    ),
    Score(
        key="fpr",
        title="False positive rate",
        short="false positive rate",
        meaning="share of the other images that are predicted as the class",
        applies="per class",
        from_matrix=fpr,
    ),
    Score(
        key="tnr",
        title="Specificity",
        short="specificity",
        meaning="share of the other images that are not predicted as the class",
        line="classes",
        applies="per class",
        from_matrix=tnr,
    ),
    Score(
        key="f1",
        title="F1",
        short="F1",
        meaning="harmonic mean of precision and recall",
        line="classes",
        mean_line="macro averages",
        applies="per class",
        from_matrix=f1,
    ),
    Score(
        key="kappa",
        title="Cohen’s kappa",
        short="kappa",
        meaning="agreement beyond chance",
        percent=False,
        decimals=3,
        applies="per class",
        from_matrix=lambda matrix: kappa(two_by_two(matrix)),
    ),
    Score(
        key="mcc",
        title="Matthews correlation",
        short="MCC",
        meaning="of labels and predictions",
        percent=False,
        decimals=3,
        applies="per class",
        from_matrix=lambda matrix: mcc(two_by_two(matrix)),
    ),
)
"""Scores of each class against the rest, at ``per_class.<class>.<key>`` in metrics.json."""


def _mean(score: Score) -> Score:
    """Entry of the mean of a score per class."""
    return Score(
        key=f"{score.key}_macro",
        title=f"Macro {score.short}",
        short=score.short,
        meaning="mean over the classes",
        line=score.mean_line,
        percent=score.percent,
        decimals=score.decimals,
        mean_of=score.key,
    )


SCORES = (
    Score(
        key="accuracy",
        title="Accuracy",
        meaning="share of the images that are right",
        line="accuracy",
        k_of_n=("correct", "n"),
        from_matrix=accuracy,
    ),
    Score(
        key="patient_recognition_rate",
        title="Patient recognition rate",
        meaning="mean over {n_patients} patients (cases) of the share of their images right, "
        "magnifications together",
        line="patient rate",
        aside="over cases, magnifications together",
        applies="patients",
        from_images=lambda images: (
            None if images.cases is None else patient_recognition_rate(images.correct, images.cases)
        ),
    ),
    Score(
        key="balanced_accuracy",
        title="Balanced accuracy",
        meaning="mean recall of the classes",
        line="balanced accuracy",
        from_matrix=balanced_accuracy,
    ),
    Score(
        key="per_class.{positive_class}.recall",
        title="Sensitivity",
        meaning="recall of {positive_class}",
        line="sensitivity",
        applies="two classes",
    ),
    # Those that are listed first, as metrics.json has always had them.
    *(_mean(score) for score in PER_CLASS if score.mean_line is not None),
    *(_mean(score) for score in PER_CLASS if score.mean_line is None),
    Score(
        key="precision_micro_at_half",
        title="Precision above 0.5",
        short="precision",
        meaning="pooled over classes, probabilities above 0.5 only",
        line="above 0.5, pooled",
        k_of_n=("tp_at_half", "above_half"),
        from_counts=lambda counts: ratio(counts.tp_at_half, counts.above_half),
    ),
    Score(
        key="recall_micro_at_half",
        title="Recall above 0.5",
        short="recall",
        meaning="pooled over classes, probabilities above 0.5 only",
        line="above 0.5, pooled",
        k_of_n=("tp_at_half", "n"),
        from_counts=lambda counts: ratio(counts.tp_at_half, counts.matrix.sum(axis=(-2, -1))),
    ),
    Score(
        key="kappa",
        title="Cohen’s kappa",
        meaning="agreement beyond chance",
        line="kappa, MCC",
        percent=False,
        decimals=3,
        from_matrix=kappa,
    ),
    Score(
        key="mcc",
        title="Matthews correlation",
        meaning="of labels and predictions",
        line="kappa, MCC",
        percent=False,
        decimals=3,
        from_matrix=mcc,
    ),
    Score(
        key="auc",
        title="Area under the ROC curve",
        meaning="{auc_kind}{of_positive}",
        line="AUC",
        aside="{auc_kind}{of_positive}",
        percent=False,
        decimals=4,
        facts=("auc_kind", "positive_class"),
        from_images=lambda images: auc_of(images.labels, images.probabilities, images.positive)[0],
    ),
    Score(
        key="specificity",
        title="Specificity",
        short="specificity",
        meaning="recall of the other class",
        line="sensitivity",
        aside="positive: {positive_class}",
        applies="two classes",
        interval="per_class.{positive_class}.tnr",
        from_images=lambda images: (
            None if images.positive is None else float(tnr(images.matrix)[images.positive])
        ),
    ),
    Score(
        key="ece",
        title="Expected calibration error",
        short="ECE",
        meaning="mean distance of accuracy and confidence",
        line=CALIBRATION,
        percent=False,
        decimals=3,
        from_images=lambda images: ece(images.labels, images.probabilities),
    ),
    Score(
        key="brier",
        title="Brier score",
        short="Brier",
        meaning="mean squared error of the probabilities, 0 to 2",
        line=CALIBRATION,
        percent=False,
        decimals=3,
        from_images=lambda images: brier(images.labels, images.probabilities),
    ),
    Score(
        key="log_loss",
        title="Log loss",
        short="log loss",
        meaning="mean negative logarithm of the true class's probability",
        line=CALIBRATION,
        percent=False,
        decimals=3,
        from_images=lambda images: log_loss(images.labels, images.probabilities),
    ),
)
"""Scores of a whole test set, and of each magnification."""


def class_scores(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of each class against the rest.

    Parameters
    ----------
    matrix : array (..., K, K)
        Confusion matrices, true classes in rows.

    Returns
    -------
    dict of float arrays (..., K)
        ``precision, recall, fpr, tnr, f1, kappa, mcc``.
    """
    return {
        score.key: score.from_matrix(matrix) for score in PER_CLASS if score.from_matrix is not None
    }
