"""What reads a slide's file: tiffslide, OpenSlide, or a decoder of whole pictures."""

from __future__ import annotations

import importlib.util
import logging
import math
import re
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from common.errors import InputError
from common.images import ImageError
from common.slides.segments import require_fit
from common.slides.structure import AGAIN, TILED, Image, check_file, check_level, in_short, is_plain
from common.slides.vendors import LEFT, OPENSLIDE, VendorSlide, both, unknown, vendor_of

if TYPE_CHECKING:
    from tifffile import TiffPage

EXTRA = "pip install 'histopapers[slides]'"

_BAND = 120 * 2**20  # bytes of whole rows that are kept, where a file has strips
_PICTURES = (".png", ".jpg", ".jpeg", ".jpe", ".bmp")
# Bytes for a px while a picture is decoded and checked, as measured, the file beside. Of a JPEG,
# with the second decoding that finds a cut file, and the coefficients of several passes.
_PICTURE_BYTES = {"PNG": 7, "BMP": 7, "JPEG": 14, "passes": 20}
PICTURE_ROOM = 300 * 2**20
"""Bytes that a PNG, JPEG or BMP may take while it is decoded whole."""


class Source(Protocol):
    """What a file is read by.

    Attributes
    ----------
    kind : str
        In words, for pages.
    levels : list of (int, int)
        Width and height of each level in px; the first is the full size.
    mpp : (float, float) or None
        Micrometres per px of the first level, across and down, where the file says it.
    rows : bool
        Whether the file lies in whole rows, so that a narrow piece costs as much as a wide one.
    synthetic : bool
        Whether the file says of itself that it was drawn by a program.
    origin : (int, int)
        Where the first level's upper left px lies on the canvas of a file that has one, of which
        only a part was scanned.
    mark : str
        What a slide of several files is known again by; "" where the one file tells.
    """

    kind: str
    levels: list[tuple[int, int]]
    mpp: tuple[float, float] | None
    rows: bool
    synthetic: bool
    origin: tuple[int, int]
    mark: str

    def pixels(self, level: int, x: int, y: int, width: int, height: int) -> Image:
        """Read a rectangle that lies inside a level, in the level's own px.

        Parameters
        ----------
        level, x, y, width, height : int
        """

    def close(self) -> None:
        """Close the file."""


