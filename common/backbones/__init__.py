"""Image networks of `keras.applications` with their own input scaling, built flat.

Every network becomes part of one flat functional graph: an `Input` for raw RGB pixels, one
`InputScaling` layer, then the application's own layers under their own names. A nested backbone
would hide its layers from Grad-CAM, from freezing by index and from loading by name.

Layers that Keras names by a global counter (``conv2d_12``, ``activation_281``) get fixed names
with the network's name in front (``inception_v3_conv2d_12``), the number being that of a fresh
process. Otherwise the names would depend on what was built before.

`common.networks` is the table of the networks, and needs no Keras.
"""

from common.backbones.build import classifier, features
from common.backbones.counts import multiply_accumulates, parameters
from common.backbones.flat import freeze
from common.backbones.pooled import pooled
from common.backbones.weights import download
from common.networks import NETWORKS, NORMALISATIONS, Network, gradcam_layers

__all__ = [
    "NETWORKS", "NORMALISATIONS", "Network", "classifier", "download", "features", "freeze",
    "gradcam_layers", "multiply_accumulates", "parameters", "pooled",
]  # fmt: skip
