"""Let Keras load what was looked through; no more is allocated than the file holds."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import InputError
from common.models.contents import check_keras, check_weights, damaged
from common.papers import PAPERS

if TYPE_CHECKING:
    import keras

Shape = tuple[int | None, ...]

# Objects of Keras that hold or fetch code (byte code, pickles, other programs' functions) or read
# a file that their config names.
_FORBIDDEN = (
    "Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer",
    "StringLookup", "IntegerLookup", "TextVectorization", "__typespec__", "__numpy__", "__tensor__",
)  # fmt: skip
# Modules of Keras from which a network takes its parts; a module of any other is not imported.
_PARTS = (
    "keras.activations", "keras.constraints", "keras.dtype_policies", "keras.initializers",
    "keras.layers", "keras.losses", "keras.metrics", "keras.models", "keras.ops",
    "keras.optimizers", "keras.regularizers", "keras.src.activations", "keras.src.applications",
    "keras.src.dtype_policies", "keras.src.layers", "keras.src.models", "keras.src.ops",
)  # fmt: skip
_DEPTH = 100
# Objects in a config, those of a network that is used twice counted twice. Keras makes some 1,500
# a second; NASNetMobile has 3,800.
_OBJECTS = 30_000
_SPARE_NUMBERS = 2**20
# Numbers of the largest feature map of one image; VGG at 1024 px has 2^26.
_LARGEST_MAP = 2**30


def load(file: str | Path) -> keras.Model:
    """Load a whole model; the packages whose own layers are in it must be imported already.

    Only parts of Keras and layers of this project are made; nothing in the file is run. No more
    weights are allocated than the file holds.

    Parameters
    ----------
    file : path
        A `.keras` file.

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    InputError
        If the file is damaged, asks for code, claims to be larger than it is, or has weights that
        are not finite.
    """
    from common.backend import keras

    file = Path(file)
    if file.suffix != ".keras":
        raise InputError(f"{file}: a whole model is a .keras file")
    text, stored = check_keras(file)
    with _quietly(file):
        config = json.loads(text)
        if not isinstance(config, dict):
            raise InputError(f"{file}: refused, its config is no model's")
        config["compile_config"] = None
        if _count(config, file, 0) > _OBJECTS:
            raise InputError(f"{file}: refused, it describes more than {_OBJECTS:,} objects")
        with _at_most(sum(stored.values()), file):
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        if not isinstance(model, keras.Model):
            raise InputError(f"{file}: refused, its config is no model's")
        _check_maps(model, file)
    _restore(model, stored, file)
    return model


def check_shapes(
    model: keras.Model, file: str | Path, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> None:
    """Refuse a model that takes or gives something else than is expected of it.

    Parameters
    ----------
    model : keras.Model
    file : path
        Where it is from.
    inputs, outputs : sequence of tuple of int or None
        Shapes, the number of images None.

    Raises
    ------
    InputError
        Naming both.
    """
    found = [[tuple(each.shape) for each in tensors] for tensors in (model.inputs, model.outputs)]
    if found != [list(inputs), list(outputs)]:
        shown = [", ".join(map(str, shapes)) for shapes in (*found, inputs, outputs)]
        raise InputError(
            f"{file}: another network, from {shown[0]} to {shown[1]}; expected is one from "
            f"{shown[2]} to {shown[3]}"
        )


def load_weights(model: keras.Model, file: str | Path) -> None:
    """Give a model the weights of a file; what layers the file describes does not matter.

    Parameters
    ----------
    model : keras.Model
        Built. After an error its weights are partly those of the file.
    file : path
        `.keras`, `.weights.h5`, `.h5` or `.hdf5`, of the same network.

    Raises
    ------
    InputError
        If the file is damaged, of another network, holds a part of its weights only, or some that
        are not finite.
    """
    _restore(model, check_weights(file), file)


def _restore(model: keras.Model, stored: dict[str, int], file: str | Path) -> None:
    """Weights of a file that was looked through; all of a model's must be in it, and be numbers."""
    from common.backend import keras

    count = len(model.weights)
    # An old .h5 is read layer by layer, and Keras compares them.
    if len(stored) < count and Path(file).name.endswith((".keras", ".weights.h5")):
        raise InputError(f"{file}: holds {len(stored)} of {count} weights of {model.name}")
    with _quietly(file), without_optimizer(model):
        model.load_weights(file)
    broken = [
        variable.path
        for variable in model.weights
        if not np.isfinite(keras.ops.convert_to_numpy(variable).astype(np.float32)).all()
    ]
    if broken:
        raise InputError(
            f"{file}: {len(broken)} of {count} weights hold NaN or infinity: {broken[0]}"
        )


