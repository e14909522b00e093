"""Measure the leakage report before and after it reads the image cache, and on blank tiles.

"Before" is what the report did at first, and is kept here: it decoded every image again and held
all near pairs in a list. "After" is `leakage.report` with the cached images.

- 213 images of BreakHis' size (or those of --data-dir), both ways in full.
- 7,909 images. After: in full, on small images of noise, every hundredth of them a brightened copy
  of another; the report reads fingerprints alone, so the images' size does not matter. Before: the
  decoding of the images above times 7,909 / n, the search on `SOME` of the hashes times the ratio
  of the pairs.
- 2,000 blank tiles. Before: on `SOME_BLANK` of them, times the ratio of the pairs.

Prints each time, what it took before, the ratio, the peak of the memory that Python and NumPy
asked for, the target and PASS or MISS.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common import images, splits, terminal
from common.arguments import Parser
from common.errors import main
from common.images.fingerprints import Fingerprints, fingerprint, perceptual_hashes
from common.splits import leakage

WHOLE, SOME, BLANK, SOME_BLANK = 7909, 1500, 2000, 400
SYNTHETIC = {"patients": 42, "images_per_patient": 10, "magnifications": ("100X",)}


def listed_pairs(hashes: np.ndarray, block: int = 512) -> list[tuple[int, int, int, bool]]:
    """Find near pairs as the report did at first, all of them in one dictionary."""
    plain = np.ascontiguousarray(hashes[:, 0])
    best: dict[tuple[int, int], tuple[int, bool]] = {}
    for orientation in range(hashes.shape[1]):
        turned = np.ascontiguousarray(hashes[:, orientation])
        for start in range(0, len(plain), block):
            rows, columns = plain[start : start + block, None], turned[None, start:]
            bits = np.zeros((rows.shape[0], columns.shape[1]), np.uint16)
            for word in range(rows.shape[-1]):
                bits += np.bitwise_count(rows[..., word] ^ columns[..., word])
            for i, j in np.argwhere(bits <= leakage.NEAR_BITS):
                if i < j:
                    pair = (start + int(i), start + int(j))
                    found = (int(bits[i, j]), orientation > 0)
                    best[pair] = min(best.get(pair, found), found)
    return sorted((*pair, *found) for pair, found in best.items())


def seconds(function: Callable[[], object], times: int = 1) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def peak(function: Callable[[], object]) -> float:
    """MiB at the highest, above what was there."""
    tracemalloc.start()
    function()
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return size / 2**20


def line(
    name: str, after: float, before: float, memory: tuple[float, float], target: float
) -> bool:
    met = after <= target
    print(
        f"{'PASS' if met else 'MISS'}  {name}: {after:.2f} s (target <= {target:g} s); before "
        f"{before:.1f} s, {before / after:.0f} times; peak {memory[0]:.0f} MiB, "
        f"before {memory[1]:.0f} MiB",
        flush=True,
    )
    return met


def split_of(names: list[str]) -> pd.DataFrame:
    index = pd.DataFrame({"image": names, "label": [("x", "y")[i % 2] for i in range(len(names))]})
    index["case"] = index["slide"] = index["folder"] = [f"{i // 100:03}" for i in range(len(names))]
    index["synthetic"] = True
    return splits.by_image(index, test=0.3, validation=0.25, seed=0)


def noise(folder: Path, count: int) -> list[str]:
    """Write small images of noise; every hundredth is a brightened copy of the one before."""
    rng = np.random.default_rng(0)
    names = []
    for i in range(count):
        if i % 100 != 99:
            image = rng.integers(0, 200, (32, 48, 3), np.uint8)
        names.append(f"{i:05}.png")
        shown = image + np.uint8(20) if i % 100 == 99 else image
        cv2.imwrite(str(folder / names[-1]), shown, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return names


def few(data_dir: Path, names: list[str], scratch: Path) -> tuple[bool, float]:
    """Both ways on the images of a folder; also gives seconds of decoding per image."""
    split = split_of(names)
    decoding = seconds(lambda: leakage.report(split, data_dir, near=False))

    def before() -> None:
        listed_pairs(leakage.fingerprints(data_dir, names).hashes)

    pixels = images.cached(data_dir, names, 96, cache_dir=scratch / "few", progress=False)

    def after() -> None:
        leakage.report(split, data_dir, pixels)

    print(f"taking a fingerprint: {1000 * taking(data_dir, names[:20]):.1f} ms an image, once")
    met = line(
        f"{len(names)} images, with near pairs",
        seconds(after, 5),
        seconds(before),
        (peak(after), peak(before)),
        0.5,
    )
    return met, decoding / len(names)


def taking(data_dir: Path, names: list[str]) -> float:
    """Seconds that the fingerprint of a decoded image takes."""
    decoded = [images.read(data_dir / name) for name in names]
    return seconds(lambda: [fingerprint(image) for image in decoded], 3) / len(names)


def whole(scratch: Path, decoding: float) -> list[bool]:
    """The report of a data set of BreakHis' size, without and with the search for pairs."""
    (scratch / "noise").mkdir()
    names = noise(scratch / "noise", WHOLE)
    split = split_of(names)
    start = time.perf_counter()
    images.cached(scratch / "noise", names, 8, cache_dir=scratch / "whole", progress=False)
    print(f"{WHOLE} small images cached in {time.perf_counter() - start:.1f} s")

    def after(near: bool) -> dict:
        pixels = images.cached(
            scratch / "noise", names, 8, cache_dir=scratch / "whole", progress=False
        )
        return leakage.report(split, scratch / "noise", pixels, near=near)

    report = after(True)
    print(f"{report['near']['pairs']} near pairs, {report['near']['across']} across parts")
    rng = np.random.default_rng(0)
    hashes = perceptual_hashes(rng.normal(size=(SOME, 16, 16)).astype(np.float32))
    search = seconds(lambda: listed_pairs(hashes)) * (WHOLE / SOME) ** 2
    memory = peak(lambda: listed_pairs(hashes)) * WHOLE / SOME
    met = []
    for near, target in ((False, 1.0), (True, 4.0)):
        before = decoding * WHOLE + search * near
        met.append(
            line(
                f"{WHOLE} images, {'with' if near else 'without'} near pairs",
                seconds(lambda near=near: after(near), 3),
                before,
                (peak(lambda near=near: after(near)), memory * near),
                target,
            )
        )
    return met


