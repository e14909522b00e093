"""Seeds, fitting and exact resume.

`fit` takes a compiled model: optimizer, loss and schedule belong to the paper. A training that is
killed, at any moment, goes on from its last whole epoch and ends with the same predictions.
"""

from common.training.checkpoint import Checkpoint, trained, trained_epochs
from common.training.fitting import HISTORY, SECOND, Fitted, adopt, fit, preference
from common.training.schedules import EarlyStopping, Plateau, exhausted
from common.training.settings import accuracy, set_seed

__all__ = [
    "HISTORY",
    "SECOND",
    "Checkpoint",
    "EarlyStopping",
    "Fitted",
    "Plateau",
    "accuracy",
    "adopt",
    "exhausted",
    "fit",
    "preference",
    "set_seed",
    "trained",
    "trained_epochs",
]
