"""What a lab would try where a network does less well, measured on images that it did not see.

Part of the other data adapts, whole patients where they are known; the rest is judged, before and
after. The network's weights are not trained.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from common import confidence, evaluation, predictions, runs, splits
from common.errors import InputError, many
from common.external.reading import Reader
from common.external.trained import Stain
from common.metrics import compare

if TYPE_CHECKING:
    import keras
    import pandas as pd

METHODS = {
    "threshold": "the positive class is said from where on balanced accuracy is best",
    "temperature": "probabilities are made as sure as they should be; no answer changes",
    "batchnorm": "BatchNorm's statistics are taken of these images; no label is needed",
    "stain": "images are given the stains of a typical training image; nothing is chosen on them",
}
"""Ways to adapt, and what each does."""

KEPT = ("accuracy", "accuracy_ci", "balanced_accuracy", "auc", "ece", "log_loss", "intervals")
"""What of the metrics of each way is noted."""

_BATCH = 32


def parted(
    run: runs.Run, table: pd.DataFrame, methods: Sequence[str], *, share: float, seed: int
) -> tuple[np.ndarray, str]:
    """Choose the images that adapt: whole patients, where all are known.

    Parameters
    ----------
    run : Run
        A finished classifier.
    table : DataFrame
        Other data, with columns `image, case, label`.
    methods : sequence of str
        Keys of `METHODS`.
    share : float
        Of the images that adapt, as nearly as whole patients allow.
    seed : int
        Of the draw.

    Returns
    -------
    adapts : ndarray
        Shape (n,), bool.
    by : str
        "patient" or "image".

    Raises
    ------
    InputError
        If these data cannot be parted so, or a way does not suit the run.
    """
    if "threshold" in methods and (run.record.positive is None or len(run.record["classes"]) != 2):
        raise InputError("--adapt threshold: the run has no positive class of two")
    by = "patient" if (table["case"] != "").all() else "image"
    try:
        if by == "patient":
            found = splits.by_group(table, test=1 - share, validation=0, seed=seed)
        else:
            found = splits.by_image(table, test=1 - share, validation=0, seed=seed, stratify=True)
    except InputError:  # a part of one class; a way that needs labels says so
        return _drawn(table, by, share, seed), by
    return (found["part"] == "train").to_numpy(), by


def require_norms(run: runs.Run, model: keras.Model) -> None:
    """Refuse the way "batchnorm" for a network that keeps no statistics.

    Parameters
    ----------
    run : Run
    model : keras.Model
        Its network.

    Raises
    ------
    InputError
        Saying which ways there are for it.
    """
    if not _norms(model):
        others = ", ".join(name for name in METHODS if name != "batchnorm")
        raise InputError(
            f"--adapt batchnorm: the network of {run.path} has no BatchNormalization, so nothing "
            f"of it would change; leave it out, or take {others}"
        )


def _norms(model: keras.Model) -> list[Any]:
    from common.backend import keras

    parts = model._flatten_layers()
    return [each for each in parts if isinstance(each, keras.layers.BatchNormalization)]


def _drawn(table: pd.DataFrame, by: str, share: float, seed: int) -> np.ndarray:
    """Images that adapt, whatever their labels: whole patients or images, drawn until enough."""
    units = (table["case"] if by == "patient" else table["image"]).to_numpy(str)
    names = np.unique(units)
    if len(names) < 2:
        raise InputError(
            f"--adapt: {many(len(table), 'image')} of a single {by}; one adapts, and another "
            "is judged"
        )
    order = np.random.default_rng(seed).permutation(names)[:-1]
    sizes = np.cumsum([(units == name).sum() for name in order])
    count = 1 + int(np.abs(sizes - share * len(table)).argmin())
    return np.isin(units, order[:count])


def adapt(
    reader: Reader,
    judged: pd.DataFrame,
    methods: Sequence[str],
    adapts: np.ndarray,
    *,
    fields: Mapping[str, int],
    stain: Callable[[], Stain],
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Adapt a run to part of other data, and judge it on the rest.

    Parameters
    ----------
    reader : Reader
        Reads these data for a finished classifier.
    judged : DataFrame
        Its predictions of them, all of the part "test".
    methods : sequence of str
        Keys of `METHODS`.
    adapts : ndarray
        Which images adapt, from `parted`; bool.
    fields : mapping
        Image -> how many fields the reader makes of it.
    stain : callable
        Gives the training's stains.

    Returns
    -------
    found : dict
        Of what adapted.json holds: `adapted` and `held_out` images, and `ways`: {`name`, `what`,
        `chosen`, `metrics`, `difference`, `difference_ci` of the accuracy}, the first of which is
        the run as it is; `failed` {way: why nothing was tried or chosen}.
    tables : dict
        Way -> predictions of the held-out images.
    """
    run = reader.run
    classes, positive = list(run.record["classes"]), run.record.positive
    held = judged[~adapts]
    values = predictions.probabilities(judged, classes)
    truth = predictions.labels(judged, classes)
    tables = {"as it is": held}
    chosen: dict[str, float | None] = {}
    failed: dict[str, str] = {}
    what = dict(METHODS)
    names = judged["image"].to_numpy(str)
    for method in methods:
        if method == "threshold":
            try:
                changed, chosen[method] = _shifted(values, truth, adapts, classes.index(positive))
            except InputError as error:
                failed[method] = str(error)
                continue
        elif method == "temperature":
            chosen[method], reason = confidence.fit_temperature(truth[adapts], values[adapts])
            if reason:
                failed[method] = f"of the images that adapt: {reason}"
                continue
            changed = confidence.apply_temperature(values, chosen[method])
        elif method == "stain":
            try:
                stained = stain()
            except InputError as error:
                failed[method] = str(error)
                continue
            changed, chosen[method] = values.copy(), None
            other = dataclasses.replace(reader, stain=stained.apply)
            changed[~adapts] = other.probabilities(runs.load_model(run), names[~adapts])
            what[method] = stained.words()
        else:
            changed, chosen[method] = values.copy(), None
            mine = names[adapts]
            flat = itertools.chain.from_iterable(reader.each(mine))
            model = _with_statistics_of(run, flat, sum(fields[name] for name in mine))
            changed[~adapts] = reader.probabilities(model, names[~adapts])
        columns = dict(zip(map(predictions.column, classes), changed[~adapts].T, strict=True))
        tables[method] = held.assign(**columns)
    ways = [
        _judged(name, table, held, classes, positive, chosen.get(name))
        | {"what": what.get(name, "the network as it was trained")}
        for name, table in tables.items()
    ]
    return {
        "adapted": int(adapts.sum()),
        "held_out": len(held),
        "held_out_patients": int(held["case"][held["case"] != ""].nunique()),
        "ways": ways,
        "failed": failed,
    }, tables


