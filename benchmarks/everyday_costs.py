"""Measure what a run does besides training, beside the plain way of computing the same.

- RGB mean and deviation of 1,000 images of 224 px: sums of the pixels and of their squares, as they
  were computed here at first. Both results must be equal, to the last bit.
- Precision, recall and nearest training images of 5,000 features: all exact distances by SciPy,
  as they were computed here at first. Both results must be equal, to the last bit.
- KID of as many: the peak of the memory that NumPy asked for, above that of the features in
  float64, beside three matrices of all pairs.

Prints both sides, their ratio, the target and PASS or MISS.

    python -m benchmarks.everyday_costs
"""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from common import generative
from common.arguments import Parser
from common.errors import main as command
from common.normalise import rgb_statistics

NEIGHBOURS = 3


def plain_statistics(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From the pixels and their squares."""
    count, total, squares = 0, [0] * 3, [0] * 3
    for image in pixels:
        values = image.reshape(-1, 3).astype(np.uint32)
        count += len(values)
        sums, more = (
            each.sum(axis=0, dtype=np.uint64).tolist() for each in (values, values * values)
        )
        for channel in range(3):
            total[channel] += sums[channel]
            squares[channel] += more[channel]
    pairs = list(zip(total, squares, strict=True))
    return (
        np.array([s / count / 255 for s, _ in pairs]),
        np.array([math.sqrt(max(count * q - s * s, 0)) / count / 255 for s, q in pairs]),
    )


def plain_precision_recall(real: np.ndarray, generated: np.ndarray) -> tuple[float, float]:
    """By all distances."""

    def inside(points: np.ndarray, centres: np.ndarray) -> float:
        radii = np.partition(cdist(centres, centres), NEIGHBOURS, axis=1)[:, NEIGHBOURS]
        return float((cdist(points, centres) <= radii).any(axis=1).mean())

    return inside(generated, real), inside(real, generated)


def plain_nearest(queries: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By all distances."""
    found = cdist(queries, references)
    positions = found.argmin(axis=1)
    return positions, found[np.arange(len(found)), positions]


def plain_kid(real: np.ndarray, generated: np.ndarray) -> float:
    """By three matrices of all pairs."""
    xx, yy, xy = (
        (a @ b.T / a.shape[1] + 1) ** 3
        for a, b in ((real, real), (generated, generated), (real, generated))
    )
    n, m = len(real), len(generated)
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def features(n: int, size: int, seed: int) -> np.ndarray:
    """Like those of a network: not negative, of fewer dimensions than they have."""
    rng = np.random.default_rng(seed)
    mixed = np.random.default_rng(0).normal(size=(64, size)) / 8
    own = rng.normal(size=(n, 64)) @ mixed + 0.3 * rng.normal(size=(n, size))
    return np.maximum(own, 0).astype(np.float32)


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = function()
    return time.perf_counter() - start, found


def peak(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """GB at the highest, above what was there."""
    tracemalloc.start()
    found = function(*arguments)
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return size / 1e9, found


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--features", type=int, default=1280, help="MobileNetV2 has 1280")
    flags = parser.parse_args(arguments)
    real, generated = (features(flags.images, flags.features, seed) for seed in (1, 2))
    exact = [each.astype(np.float64) for each in (real, generated)]
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (flags.images // 5, 224, 224, 3), np.uint8)
    passed = True
    for name, target, ours, plain in (
        ("RGB statistics", 15, lambda: rgb_statistics(pixels), lambda: plain_statistics(pixels)),
        ("precision, recall", 20, lambda: generative.precision_recall(real, generated),
         lambda: plain_precision_recall(*exact)),
        ("nearest", 20, lambda: generative.nearest(real, generated),
         lambda: plain_nearest(*exact)),
    ):  # fmt: skip
        after, found = timed(ours)
        before, expected = timed(plain)
        same = all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
        good = same and before / after >= target
        passed &= good
        print(f"{name:18} {after:7.2f} s  plain {before:7.2f} s  ratio {before / after:5.1f}  "
              f"target {target}  {'same' if same else 'OTHER'} result  "
              f"{'PASS' if good else 'MISS'}", flush=True)  # fmt: skip
    wide = [features(flags.images, 2048, seed).astype(np.float64) for seed in (1, 2)]
    after, found = peak(generative.kid, *wide)
    before, expected = peak(plain_kid, *wide)
    good = after <= 0.3 and bool(np.isclose(found.value, expected, rtol=1e-6, atol=1e-12))
    passed &= good
    print(f"{'KID':18} {after:7.2f} GB plain {before:7.2f} GB ratio {before / after:5.1f}  "
          f"target 0.3 GB  {found.value:.9f}, {expected:.9f}  "
          f"{'PASS' if good else 'MISS'}")  # fmt: skip
    return 0 if passed else 1


if __name__ == "__main__":
    command(main)