def source_of(path: Path) -> Source:
    """Choose what reads a file, and open it.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        Naming the file, what is wrong and what to do.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name the slide's file")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix.lower() in _PICTURES:
        return _Picture(path)
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not start:
        raise InputError(f"{path}: is empty (0 bytes); {AGAIN}")
    tiff = start in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
    alone = importlib.util.find_spec("tiffslide") is None
    if vendor := vendor_of(path, () if alone else LEFT):
        return VendorSlide(path, vendor)
    if tiff:
        try:
            return _Tiff(path)
        except _TextError:
            if vendor := vendor_of(path, ()):
                return VendorSlide(path, vendor)
            raise
    raise InputError(f"{path}: {unknown(path)}")


class _TextError(InputError):
    """A slide whose description tiffslide does not take; OpenSlide does."""


# --- TIFF by tiffslide -------------------------------------------------------------------------


class _Tiff:
    """A TIFF as tiffslide understands its pyramid."""

    origin, mark = (0, 0), ""

    def __init__(self, path: Path):
        try:
            import tifffile
            import tiffslide
        except ImportError:
            raise InputError(f"{path}: slides need tiffslide: {EXTRA}") from None
        check_file(path)
        # What it finds wrong is found here, too, and told in one line.
        logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)
        self.path = path
        self._file = path.open("rb")
        try:
            self._open(tiffslide, tifffile)
        except BaseException:
            self._file.close()
            raise
        self._bands: dict[int, tuple[int, Image]] = {}
        self._band, self._seek = threading.Lock(), threading.Lock()

    def _open(self, tiffslide: Any, tifffile: Any) -> None:
        path = self.path
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._slide: Any = tiffslide.TiffSlide(self._file)
                properties = self._slide.properties
                composed = properties.get("tiffslide.series-composition") is not None
                series = self._slide.ts_tifffile.series[properties["tiffslide.series-index"]]
                pages = [level.keyframe for level in series.levels]
        except (tifffile.TiffFileError, NotImplementedError) as error:
            if "encoding" in str(error):
                raise _TextError(
                    f"{path}: its ImageDescription is no ASCII, at which tiffslide stops; mend a "
                    "copy with python -m tiffslide.repair fix-description-tag-encoding COPY "
                    f"--no-dry-run, or {OPENSLIDE}"
                ) from None
            raise InputError(
                f"{path}: no TIFF that can be read ({in_short(error)}); {AGAIN}"
            ) from None
        except Exception as error:  # damaged tags make the libraries raise almost anything
            raise InputError(
                f"{path}: its pyramid cannot be read ({in_short(error)}); {AGAIN}"
            ) from None
        size = path.stat().st_size
        self._pages: list[TiffPage] = pages
        self._left_out = [
            check_level(path, number, page, size) for number, page in enumerate(pages)
        ]
        if composed or properties.get("tiffslide.series-axes") != "YXS":
            raise InputError(
                f"{path}: holds several images side by side, which OpenSlide may read ({OPENSLIDE})"
                f"; or {TILED}"
            )
        said = str(properties.get("tiff.ImageDescription") or "")
        self.kind = f"TIFF ({properties.get('tiffslide.vendor') or 'generic'}), by tiffslide"
        self.levels = [(page.imagewidth, page.imagelength) for page in pages]
        self.mpp = both(properties.get("tiffslide.mpp-x"), properties.get("tiffslide.mpp-y"))
        self.mpp = self.mpp or _ome(said)
        self.rows = not pages[0].is_tiled
        self.synthetic = "SYNTHETIC" in said

    def pixels(self, level: int, x: int, y: int, width: int, height: int) -> Image:
        page = self._pages[level]
        if page.is_tiled:
            return self._decoded(level, x, y, width, height)
        with self._band:
            top, band = self._bands.get(level, (0, np.empty((0, 0, 3), np.uint8)))
            if not top <= y <= y + height <= top + len(band):
                if 3 * page.imagewidth * height > _BAND:
                    raise InputError(
                        f"{self.path}: is stored in whole rows, {height} of which have "
                        f"{3 * page.imagewidth * height >> 20} MB; {TILED}"
                    )
                self._bands.clear()
                if is_plain(page):
                    top, band = y, self._rows(page, y, height)
                else:
                    top, band = y, self._decoded(level, 0, y, page.imagewidth, height)
                self._bands[level] = top, band
            return band[y - top : y - top + height, x : x + width].copy()

    def _bytes(self, offset: int, count: int) -> bytes:
        with self._seek:
            self._file.seek(offset)
            return self._file.read(count)

    def _rows(self, page: TiffPage, y: int, height: int) -> Image:
        stride = 3 * page.imagewidth
        data = self._bytes(page.dataoffsets[0] + y * stride, height * stride)
        return np.frombuffer(data, np.uint8).reshape(height, -1, 3)

    def _decoded(self, level: int, x: int, y: int, width: int, height: int) -> Image:
        """Put a rectangle together from its tiles or strips.

        Not by tiffslide's own reading, which leaves tasks behind where a tile is damaged.
        """
        page, left_out = self._pages[level], self._left_out[level]
        wide = page.tilewidth if page.is_tiled else page.imagewidth
        tall = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        out = np.full((height, width, 3), 255, np.uint8)
        for row in range(y // tall, -(-(y + height) // tall)):
            for column in range(x // wide, -(-(x + width) // wide)):
                if left_out[row, column]:
                    continue
                piece = self._piece(page, row * left_out.shape[1] + column, (tall, wide, 3))
                top, left = max(y - row * tall, 0), max(x - column * wide, 0)
                to_y, to_x = row * tall + top - y, column * wide + left - x
                place = out[to_y : to_y + tall - top, to_x : to_x + wide - left]
                place[:] = piece[top : top + place.shape[0], left : left + place.shape[1]]
        return out

    def _piece(self, page: TiffPage, index: int, shape: tuple[int, int, int]) -> Image:
        data = self._bytes(page.dataoffsets[index], page.databytecounts[index])
        tables = {} if page.jpegtables is None else {"jpegtables": page.jpegtables}
        require_fit(int(page.compression), (*tables.values(), data), shape[1], shape[0])
        found = page.decode(data, index, _fullsize=True, **tables)[0]
        if found is None or found.size != math.prod(shape) or found.dtype != np.uint8:
            raise ValueError("a tile or strip of another size")
        return np.asarray(found, np.uint8).reshape(shape)

    def close(self) -> None:
        self._slide.close()
        self._file.close()


def _ome(description: str) -> tuple[float, float] | None:
    """Micrometres per px as an OME-TIFF says it."""
    found = [
        re.search(rf'PhysicalSize{axis}="([0-9.eE+-]+)"', description[:100_000]) for axis in "XY"
    ]
    unit = re.search(r'PhysicalSizeXUnit="([^"]*)"', description[:100_000])
    if not all(found) or (unit and unit[1] not in ("µm", "um", "μm")):
        return None
    return both(*(each[1] for each in found if each))


# --- pictures ------------------------------------------------------------------------------------


class _Picture:
    """A picture that has to be decoded whole."""

    rows = False
    mpp: tuple[float, float] | None = None
    origin, mark = (0, 0), ""

    def __init__(self, path: Path):
        from common.datasets.marks import is_synthetic_png
        from common.images.formats import inspect
        from common.images.reading import decode, load

        room = f"at most {PICTURE_ROOM >> 20} MB are taken; {TILED}"
        if path.stat().st_size > PICTURE_ROOM:
            raise InputError(f"{path}: has {path.stat().st_size >> 20} MB, {room}")
        try:
            data = load(path)[0]
            header = inspect(data, path.suffix)
        except ImageError as problem:
            raise InputError(f"{path}: {problem}") from None
        each = _PICTURE_BYTES["passes" if header.passes > 1 else header.kind]
        needed = each * header.width * header.height + len(data)
        if needed > PICTURE_ROOM:
            raise InputError(
                f"{path}: {header.width}x{header.height} px can only be decoded whole, which takes "
                f"{needed >> 20} MB; {room}"
            )
        self.kind = f"{header.kind}, decoded whole"
        self.levels = [(header.width, header.height)]
        self.synthetic = is_synthetic_png(path)
        try:
            self._image = decode(data, path.suffix)
        except ImageError as problem:
            raise InputError(f"{path}: {problem}") from None

    def pixels(self, level: int, x: int, y: int, width: int, height: int) -> Image:
        return self._image[y : y + height, x : x + width]

    def close(self) -> None:
        pass
