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
from gan_fusion.gan_config import PRESETS, GanConfig, check_size, leaks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from common.generative import FeatureNetwork
    from common.images import Pixels
    from common.runs import Run

SAVE_SECONDS = 60.0
"""How much work a kill may cost at most between two evaluations."""

FEWEST = 8
"""Fewest training images: KID compares two halves of them, in two blocks of two."""

_SHOWN = 16  # samples per class in the pictures

# One stream of random numbers per purpose, so that one does not shift the other.
_ORDER, _CRITIC, _GENERATOR, _SAMPLES, _HALVES = range(5)


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
    from gan_fusion.config import DEMO_TISSUE

    config, execution = request.config, request.execution
    check_size(config.image_size)
    card = data.card(config)
    data_dir = execution.data_dir
    if data_dir is None and request.preset.startswith("demo"):
        write = getattr(synthetic, config.dataset)
        folder = execution.runs_dir / "demo-data" / f"gan_fusion-{config.dataset}"
        data_dir = write(folder, **DEMO_TISSUE[config.dataset])
    classes = chosen_classes(config, card.CLASSES[config.classes])
    index = data.load_index(config, data_dir)
    pixels = images.cached(
        datasets.data_folder(card, data_dir),
        index.image,
        config.image_size,
        filter=config.resize_filter,
        cache_dir=execution.cache_dir,
        transform=lambda image: large_enough(image, config.image_size),
        transform_id=f"sides of at least {config.image_size} px",
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
    print(summary(read_metrics(run)))
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


def large_enough(image: np.ndarray, size: int) -> np.ndarray:
    """Give the image back; refuse one that would have to be enlarged."""
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise InputError(
            f"is {width}x{height} px, smaller than the {size} px that the network draws; "
            "use a smaller --image-size"
        )
    return image


# --- what each step sees -----------------------------------------------------------------------


def random(seed: int, stream: int, step: int = 0) -> np.random.Generator:
    """Random numbers of one purpose at one step; no other step's draws shift them."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, stream, step))))


class Draws:
    """Batches of real images, noise and mixing weights; each depends on seed and step alone.

    Every image is shown once before any is shown twice.

    Parameters
    ----------
    pixels : Pixels or ndarray
        RGB uint8, (N, S, S, 3).
    labels : int array (N,)
    classes : int
    config : GanConfig
    """

    def __init__(self, pixels: Any, labels: np.ndarray, classes: int, config: GanConfig):
        self.pixels = pixels
        self.labels = np.eye(classes, dtype=np.float32)[labels]
        self.config = config
        self._order = (-1, np.empty(0, int))

    def batch(self, first: int) -> dict[str, np.ndarray]:
        """What `Gan.step` takes, for the critic's steps `first` and following."""
        config = self.config
        shape = config.critic_steps, config.batch_size
        rows = self._rows(first * config.batch_size, math.prod(shape)).reshape(shape)
        real = np.empty((*shape, *self.pixels.shape[1:]), np.uint8)
        noise = np.empty((shape[0] + 1, shape[1], config.latent), np.float32)
        mix = np.empty((*shape, 1, 1, 1), np.float32)
        for i in range(config.critic_steps):
            rng = random(config.seed, _CRITIC, first + i)
            mix[i] = rng.random(mix[i].shape, np.float32)
            noise[i] = rng.standard_normal(noise[i].shape, np.float32)
            flips = rng.integers(0, 4 if config.flips else 1, config.batch_size)
            for out, row, flip in zip(real[i], rows[i], flips, strict=True):
                out[:] = flipped(self.pixels[row], flip)
        rng = random(config.seed, _GENERATOR, first)
        noise[-1] = rng.standard_normal(noise[-1].shape, np.float32)
        return {"real": real, "label": self.labels[rows], "noise": noise, "mix": mix}

    def _rows(self, first: int, count: int) -> np.ndarray:
        """Rows of the images shown as number `first` and following, counted over all passes."""
        total = len(self.labels)
        found = []
        while count:
            epoch, start = divmod(first, total)
            if self._order[0] != epoch:
                uniforms = random(self.config.seed, _ORDER, epoch).random(total)
                self._order = (epoch, np.argsort(uniforms, kind="stable"))
            found.append(self._order[1][start : start + count])
            first, count = first + len(found[-1]), count - len(found[-1])
        return np.concatenate(found)


def flipped(image: np.ndarray, which: int) -> np.ndarray:
    """One of the four mirror images of (..., H, W, 3): 0 the image itself, 1 left and right."""
    return image[..., :: -1 if which & 2 else 1, :: -1 if which & 1 else 1, :]


def apportion(total: int, shares: np.ndarray) -> np.ndarray:
    """Whole numbers in proportion to `shares` that add up to `total` (largest remainders)."""
    exact = total * shares / shares.sum()
    counts = np.floor(exact).astype(int)
    missing = total - counts.sum()
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    return counts


def draw_images(
    generator: Any, noise: np.ndarray, label: np.ndarray, batch_size: int = 50
) -> np.ndarray:
    """Images for noise and classes.

    Batches are always whole, so that an image does not depend on how many are asked for.

    Parameters
    ----------
    generator : keras.Model
        From `gan.as_pixels`.
    noise : float32 array (N, latent)
    label : float32 array (N, classes)
        One-hot.

    Returns
    -------
    uint8 array (N, S, S, 3)
    """
    images = []
    for start in range(0, len(noise), batch_size):
        part = noise[start : start + batch_size], label[start : start + batch_size]
        short = batch_size - len(part[0])
        padded = [np.pad(each, ((0, short), (0, 0))) for each in part]
        found = np.asarray(generator.predict_on_batch(padded))[: len(part[0])]
        images.append(np.clip(np.rint(found), 0, 255).astype(np.uint8))
    return np.concatenate(images)


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
        self.labels = np.array([self.classes.index(name) for name in seen.label])
        self.real = pixels[pixels.rows(seen.image)]
        keras.utils.set_random_seed(config.seed)  # random features, with --weights none
        keras.mixed_precision.set_dtype_policy("float32")
        self.features: FeatureNetwork = FeatureNetwork(
            config.feature_network,
            config.feature_size,
            weights=config.weights,
            resize_filter=config.feature_filter,
            cache_dir=cache_dir,
        )
        training.set_seed(
            config.seed, deterministic=config.deterministic, mixed_precision=config.mixed_precision
        )
        self.gan = gan.Gan(config, len(self.classes))
        self.generator = gan.as_pixels(self.gan.averaged)
        self.checkpoint = training.Checkpoint(run.path / "checkpoint", self.gan.variables())
        self.draws = Draws(self.real, self.labels, len(self.classes), config)

        shown = config.batch_size * config.critic_steps / 1000
        self.total = math.ceil(config.kimg / shown - 1e-9)
        self.every = max(1, round(config.evaluate_every / shown))
        self.row_every = max(1, self.every // 10)
        self.first = math.ceil(config.critic_first / config.critic_steps)
        self.kimg_per_iteration = shown
        self.sample_noise, self.sample_labels = self._fixed_samples()

    def _fixed_samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Noise and classes of the images that every evaluation generates."""
        counts = apportion(self.config.samples, np.bincount(self.labels))
        rng = random(self.config.seed, _SAMPLES)
        noise = rng.standard_normal((self.config.samples, self.config.latent), np.float32)
        return noise, np.repeat(np.arange(len(self.classes)), counts)

    def run_all(self) -> None:
        """Train to the end, then write the generator, the metrics and the pictures."""
        from common import runs

        real = self.features(self.real, keep=True)
        self.floor = floor(real, self.config.seed)
        self.state = self.checkpoint.restore() or {"epoch": 0, "history": [], "points": []}
        if self.state["epoch"]:
            print(
                f"resuming after {self._kimg(self.state['epoch']):.3g} of "
                f"{self.config.kimg:g} kimg",
                file=sys.stderr,
            )
        try:
            self._loop(real)
        except KeyboardInterrupt:
            print(
                f"\ninterrupted; the state after {self._kimg(self.state['epoch']):.3g} kimg is in "
                f"{self.run.path}\nthe same command goes on from there",
                file=sys.stderr,
            )
            raise
        with runs.atomic_path(self.run.path / "generator.keras") as temporary:
            self.generator.save(temporary)
        samples = self._samples()
        self._draw_pictures(samples)
        # A run that was killed between the two has more in the checkpoint than in the tables.
        self._write_tables()
        points = self.state["points"]
        metrics = {
            **points[-1],
            "points": points,
            "floor": self.floor,
            "kid_last_over_first": ratio(points[-1]["kid"], points[0]["kid"]),
            "features": self.features.record,
            "real_images": len(self.real),
            "generated_images": len(samples),
            "classes": self.classes,
            "memorisation": self._memorisation(samples),
            "synthetic": self.run.synthetic,
        }
        runs.write_json(self.run.path / "metrics.json", metrics)

    def _loop(self, real: np.ndarray) -> None:
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
                points = [*points, self._evaluate(iteration, real)]
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

        from common import runs

        runs.write_csv(self.run.path / "history.csv", pd.DataFrame(self.state["history"]))
        if self.state["points"]:
            runs.write_csv(self.run.path / "evaluations.csv", pd.DataFrame(self.state["points"]))

    # --- evaluation

    def _samples(self) -> np.ndarray:
        one_hot = np.eye(len(self.classes), dtype=np.float32)[self.sample_labels]
        return draw_images(self.generator, self.sample_noise, one_hot)

    def _evaluate(self, iteration: int, real: np.ndarray) -> dict[str, float]:
        from common import generative

        samples = self._samples()
        found = self.features(samples)
        kid = generative.kid(real, found, blocks=blocks(len(real)), seed=self.config.seed)
        precision, recall = generative.precision_recall(real, found)
        self._draw_grid(samples, f"samples-{self._kimg(iteration):g}-kimg.png")
        return {
            "kimg": self._kimg(iteration),
            "fid": generative.fid(real, found),
            "kid": kid.value,
            "kid_se": kid.error,
            "precision": precision,
            "recall": recall,
        }

    def _memorisation(self, samples: np.ndarray) -> dict[str, Any]:
        """How near the samples come to training images, mirrored ones included."""
        from common import figures, generative

        variants = range(4 if self.config.flips else 1)
        training = [self.features(flipped(self.real, which), keep=True) for which in variants]
        groups = np.tile(np.arange(len(self.real)), len(variants))
        found = generative.memorisation(np.concatenate(training), self.features(samples), groups)
        closest = np.argsort(found["ratio"], kind="stable")[:10]
        which, row = np.divmod(found["nearest"][closest], len(self.real))
        figure = figures.mosaic(
            {
                "generated": samples[closest],
                "nearest\nreal": [
                    flipped(self.real[r], w) for r, w in zip(row, which, strict=True)
                ],
            },
            columns=len(closest),
        )
        figures.save(figure, self.run.path / "figures" / "nearest.png", self.run.synthetic)
        return {k: v for k, v in found.items() if k not in ("nearest", "ratio")}

    # --- what is shown

    def _draw_grid(self, samples: np.ndarray, name: str) -> None:
        from common import figures

        rows = {
            f"generated\n{label}": samples[self.sample_labels == number][:_SHOWN]
            for number, label in enumerate(self.classes)
        }
        figure = figures.mosaic(rows, columns=8)
        figures.save(figure, self.run.path / "figures" / name, self.run.synthetic)

    def _draw_pictures(self, samples: np.ndarray) -> None:
        from common import figures

        self._draw_grid(samples, "samples.png")
        rows = {
            f"real\n{label}": self.real[self.labels == number][:_SHOWN]
            for number, label in enumerate(self.classes)
        }
        folder = self.run.path / "figures"
        figures.save(figures.mosaic(rows, columns=8), folder / "real.png", self.run.synthetic)
        figures.save(self._curves(), folder / "curves.png", self.run.synthetic)

    def _curves(self) -> Any:
        import pandas as pd

        from common import figures

        history, points = pd.DataFrame(self.state["history"]), pd.DataFrame(self.state["points"])
        halves = "two halves of the real images"
        panels = {
            "Loss": {
                name: (history.kimg, history[column])
                for name, column in (("critic: real - generated", "distance"),
                                     ("generator", "generator"))
                if column in history
            },
            "Penalty": {
                name: (history.kimg, history[column])
                for name, column in (("gradient penalty", "penalty"), ("R1", "r1"))
                if column in history
            },
            "KID": {
                "generated, with standard error": (points.kimg, points.kid, points.kid_se),
                halves: (points.kimg, self.floor["kid"]),
            },
            "FID": {
                "generated": (points.kimg, points.fid),
                halves: (points.kimg, self.floor["fid"]),
            },
        }  # fmt: skip
        return figures.curves(
            {label: named for label, named in panels.items() if named},
            "Thousands of real images shown (kimg)",
        )

    def _report(self, point: dict, row: dict, rate: float, live: bool) -> None:
        from common import figures

        figures.save(self._curves(), self.run.path / "figures" / "curves.png", self.run.synthetic)
        text = (
            f"{point['kimg']:g}/{self.config.kimg:g} kimg  distance {row['distance']:.3f}  |  "
            f"KID {point['kid']:.4f} ± {point['kid_se']:.4f}  FID {point['fid']:.1f}  "
            f"precision {point['precision']:.2f}  recall {point['recall']:.2f}  |  "
            f"{rate:.0f} images/s"
        )
        print(("\r\x1b[K" if live else "") + text, file=sys.stderr, flush=True)


def blocks(images: int) -> int:
    """Blocks of `generative.kid`: ten, or as many as hold two images."""
    return min(10, images // 2)


def ratio(last: float, first: float) -> float | None:
    """Last over first KID; None where the first is no distance (unbiased: it may be negative)."""
    return last / first if first > 0 else None


def floor(real: np.ndarray, seed: int) -> dict[str, Any]:
    """FID and KID of one half of the real images against the other."""
    from common import generative

    order = np.argsort(random(seed, _HALVES).random(len(real)), kind="stable")
    first, second = real[order[::2]], real[order[1::2]]
    kid = generative.kid(first, second, blocks=blocks(len(second)), seed=seed)
    return {
        "fid": generative.fid(first, second),
        "kid": kid.value,
        "kid_se": kid.error,
        "images": [len(first), len(second)],
    }


# --- results -----------------------------------------------------------------------------------


def read_metrics(run: Run) -> dict[str, Any]:
    """Read a finished GAN run's metrics.json."""
    import json

    file = run.path / "metrics.json"
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error}); train again with --fresh") from None


