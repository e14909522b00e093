"""Every score: its place in metrics.json, what it is called, how it is shown, how it is computed.

To add a metric, write its function and one `Score`:

- A score of the whole test set goes into `SCORES`. If a confusion matrix is enough for it, write
  ``from_matrix``, in `common.metrics.counts`, so that it takes many matrices at once: it gets a
  bootstrap interval. Else write ``from_images``, and ``from_draws`` for the interval.
- A score of each class against the rest goes into `PER_CLASS`; its mean over the classes follows
  under the same key with ``_macro``.

`compute` writes it to metrics.json; `evaluation.summary`, the report and every page that asks
`common.metrics.shown` print it. The order here is the order in metrics.json.
"""

from __future__ import annotations

import numpy as np

from common.metrics import replicates
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
from common.metrics.probabilities import (
    LEAST,
    auc_of,
    brier,
    ece,
    log_loss,
    squared_errors,
    surprises,
)
from common.metrics.score import Images, Score
from common.metrics.selective import aurc, coverage_at_risk, error_at_coverage

CALIBRATION = "calibration"
"""Line of the scores that say how far the probabilities can be believed."""

ABSTAINING = "abstaining"
"""Line of the scores that say what remains wrong when only the surest images are answered."""

PER_CLASS = (
    Score(
        key="precision",
        title="Precision",
        short="precision",
        meaning="share of the images predicted as the class that are of it",
        line="classes",
        mean_line="macro averages",
        applies="per class",
        rests_on="class and others",
        share=("tp", "fp"),
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
        rests_on="class",
        share=("tp", "fn"),
        from_matrix=recall,
    ),
    Score(
        key="fpr",
        title="False positive rate",
        short="false positive rate",
        meaning="share of the other images that are predicted as the class",
        applies="per class",
        rests_on="others",
        share=("fp", "tn"),
        from_matrix=fpr,
    ),
    Score(
        key="tnr",
        title="Specificity",
        short="specificity",
        meaning="share of the other images that are not predicted as the class",
        line="classes",
        applies="per class",
        rests_on="others",
        share=("tn", "fp"),
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
        rests_on="class and others",
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
        rests_on="class and others",
        lowest=-1.0,
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
        rests_on="class and others",
        lowest=-1.0,
        from_matrix=lambda matrix: mcc(two_by_two(matrix)),
    ),
)
"""Scores of each class against the rest, at ``per_class.<class>.<key>`` in metrics.json."""


def _confidence(images: Images) -> np.ndarray:
    return images.probabilities.max(axis=1)


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
        lowest=score.lowest,
        highest=score.highest,
    )


SCORES = (
    Score(
        key="accuracy",
        title="Accuracy",
        meaning="share of the images that are right",
        line="accuracy",
        k_of_n=("correct", "n"),
        rests_on="images",
        from_matrix=accuracy,
    ),
    Score(
        key="patient_recognition_rate",
        title="Patient recognition rate",
        meaning="mean over the patients ({n_patients}) of the share of their images right, "
        "whatever the magnification",
        line="patient rate",
        aside="each patient counts once",
        applies="patients",
        rests_on="images",
        from_images=lambda images: (
            None if images.cases is None else patient_recognition_rate(images.correct, images.cases)
        ),
        from_draws=lambda images, draws: replicates.mean_of_units(images.correct, draws),
    ),
    Score(
        key="folder_recognition_rate",
        title="Official patient recognition rate",
        meaning="mean over {n_folders} slide folders of the share of their images right",
        line="official patient rate",
        applies="folders",
        facts=("n_folders",),
        rests_on="images",
        from_images=lambda images: (
            None
            if images.folders is None
            else patient_recognition_rate(images.correct, images.folders)
        ),
        from_draws=lambda images, draws: replicates.mean_of_groups(
            images.correct, np.asarray(images.folders), draws
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
        rests_on="images",
        from_counts=lambda counts: ratio(counts.tp_at_half, counts.above_half),
    ),
    Score(
        key="recall_micro_at_half",
        title="Recall above 0.5",
        short="recall",
        meaning="pooled over classes, probabilities above 0.5 only",
        line="above 0.5, pooled",
        k_of_n=("tp_at_half", "n"),
        rests_on="images",
        from_counts=lambda counts: ratio(counts.tp_at_half, counts.matrix.sum(axis=(-2, -1))),
    ),
    Score(
        key="kappa",
        title="Cohen’s kappa",
        meaning="agreement beyond chance",
        line="kappa, MCC",
        percent=False,
        decimals=3,
        lowest=-1.0,
        from_matrix=kappa,
    ),
    Score(
        key="mcc",
        title="Matthews correlation",
        meaning="of labels and predictions",
        line="kappa, MCC",
        percent=False,
        decimals=3,
        lowest=-1.0,
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
        from_draws=lambda images, draws: replicates.auc_of(
            images.labels, images.probabilities, images.positive, draws
        ),
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
        rests_on="images",
        # No interval: in bootstrap samples images repeat, and all look worse calibrated.
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
        rests_on="images",
        highest=2.0,
        from_images=lambda images: brier(images.labels, images.probabilities),
        from_draws=lambda images, draws: replicates.mean(
            squared_errors(images.labels, images.probabilities), draws
        ),
    ),
    Score(
        key="log_loss",
        title="Log loss",
        short="log loss",
        meaning="mean negative logarithm of the true class's probability",
        line=CALIBRATION,
        percent=False,
        decimals=3,
        rests_on="images",
        highest=np.inf,
        most=-np.log(LEAST),
        from_images=lambda images: log_loss(images.labels, images.probabilities),
        from_draws=lambda images, draws: replicates.mean(
            surprises(images.labels, images.probabilities), draws
        ),
    ),
    # No intervals: each sample would choose a threshold of its own. That of a threshold which was
    # chosen on other images stands in the section `confidence`.
    Score(
        key="aurc",
        title="Area under the risk-coverage curve",
        short="AURC",
        meaning="mean share of errors when only the surest images are answered, over all shares",
        line=ABSTAINING,
        percent=False,
        decimals=4,
        rests_on="images",
        from_images=lambda images: aurc(images.correct, _confidence(images)),
    ),
    Score(
        key="error_at_80_coverage",
        title="Error at 80 % coverage",
        short="error at 80 % coverage",
        meaning="share of errors among the 80 % of the images on which it is surest",
        line=ABSTAINING,
        rests_on="images",
        from_images=lambda images: error_at_coverage(images.correct, _confidence(images)),
    ),
    Score(
        key="coverage_at_5_error",
        title="Coverage at 5 % error",
        short="coverage at 5 % error",
        meaning="largest share of the images, the surest, of which at most 5 % are wrong",
        line=ABSTAINING,
        rests_on="images",
        from_images=lambda images: coverage_at_risk(images.correct, _confidence(images)),
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


def find(path: str) -> Score | None:
    """Entry of a score by its path in metrics.json, or in what it says of one magnification.

    Parameters
    ----------
    path : str
        For example ``per_class.benign.precision``.

    Returns
    -------
    Score or None
        None for what is no score: a count, an epoch, another program's number.
    """
    among, key = SCORES, path
    if path.startswith("per_class."):
        among, key = PER_CLASS, path.rpartition(".")[2]
    return next((score for score in among if score.key == key), None)
