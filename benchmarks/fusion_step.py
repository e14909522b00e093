"""Measure a training step of the fused networks against the sum of the three networks' own steps.

All four models train in turn in one process on the same random images, nothing frozen, with random
weights. Prints both times, the ratio, its target and PASS or MISS.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import numpy as np

from common.arguments import Parser
from common.backend import keras
from common.errors import main
from gan_fusion.config import FUSIONS, Config
from gan_fusion.model import build_model

TARGET = 0.9


def compiled(config: Config) -> keras.Model:
    model = build_model(config)
    model.compile(keras.optimizers.Adam(1e-4), loss="categorical_crossentropy")
    return model


def measure(network: str, image_size: int, batch_size: int, rounds: int) -> bool:
    config = Config(image_size=image_size, weights="none", frozen="none", network=network)
    names = [network, *FUSIONS[network]]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch_size, image_size, image_size, 3), np.uint8)
    labels = np.eye(2, dtype=np.float32)[rng.integers(0, 2, batch_size)]
    models = {}
    for name in names:
        start = time.perf_counter()
        models[name] = compiled(replace(config, network=name))
        models[name].train_on_batch(images, labels)
        print(f"      {name}: first step after {time.perf_counter() - start:.0f} s", flush=True)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, model in models.items():
            start = time.perf_counter()
            model.train_on_batch(images, labels)
            seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(each) for name, each in seconds.items()}
    for name in names:
        print(f"      {name}: {1000 * median[name]:.0f} ms a step")
    # Round by round, so that another load on the machine meets both sides.
    ratio = statistics.median(
        sum(seconds[name][i] for name in names[1:]) / seconds[network][i] for i in range(rounds)
    )
    met = ratio >= TARGET
    print(
        f"{'PASS' if met else 'MISS'}  {network}, {batch_size} images of {image_size} px: speed "
        f"{ratio:.2f} of the three networks in turn (target >= {TARGET})",
        flush=True,
    )
    return met


def _main() -> int:
    parser = Parser(prog="python -m benchmarks.fusion_step", description=__doc__)
    parser.add_argument("--network", choices=FUSIONS, default="fusion_described")
    parser.add_argument("--image-size", type=int, default=64, help="px (default: 64)")
    parser.add_argument("--batch-size", type=int, default=16, help="images (default: 16)")
    parser.add_argument("--rounds", type=int, default=7, help="steps of each (default: 7)")
    flags = parser.parse_args()
    keras.utils.set_random_seed(0)
    return 0 if measure(flags.network, flags.image_size, flags.batch_size, flags.rounds) else 1


if __name__ == "__main__":
    main(_main)
