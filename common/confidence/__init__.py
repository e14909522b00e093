"""How sure a network may be taken to be: temperature, prediction sets, answers per patient.

Everything is chosen on validation images and judged on test images, from predictions alone; what
was chosen stands in the section ``confidence`` of metrics.json, and new images get it from there.

temperature -> probabilities that mean what they say
conformal -> sets of classes that hold the true one as often as asked, of new patients
patients -> one answer of each patient
section -> all of it, of one predictions.csv; stored -> the same, read again
"""

from common.confidence.conformal import (
    LEVEL,
    lac_scores,
    needed_patients,
    prediction_sets,
    quantile,
)
from common.confidence.patients import Patients, by_patient, threshold
from common.confidence.section import of_predictions
from common.confidence.stored import Kept, checked, kept, read
from common.confidence.temperature import HIGHEST, LOWEST, apply_temperature, fit_temperature

__all__ = [
    "HIGHEST", "LEVEL", "LOWEST", "Kept", "Patients", "apply_temperature", "by_patient", "checked",
    "fit_temperature", "kept", "lac_scores", "needed_patients", "of_predictions",
    "prediction_sets", "quantile", "read", "threshold",
]  # fmt: skip
