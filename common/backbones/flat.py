"""An application's layers in one flat graph: connected anew, named for good, frozen by index."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from common import networks
from common.backbones.weights import construct
from common.backend import keras
from common.errors import InputError

# Names of an application's layers in its own order, unprefixed; `freeze` counts along them.
_layer_names: dict[str, list[str]] = {}


def connect(
    name: str,
    application: keras.Model,
    inputs: keras.KerasTensor,
    scaled: keras.KerasTensor,
    bn_momentum: float | None,
    prefix: str,
    after: Mapping[str, keras.layers.Layer] | None = None,
) -> keras.KerasTensor:
    """Rebuild `application` on `scaled`, layer by layer, and copy its weights.

    The layers are new ones: the old ones would keep their connection to the old Input, and
    ``layer.output`` would answer with that.

    Parameters
    ----------
    name : str
        The network's.
    application : keras.Model
        As `common.backbones.weights.load` gives it.
    inputs, scaled : KerasTensor
        The model's `keras.Input`, and it after the scaling layer.
    bn_momentum : float or None
        Replaces BatchNorm momenta above 0.99; None keeps Keras' values.
    prefix : str
        Goes before every layer's name.
    after : mapping, optional
        Name of a layer, without prefix -> a further layer behind it.

    Returns
    -------
    KerasTensor
        The application's output on `scaled`.
    """
    after = after or {}
    names = _stable_names(name, application)
    _remember_layers(name, application)

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        config["name"] = prefix + names[layer.name]
        if (
            isinstance(layer, keras.layers.BatchNormalization)
            and bn_momentum is not None
            and layer.momentum > 0.99
        ):
            # DEVIATION: Keras' 0.999 (MobileNetV2) and 0.9997 (NASNetMobile) keep the moving
            # statistics at their start through a short training, validation accuracy at chance.
            config["momentum"] = bn_momentum
        return type(layer).from_config(config)

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = keras.tree.map_structure(
            lambda x: scaled if x is inputs else x, (args, kwargs)
        )
        x = layer(*args, **kwargs)
        extra = after.get(layer.name.removeprefix(prefix))
        return x if extra is None else extra(x)

    flat = keras.models.clone_model(
        application, input_tensors=inputs, clone_function=copy, call_function=call
    )
    old = {prefix + names[layer.name]: layer for layer in application.layers}
    for layer in flat.layers:
        if layer.name in old and layer.weights:
            layer.set_weights(old[layer.name].get_weights())
    return flat.outputs[0]


def _stable_names(name: str, application: keras.Model) -> dict[str, str]:
    """Map every operation's name to one that does not depend on what was built before."""
    numbered: dict[str, list[tuple[int, str]]] = {}
    names = {}
    for operation in application.operations:
        given = names[operation.name] = operation.name
        match = re.fullmatch(rf"({_snake_case(type(operation).__name__)})(?:_(\d+))?", given)
        # VGG names its layer "flatten" itself.
        if match and given != "flatten":
            numbered.setdefault(match[1], []).append((int(match[2] or 0), given))
    for kind, found in numbered.items():
        first = min(found)[0]
        for number, given in found:
            suffix = f"_{number - first}" if number > first else ""
            names[given] = f"{name}_{kind}{suffix}"
    return names


def _snake_case(name: str) -> str:
    """Class name as Keras turns it into an automatic layer name: Conv2D -> conv2d."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _remember_layers(name: str, application: keras.Model) -> None:
    names = _stable_names(name, application)
    top = ("flatten", *networks.get(name).dense)
    _layer_names[name] = [
        names[layer.name] for layer in application.layers if layer.name not in top
    ]


def freeze(model: keras.Model, layers: int | str, application: str, prefix: str = "") -> list[str]:
    """Make the first layers of a network inside `model` untrainable.

    Layers are counted along the application's own ``layers`` list, input layer included, as in
    ``for layer in base.layers[:layers]: layer.trainable = False``; in the flat model the order is
    another. A frozen BatchNorm also runs on its moving statistics (Keras' rule). Compile after
    freezing.

    Parameters
    ----------
    model : keras.Model
        Built by `classifier` or from `features`, or loaded from such a model's file.
    layers : int or "all"
        How many of the application's layers to freeze.
    application : str
        Which network, key of `NETWORKS`.
    prefix : str
        The prefix it was built with.

    Returns
    -------
    list of str
        Names of the frozen layers.

    Raises
    ------
    InputError
        If the network is not part of the model or has fewer layers.
    """
    if application not in _layer_names:
        network = networks.get(application)
        state = random.getstate()  # Keras draws its initial weights from here; leave no trace.
        _remember_layers(application, construct(network, network.smallest_size, None, False))
        random.setstate(state)
    names = _layer_names[application]
    count = len(names) if layers == "all" else layers
    if not isinstance(count, int) or not 0 <= count <= len(names):
        raise InputError(
            f"cannot freeze {layers!r} layers of {application}: 0 to {len(names)}, or 'all'"
        )
    # names[0] is the application's input layer, which counts but has no counterpart.
    wanted = [prefix + name for name in names[1:]]
    found = {layer.name: layer for layer in model.layers}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InputError(
            f"{application} with prefix {prefix!r} is not part of the model {model.name}: "
            f"no layer {missing[0]}"
        )
    frozen = wanted[: max(count - 1, 0)]
    for name in frozen:
        found[name].trainable = False
    return frozen
