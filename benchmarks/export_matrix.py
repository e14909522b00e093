"""Export every network of this project, and users' models, in every precision; print what came out.

    python -m benchmarks.export_matrix                       # all, as a table
    python -m benchmarks.export_matrix --only ernet convnext_tiny
    python -m benchmarks.export_matrix --onnx                # ONNX: error, size, memory

Weights are random, but BatchNorm's statistics are those of the images and the last layer is fitted
to their colours, so that a network tells them apart and an error shows. Images are small patches of
one colour and noise. A cell holds what `common.export.export` says: on how many held-out images the
file's top class is the Keras model's, and the largest error of a probability; or why there is no
file.
"""

from __future__ import annotations

import functools
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from common import backend, networks
from common.arguments import Parser
from common.errors import InputError, main

if TYPE_CHECKING:
    import keras

CALIBRATION, HELDOUT = 24, 40
PRECISIONS = ("float32", "float16", "dynamic", "int8")


# --- the models ----------------------------------------------------------------------------------


def _application(name: str) -> keras.Model:
    from common import backbones

    size = max(32, networks.get(name).smallest_size)
    return backbones.classifier(name, size, 2, normalisation="own")


def _paper(package: str, *statistics: np.ndarray, **changes: Any) -> keras.Model:
    """A paper's own network, small; `statistics` are the mean and deviation of breakhis' images."""
    from importlib import import_module

    config = import_module(f"{package}.config").PRESETS["demo"]
    return import_module(f"{package}.model").build_model(replace(config, **changes), *statistics)


def _layers(*chain: Callable[[Any], Any], size: int = 32) -> keras.Model:
    """A user's model on scaled pixels: a chain of layers and a head."""
    from common.backend import keras

    image = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(image)
    for layer in chain:
        x = layer(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Softmax()(keras.layers.Dense(2, name="logits")(x)))


def _conv(activation: str | None = None) -> Any:
    from common.backend import keras

    return keras.layers.Conv2D(16, 3, padding="same", activation=activation)


def _one_branch() -> keras.Model:
    from common.backend import keras

    return _layers(_conv("relu"), keras.layers.MaxPooling2D(), _conv("relu"))


def _no_relu() -> keras.Model:
    return _layers(_conv("tanh"), _conv("silu"), _conv("gelu"), _conv())


def _lambda() -> keras.Model:
    from common.backend import keras

    square = keras.layers.Lambda(lambda x: x * keras.ops.abs(x))
    return _layers(_conv("relu"), square, keras.layers.BatchNormalization())


def _several_outputs() -> keras.Model:
    from common.backend import keras

    model = _one_branch()
    return keras.Model(model.inputs, [model.outputs[0], model.get_layer("logits").output])


def _several_inputs() -> keras.Model:
    from common.backend import keras

    model = _one_branch()
    other = keras.Input((32, 32, 3))
    mean = keras.layers.Average()([model.get_layer("logits").output, _conv()(other)[:, 0, 0, :2]])
    return keras.Model([*model.inputs, other], keras.layers.Softmax()(mean))


def _shared() -> keras.Model:
    """Its body is used twice, on the image and on its mirror image."""
    from common.backend import keras

    image = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    conv, norm = _conv("relu"), keras.layers.BatchNormalization()
    sides = [norm(conv(side)) for side in (x, x[:, :, ::-1])]
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()(sides))
    return keras.Model(image, keras.layers.Softmax()(keras.layers.Dense(2, name="logits")(x)))


def _open_size() -> keras.Model:
    return _layers(_conv("relu"), _conv("relu"), size=None)  # type: ignore[arg-type]


def _float16(policy: str) -> keras.Model:
    from common.backend import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return _layers(_conv("relu"), keras.layers.BatchNormalization(), _conv("relu"))
    finally:
        keras.config.set_dtype_policy(before)


def _without_softmax() -> keras.Model:
    from common.backend import keras

    model = _one_branch()
    return keras.Model(model.inputs, model.get_layer("logits").output)


def _sequential() -> keras.Model:
    from common.backend import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)), layers.Rescaling(1 / 255), _conv("relu"),
            layers.GlobalAveragePooling2D(), layers.Dense(2, name="logits"), layers.Softmax(),
        ]
    )  # fmt: skip


def _nested() -> keras.Model:
    from common.backend import keras

    inner = _no_relu()
    body = keras.Model(inner.inputs, inner.layers[-4].output, name="body")
    image = keras.Input((32, 32, 3))
    x = keras.layers.BatchNormalization()(body(image))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Softmax()(keras.layers.Dense(2, name="logits")(x)))


