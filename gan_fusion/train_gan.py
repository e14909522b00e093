"""Train the GAN on the training images, measure its images as it goes, keep its generator.

python -m gan_fusion.train_gan --preset small --data-dir D
"""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from common import config as configuration
from common import errors
from common.errors import InputError
from common.files import atomic_path, write_csv, write_json
from gan_fusion import gan_evaluation as evaluation
from gan_fusion.gan_config import PRESETS, GanConfig, check_size, leaks
from gan_fusion.gan_draws import (
    SAMPLES,
    Draws,
    central_square,
    draw_images,
    random,
    reference,
)
from gan_fusion.gan_evaluation import Judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from common.images import Pixels
    from common.runs import Run

SAVE_SECONDS = 60.0
"""How much work a kill may cost at most between two evaluations."""

FEWEST = 8
"""Fewest training images: KID compares two halves of them, in two blocks of two."""


def main() -> None:
    """Read the command line and train."""
    request = configuration.parse(
        GanConfig,
        PRESETS,
        package="gan_fusion",
        module="train_gan",
        description="Train a conditional GAN on BreakHis or BACH or, with --demo, on synthetic "
        "tissue.",
    )
    train(request)


def train(request: configuration.Request[GanConfig]) -> Run:
    """Index, split, cache, train and evaluate; resume what a killed run began."""
    # Imported here and not above, so that --help answers at once; Keras only when it is needed.
    from common import backend, datasets, images, runs, splits
    from common.datasets import synthetic
    from gan_fusion import data

    config, execution = request.config, request.execution
    check_size(config.image_size)
    card = data.card(config)
    data_dir = execution.data_dir
    if data_dir is None and request.preset.startswith("demo"):
        data_dir = synthetic.demo(execution.runs_dir, config.dataset)
    classes = chosen_classes(config, card.CLASSES[config.classes])
    index = data.load_index(config, data_dir)
    side = round(config.image_size / config.crop)
    pixels = images.cached(
        datasets.data_folder(card, data_dir),
        index.image,
        side,
        filter=config.resize_filter,
        cache_dir=execution.cache_dir,
        transform=lambda image: field(image, side, whole=config.crop == 1),
        transform_id=f"{'whole' if config.crop == 1 else 'central square'}, at least {side} px",
        skip_bad=execution.skip_bad,
    )
    index = pixels.kept(index)
    split = data.make_split(index, config, execution)
    if config.train_on == "all":
        split = split.assign(part="train")
    seen = training_images(split, classes)

    record = runs.describe(
        "gan_fusion",
        request,
        card,
        index,
        leaks=leaks(config),
        skipped=pixels.skipped,
    ) | {
        "kind": "gan",
        "classes": classes,
        "training_hash": data.training_hash(split),
        "n_training": len(seen),
        "command": runs.command_line("gan_fusion", module="train_gan"),
    }
    with runs.open_run(execution.runs_dir, record, fresh=execution.fresh, pixels=pixels) as run:
        if not run.finished:
            backend.load()
            splits.write(split, run.path / "split.csv")
            Training(config, seen, pixels, run, images.cache_folder(execution.cache_dir)).run_all()
            run.record_environment()
            run.finish()
    print(evaluation.summary(evaluation.read_metrics(run)))
    print(run.closing_words())
    return run


def chosen_classes(config: GanConfig, known: Sequence[str]) -> tuple[str, ...]:
    """Classes that the GAN draws, in the data set's order."""
    unknown = [name for name in config.labels if name not in known]
    if unknown:
        raise InputError(
            f"--labels {' '.join(unknown)}: {config.dataset} has the classes {', '.join(known)}"
        )
    return tuple(name for name in known if not config.labels or name in config.labels)


