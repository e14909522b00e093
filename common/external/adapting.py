"""What a lab would try where a network does less well, measured on images that it did not see.

Part of the other data adapts, whole patients where they are known; the rest is judged, before and
after. The network's weights are not trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import classification, confidence, evaluation, predictions, runs, splits
from common.errors import InputError
from common.metrics import compare

if TYPE_CHECKING:
    import keras
    import pandas as pd

METHODS = {
    "threshold": "the positive class is said from where on balanced accuracy is best",
    "temperature": "probabilities are made as sure as they should be; no answer changes",
    "batchnorm": "BatchNorm's statistics are taken of these images; no label is needed",
}
"""Ways to adapt, and what each does."""

KEPT = ("accuracy", "accuracy_ci", "balanced_accuracy", "auc", "ece", "log_loss", "intervals")
"""What of the metrics of each way is noted."""

_BATCH = 32


def adapt(
    run: runs.Run,
    judged: pd.DataFrame,
    paths: Sequence[Path],
    methods: Sequence[str],
    *,
    share: float,
    seed: int,
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Adapt a run to part of other data, and judge it on the rest.

    Parameters
    ----------
    run : Run
        A finished classifier.
    judged : DataFrame
        Its predictions of these data, all of the part "test".
    paths : sequence of Path
        The images' files, in that order.
    methods : sequence of str
        Keys of `METHODS`.
    share : float
        Of the images that adapt, as nearly as whole patients allow.
    seed : int
        Of the draw.

    Returns
    -------
    found : dict
        What adapted.json holds: `by` ("patient" or "image"), `share`, `seed`, `adapted` and
        `held_out` images, and `ways`: {`name`, `what`, `chosen`, `metrics`, `difference`,
        `difference_ci` of the accuracy}, the first of which is the run as it is; `failed` {way:
        why these images decide nothing}.
    tables : dict
        Way -> predictions of the held-out images.

    Raises
    ------
    InputError
        If these data cannot be parted so, or a way does not suit the run.
    """
    classes, positive = list(run.record["classes"]), run.record.positive
    parted, by = _parted(judged, share, seed)
    adapts = (parted["part"] == "train").to_numpy()
    held = judged[~adapts]
    values = predictions.probabilities(judged, classes)
    truth = predictions.labels(judged, classes)
    tables = {"as it is": held}
    chosen: dict[str, float | None] = {}
    failed: dict[str, str] = {}
    for method in methods:
        if method == "threshold":
            changed, chosen[method] = _shifted(values, truth, adapts, classes, positive)
        elif method == "temperature":
            chosen[method], reason = confidence.fit_temperature(truth[adapts], values[adapts])
            if reason:
                failed[method] = f"of the images that adapt: {reason}"
                continue
            changed = confidence.apply_temperature(values, chosen[method])
        else:
            changed, chosen[method] = values.copy(), None
            model = _with_statistics_of(run, [p for p, a in zip(paths, adapts, strict=True) if a])
            changed[~adapts] = _predicted(
                run, model, [p for p, a in zip(paths, adapts, strict=True) if not a]
            )
        columns = dict(zip(map(predictions.column, classes), changed[~adapts].T, strict=True))
        tables[method] = held.assign(**columns)
    ways = [
        _judged(name, table, held, classes, positive, chosen.get(name))
        for name, table in tables.items()
    ]
    return {
        "by": by,
        "share": share,
        "seed": seed,
        "adapted": int(adapts.sum()),
        "held_out": len(held),
        "held_out_patients": int(held["case"][held["case"] != ""].nunique()),
        "ways": ways,
        "failed": failed,
    }, tables


def _parted(judged: pd.DataFrame, share: float, seed: int) -> tuple[pd.DataFrame, str]:
    """Training part: what adapts. Whole patients where all are known."""
    known = (judged["case"] != "").all()
    try:
        if known:
            return splits.by_group(judged, test=1 - share, validation=0, seed=seed), "patient"
        parted = splits.by_image(judged, test=1 - share, validation=0, seed=seed, stratify=True)
    except InputError as error:
        raise InputError(f"--adapt: these data cannot be parted: {error}") from None
    return parted, "image"


def _shifted(
    values: np.ndarray,
    truth: np.ndarray,
    adapts: np.ndarray,
    classes: Sequence[str],
    positive: str | None,
) -> tuple[np.ndarray, float]:
    """Probabilities whose threshold is one half; logits are shifted, so their order stays."""
    if positive is None or len(classes) != 2:
        raise InputError("--adapt threshold: the run has no positive class of two")
    number = list(classes).index(positive)
    found = confidence.threshold(truth[adapts] == number, values[adapts, number])
    if found is None:
        raise InputError("--adapt threshold: the images that adapt are of one class")
    p = np.clip(values[:, number], 1e-12, 1 - 1e-12)
    odds = p / (1 - p) * (1 - found) / max(found, 1e-12)
    changed = np.empty_like(values)
    changed[:, number] = odds / (1 + odds)
    changed[:, 1 - number] = 1 / (1 + odds)
    return changed, found


def _with_statistics_of(run: runs.Run, paths: Sequence[Path]) -> keras.Model:
    """The run's network with BatchNorm statistics of other images, each batch counting alike."""
    from common.backend import keras

    model = runs.load_model(run)
    parts = model._flatten_layers()
    norms = [each for each in parts if isinstance(each, keras.layers.BatchNormalization)]
    if not norms:
        raise InputError("--adapt batchnorm: the run's network has no BatchNorm")
    for each in parts:
        if isinstance(each, keras.layers.Dropout):
            each.rate = 0
    for each in norms:
        each.trainable = True  # a frozen one would keep its statistics
    batches = np.array_split(np.arange(len(paths)), -(-len(paths) // _BATCH))
    for i, rows in enumerate(batches):
        pixels = classification.read(run, [paths[row] for row in rows])
        for each in norms:
            each.momentum = i / (i + 1)
        model(pixels.astype(np.float32), training=True)
    return model


def _predicted(run: runs.Run, model: keras.Model, paths: Sequence[Path]) -> np.ndarray:
    found = []
    for start in range(0, len(paths), 8 * _BATCH):
        pixels = classification.read(run, paths[start : start + 8 * _BATCH])
        found.append(model.predict(pixels, batch_size=16, verbose=0))
    return np.concatenate(found).astype(float)


def _judged(
    name: str,
    table: pd.DataFrame,
    before: pd.DataFrame,
    classes: Sequence[str],
    positive: str | None,
    chosen: float | None,
) -> dict[str, Any]:
    found = evaluation.evaluate(table, classes, positive=positive, split="other data, held out")
    way: dict[str, Any] = {
        "name": name,
        "what": METHODS.get(name, "the network as it was trained"),
        "chosen": chosen,
        "metrics": {key: found.get(key) for key in KEPT},
    }
    if table is not before:
        paired = compare(table, before)
        way |= {key: paired[key] for key in ("difference", "difference_ci")}
    return way
