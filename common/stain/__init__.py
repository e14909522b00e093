"""Stain normalisation and stain augmentation of H&E images, without a deep-learning framework.

An image is RGB uint8, (H, W, 3), a batch (N, H, W, 3). Light that passes stained tissue follows
Beer and Lambert: with the optical density OD = -ln(pixel / white level), OD = C M, where the rows
of the stain matrix M (2, 3) are the colours of haematoxylin and eosin and C their concentrations.
Macenko and Vahadane estimate M for each image, scale C so that its high percentiles are those of
the target, and mix again with the target's M; Reinhard matches means and spreads in CIELAB.

>>> import numpy as np
>>> pixels = np.random.default_rng(0).integers(80, 255, (2, 64, 64, 3), dtype=np.uint8)
>>> normalizer = MacenkoNormalizer().fit(pixels[0])
>>> normalised, flag = normalizer.transform(pixels[1], return_flags=True)
>>> normalised.shape, normalised.dtype, flag.name
((64, 64, 3), dtype('uint8'), 'OK')

In the input path: ``images.cached(data_dir, names, 224, transform=normalizer.transform,
transform_id=normalizer.identity())``.

`python -m common.stain` does the same for folders; `common.stain.accelerator` for batches on a GPU.
"""

from common.stain.augmenter import StainAugmenter
from common.stain.conventions import PRESETS, TISSUE_DENSITY, WHITE_LEVEL, Conventions
from common.stain.estimation import RUIFROK, Flag, Stains
from common.stain.files import METHODS, from_state, load
from common.stain.normalizer import Normalizer
from common.stain.reinhard import ReinhardNormalizer
from common.stain.target import choose_target, fit_typical
from common.stain.tissue import tissue_share
from common.stain.unmixing import MacenkoNormalizer, VahadaneNormalizer

__all__ = [
    "METHODS", "PRESETS", "RUIFROK", "TISSUE_DENSITY", "WHITE_LEVEL", "Conventions", "Flag",
    "MacenkoNormalizer", "Normalizer", "ReinhardNormalizer", "StainAugmenter", "Stains",
    "VahadaneNormalizer", "choose_target", "fit_typical", "from_state", "load", "tissue_share",
]  # fmt: skip