def training_images(split: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Rows of the training part that are of these classes, in the split's order."""
    seen = split[(split.part == "train") & split.label.isin(classes)].reset_index(drop=True)
    for name in classes:
        if not (seen.label == name).any():
            raise InputError(
                f"the training part holds no image of class {name}; choose classes that it has "
                "with --labels, or another split"
            )
    if len(seen) < FEWEST:
        raise InputError(
            f"the training part holds {len(seen)} images of {', '.join(classes)}; a GAN needs at "
            f"least {FEWEST}, and hundreds to draw anything"
        )
    return seen


def field(image: np.ndarray, side: int, *, whole: bool) -> np.ndarray:
    """What is squeezed to `side` px: the whole image, or its central square.

    Raises
    ------
    InputError
        If it would have to be enlarged.
    """
    height, width = image.shape[:2]
    if min(height, width) < side:
        raise InputError(
            f"is {width}x{height} px, smaller than the {side} px that are needed; use a smaller "
            f"--image-size{'' if whole else ' or a larger --crop'}"
        )
    return image if whole else central_square(image)


# --- training ----------------------------------------------------------------------------------


class Training:
    """A GAN's training in its run folder, from its last saved state to the end.

    Parameters
    ----------
    config : GanConfig
    seen : DataFrame
        The training images: `image`, `label`.
    pixels : Pixels
        Their pixels, at least.
    run : Run
    cache_dir : path
        For the features of the real images.
    """

    def __init__(
        self, config: GanConfig, seen: pd.DataFrame, pixels: Pixels, run: Run, cache_dir: Any
    ):
        import keras

        from common import training
        from common.generative import FeatureNetwork
        from gan_fusion import gan

        self.config, self.run = config, run
        self.classes = tuple(run.record["classes"])
        labels = np.array([self.classes.index(name) for name in seen.label])
        real = pixels[pixels.rows(seen.image)]
        keras.utils.set_random_seed(config.seed)  # random features, with --weights none
        keras.mixed_precision.set_dtype_policy("float32")
        features = FeatureNetwork(
            config.feature_network,
            config.feature_size,
            weights=config.weights,
            resize_filter=config.feature_filter,
            cache_dir=cache_dir,
        )
        training.set_seed(
            config.seed, deterministic=config.deterministic, mixed_precision=config.mixed_precision
        )
        compared = reference(real, config)
        self.judge = Judge(config, compared, labels[compared.rows], features, run)
        self.gan = gan.Gan(config, len(self.classes))
        self.generator = gan.as_pixels(self.gan.averaged)
        self.checkpoint = training.Checkpoint(run.path / "checkpoint", self.gan.variables())
        self.draws = Draws(real, labels, len(self.classes), config)

        shown = config.batch_size * config.critic_steps / 1000
        self.total = math.ceil(config.kimg / shown - 1e-9)
        self.every = max(1, round(config.evaluate_every / shown))
        self.row_every = max(1, self.every // 10)
        self.first = math.ceil(config.critic_first / config.critic_steps)
        self.kimg_per_iteration = shown
        self.sample_noise, self.sample_labels = self._fixed_samples(labels)

    def _fixed_samples(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Noise and classes of the images that every evaluation generates."""
        from common import splits

        counts = splits.apportion(self.config.samples, np.bincount(labels))
        rng = random(self.config.seed, SAMPLES)
        noise = rng.standard_normal((self.config.samples, self.config.latent), np.float32)
        return noise, np.repeat(np.arange(len(self.classes)), counts)

    def run_all(self) -> None:
        """Train to the end, then write the generator, the metrics and the pictures."""
        self.state = self.checkpoint.restore() or {"epoch": 0, "history": [], "points": []}
        if self.state["epoch"]:
            print(
                f"resuming after {self._kimg(self.state['epoch']):.3g} of "
                f"{self.config.kimg:g} kimg",
                file=sys.stderr,
            )
        try:
            self._loop()
        except KeyboardInterrupt:
            print(
                f"\ninterrupted; the state after {self._kimg(self.state['epoch']):.3g} kimg is in "
                f"{self.run.path}\nthe same command goes on from there",
                file=sys.stderr,
            )
            raise
        with atomic_path(self.run.path / "generator.keras") as temporary:
            self.generator.save(temporary)
        samples = self._samples()
        self.judge.draw_samples(samples, self.sample_labels, "samples.png")
        self.judge.draw_real()
        self.judge.draw_curves(self.state["history"], self.state["points"])
        # A run that was killed between the two has more in the checkpoint than in the tables.
        self._write_tables()
        points = self.state["points"]
        metrics = {
            **points[-1],
            "points": points,
            "floor": self.judge.floor,
            "kid_last_over_first": evaluation.ratio(points[-1]["kid"], points[0]["kid"]),
            "features": self.judge.features.record,
            "real_images": len(self.judge.real),
            "generated_images": len(samples),
            "classes": self.classes,
            "memorisation": self.judge.memorisation(samples),
            "synthetic": self.run.synthetic,
        }
        write_json(self.run.path / "metrics.json", metrics)

    def _loop(self) -> None:
        iteration = self.state["epoch"]
        live = sys.stderr.isatty()
        began = shown = saved = time.monotonic()
        start = iteration
        losses: list[dict[str, Any]] = []
        while iteration < self.total:
            losses.append(
                self.gan.step(
                    self.draws.batch(iteration * self.config.critic_steps),
                    max(0, iteration - self.first),
                    critic_only=iteration < self.first,
                )
            )
            iteration += 1
            now = time.monotonic()
            rate = 1000 * self.kimg_per_iteration * (iteration - start) / (now - began)
            if live and now - shown > 0.5:
                shown = now
                left = 1000 * self._kimg(self.total - iteration) / rate
                print(
                    f"\r  {self._kimg(iteration):.2f} of {self.config.kimg:g} kimg, "
                    f"{rate:.0f} images/s, {left:.0f} s left \x1b[K",
                    end="",
                    file=sys.stderr,
                    flush=True,
                )
            due = iteration % self.every == 0 or iteration == self.total
            if iteration % self.row_every and not due:
                continue
            history = [*self.state["history"], self._row(iteration, losses)]
            losses = []
            points = self.state["points"]
            if due:
                points = [*points, self._evaluate(iteration)]
            if due or now - saved > SAVE_SECONDS:
                self._save(iteration, history, points)
                saved = time.monotonic()
            # Kept in memory between saves, too.
            self.state = {**self.state, "history": history, "points": points}
            if due:
                self._report(points[-1], history[-1], rate, live)

    def _kimg(self, iterations: int) -> float:
        return round(iterations * self.kimg_per_iteration, 6)

    def _row(self, iteration: int, losses: Sequence[dict[str, Any]]) -> dict[str, float]:
        """Mean losses since the last row; stops a training that has gone wrong."""
        row = {"kimg": self._kimg(iteration)}
        for name in sorted({name for each in losses for name in each}):
            row[name] = float(np.mean([float(each[name]) for each in losses if name in each]))
        finite = all(map(math.isfinite, row.values())) and all(
            np.isfinite(np.asarray(v)).all()
            for v in (*self.gan.critic.variables, *self.gan.generator.variables)
        )
        if not finite:
            raise InputError(
                f"the losses or weights became NaN or infinite before {row['kimg']:g} kimg; the "
                f"state after {self._kimg(self.state['epoch']):g} kimg is kept in "
                f"{self.run.path}; try smaller values of --learning-rate and "
                "--critic-learning-rate"
            )
        return row

    def _save(self, iteration: int, history: list, points: list) -> None:
        state = {
            "history": history,
            "points": points,
            "critic_steps": iteration * self.config.critic_steps,
            "generator_steps": max(0, iteration - self.first),
        }
        self.checkpoint.save(iteration, state)
        self.state = {**state, "epoch": iteration}
        self._write_tables()

    def _write_tables(self) -> None:
        import pandas as pd

        write_csv(self.run.path / "history.csv", pd.DataFrame(self.state["history"]))
        if self.state["points"]:
            write_csv(self.run.path / "evaluations.csv", pd.DataFrame(self.state["points"]))

    def _samples(self) -> np.ndarray:
        one_hot = np.eye(len(self.classes), dtype=np.float32)[self.sample_labels]
        return draw_images(self.generator, self.sample_noise, one_hot)

    def _evaluate(self, iteration: int) -> dict[str, float]:
        samples = self._samples()
        kimg = self._kimg(iteration)
        self.judge.draw_samples(samples, self.sample_labels, f"samples-{kimg:g}-kimg.png")
        return {"kimg": kimg, **self.judge.scores(samples)}

    def _report(self, point: dict, row: dict, rate: float, live: bool) -> None:
        self.judge.draw_curves(self.state["history"], self.state["points"])
        text = (
            f"{point['kimg']:g}/{self.config.kimg:g} kimg  distance {row['distance']:.3f}  |  "
            f"KID {point['kid']:.4g} ± {point['kid_se']:.2g}  FID {point['fid']:.4g}  "
            f"precision {point['precision']:.2f}  recall {point['recall']:.2f}  |  "
            f"{rate:.0f} images/s"
        )
        print(("\r\x1b[K" if live else "") + text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    errors.main(main)