@contextmanager
def without_optimizer(model: keras.Model) -> Iterator[None]:
    """Let a compiled model be saved or loaded without its optimizer, which would triple the file.

    Parameters
    ----------
    model : keras.Model
        Has its optimizer again afterwards.
    """
    if not model.compiled:
        yield
        return
    optimizer = model.optimizer
    model.optimizer, model.compiled = None, False
    try:
        yield
    finally:
        model.optimizer, model.compiled = optimizer, True


@contextmanager
def _quietly(file: str | Path) -> Iterator[None]:
    """What Keras raises is one line that names the file; what it may only warn of is checked."""
    with damaged(file), warnings.catch_warnings():
        # Groups that a file may or may not have; what counts is checked afterwards.
        warnings.filterwarnings("ignore", message="Skipping nested container")
        yield


def _count(item: Any, file: Path, depth: int) -> int:
    """Objects that Keras will make of a part of a config; each of them is looked at."""
    if depth > _DEPTH:
        raise InputError(f"{file}: refused, its config is nested more than {_DEPTH} deep")
    if isinstance(item, list):
        return sum(_count(each, file, depth + 1) for each in item)
    if not isinstance(item, dict):
        return 0
    count = sum(_count(each, file, depth + 1) for each in item.values())
    if "class_name" not in item:
        return count
    foreign = _foreign(item)
    if foreign:
        raise InputError(f"{file}: refused, it wants to run code of its own ({foreign:.100})")
    calls = item.get("inbound_nodes")
    return (count + 1) * max(1, len(calls) if isinstance(calls, list) else 1)


def _foreign(item: dict[str, Any]) -> str:
    """Name of what is neither a part of Keras' networks nor a layer of this project; else ""."""
    from common.backend import keras

    name, module = str(item["class_name"]), str(item.get("module") or "keras")
    if name in _FORBIDDEN:
        return name
    registered = str(item.get("registered_name") or "")
    if ">" in registered or ">" in name:
        known = keras.saving.get_registered_object(registered or name)
        package = str(getattr(known, "__module__", "")).partition(".")[0]
        return "" if package in ("common", *PAPERS) else f"{module}.{name}"
    if name == "function":
        function = item.get("config")
        own = isinstance(function, str) and hasattr(keras.activations, function)
        return "" if own else f"{module}.{function}"
    # What Keras writes without a module: tensors, tuples, slices.
    if module in ("keras", "builtins", *_PARTS) or module.startswith(
        tuple(f"{p}." for p in _PARTS)
    ):
        return ""
    return f"{module}.{name}"


@contextmanager
def _at_most(numbers: int, file: Path) -> Iterator[None]:
    """Stop before layers make many more weights than there are numbers in the file.

    Not before the first one more, so that a file of a part of a network is called that.
    """
    from common.backend import keras

    original = keras.layers.Layer.add_weight
    made = 0

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal made
        shape = options.get("shape", arguments[0] if arguments else ()) or ()
        made += math.prod(abs(int(side)) for side in np.atleast_1d(shape))
        if made > numbers + max(numbers, _SPARE_NUMBERS):
            raise InputError(
                f"{file}: refused, its layers want {made:,} weights or more, up to {self.name}, "
                f"and it holds {numbers:,}"
            )
        return original(self, *arguments, **options)

    keras.layers.Layer.add_weight = counted
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = original


def _check_maps(model: Any, file: Path) -> None:
    """Refuse a model that would make feature maps larger than any network's."""
    from common.backend import tree

    for each in getattr(model, "operations", ()):
        _check_maps(each, file)
        try:
            outputs = tree.flatten(each.output)
        except (AttributeError, ValueError):  # a layer that is used twice has no single output
            continue
        for tensor in outputs:
            if math.prod(side or 1 for side in tensor.shape) > _LARGEST_MAP:
                raise InputError(
                    f"{file}: refused, layer {each.name} gives {tuple(tensor.shape)} numbers"
                )