def _shifted(
    values: np.ndarray,
    truth: np.ndarray,
    adapts: np.ndarray,
    number: int,
) -> tuple[np.ndarray, float]:
    """Probabilities whose threshold is one half; logits are shifted, so their order stays."""
    found = confidence.threshold(truth[adapts] == number, values[adapts, number])
    if found is None:
        raise InputError("the images that adapt are of one class")
    p = np.clip(values[:, number], 1e-12, 1 - 1e-12)
    odds = p / (1 - p) * (1 - found) / max(found, 1e-12)
    changed = np.empty_like(values)
    changed[:, number] = odds / (1 + odds)
    changed[:, 1 - number] = 1 / (1 + odds)
    return changed, found


def _with_statistics_of(run: runs.Run, fields: Iterable[np.ndarray], count: int) -> keras.Model:
    """The run's network with BatchNorm statistics of other images, each batch counting alike."""
    from common.backend import keras

    model = runs.load_model(run)
    norms = _norms(model)
    for each in model._flatten_layers():
        if isinstance(each, keras.layers.Dropout):
            each.rate = 0
    for each in norms:
        each.trainable = True  # a frozen one would keep its statistics
    left = iter(fields)
    for i, rows in enumerate(np.array_split(np.arange(count), -(-count // _BATCH))):
        pixels = np.stack(list(itertools.islice(left, len(rows))))
        for each in norms:
            each.momentum = i / (i + 1)
        model(pixels.astype(np.float32), training=True)
    return model


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
        "chosen": chosen,
        "metrics": {key: found.get(key) for key in KEPT},
    }
    if table is not before:
        paired = compare(table, before)
        way |= {key: paired[key] for key in ("difference", "difference_ci")}
    return way
