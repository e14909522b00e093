"""What the tissue check lets pass and what it refuses: real images, altered ones, other subjects.

    python -m benchmarks.tissue_check --data-dir D

D holds images of stained sections (any folders). `--photographs P` takes photographs of anything
else; those that installed packages bring are always looked at.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from common import images, tissue
from common.arguments import Parser

SIZE = 224
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
LEAST_TISSUE, MOST_OTHER = 0.99, 0.05


# --- altered sections --------------------------------------------------------------------------


def _pixels(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: np.rint(change(image.astype(float))).clip(0, 255).astype(np.uint8)


def _stains(factor: float) -> Callable[[np.ndarray], np.ndarray]:
    return _pixels(lambda x: 240 * (np.clip(x, 1, 240) / 240) ** factor)


def _jpeg(image: np.ndarray) -> np.ndarray:
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)


def _corner(image: np.ndarray) -> np.ndarray:
    half = image[: image.shape[0] // 2, : image.shape[1] // 2]
    return images.resize(half, SIZE, "cubic")


ALTERED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as they are": lambda image: image,
    "darker, x 0.7": _pixels(lambda x: 0.7 * x),
    "brighter, x 1.1": _pixels(lambda x: 1.1 * x),
    "gamma 0.8": _pixels(lambda x: 255 * (x / 255) ** 0.8),
    "gamma 1.6": _pixels(lambda x: 255 * (x / 255) ** 1.6),
    "yellow light": _pixels(lambda x: x * (1, 0.97, 0.78)),
    "blue light": _pixels(lambda x: x * (0.82, 0.9, 1)),
    "half the stain": _stains(0.5),
    "twice the stain": _stains(2.0),
    "a quarter of the field": _corner,
    "a 16th of the field": lambda image: _corner(_corner(image)),
    "JPEG of quality 50": _jpeg,
}


# --- what is no section ------------------------------------------------------------------------


def _plain(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((SIZE, SIZE, 3), colour, np.uint8)


def blanks(rng: np.random.Generator) -> Iterator[np.ndarray]:
    for colour in ((255,) * 3, (200,) * 3, (128,) * 3, (0,) * 3, (250, 248, 230), (230, 150, 190)):
        yield _plain(colour)
        yield (_plain(colour) + rng.normal(0, 2, (SIZE, SIZE, 3))).clip(0, 255).astype(np.uint8)


def gradients(rng: np.random.Generator) -> Iterator[np.ndarray]:
    share = np.linspace(0, 1, SIZE)[:, None, None]
    for start, end in (((255,) * 3, (0,) * 3), ((255, 250, 230), (180, 170, 150)),
                       ((230, 240, 255), (90, 110, 140)), ((80,) * 3, (0,) * 3)):  # fmt: skip
        ramp = np.array(start) * (1 - share) + np.array(end) * share
        yield np.repeat(np.rint(ramp), SIZE, axis=1).astype(np.uint8)
        yield np.repeat(np.rint(ramp), SIZE, axis=1).astype(np.uint8).swapaxes(0, 1)


INKS = ((20, 20, 25), (25, 40, 150), (15, 20, 80), (10, 120, 60), (200, 25, 40), (120, 70, 30),
        (240, 130, 20), (0, 150, 200))  # fmt: skip


def inks(rng: np.random.Generator) -> Iterator[np.ndarray]:
    for ink in INKS:
        for paper in ((255, 255, 255), (245, 243, 244), (250, 248, 240)):
            image = _plain(paper)
            for _ in range(rng.integers(1, 5)):
                line = rng.integers(0, SIZE, (4, 2)).astype(np.int32)
                cv2.polylines(image, [line], False, ink, int(rng.integers(6, 50)), cv2.LINE_AA)
            yield image


PAGES = (
    ((255, 255, 255), (0, 0, 0)), ((20, 20, 20), (220, 220, 220)), ((255, 255, 255), (0, 0, 160)),
    ((250, 245, 230), (30, 25, 20)), ((255, 255, 255), (190, 20, 30)),
    ((240, 240, 255), (40, 40, 60)), ((30, 30, 46), (200, 210, 240)),
)  # fmt: skip


def pages(rng: np.random.Generator) -> Iterator[np.ndarray]:
    for paper, ink in PAGES:
        for size, line in ((0.45, 14), (0.9, 30), (2.0, 70)):
            page = np.full((460, 700, 3), paper, np.uint8)
            for y in range(line, 460, line):
                cv2.putText(page, "Dear colleague, the result " * 4, (5, y), 0, size, ink, 1, 16)
            yield images.resize(page, SIZE)


def screens(rng: np.random.Generator) -> Iterator[np.ndarray]:
    colours = ((66, 133, 244), (219, 68, 55), (244, 180, 0), (15, 157, 88), (230,) * 3, (60,) * 3)
    for number in range(20):
        image = np.full((460, 700, 3), 30 if number % 3 == 0 else 250, np.uint8)
        for _ in range(12):
            left, top, wide, high = rng.integers((0, 0, 20, 8), (650, 430, 300, 120)).tolist()
            colour = colours[rng.integers(len(colours))]
            cv2.rectangle(image, (left, top), (left + wide, top + high), colour, -1)
        for y in range(20, 460, 22):
            cv2.putText(image, "File Edit View Search Help", (40, y), 0, 0.4, (90,) * 3, 1, 16)
        yield images.resize(image, SIZE)


def noise(rng: np.random.Generator) -> Iterator[np.ndarray]:
    for cells in (SIZE, SIZE, 80, 40, 20, 12, 7, 4):
        for channels in (1, 3, 3):
            coarse = rng.integers(0, 256, (cells, cells, channels), dtype=np.uint8)
            yield images.resize(coarse.repeat(3 // channels, axis=2), SIZE, "cubic")


def charts(rng: np.random.Generator) -> Iterator[np.ndarray]:
    bars = ((255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0),
            (0, 0, 255), (0, 0, 0))  # fmt: skip
    yield np.repeat(np.repeat(np.array([bars], np.uint8), SIZE, axis=0), SIZE // 8, axis=1)
    squares = np.indices((SIZE, SIZE)).sum(axis=0) // 16 % 2 * 255
    yield squares.astype(np.uint8)[..., None].repeat(3, axis=2)
    for number in range(6):
        image = _plain((255, 255, 255))
        for bar in range(8):
            colour = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40))[
                (number + bar) % 4
            ]
            top = int(rng.integers(20, 190))
            cv2.rectangle(image, (14 + bar * 25, top), (32 + bar * 25, 210), colour, -1)
        yield image


OTHER = {
    "blank": blanks, "gradients": gradients, "marker on glass": inks, "pages of text": pages,
    "screenshots": screens, "noise": noise, "test charts": charts,
}  # fmt: skip


def photographs(folder: Path | None) -> Iterator[np.ndarray]:
    """Each photograph, and its nine parts."""
    files = []
    for package, below in (("sklearn", "datasets/images"), ("matplotlib", "mpl-data/sample_data")):
        found = importlib.util.find_spec(package)
        if found is not None and found.submodule_search_locations:
            files += sorted((Path(found.submodule_search_locations[0]) / below).glob("*.jpg"))
    if folder is not None:
        files += _files(folder)
    for file in files:
        image = images.read(file)
        yield images.resize(image, SIZE)
        for row in np.array_split(image, 3):
            for part in np.array_split(row, 3, axis=1):
                yield images.resize(np.ascontiguousarray(part), SIZE)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def main() -> int:
    parser = Parser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="images of stained sections")
    parser.add_argument("--photographs", type=Path, help="photographs of anything else")
    parser.add_argument("--every", type=int, default=1, help="look at each n-th image only")
    options = parser.parse_args()
    files = _files(options.data_dir)[:: options.every]
    if not files:
        raise SystemExit(f"{options.data_dir}: holds no images")
    sections = [images.resize(images.read(file), SIZE) for file in files]
    missed = False
    print(f"stained sections that pass (target {LEAST_TISSUE:.0%})")
    for name, alter in ALTERED.items():
        flagged = [bool(tissue.judge(alter(image))[1]) for image in sections]
        missed |= sum(flagged) > (1 - LEAST_TISSUE) * len(flagged)
        _tell(name, len(flagged) - sum(flagged), len(flagged))
    print(f"other subjects that pass (target: {MOST_OTHER:.0%} at most)")
    others = {name: list(make(np.random.default_rng(0))) for name, make in OTHER.items()}
    others["photographs"] = list(photographs(options.photographs))
    for name, pictures in others.items():
        passed = sum(not tissue.judge(image)[1] for image in pictures)
        missed |= passed > MOST_OTHER * len(pictures)
        _tell(name, passed, len(pictures))
    print("MISS" if missed else "PASS")
    return int(missed)


def _tell(name: str, count: int, of: int) -> None:
    print(f"  {name:<24} {count:>4} of {of:<4} {count / max(1, of):7.1%}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
