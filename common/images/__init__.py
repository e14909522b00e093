"""Read and check images, and keep their resized pixels in a memory-mapped cache.

An image is RGB, HWC, uint8 everywhere, from a PNG, JPEG, TIFF or BMP. `read` and `check` look at
files, `cached` decodes and resizes those of a data set once and gives them as `Pixels`.

    python -m common.images cache --info
"""

from common.images.cache import cache_folder, cached
from common.images.formats import MAX_PIXELS, MAX_SIDE, ImageError
from common.images.pixels import Pixels
from common.images.reading import FILTERS, MAX_BYTES, check, commonest_size, read, resize, sizes
from common.images.store import VERSION

__all__ = [
    "FILTERS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE",
    "VERSION",
    "ImageError",
    "Pixels",
    "cache_folder",
    "cached",
    "check",
    "commonest_size",
    "read",
    "resize",
    "sizes",
]
