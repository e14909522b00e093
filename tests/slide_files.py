"""Slides for tests: pyramids and striped TIFFs as scanners and programs write them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import tifffile


def tissue(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Glass with an island of stained dots in the middle; every px is another."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 243, np.int16)
    y, x = np.mgrid[:height, :width]
    inside = ((y / height - 0.5) ** 2 + (x / width - 0.5) ** 2) < 0.16
    image[inside] = (214, 130, 178)
    nuclei = inside & (np.hypot(y % 12 - 6, x % 12 - 6) < 3)
    image[nuclei] = (110, 70, 140)
    image += rng.integers(-4, 5, image.shape, np.int16)
    return image.clip(0, 255).astype(np.uint8)


def pyramid(
    path: Path,
    image: np.ndarray,
    *,
    mpp: float | None = 0.5,
    levels: int = 2,
    tile: int = 64,
    **options: Any,
) -> Path:
    """Write a pyramid as tifffile does it: levels in SubIFDs, by plain averages of 2x2 px."""
    known = {} if mpp is None else {"resolution": (1e4 / mpp, 1e4 / mpp),
                                    "resolutionunit": "CENTIMETER"}  # fmt: skip
    options = {"photometric": "rgb", "metadata": None, "tile": (tile, tile), **options}
    with tifffile.TiffWriter(path, bigtiff=options.pop("bigtiff", False)) as file:
        file.write(image, subifds=levels - 1, **known, **options)
        for _ in range(levels - 1):
            image = halved(image)
            file.write(image, subfiletype=1, **options)
    return path


def halved(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    pairs = image[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).astype(float)
    return np.rint(pairs.mean((1, 3))).astype(np.uint8)


def mirax(path: Path, image: np.ndarray, *, tile: int = 64, columns: int = 12, rows: int = 10,
          at: tuple[int, int] = (4, 2), mpp: float = 0.5) -> Path:  # fmt: skip
    """Write a MIRAX of two levels as OpenSlide reads it: an .mrxs and the folder beside it.

    The picture, of whole tiles, lies on a larger canvas that was not scanned; `at` is the column
    and row of its first tile there, both even.
    """
    import cv2

    ident = "SYNTHETIC"
    sizes = ((image, 1), (halved(image), 2))
    data, pages = b"", []
    for level, step in sizes:
        entries = []
        for y in range(0, level.shape[0], tile):
            for x in range(0, level.shape[1], tile):
                piece = np.full((tile, tile, 3), 255, np.uint8)
                part = level[y : y + tile, x : x + tile]
                piece[: part.shape[0], : part.shape[1]] = part
                png = cv2.imencode(".png", piece[..., ::-1])[1].tobytes()
                index = (at[1] + y // tile * step) * columns + at[0] + x // tile * step
                entries.append(struct.pack("<4i", index, len(data), len(png), 0))
                data += png
        pages.append(struct.pack("<2i", len(entries), 0) + b"".join(entries))
    start = 5 + len(ident)
    table, place = start + 8, start + 8 + 4 * len(pages)
    pointers, bodies = b"", b""
    for page in pages:
        pointers += struct.pack("<i", place + len(bodies))
        bodies += struct.pack("<2i", 0, place + len(bodies) + 8) + page
    folder = path.with_suffix("")
    folder.mkdir(parents=True)
    (folder / "Index.dat").write_bytes(
        b"01.02" + ident.encode() + struct.pack("<2i", table, 0) + pointers + bodies
    )
    (folder / "Data0000.dat").write_bytes(data)
    lines = [
        "[GENERAL]", "SLIDE_VERSION = 01.02", f"SLIDE_ID = {ident}", f"IMAGENUMBER_X = {columns}",
        f"IMAGENUMBER_Y = {rows}", "OBJECTIVE_MAGNIFICATION = 20",
        "[HIERARCHICAL]", "HIER_COUNT = 1", "NONHIER_COUNT = 0", "INDEXFILE = Index.dat",
        "HIER_0_NAME = Slide zoom level", f"HIER_0_COUNT = {len(sizes)}",
        *(f"HIER_0_VAL_{number}_SECTION = LEVEL_{number}" for number in range(len(sizes))),
        "[DATAFILE]", "FILE_COUNT = 1", "FILE_0 = Data0000.dat",
    ]  # fmt: skip
    for number, (_, step) in enumerate(sizes):
        lines += [
            f"[LEVEL_{number}]", f"IMAGE_CONCAT_FACTOR = {int(number > 0)}", "OVERLAP_X = 0",
            "OVERLAP_Y = 0", f"MICROMETER_PER_PIXEL_X = {mpp * step}",
            f"MICROMETER_PER_PIXEL_Y = {mpp * step}", "IMAGE_FILL_COLOR_BGR = 16777215",
            f"DIGITIZER_WIDTH = {tile}", f"DIGITIZER_HEIGHT = {tile}", "IMAGE_FORMAT = PNG",
        ]  # fmt: skip
    (folder / "Slidedat.ini").write_text("\n".join(lines), encoding="utf-8-sig")
    path.write_bytes(cv2.imencode(".jpg", np.full((64, 64, 3), 230, np.uint8))[1].tobytes())
    return path


def vms(path: Path, image: np.ndarray, *, mpp: float = 0.5) -> Path:
    """Write a Hamamatsu VMS: a text that names JPEGs, whose restart markers part them into tiles.

    Sides are multiples of 512 px.
    """
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, 98, cv2.IMWRITE_JPEG_RST_INTERVAL, 4,
               cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]  # fmt: skip
    lines = ["[Virtual Microscope Specimen]", "NoLayers=1", "NoJpegColumns=1", "NoJpegRows=1"]
    for key, step in (("ImageFile", 1), ("MapFile", 16), ("MacroImage", 16)):
        name = f"{path.stem}-{key}.jpg"
        assert cv2.imwrite(str(path.with_name(name)), image[::step, ::step, ::-1], options)
        lines.append(f"{key}={name}")
    height, width = (round(1000 * mpp * side) for side in image.shape[:2])  # nm
    lines += [f"PhysicalWidth={width}", f"PhysicalHeight={height}", "SourceLens=20", ""]
    path.write_text("\n".join(lines))
    return path
