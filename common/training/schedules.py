"""Schedules that follow the validation loss, and that a killed run takes up where it was.

Keras' own ReduceLROnPlateau and EarlyStopping keep their counters in memory and forget them; these
work them out from the validation losses so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.backend import keras


class Plateau(keras.callbacks.Callback):
    """Halve the learning rate after `patience` epochs without a lower validation loss.

    Parameters
    ----------
    history : sequence of mapping
        Epochs trained before this start, with their `val_loss` (`common.training.trained`).
    start, end : float
        First and smallest learning rate.
    patience : int
        In epochs.
    """

    def __init__(
        self, history: Sequence[Mapping[str, float]], start: float, end: float, patience: int = 2
    ):
        super().__init__()
        self.losses = [row["val_loss"] for row in history]
        self.start, self.end, self.patience = start, end, patience

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Set the rate for this epoch.

        Parameters
        ----------
        epoch : int
            From 0.
        logs : dict, optional
            Keras'; not used.
        """
        self.model.optimizer.learning_rate = self.rate(self.losses)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Count this epoch in.

        Parameters
        ----------
        epoch : int
            From 0.
        logs : mapping
            With `val_loss`.
        """
        self.losses.append((logs or {})["val_loss"])

    def rate(self, losses: Sequence[float]) -> float:
        """Learning rate after epochs with these validation losses.

        Parameters
        ----------
        losses : sequence of float
        """
        rate, best, waited = self.start, float("inf"), 0
        for loss in losses:
            waited = 0 if loss < best else waited + 1
            best = min(best, loss)
            if waited == self.patience:
                rate, waited = max(rate / 2, self.end), 0
        return rate


class EarlyStopping(keras.callbacks.Callback):
    """End the training after `patience` epochs without a lower validation loss.

    Parameters
    ----------
    history : sequence of mapping
        Epochs trained before this start, with their `val_loss` (`common.training.trained`).
    patience : int
        In epochs.
    """

    def __init__(self, history: Sequence[Mapping[str, float]], patience: int):
        super().__init__()
        self.losses = [row["val_loss"] for row in history]
        self.patience = patience

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Count this epoch in, and stop when it was one too many.

        Parameters
        ----------
        epoch : int
            From 0.
        logs : mapping
            With `val_loss`.
        """
        self.losses.append((logs or {})["val_loss"])
        if exhausted(self.losses, self.patience):
            self.model.stop_training = True


def exhausted(losses: Sequence[float], patience: int) -> bool:
    """Whether the last `patience` validation losses are all no lower than the lowest before.

    Parameters
    ----------
    losses : sequence of float
    patience : int
        In epochs.
    """
    losses = list(losses)
    return len(losses) - losses.index(min(losses)) > patience if losses else False
