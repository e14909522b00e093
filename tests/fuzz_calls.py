"""Call the public functions of metrics, splits, stain, generative, gradcam and others wrongly.

    python tests/fuzz_calls.py --count 20000 --seed 1

Every case takes a call that works, and replaces one argument by what it must not be: NaN, infinity,
another shape, type, range or order, nothing at all. A case depends on seed and number alone:
``--first N --count 1`` repeats it.

What must hold of every case: the call raises a ValueError (an InputError is one) that names the
argument or says what it is about (`WORDS`), or gives a result without NaN (scores of a confusion
matrix are NaN where they are not defined). Warnings, other
exceptions and NaN are failures. Mutations that cannot be right (`WRONG`) must raise.
"""

from __future__ import annotations

import argparse
import collections
import copy
import functools
import math
import random
import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd

from common import confidence, generative, gradcam, metrics, normalise, predictions, splits, stain
from common.augment import DRAWS, Augmenter

# --- calls that work -----------------------------------------------------------------------------

_RNG = np.random.default_rng(0)
LABELS = np.tile([0, 1, 2], 8)
TABLE = _RNG.dirichlet(np.ones(3), 24)
CASES = np.array([f"p{i % 6}" for i in range(24)])
MATRIX = np.array([[5, 1, 0], [2, 6, 1], [0, 1, 8]])
IMAGE = np.clip(255 * np.exp(-_RNG.uniform(0.1, 1.2, (48, 48, 2)) @ stain.RUIFROK), 0, 255).astype(
    np.uint8
)
OTHER = IMAGE[::-1, :, :].copy()
NORMALIZERS = {
    "macenko": stain.MacenkoNormalizer().fit(IMAGE),
    "vahadane": stain.VahadaneNormalizer().fit(IMAGE),
    "reinhard": stain.ReinhardNormalizer().fit(IMAGE),
}
FEATURES = _RNG.normal(size=(20, 5))
INDEX = pd.DataFrame(
    {
        "image": [f"SOB_B_A-14-{i % 8}-100-{i:03}.png" for i in range(40)],
        "label": ["benign", "malignant"] * 20,
        "case": [f"c{i % 8}" for i in range(40)],
        "slide": [f"s{i % 8}" for i in range(40)],
        "folder": [f"f{i % 8}" for i in range(40)],
        "magnification": ["100X"] * 40,
        "official": ["train", "train", "train", "test"] * 10,
    }
)
INDEX["label"] = ["benign" if int(c[1:]) % 8 < 4 else "malignant" for c in INDEX["case"]]
INDEX["official"] = ["test" if i % 8 in (1, 6) else "train" for i in range(40)]
SPLIT = splits.by_patient(INDEX, test=0.25, validation=0.25, seed=0)
FRAME = predictions.table(
    SPLIT, np.stack([np.linspace(0.1, 0.9, 40), 1 - np.linspace(0.1, 0.9, 40)], 1),
    ["benign", "malignant"],
)  # fmt: skip
COUNTS = {name: {"train": 5, "validation": 2, "test": 3} for name in ("benign", "malignant")}
AUGMENTER = Augmenter(rotation_range=20, width_shift_range=0.1, zoom_range=0.2)
UNIFORMS = np.linspace(0.05, 0.95, DRAWS)
STAIN_AUGMENTER = stain.StainAugmenter()


def augmented(image: Any, parameters: Any) -> Any:
    return AUGMENTER.apply(image, parameters)


def part_of(split: Any) -> Any:
    """What a split function decides; other columns are copied as they are."""
    return lambda **given: split(**given)["part"]


def of_settings(**settings: Any) -> Any:
    made = Augmenter(**settings)
    return made.apply(IMAGE, made.parameters(UNIFORMS, IMAGE.shape))


def stain_augmented(image: Any, parameters: Any) -> Any:
    return STAIN_AUGMENTER.apply(image, parameters)


def scaled(**settings: Any) -> Any:
    layer = normalise.InputScaling(**settings)
    return [layer.mean, layer.std]


def target_of(method: str, **target: Any) -> Any:
    made = stain.METHODS[method]()
    made.set_target(**target)
    return made.transform(IMAGE)


@functools.cache
def network() -> Any:
    """Two feature maps of red and blue, averaged and weighted; a softmax."""
    import keras

    inputs = keras.Input((6, 6, 3))
    x = normalise.InputScaling("tf")(inputs)
    x = keras.layers.Conv2D(2, 3, kernel_initializer="ones", name="maps")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    start = keras.initializers.RandomUniform(-1, 1, seed=1)
    outputs = keras.layers.Dense(3, activation="softmax", kernel_initializer=start, name="scores")(
        x
    )
    return keras.Model(inputs, outputs)


