"""What dense normalised shortcuts cost: a training step of ERNet against the plain ResNet's.

Both networks of a depth train on the same batch in turn, in one process, so that another load on
the machine meets both; medians of one run. Parameters and multiply-accumulates are counted.

    python -m benchmarks.dense_shortcuts
"""

from __future__ import annotations

import os
import platform
import statistics
import time

import numpy as np

from common import errors
from common.arguments import Parser
from common.backend import keras
from ernet.complexity import multiply_accumulates
from ernet.config import BLOCKS, Config
from ernet.model import build_model

TARGET = 1.25


def compiled(network: str, image_size: int) -> keras.Model:
    """Build a network as `ernet.train` compiles it."""
    config = Config(network=network, image_size=image_size)
    model = build_model(config)
    model.compile(
        keras.optimizers.Adam(config.learning_rate, config.beta_1, config.beta_2),
        "categorical_crossentropy",
    )
    return model


def step_ms(models: list[keras.Model], pixels: np.ndarray, repeats: int) -> list[list[float]]:
    """Milliseconds of each training step of each model, taken in turn."""
    labels = np.eye(2, dtype="float32")[np.arange(len(pixels)) % 2]
    times: list[list[float]] = [[] for _ in models]
    for turn in range(repeats + 2):
        for model, taken in zip(models, times, strict=True):
            start = time.perf_counter()
            model.train_on_batch(pixels, labels)
            if turn > 1:  # the first step traces, the second still fills caches
                taken.append(1e3 * (time.perf_counter() - start))
    return times


def main() -> None:
    """Measure every depth."""
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--depths", type=int, nargs="+", default=list(BLOCKS), choices=BLOCKS)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=7)
    flags = parser.parse_args()
    print(
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, "
        f"{keras.backend.backend()}, {flags.image_size} px, batches of {flags.batch_size}, "
        f"{flags.repeats} steps"
    )
    shape = (flags.batch_size, flags.image_size, flags.image_size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
    for depth in flags.depths:
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        plain, dense = (
            compiled(f"{name}{depth}", flags.image_size) for name in ("resnet", "ernet")
        )
        theirs, ours = map(statistics.median, step_ms([plain, dense], pixels, flags.repeats))
        ratio = ours / theirs
        counts = keras.Model.count_params, multiply_accumulates
        more = [count(dense) / count(plain) - 1 for count in counts]
        print(
            f"{'PASS' if ratio <= TARGET else 'MISS'}  ernet{depth}: {ratio:.2f} of a step of "
            f"resnet{depth} (target <= {TARGET}); ours {ours:.0f} ms, theirs {theirs:.0f} ms; "
            f"parameters +{100 * more[0]:.2f} %, multiply-accumulates +{100 * more[1]:.2f} %",
            flush=True,
        )


if __name__ == "__main__":
    errors.main(main)
