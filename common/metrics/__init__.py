"""Classification metrics from predictions alone: pure NumPy, no model and no images.

Everything here is a fraction, never a percentage. Conventions, the same throughout:

- `labels` and `predicted` are class numbers; a confusion matrix has true classes in its rows.
- The predicted class is the largest probability; among equal ones, the first class.
- What has nothing to be divided by is not defined: NaN in an array, null in metrics.json, where
  ``reasons`` says why. So it is with the recall, precision and F1 of a class without a test image,
  with specificity where no other class has one, with kappa, MCC and AUC of a single class.
- A class that occurs and is never predicted has precision and F1 0 (scikit-learn's
  ``zero_division=0``); where all predictions are one class, MCC and kappa are 0.
- Macro averages, balanced accuracy among them, run over the classes that occur in the labels, AUC
  over those with positives and negatives. So a class absent from a small test set lowers no
  average; it is still listed, with support 0.
- Intervals over patients leave each of them out once; over images they are the bootstrap's, whose
  samples without a class that a score rests on are left out. There is none where a single patient
  stands for that class.

A metric is added in two places: its function, and one entry in `common.metrics.catalogue`.

``python -m common.metrics recompute RUN`` and ``python -m common.metrics compare RUN RUN`` work on
finished run folders.
"""

from common.metrics.catalogue import class_scores
from common.metrics.contents import compute, per_class
from common.metrics.counts import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    f1,
    kappa,
    macro,
    mcc,
    one_vs_rest,
    precision,
    recall,
)
from common.metrics.groups import (
    case_table,
    patient_recognition_rate,
    per_patient,
    rates_by_folder,
    roc_by_magnification,
)
from common.metrics.intervals import (
    LEVEL,
    REPLICATES,
    Draws,
    clopper_pearson,
    draw,
    percentile_interval,
    resample,
)
from common.metrics.jackknife import jackknife_interval, without_each
from common.metrics.pairs import compare, difference_interval, mcnemar
from common.metrics.probabilities import (
    BINS,
    THRESHOLD,
    auc,
    auc_of,
    brier,
    ece,
    log_loss,
    micro_at_half,
    reliability,
    roc_curve,
)
from common.metrics.selective import (
    COVERAGE,
    RISK,
    aurc,
    coverage_at_risk,
    error_at_coverage,
    risk_coverage,
    threshold_at_risk,
)
from common.metrics.stored import read_scores
from common.predictions import correct, predicted_classes

__all__ = [
    "BINS",
    "COVERAGE",
    "LEVEL",
    "REPLICATES",
    "RISK",
    "THRESHOLD",
    "Draws",
    "accuracy",
    "auc",
    "auc_of",
    "aurc",
    "balanced_accuracy",
    "brier",
    "case_table",
    "class_scores",
    "clopper_pearson",
    "compare",
    "compute",
    "confusion_matrix",
    "correct",
    "coverage_at_risk",
    "difference_interval",
    "draw",
    "ece",
    "error_at_coverage",
    "f1",
    "jackknife_interval",
    "kappa",
    "log_loss",
    "macro",
    "mcc",
    "mcnemar",
    "micro_at_half",
    "one_vs_rest",
    "patient_recognition_rate",
    "per_class",
    "per_patient",
    "percentile_interval",
    "precision",
    "predicted_classes",
    "rates_by_folder",
    "read_scores",
    "recall",
    "reliability",
    "resample",
    "risk_coverage",
    "roc_by_magnification",
    "roc_curve",
    "threshold_at_risk",
    "without_each",
]
