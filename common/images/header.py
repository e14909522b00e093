"""What a sound image file says of itself, and the demands that every format has to meet.

This file and those of the three formats beside it need nothing but Python (3.9): a device reads by
them, too.
"""

from __future__ import annotations

from dataclasses import dataclass

# A patch, not a whole slide: 128 megapixels are 384 MiB once decoded.
MAX_PIXELS = 2**27
# JPEG's own limit. Whatever is longer is no picture, and readers keep a pointer for every row.
MAX_SIDE = 65_535

AGAIN = "copy or download it again"
RESAVE = "save it as 8-bit RGB, or take the original image"
CUT = f"is cut short; {AGAIN}"


class ImageError(Exception):
    """What is wrong with an image, and what to do; the caller knows the file's name."""

    @property
    def incomplete(self) -> bool:
        """Whether the file may be whole a moment later, as one that is still being copied."""
        return str(self).endswith(AGAIN)


@dataclass(frozen=True)
class Header:
    """What a sound file is: its size in px, whether it has an alpha channel.

    `kind` is "PNG", "JPEG", "TIFF" or "BMP". `forgiven` says that OpenCV would pass over damage
    to the compressed pixels, so that another reader must decode them. `segments` are the places in
    a JPEG where a piece of compressed data ends, and in a PNG where its pixels begin and end.
    `passes` is how often a JPEG goes over the image.
    """

    width: int
    height: int
    kind: str
    alpha: bool = False
    forgiven: bool = False
    segments: tuple[int, ...] = ()
    passes: int = 1


def damaged(what: str) -> ImageError:
    """Say that a file is damaged.

    Parameters
    ----------
    what : str
        Where the damage was seen; a few words.

    Returns
    -------
    ImageError
        For the caller to raise.
    """
    return ImageError(f"is damaged ({what}); {AGAIN}")


def require_size(width: int, height: int) -> None:
    """Refuse an image without pixels, of more than `MAX_PIXELS`, or with an endless side.

    Parameters
    ----------
    width, height : int
        In px, as the file claims.

    Raises
    ------
    ImageError
    """
    if width == 0 or height == 0:
        raise ImageError(f"has no pixels ({width}x{height}); {AGAIN}")
    if max(width, height) > MAX_SIDE:
        raise ImageError(
            f"is {width}x{height} px, with a side of more than {MAX_SIDE} px; cut it into patches"
        )
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"is {width}x{height} px, more than {MAX_PIXELS // 2**20} megapixels; "
            "cut it into patches"
        )


def require_8_bit(depth: int) -> None:
    """Refuse other depths than 8 bits.

    Parameters
    ----------
    depth : int
        Bits per channel, as the file claims.

    Raises
    ------
    ImageError
    """
    if depth != 8:
        raise ImageError(f"has {depth} bits per channel; {RESAVE}")


def require_upright(orientation: int) -> None:
    """Refuse an image that EXIF turns or flips: readers differ in whether they follow it.

    Parameters
    ----------
    orientation : int
        EXIF's value; 1 is upright, 0 is written by some for "unknown".

    Raises
    ------
    ImageError
    """
    if orientation not in (0, 1):
        raise ImageError(
            f"is turned by its EXIF orientation ({orientation}); save it with its pixels turned"
        )