def blank() -> list[bool]:
    """Blank tiles: of different pixels and one perceptual hash, so that all pairs are near."""
    names = [f"{i:05}.png" for i in range(BLANK)]
    split = split_of(names)
    digests = np.zeros((BLANK, 32), np.uint8)
    digests[:, :4] = np.arange(BLANK, dtype="<u4")[:, None].view(np.uint8)
    hashes = np.zeros((BLANK, 8, 4), np.uint64)
    met = []
    for name, found in (
        ("equal", Fingerprints(digests[:1].repeat(BLANK, axis=0), hashes)),
        ("different", Fingerprints(digests, hashes)),
    ):
        pixels = images.Pixels(
            names, np.zeros((BLANK, 1, 1, 3), np.uint8), np.arange(BLANK),
            fingerprints=lambda found=found: found,
        )  # fmt: skip

        def after(pixels: images.Pixels = pixels) -> None:
            leakage.report(split, pixels=pixels)

        scale = (BLANK / SOME_BLANK) ** 2
        before = seconds(lambda: listed_pairs(hashes[:SOME_BLANK])) * scale
        memory = peak(lambda: listed_pairs(hashes[:SOME_BLANK])) * scale
        title = f"{BLANK} blank tiles of {name} pixels"
        met.append(line(title, seconds(after, 3), before, (peak(after), memory), 1.0))
    return met


def run() -> int:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="BreakHis images (default: test data)")
    flags = parser.parse_args()
    terminal.quiet()
    data_dir = flags.data_dir
    if data_dir is None and os.environ.get("HISTOPAPERS_TEST_DATA"):
        data_dir = Path(os.environ["HISTOPAPERS_TEST_DATA"]) / "data" / "breakhis_100x"
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if data_dir is None:
            from common.datasets import synthetic

            data_dir = synthetic.breakhis(scratch / "breakhis", **SYNTHETIC)
            print("no --data-dir: SYNTHETIC images of BreakHis' size")
        names = sorted(path.relative_to(data_dir).as_posix() for path in data_dir.rglob("*.png"))
        met, decoding = few(data_dir, names[:213], scratch)
        results = [met, *whole(scratch, decoding), *blank()]
    print(f"{sum(results)} of {len(results)} targets met")
    return 0 if all(results) else 1


if __name__ == "__main__":
    main(run)
