"""Weights of the applications: random, from a file that is checked, or ImageNet's from Keras."""

from __future__ import annotations

import os
import re
import socket
import warnings
from pathlib import Path

import numpy as np

from common import models, networks
from common.backend import keras
from common.errors import InputError
from common.files import expanded
from common.networks import Network

# Seconds without an answer from the download server before we give up.
DOWNLOAD_TIMEOUT = 20


def construct(
    network: Network, image_size: int, weights: str | None, include_top: bool
) -> keras.Model:
    """Call the network's constructor of `keras.applications`.

    Parameters
    ----------
    network : Network
    image_size : int
        Side of the square images in px.
    weights : {"imagenet"} or None
        None: random weights.
    include_top : bool
        With the classifier of the 1000 ImageNet classes.

    Returns
    -------
    keras.Model
    """
    with warnings.catch_warnings():
        # MobileNet and MobileNetV2 say that they take the 224 px weights at an odd size; that is
        # what we want and what `Network.note` says.
        warnings.filterwarnings("ignore", message="`input_shape` is undefined or non-square")
        return getattr(keras.applications, network.application)(
            include_top=include_top,
            weights=weights,
            input_shape=(image_size, image_size, 3),
            **network.options,
        )


def load(name: str, image_size: int, weights: str | Path | None, include_top: bool) -> keras.Model:
    """Build the application on a plain Input and load its weights there.

    Parameters
    ----------
    name : str
        Key of `common.networks.NETWORKS`.
    image_size : int
        Side of the square images in px.
    weights : {"none", "imagenet"} or path
        As in `common.backbones.features`; None is "none".
    include_top : bool
        With the classifier of the 1000 ImageNet classes.

    Returns
    -------
    keras.Model
        Of `keras.applications`, under its own layer names.

    Raises
    ------
    InputError
        If the weights are missing, damaged or of another network.
    """
    network = networks.get(name)
    if weights is None or str(weights) == "none":
        return construct(network, image_size, None, include_top)
    if str(weights) == "imagenet":
        size = network.weights_size or image_size
        if size == image_size:
            return _download(name, image_size, include_top)
        # Copying NASNetMobile's weights, which Keras documents for 224 px, is right at any size:
        # the network is convolutional, only its padding depends on the size.
        application = construct(network, image_size, None, include_top)
        application.set_weights(_download(name, size, include_top).get_weights())
        return application

    path = expanded(weights)
    if not path.is_file():
        raise InputError(f"no weights file {path} for {name}: give a file, 'imagenet' or 'none'")
    if not path.name.endswith((".weights.h5", ".keras", ".h5", ".hdf5")):
        raise InputError(
            f"weights file {path}: the name must end in .weights.h5, .keras, .h5 or .hdf5"
        )
    application = construct(network, image_size, None, include_top)
    untouched = _beginnings(application)
    try:
        models.load_weights(application, path)
        left = [
            key
            for key, values in _beginnings(application).items()
            if np.array_equal(values, untouched[key])
        ]
        if left:
            layers = len({key.rpartition("/")[0] for key in left})
            all_layers = len({key.rpartition("/")[0] for key in untouched})
            raise ValueError(
                f"{len(left)} of {len(untouched)} weights not in the file: {left[0]}; "
                f"they are of {layers} of {all_layers} layers"
            )
    except ValueError as error:  # an InputError is one
        reason = str(error).removeprefix(f"{path}: ")[:300]
        raise InputError(
            f"cannot load {path} as weights of {name}: the file is damaged or belongs to another "
            f"network. Expected: weights of keras.applications.{network.application}"
            f"(include_top={include_top}), {application.count_params():,} parameters. "
            f"Found: {reason}"
        ) from error
    return application


def _beginnings(model: keras.Model) -> dict[str, np.ndarray]:
    """First values of every randomly initialised weight, to see whether a file has replaced it."""
    random_values = (v for v in model.trainable_weights if len(v.shape) > 1)
    return {
        v.path: keras.ops.convert_to_numpy(v[(0,) * (len(v.shape) - 1)])[:16] for v in random_values
    }


def _download(name: str, image_size: int, include_top: bool) -> keras.Model:
    """Build the application with ImageNet weights, from Keras' cache or the network."""
    network = networks.get(name)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        return construct(network, image_size, "imagenet", include_top)
    except Exception as error:
        # keras.utils.get_file raises a bare Exception when the server cannot be reached, a
        # ValueError for an incomplete file, and h5py an OSError for a damaged one.
        folder = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "models"
        address = re.search(r"https?://\S*/([^/\s:]+)", str(error))
        file = address[1] if address else f"for keras.applications.{network.application}"
        file = network.stored_as.get(file, file)
        raise InputError(
            f"no ImageNet weights for {name}: the file {file} is not in {folder} or damaged there, "
            f"and could not be downloaded. Run `python -m common.backbones download {name}` on a "
            "machine with network access and copy the file from its ~/.keras/models to that "
            "folder, or use --weights PATH or --weights none. "
            f"Keras says: {' '.join(str(error).split())[:300]}"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def download(name: str, image_size: int = 224) -> list[Path]:
    """Let Keras fetch a network's ImageNet weights, for later use without a network connection.

    Parameters
    ----------
    name : str
        Key of `NETWORKS`. VGG comes with and without its dense layers.
    image_size : int
        Side of the square images in px: Keras keeps MobileNet's and MobileNetV2's weights for
        128, 160 and 192 px (MobileNetV2: 96 too) in files of their own.

    Returns
    -------
    list of Path
        The network's files in Keras' cache, of other sizes too.

    Raises
    ------
    InputError
        If the network is unknown, or a file cannot be had.
    """
    dense = networks.get(name, image_size).dense
    load(name, image_size, "imagenet", include_top=False)
    if dense:
        load(name, 224, "imagenet", include_top=True)
    return networks.stored_weights(name)
