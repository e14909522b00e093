"""An application as a maker of features: raw pixels in, one vector an image out."""

from __future__ import annotations

from pathlib import Path

from common.backbones.build import features
from common.backend import keras


def pooled(name: str, image_size: int, weights: str | Path | None = "imagenet") -> keras.Model:
    """Build a network whose output is the mean of its last feature map.

    Parameters
    ----------
    name : str
        Key of `common.networks.NETWORKS`.
    image_size : int
        Side of the square images in px.
    weights : {"none", "imagenet"} or path
        As in `common.backbones.features`.

    Returns
    -------
    keras.Model
        From RGB pixels [0, 255], (None, image_size, image_size, 3), to (None, channels).

    Raises
    ------
    InputError
        As `common.backbones.features`.
    """
    inputs, feature_map = features(name, image_size, weights=weights)
    out = keras.layers.GlobalAveragePooling2D(name="pooled", dtype="float32")(feature_map)
    return keras.Model(inputs, out, name=f"{name}_features")
