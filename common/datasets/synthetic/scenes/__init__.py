"""What each diagnosis looks like: scenes that fill a `Tissue` with compartments and nuclei."""

from common.datasets.synthetic.scenes.her2 import ASCO_CAP, SCORES, her2_carcinoma, membrane
from common.datasets.synthetic.scenes.pictures import BACH, BREAKHIS, Scene, her2_pair, picture

__all__ = [
    "ASCO_CAP", "BACH", "BREAKHIS", "SCORES", "Scene", "her2_carcinoma", "her2_pair", "membrane",
    "picture",
]  # fmt: skip