def models() -> dict[str, Callable[[], keras.Model]]:
    """Every row of the matrix: its name and what builds the model."""
    found: dict[str, Callable[[], keras.Model]] = {
        name: functools.partial(_application, name) for name in networks.NETWORKS
    }
    for stem in ("cifar", "strided", "pooled", "patch"):
        found[f"wrn_edge, {stem} stem"] = functools.partial(
            _paper, "wrn_edge", depth=28, width=2, image_size=32, stem=stem
        )
    for depth in (18, 34, 50, 101):
        found[f"ernet{depth}"] = functools.partial(
            _paper, "ernet", network=f"ernet{depth}", image_size=32
        )
    for network in ("fusion_counts", "fusion_described"):
        found[f"gan_fusion, {network}"] = functools.partial(
            _paper,
            "gan_fusion",
            network=network,
            image_size=64 if network == "fusion_described" else 32,
        )
    found["gan_fusion, head on mobilenet"] = functools.partial(
        _paper, "gan_fusion", network="mobilenet", image_size=32
    )
    found["her2scoring"] = functools.partial(_paper, "her2scoring", image_size=32, classes=3)
    found["breakhis"] = functools.partial(
        _paper, "breakhis", np.full(3, 0.5), np.full(3, 0.2), image_size=32
    )
    return found | {
        "user: one branch": _one_branch,
        "user: Sequential": _sequential,
        "user: no ReLU": _no_relu,
        "user: Lambda": _lambda,
        "user: nested model": _nested,
        "user: shared layers": _shared,
        "user: open image size": _open_size,
        "user: mixed float16": functools.partial(_float16, "mixed_float16"),
        "user: float16 weights": functools.partial(_float16, "float16"),
        "user: several outputs": _several_outputs,
        "user: several inputs": _several_inputs,
        "user: no softmax": _without_softmax,
    }


# --- images that a random network tells apart ----------------------------------------------------


def pictures(count: int, size: int, seed: int) -> np.ndarray:
    """Images of one colour each and some noise, uint8 (count, size, size, 3)."""
    rng = np.random.default_rng(seed)
    colours = rng.uniform(40, 215, (count, 1, 1, 3))
    return (colours + rng.normal(0, 20, (count, size, size, 3))).clip(0, 255).astype(np.uint8)


def settle(model: keras.Model, images: np.ndarray) -> None:
    """Give BatchNorm the statistics of these images, and let the logits tell the colours.

    With an offset of 2 most ReLUs pass what they get: where half of it is cut off in every layer,
    a deep random network multiplies every rounding.
    """
    from common.backend import keras

    norms = [x for x in model._flatten_layers() if isinstance(x, keras.layers.BatchNormalization)]
    frozen = [each.trainable for each in norms]
    momentum = [each.momentum for each in norms]
    for each in norms:
        each.trainable, each.momentum = True, 0.0
        if each.center:
            each.beta.assign(keras.ops.full_like(each.beta, 2))
    if norms:
        model(images.astype(np.float32), training=True)
    for each, trains, kept in zip(norms, frozen, momentum, strict=True):
        each.trainable, each.momentum = trains, kept
    for weight in model.weights:
        if "layer_scale" in weight.path:  # ConvNeXt's blocks begin as all but nothing
            weight.assign(keras.ops.full_like(weight, 0.2))
    read_colours(model, images)


def read_colours(model: keras.Model, images: np.ndarray) -> None:
    """Set the last layer so that it tells the images' colours, by ridge regression.

    Directions that are large on these images, which rounding does not drown: what a random last
    layer reads off a deep random network is noise, of which every precision makes other noise.
    """
    from common.backend import keras

    dense = model.get_layer("logits")
    features = np.float64(keras.Model(model.inputs, dense.input).predict(images, verbose=0))
    rng = np.random.default_rng(0)
    colours = images.mean(axis=(1, 2))
    wanted = (
        (colours - colours.mean(axis=0)) / colours.std(axis=0) @ rng.normal(size=(3, dense.units))
    )
    centre = features.mean(axis=0)
    matrix = features - centre
    gram = matrix @ matrix.T
    ridge = gram + 0.01 * np.trace(gram) * np.eye(len(gram))
    kernel = matrix.T @ np.linalg.solve(ridge, wanted)
    spread = (matrix @ kernel).std(axis=0)
    kernel *= 2 / np.maximum(spread, 1e-12)
    dense.set_weights([kernel, -centre @ kernel])


# --- the matrix ----------------------------------------------------------------------------------


