"""How the training went: the learning curves and the epoch whose weights were kept."""

from __future__ import annotations

from typing import Any

import pandas as pd

from common.report import pictures
from common.report.files import RunFiles
from common.report.words import known, number

COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
"""Of history.csv, as far as it has them."""


def curves(files: RunFiles) -> dict[str, Any] | None:
    """Draw the learning curves, and list them.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None without history.csv.
    """
    history = files.history
    if history is None:
        return None
    columns = [name for name in COLUMNS if name in history]
    figure = files.charts.learning_curves(history, files.kept_epoch)
    return {
        "picture": pictures.draw(files, "learning_curves", figure, _in_words(history, files)),
        "columns": [name.replace("val_", "validation ").replace("_", " ") for name in columns],
        "rows": [
            [_cell(name, value) for name, value in zip(columns, values, strict=True)]
            for values in history[columns].to_numpy(dtype=float).tolist()
        ],
    }


def _in_words(history: pd.DataFrame, files: RunFiles) -> str:
    last, best = history.iloc[-1], files.kept_epoch
    text = (
        f"Loss and accuracy over {len(history)} epochs. At the end, training loss "
        f"{last['loss']:.3f} and accuracy {last['accuracy']:.3f}"
    )
    if known(last.get("val_loss")):
        text += f", validation loss {last['val_loss']:.3f} and accuracy {last['val_accuracy']:.3f}"
    kept = history[history["epoch"] == best] if "val_accuracy" in history else history.iloc[:0]
    if len(kept) and known(float(kept["val_accuracy"].iloc[0])):
        text += (
            f". The weights of epoch {best} were kept, at validation accuracy "
            f"{kept['val_accuracy'].iloc[0]:.3f}"
        )
    return f"{text}."


def _cell(name: str, value: float) -> str:
    if name == "epoch":
        return f"{value:.0f}"
    return f"{value:.3g}" if name == "learning_rate" else number(value, 4)