def explained(**given: Any) -> Any:
    return gradcam.heatmaps(network(), **given)


def checked(**given: Any) -> Any:
    # A map that is constant has no rank: that NaN is documented.
    return np.nan_to_num(gradcam.sanity_check(network(), **given))


PROBED = {"labels": LABELS, "probabilities": TABLE}
SURE = {"correct": LABELS == 0, "confidence": TABLE[:, 0]}
BOTH = {"real": FEATURES, "generated": FEATURES[:12] + 0.1}
CALLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "metrics.compute": (metrics.compute, {
        **PROBED, "classes": ["a", "b", "c"], "cases": CASES,
        "magnifications": np.array(["40X", "100X"] * 12), "positive": None, "replicates": 20,
        "seed": 0,
    }),
    "metrics.confusion_matrix": (metrics.confusion_matrix, {
        "labels": LABELS, "predicted": LABELS[::-1].copy(), "n_classes": 3}),
    **{f"metrics.{name}": (getattr(metrics, name), {"matrix": MATRIX}) for name in (
        "accuracy", "balanced_accuracy", "kappa", "mcc", "precision", "recall", "f1",
        "one_vs_rest", "class_scores")},
    "metrics.macro": (functools.partial(metrics.macro, np.ones(3)), {"matrix": MATRIX}),
    "metrics.per_class": (metrics.per_class, {"matrix": MATRIX, "classes": ["a", "b", "c"]}),
    "metrics.auc": (metrics.auc, {"positive": LABELS == 0, "scores": TABLE[:, 0]}),
    "metrics.roc_curve": (
        lambda **given: (metrics.roc_curve(**given) or ((), ()))[:2],
        {"positive": LABELS == 0, "scores": TABLE[:, 0]}),
    "metrics.auc_of": (metrics.auc_of, {**PROBED, "positive": None}),
    "metrics.micro_at_half": (metrics.micro_at_half, PROBED),
    "metrics.ece": (metrics.ece, {**PROBED, "bins": 15}),
    "metrics.reliability": (
        lambda **given: metrics.reliability(**given)["n"], {**PROBED, "bins": 15}),
    **{f"metrics.{name}": (getattr(metrics, name), {**SURE, **more}) for name, more in (
        ("aurc", {}), ("risk_coverage", {}), ("error_at_coverage", {"coverage": 0.8}),
        ("coverage_at_risk", {"risk": 0.05}), ("threshold_at_risk", {"risk": 0.5}))},
    "confidence.fit_temperature": (
        lambda **given: confidence.fit_temperature(**given)[0] or 0, PROBED),
    "confidence.apply_temperature": (confidence.apply_temperature, {
        "probabilities": TABLE, "temperature": 1.5}),
    "confidence.lac_scores": (confidence.lac_scores, PROBED),
    "confidence.quantile": (confidence.quantile, {
        "scores": TABLE[:, 0], "patients": CASES, "level": 0.5}),
    "confidence.prediction_sets": (confidence.prediction_sets, {
        "probabilities": TABLE, "limit": 0.5}),
    "confidence.by_patient": (
        lambda **given: confidence.by_patient(**given).mean, {**PROBED, "cases": CASES}),
    "confidence.threshold": (confidence.threshold, {
        "positive": LABELS == 0, "scores": TABLE[:, 0]}),
    "metrics.brier": (metrics.brier, PROBED),
    "metrics.log_loss": (metrics.log_loss, PROBED),
    "metrics.predicted_classes": (metrics.predicted_classes, {"values": TABLE}),
    "metrics.per_patient": (metrics.per_patient, {"correct": LABELS == 0, "cases": CASES}),
    "metrics.patient_recognition_rate": (
        metrics.patient_recognition_rate, {"correct": LABELS == 0, "cases": CASES}),
    "metrics.case_table": (metrics.case_table, {"predictions": FRAME}),
    "metrics.roc_by_magnification": (
        metrics.roc_by_magnification, {"predictions": FRAME, "positive": "malignant"}),
    "metrics.clopper_pearson": (metrics.clopper_pearson, {"k": 3, "n": 9, "level": 0.95}),
    "metrics.resample": (metrics.resample, {
        "features": TABLE, "groups": CASES, "replicates": 10, "seed": 0}),
    "metrics.mcnemar": (metrics.mcnemar, {"only_a": 3, "only_b": 5}),
    "metrics.compare": (metrics.compare, {
        "predictions_a": FRAME, "predictions_b": FRAME, "replicates": 10, "seed": 0}),
    "splits.by_image": (part_of(functools.partial(splits.by_image, stratify=True)), {
        "index": INDEX, "test": 0.2, "validation": 0.2, "seed": 0}),
    "splits.by_group": (part_of(splits.by_group), {
        "index": INDEX, "group": "case", "test": 0.25, "validation": 0.25, "seed": 0}),
    "splits.official": (part_of(splits.official), {"index": INDEX, "validation": 0.2, "seed": 0}),
    "splits.by_counts": (part_of(splits.by_counts), {"index": INDEX, "counts": COUNTS, "seed": 0}),
    "splits.k_folds": (splits.k_folds, {"index": INDEX, "k": 4, "seed": 0, "group": "case"}),
    "splits.apportion": (splits.apportion, {"total": 7, "shares": np.array([1, 2, 3])}),
    "splits.check_disjoint": (splits.check_disjoint, {"split": SPLIT, "group": "case"}),
    "splits.shared_groups": (splits.shared_groups, {"split": SPLIT, "group": "case"}),
    "splits.sorted_rows": (splits.sorted_rows, {"index": INDEX}),
    "augment.apply": (augmented, {
        "image": IMAGE,
        "parameters": {"theta": 5.0, "tx": 1.5, "ty": -2.0, "shear": 3.0, "zx": 0.9, "zy": 1.1}}),
    "augment.parameters": (AUGMENTER.parameters, {"uniforms": UNIFORMS, "shape": IMAGE.shape[:2]}),
    "augment.Augmenter": (of_settings, {
        "rotation_range": 20.0, "width_shift_range": 0.1, "height_shift_range": [1.0, 2.0],
        "shear_range": 5.0, "zoom_range": (0.9, 1.1), "horizontal_flip": True,
        "fill_mode": "nearest", "cval": 3.0}),
    **{f"stain.{name}": (normalizer.transform, {"image": OTHER})
       for name, normalizer in NORMALIZERS.items()},
    "stain.fit": (lambda target: stain.MacenkoNormalizer().fit(target).state(), {"target": IMAGE}),
    "stain.concentrations": (NORMALIZERS["macenko"].concentrations, {
        "image": OTHER, "matrix": stain.RUIFROK}),
    "stain.set_target of macenko": (
        lambda **given: target_of("macenko", **given),
        {"matrix": stain.RUIFROK, "maximum": [1.0, 1.0]}),
    "stain.set_target of reinhard": (
        lambda **given: target_of("reinhard", **given),
        {"mean": [60.0, 20.0, -10.0], "deviation": [9.0, 5.0, 4.0]}),
    "stain.tissue_share": (stain.tissue_share, {
        "image": IMAGE, "white_level": 240.0, "threshold": 0.15}),
    "stain.StainAugmenter": (
        lambda **given: stain.StainAugmenter(**given)(IMAGE, np.random.default_rng(0)),
        {"stains": "ruifrok", "sigma_alpha": 0.05, "sigma_beta": 0.05}),
    "stain.StainAugmenter.apply": (stain_augmented, {
        "image": IMAGE, "parameters": {"alpha": [1.0, 1.1], "beta": [0.0, 0.01]}}),
    "stain.choose_target": (stain.choose_target, {"images": [IMAGE, OTHER]}),
    "generative.fid": (generative.fid, BOTH),
    "generative.kid": (
        lambda **given: generative.kid(**given).value, {**BOTH, "blocks": 3, "seed": 0}),
    "generative.precision_recall": (generative.precision_recall, {**BOTH, "neighbours": 3}),
    "generative.nearest": (generative.nearest, {
        "queries": FEATURES, "references": FEATURES + 1, "query_groups": np.arange(20) % 4,
        "reference_groups": np.arange(20) % 5}),
    "generative.memorisation": (generative.memorisation, {
        "training": FEATURES, "generated": FEATURES[:7] + 0.1, "groups": np.arange(20) // 2}),
    "gradcam.heatmaps": (explained, {
        "images": np.stack([IMAGE[:6, :6], OTHER[:6, :6]]), "layer": "maps",
        "class_index": np.array([0, 2]), "method": "gradcam", "batch_size": 2}),
    "gradcam.heatmaps of one class": (explained, {
        "images": np.stack([IMAGE[:6, :6]]).astype(np.float32), "layer": None, "class_index": 1,
        "logits": "scores"}),
    "gradcam.sanity_check": (checked, {
        "images": np.stack([IMAGE[:6, :6], OTHER[:6, :6]]), "layer": "maps",
        "class_index": np.array([0, 2]), "method": "gradcam++", "batch_size": 1, "seed": 3}),
    "gradcam.overlay": (gradcam.overlay, {
        "image": IMAGE, "heatmap": np.linspace(0, 1, 16).reshape(4, 4), "alpha": 0.4}),
    "gradcam.pointing_game": (gradcam.pointing_game, {
        "heatmaps": np.linspace(0, 1, 32).reshape(2, 4, 4),
        "masks": np.tile(np.eye(8, dtype=int), (2, 1, 1))}),
    "normalise.rgb_statistics": (normalise.rgb_statistics, {
        "pixels": np.stack([IMAGE, OTHER]), "rows": [0, 1], "weights": [1.0, 2.0], "block": 1}),
    "normalise.InputScaling": (scaled, {
        "scale": "torch", "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}),
}  # fmt: skip

# Where a message says what the argument is about and not its name.
WORDS = {
    "real": "first set", "generated": "second set", "queries": "first set",
    "references": "second set", "training": "first set", "test": "test part",
    "validation": "validation part", "k": "fold", "level": "level", "n": "k/n",
    "target": "stain target", "maximum": "maximum", "image": "image", "images": "image",
    "scale": "scale", "stains": "stain", "matrix": "matri", "group": "group",
    "fill_mode": "fill mode", "index": "images", "predictions_a": "first run",
    "predictions_b": "second run", "split": "part",
}  # fmt: skip


# --- what is wrong -------------------------------------------------------------------------------


def _poke(rng: random.Random, value: Any, what: Any) -> Any:
    """An array or list with one element replaced."""
    array = np.array(value, dtype=object if isinstance(what, str) else float)
    if not array.size:
        return what
    array.ravel()[rng.randrange(array.size)] = what
    return array.tolist() if isinstance(value, list | tuple) else array


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (
        isinstance(value, list | tuple) and all(isinstance(each, int | float) for each in value)
    )


def _numeric(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "iufb"


def mutated(rng: random.Random, value: Any) -> tuple[str, Any, bool]:
    """Name of a mutation, its result, and whether it cannot be right."""
    if isinstance(value, pd.DataFrame):
        return _mutated_frame(rng, value)
    if isinstance(value, dict):
        return _mutated_mapping(rng, value)
    odd = [
        ("none", None, False), ("text", "x", False), ("object", object(), True),
        ("mapping", {"a": 1}, False), ("empty list", [], False), ("set", {1, 2}, False),
        ("complex", 1j, False), ("bytes", b"ab", False), ("ragged", [[1, 2], [3]], False),
    ]  # fmt: skip
    if _is_array(value) and np.asarray(value).dtype.kind in "US":
        array = np.asarray(value)
        odd += [("shorter", array[:-1], True), ("longer", np.append(array, "q"), True),
                ("two axes", array[:, None], True), ("scalar", "x", False)]  # fmt: skip
    elif _is_array(value) and _numeric(value):
        array = np.asarray(value)
        odd += [
            ("NaN", _poke(rng, value, math.nan), True), ("inf", _poke(rng, value, math.inf), True),
            ("-inf", _poke(rng, value, -math.inf), True),
            ("a word", _poke(rng, value, "x"), True),
            ("shorter", array[:-1], False), ("longer", np.concatenate([array, array[:1]]), False),
            ("one axis more", array[None, None, None], False), ("one axis less", array[0], False),
            ("transposed", array.T, False), ("no row", array[:0], False), ("scalar", 3.5, False),
            ("negative", -array.astype(float) - 1, False), ("times 3", array * 3.0, False),
            ("half", array + 0.5, False), ("complex", array.astype(complex), False),
            ("as text", array.astype(str), False), ("float32", array.astype(np.float32), False),
            ("backwards", array[::-1], False),
        ]  # fmt: skip
    elif isinstance(value, list) and value and isinstance(value[0], str):
        odd += [("twice", [*value, value[0]], True), ("one less", value[1:], False),
                ("numbers", [1, 2, 3], True)]  # fmt: skip
    elif isinstance(value, int | float) and not isinstance(value, bool):
        odd += [
            ("NaN", math.nan, True), ("inf", math.inf, False), ("-inf", -math.inf, True),
            ("negative", -1, False), ("zero", 0, False), ("large", 10**6, False),
            ("half", 2.5, False), ("text", "3", False), ("list", [3], False), ("bool", True, False),
        ]  # fmt: skip
    return rng.choice(odd)


def _mutated_frame(rng: random.Random, frame: pd.DataFrame) -> tuple[str, Any, bool]:
    column = rng.choice(list(frame.columns))
    holed = frame.copy()
    holed[column] = holed[column].astype(object)
    holed.iloc[rng.randrange(len(frame)), holed.columns.get_loc(column)] = math.nan
    one = frame.copy()
    one[column] = one[column].iloc[0]
    return rng.choice([
        ("no table", frame.to_dict("list"), True), ("none", None, True),
        ("empty", frame.iloc[:0], False), (f"NaN in {column}", holed, False),
        (f"without {column}", frame.drop(columns=column), False),
        ("rows twice", pd.concat([frame, frame]), False), (f"one {column}", one, False),
        ("one row", frame.iloc[:1], False), ("backwards", frame.iloc[::-1], False),
        ("array", frame.to_numpy(), True),
    ])  # fmt: skip


def _mutated_mapping(rng: random.Random, value: dict[str, Any]) -> tuple[str, Any, bool]:
    key = rng.choice(list(value))
    changed = copy.deepcopy(value)
    name, changed[key], wrong = mutated(rng, value[key])
    return rng.choice([
        ("none", None, False), ("list", [1], True), ("no key", {}, False),
        ("unknown key", {**value, "nonsense": 1}, True),
        (f"{key}: {name}", changed, wrong), (f"{key}: {name}", changed, wrong),
    ])  # fmt: skip


# --- the judge -----------------------------------------------------------------------------------


def has_nan(value: Any) -> bool:
    """Whether NaN is anywhere in a result."""
    if isinstance(value, dict):
        return any(map(has_nan, value.values()))
    if isinstance(value, list | tuple):
        return any(map(has_nan, value))
    if isinstance(value, pd.DataFrame):
        return any(has_nan(value[name].to_numpy()) for name in value)
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return any(map(has_nan, value.ravel().tolist()))
    if isinstance(value, float | np.floating | np.ndarray):
        array = np.asarray(value)
        return bool(array.dtype.kind == "f" and np.isnan(array).any())
    return False


def case(seed: int, number: int) -> tuple[str, str, str]:
    """Call, mutation and verdict of one case: "refused", "result", or what is wrong."""
    rng = random.Random(f"{seed} {number}")
    call = rng.choice(list(CALLS))
    function, arguments = CALLS[call]
    name = rng.choice(list(arguments))
    mutation, value, wrong = mutated(rng, arguments[name])
    what = f"{name}: {mutation}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message=".*have a single")  # says what it must
            result = function(**{**copy.copy(arguments), name: value})
    except ValueError as error:
        text = str(error)
        # Of two that do not fit each other, either may be named.
        named = any(each in text or WORDS.get(each, each) in text for each in arguments)
        return call, what, "refused" if named else f"does not name {name}: {text[:150]}"
    except Exception as error:
        return call, what, f"{type(error).__name__}: {str(error)[:150]}"
    # What has no image has no score: that NaN is documented.
    if has_nan(result) and not ("matrix" in arguments and call.startswith("metrics.")):
        return call, what, "NaN in the result"
    # None is the default of what may be left out; a logit may be infinite.
    allowed = value is None or call == "metrics.predicted_classes"
    return call, what, "accepted" if wrong and not allowed else "result"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="cases")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"seed {options.seed}, cases {options.first} to {options.first + options.count - 1}")
    verdicts: collections.Counter[str] = collections.Counter()
    kinds: collections.Counter[str] = collections.Counter()
    failed: dict[tuple[str, str, str], int] = {}
    for number in range(options.first, options.first + options.count):
        call, what, verdict = case(options.seed, number)
        kinds[call.split(".")[0]] += 1
        sound = verdict in ("refused", "result")
        verdicts[verdict if sound else "FAILED"] += 1
        if not sound:
            failed.setdefault((call, what, verdict), number)
    for (call, what, verdict), number in sorted(failed.items()):
        print(f"{number}  {call}({what}): {verdict}")
    print(", ".join(f"{name} {count}" for name, count in sorted(kinds.items())))
    print(", ".join(f"{name} {count}" for name, count in sorted(verdicts.items())))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