def summary(metrics: dict[str, Any]) -> str:
    """Every evaluation, the floor and the check for copies, as text."""
    features, copies, least = metrics["features"], metrics["memorisation"], metrics["floor"]
    change = metrics["kid_last_over_first"]
    change = "none, the first is not above 0" if change is None else f"{change:.2f}"
    lines = [
        "    kimg       KID   ± s.e.       FID  precision  recall",
        *(
            f"{p['kimg']:8g}  {p['kid']:8.4f}  {p['kid_se']:7.4f}  {p['fid']:8.1f}  "
            f"{p['precision']:9.2f}  {p['recall']:6.2f}"
            for p in metrics["points"]
        ),
        f"   floor  {least['kid']:8.4f}  {least['kid_se']:7.4f}  {least['fid']:8.1f}"
        f"   (two halves of the real images, {least['images'][0]} and {least['images'][1]})",
        f"last KID / first KID: {change}",
        f"{metrics['generated_images']} generated against {metrics['real_images']} real images; "
        f"features of {features['network']} ({features['weights'][:10]}), {features['size']} px, "
        f"{features['resize']}: {features['comparable']}",
        f"copies: {100 * copies['below_half']:.1f} % of the samples lie nearer than half to a "
        f"training image; median ratio {copies['median_ratio']:.2f}, smallest "
        f"{copies['smallest_ratio']:.2f} (0 is a copy, 1 an image of its own)",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    errors.main(main)
