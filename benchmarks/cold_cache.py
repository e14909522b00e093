"""What the first look at an image costs, stage by stage, and beside its peers.

Prints the processor time of each stage of one thread, in the order in which the cache takes them,
with that of TensorFlow's; then what the whole cache costs with the extra `decode`, without it, and
what `image_dataset_from_directory` costs, which checks and keeps nothing. All in processor
milliseconds an image: what else runs on the machine changes them little. `python -m
benchmarks.input_path` has the seconds of first epochs, with augmentation and `fit`.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import tempfile
import time
import unittest.mock
import zlib
from collections.abc import Callable
from pathlib import Path

from benchmarks import input_path
from benchmarks.input_path import BATCH, SIZE
from common import images
from common.arguments import Parser
from common.backend import keras
from common.errors import InputError, main
from common.images import fast_png, fingerprints, formats, reading
from common.images.memory import keep_freed


class Stages:
    """Processor seconds of a thread by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def take(self, name: str, function: Callable, *arguments: object) -> object:
        """Call a function, as a stage."""
        start = time.thread_time()
        result = function(*arguments)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.thread_time() - start
        return result


def stages(paths: list[Path], repeats: int) -> dict[str, float]:
    """Milliseconds an image, the least of a few rounds; what is freed is kept, as in a build."""
    keep_freed()
    rounds = []
    for _ in range(repeats):
        taken = Stages()
        for path in paths:
            data, _ = taken.take("read the file", reading.load, path)
            taken.take("SHA-256 of the file", lambda each: hashlib.sha256(each).digest(), data)
            header = taken.take("checks: chunks, CRC-32", formats.inspect, data, ".png")
            image = taken.take("decode: OpenCV", fast_png.decode_with_opencv, data, header)
            # Each of these begins with caches that hold other things, as in a build.
            image = taken.take("decode: isal and kornia-rs", fast_png.decode_png, data, header)
            if image is None:
                raise InputError(f"{path}: the extra `decode` is not installed, or not for it")
            taken.take("... inflate alone, and its Adler-32", fast_png._uncompressed, data, header)
            taken.take("SHA-256 of the pixels", fingerprints.pixel_hash, image)
            lowest = taken.take("perceptual hash: frequencies", fingerprints.frequencies, image)
            taken.take("perceptual hash: bits", fingerprints.perceptual_hashes, lowest)
            small = taken.take("resize, areas", images.resize, image, SIZE)
            taken.take("CRC-32 of what is kept", zlib.crc32, small.data)
        rounds.append(taken.seconds)
    return {name: 1000 * min(each[name] for each in rounds) / len(paths) for name in rounds[0]}


def their_stages(paths: list[Path], repeats: int) -> dict[str, float]:
    """As `stages`, what `image_dataset_from_directory` does with an image."""
    import tensorflow as tf

    rounds = []
    for _ in range(repeats):
        taken = Stages()
        for path in paths:
            data = taken.take("read the file", tf.io.read_file, str(path))
            image = taken.take("decode: TensorFlow", lambda each: tf.io.decode_png(each, 3), data)
            taken.take("resize, two neighbours", tf.image.resize, image, (SIZE, SIZE))
        rounds.append(taken.seconds)
    return {name: 1000 * min(each[name] for each in rounds) / len(paths) for name in rounds[0]}


def show(title: str, found: dict[str, float], *alternatives: str) -> None:
    print(title)
    for name, value in found.items():
        print(f"  {name:40} {value:6.2f}")
    for name in alternatives:
        parts = {
            each: value
            for each, value in found.items()
            if not each.startswith("...") and (not each.startswith("decode") or each == name)
        }
        print(f"  {'sum with ' + name:40} {sum(parts.values()):6.2f}", flush=True)


def whole(title: str, folder: Path, names: list[str], pairs: int) -> list[bool]:
    """All threads of a build of the cache, with and without the extra, and of its peers."""

    def build() -> None:
        with tempfile.TemporaryDirectory() as cache:
            images.cached(folder, names, SIZE, cache_dir=cache, progress=False)

    def without() -> None:
        with unittest.mock.patch.object(fast_png, "_isal", lambda: None):
            build()

    def tf_data() -> None:
        for _ in keras.utils.image_dataset_from_directory(
            str(folder), batch_size=BATCH, image_size=(SIZE, SIZE), verbose=False
        ):
            pass

    sides = {"ours": build, "OpenCV": without, "tf.data": tf_data}
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(pairs):
        for name, function in sides.items():
            taken[name].append(seconds_of_all_threads(function))
    each = {name: 1000 * statistics.median(found) / len(names) for name, found in taken.items()}
    told = {name: f"{value:.1f} ms an image" for name, value in each.items()}
    return [
        input_path.line(f"{title}, cold cache against {peer}, processor time", told["ours"],
                        told[side], each[side] / each["ours"], target, least=True)
        for side, peer, target in (
            ("OpenCV", "the same without the extra", 1.3),
            ("tf.data", "image_dataset_from_directory", 2.0),
        )
    ]  # fmt: skip


def seconds_of_all_threads(function: Callable[[], object]) -> float:
    before = sum(os.times()[:4])
    function()
    return sum(os.times()[:4]) - before


def run() -> int:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="BreakHis images (default: test data)")
    parser.add_argument("--pairs", type=int, default=3, help="repetitions of either side")
    parser.add_argument("--large", type=int, default=24, help="number of 1024 px images")
    arguments = parser.parse_args()
    met = []
    with tempfile.TemporaryDirectory() as scratch:
        large = Path(scratch) / "large"
        cases = (
            input_path.real_images(arguments.data_dir, Path(scratch)),
            ("synthetic 1024 px", large, input_path.large_pngs(large, arguments.large)),
        )
        for title, folder, names in cases:
            paths = [folder / name for name in names]
            print(f"{title}: {len(names)} images of {images.read(paths[0]).shape[1::-1]} px")
            ours = stages(paths, arguments.pairs)
            show("  ours, ms", ours, "decode: OpenCV", "decode: isal and kornia-rs")
            show("  theirs, ms", their_stages(paths, arguments.pairs), "decode: TensorFlow")
            met += whole(title, folder, names, arguments.pairs)
    print(f"{sum(met)} of {len(met)} targets met")
    return int(not all(met))


if __name__ == "__main__":
    main(run)
