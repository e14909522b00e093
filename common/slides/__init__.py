"""Whole slides and large images through a trained run, tile by tile.

    python -m PKG.predict --run RUN slide.svs --tiles

reading (sources, structure) -> scale, mask, tiles -> work (journal) -> outputs, page; `command`
puts them together. tiffslide comes with the extra `slides`; OpenSlide is used where it is installed
and alone knows a format.
"""

from common.slides.command import (
    add_flags,
    add_scale_flags,
    hint,
    predict,
    require_tiles,
    size_argument,
)
from common.slides.mask import tissue_mask
from common.slides.reading import Slide, opened

__all__ = [
    "Slide", "add_flags", "add_scale_flags", "hint", "opened", "predict", "require_tiles",
    "size_argument", "tissue_mask",
]  # fmt: skip
