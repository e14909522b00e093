"""How good generated images are: FID, KID, precision and recall, and whether they are copies.

All distances are taken between feature vectors in float64 NumPy; which network made the features
does not matter to them, and decides the values. `FeatureNetwork` makes features with one of
`common.backbones` and says how.

No value from here is comparable with a published FID or KID. Those come from the Inception network
of 2015 (file `inception-2015-12-05`), whose layers differ from Keras' InceptionV3 (pooling without
the padding, a maximum in the last block) and whose weights come from another training. Values
compare with each other where network, weights, size, resize filter and the real images are equal:
what `FeatureNetwork.record` says.

References
----------
FID: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017. KID: Binkowski et al.,
"Demystifying MMD GANs", 2018. Precision, recall: Kynkaanniemi et al., "Improved Precision and
Recall Metric for Assessing Generative Models", 2019.
"""

from common.generative.distances import (
    Kid,
    fid,
    kid,
    memorisation,
    nearest,
    precision_recall,
)
from common.generative.network import FeatureNetwork

__all__ = [
    "FeatureNetwork",
    "Kid",
    "fid",
    "kid",
    "memorisation",
    "nearest",
    "precision_recall",
]