def row(build: Callable[[], keras.Model]) -> dict[str, Any]:
    """What `export` makes of a model: the record's files and refusals, or one reason for all."""
    from common import export
    from common.backend import keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = build()
    size = model.inputs[0].shape[1] or 32
    calibration, heldout = pictures(CALIBRATION, size, 1), pictures(HELDOUT, size, 2)
    if len(model.inputs) == 1:
        settle(model, np.concatenate([calibration, heldout]))
    with tempfile.TemporaryDirectory() as out:
        try:
            record = export.export(model, out, calibration=calibration, heldout=heldout)
        except InputError as error:
            return {"problem": str(error), "size": size}
    cells = {each["precision"]: each for each in record["files"] + record["refused"]}
    return {"problem": None, "size": size, "parameters": record["parameters"], "cells": cells}


def onnx_row(name: str) -> dict[str, Any]:
    """What comes of a model as ONNX, and what it takes; in a process of its own."""
    import resource

    from common.backend import keras
    from common.export import onnx_file, preparing

    backend.load()
    keras.utils.set_random_seed(0)
    model = models()[name]()
    size = model.inputs[0].shape[1] or 32
    heldout = pictures(HELDOUT, size, 2)
    if len(model.inputs) == 1:
        settle(model, np.concatenate([pictures(CALIBRATION, size, 1), heldout]))
    found = {"size": size, "parameters": model.count_params()}
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        preparing.check_model(model)
        content, record = onnx_file.make(preparing.in_float32(model), heldout)
    except InputError as error:
        return found | {"problem": str(error)}
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found | {
        "bytes": len(content),
        "agreement": record["agreement"],
        "seconds": time.process_time() - start,
        "before": before / 2**20,
        "after": after / 2**20,
    }


def onnx_table(names: Sequence[str]) -> Iterator[str]:
    """Lines of a Markdown table, then the reasons for what is missing."""
    reasons = []
    yield ("| network | px | parameters | file, MB | top class | largest error | processor, s | "
           "memory before, GiB | at most, GiB |")  # fmt: skip
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    with ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        for name, found in zip(names, pool.map(onnx_row, names), strict=True):
            start = f"| {name} | {found['size']} | {found['parameters']:,} |"
            if "problem" in found:
                reasons.append(f"- **{name}**: {' '.join(found['problem'].split())}.")
                yield f"{start} | refused | | | | |"
                continue
            same = found["agreement"]
            yield (
                f"{start} {found['bytes'] / 1e6:.1f} | {same['k']}/{same['n']} | "
                f"{same['max_abs_probability_error']:.1g} | {found['seconds']:.0f} | "
                f"{found['before']:.1f} | {found['after']:.1f} |"
            )
    yield from ["", *reasons] if reasons else []


def cell(each: dict[str, Any]) -> str:
    """A file's agreement, or that there is none."""
    if "problem" in each:
        return "refused"
    found = each["agreement"]
    return f"{found['k']}/{found['n']}, {found['max_abs_probability_error']:.2g}"


def table(rows: Iterator[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """Lines of a Markdown table, then the reasons for what is missing."""
    reasons = []
    yield "| network | px | parameters | " + " | ".join(PRECISIONS) + " |"
    yield "|---|--:|--:|" + "---|" * len(PRECISIONS)
    for name, found in rows:
        if found["problem"]:
            reasons.append(f"- **{name}**: {' '.join(found['problem'].split())}.")
            yield f"| {name} | {found['size']} | | " + " | ".join(["refused"] * 4) + " |"
            continue
        cells = found["cells"]
        reasons += [
            f"- **{name}, {precision}**: {' '.join(cells[precision]['problem'].split())}."
            for precision in PRECISIONS
            if "problem" in cells[precision]
        ]
        shown = " | ".join(cell(cells[precision]) for precision in PRECISIONS)
        yield f"| {name} | {found['size']} | {found['parameters']:,} | {shown} |"
    yield ""
    yield from reasons


def run() -> int:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[""], help="rows whose names begin so")
    parser.add_argument("--onnx", action="store_true", help="as ONNX, instead of TFLite")
    flags = parser.parse_args()
    chosen = {n: b for n, b in models().items() if n.startswith(tuple(flags.only))}
    if not chosen:
        raise InputError(f"--only {' '.join(flags.only)}: no row; rows are {', '.join(models())}")
    if flags.onnx:
        for line in onnx_table(list(chosen)):
            print(line, flush=True)
        return 0
    backend.load()

    def rows() -> Iterator[tuple[str, dict[str, Any]]]:
        for name, build in chosen.items():
            start = time.process_time()
            found = row(build)
            print(f"{name}: {time.process_time() - start:.0f} s", file=sys.stderr, flush=True)
            yield name, found

    for line in table(rows()):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    main(run)
