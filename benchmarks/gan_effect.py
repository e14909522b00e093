"""What generated images are worth: one classifier trained with and without, tested on the same.

The split is the GAN's own, so its images show nothing of the test patients. Every seed trains the
same network twice, without and with the generated images; the two are compared image by image, and
the interval leaves out each patient in turn.

    python -m benchmarks.gan_effect --gan-run RUN --data-dir D --weights mobilenet_v2.weights.h5
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pandas as pd

from common import backend, errors, evaluation, metrics, predictions
from common import config as configuration
from common.arguments import Parser
from common.files import write_csv
from gan_fusion.config import PRESETS, Config, TrainExecution
from gan_fusion.generate import generate, load_run

SETTINGS = Config(
    network="mobilenet_v2",
    frozen="none",
    augmentation="none",
    gan="none",
    generated=0,
    learning_rate=1e-4,
    decay=0.9,
    epochs=10,
    patience=10,
    batch_size=16,
)
SPLIT = ("dataset", "magnifications", "split", "group", "test", "validation", "split_seed")


def tested(config: Config, gan_images: Path | None, flags: argparse.Namespace) -> pd.DataFrame:
    """Test predictions of a training; an image under two seeds is two rows of one patient."""
    from common.backend import keras
    from gan_fusion.train import train

    execution = TrainExecution(
        data_dir=flags.data_dir, runs_dir=flags.output, gan_images=gan_images
    )
    preset = configuration.preset_name(config, PRESETS)
    run = train(configuration.Request(config, execution, preset))
    keras.backend.clear_session()
    frame = predictions.of_part(evaluation.read_run(run))
    return frame.assign(image=frame.image + f" {config.seed}")


def main() -> None:
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--gan-run", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--count", type=int, default=160, help="generated images of each class")
    parser.add_argument("--image-size", type=int, help="px (default: that of the generated images)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=SETTINGS.epochs)
    parser.add_argument("--output", type=Path, default=Path("runs/gan-effect"))
    flags = parser.parse_args()
    gan = load_run(flags.gan_run)
    backend.load()
    made = flags.output / f"generated-{gan.record['run_id']}-{flags.count}"
    generate(gan.path, made, flags.count)
    config = dataclasses.replace(
        SETTINGS,
        **{name: gan.config[name] for name in SPLIT if name != "magnifications"},
        magnifications=tuple(gan.config["magnifications"]),
        image_size=flags.image_size or gan.config["image_size"],
        weights=flags.weights,
        epochs=flags.epochs,
    )
    without, with_them = [], []
    for seed in range(flags.seeds):
        seeded = dataclasses.replace(config, seed=seed)
        without.append(tested(seeded, None, flags))
        with_them.append(tested(seeded, made, flags))

    test = without[0]
    print(
        f"\n{len(test)} test images of {test.case.nunique()} patients, {flags.seeds} seeds; "
        f"{flags.count} generated images of each of {', '.join(gan.record['classes'])}"
    )
    for seed in range(flags.seeds):
        a, b = (predictions.correct(each[seed]).mean() for each in (without, with_them))
        print(f"seed {seed}: without {100 * a:.1f} %, with {100 * b:.1f} %")
    majority = test.label.value_counts(normalize=True)
    print(f"always {majority.index[0]}: {100 * majority.iloc[0]:.1f} %")
    found = metrics.compare(pd.concat(with_them), pd.concat(without))
    interval = "no image is judged otherwise"
    if found["difference_ci"]:
        low, high = (100 * value for value in found["difference_ci"])
        interval = (
            f"95 % interval {low:+.1f} to {high:+.1f} (paired jackknife over "
            f"{found['n_patients']} patients)"
        )
    print(f"with minus without: {100 * found['difference']:+.1f} points, {interval}")
    for kind, frames in (("without", without), ("with", with_them)):
        write_csv(flags.output / f"{kind}.csv", pd.concat(frames))


if __name__ == "__main__":
    errors.main(main)
