"""A GAN's training: steps, evaluations as it goes, saved states, and what it leaves in the end."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import loggers, terminal
from common.errors import InputError
from common.files import atomic_path, write_csv, write_json
from gan_fusion.gan.config import GanConfig
from gan_fusion.gan.draws import SAMPLES, Draws, draw_images, random, reference
from gan_fusion.gan.evaluation import Judge, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from common.images import Pixels
    from common.runs import Run

SAVE_SECONDS = 60.0
"""How much work a kill may cost at most between two evaluations."""


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
        self, config: GanConfig, seen: pd.DataFrame, pixels: Pixels, run: Run, cache_dir: Path
    ):
        from common import training
        from common.backend import keras
        from common.generative import FeatureNetwork
        from gan_fusion.gan.networks import as_pixels
        from gan_fusion.gan.step import Gan

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
        self.gan = Gan(config, len(self.classes))
        self.generator = as_pixels(self.gan.averaged)
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
            terminal.line(
                f"resuming after {self._kimg(self.state['epoch']):.3g} of {self.config.kimg:g} kimg"
            )
        try:
            told = [self._told(row) for row in self.state["history"]]
            with loggers.following(self.run, told, "kimg", times=1000) as tell:
                self._loop(tell)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted; the state after {self._kimg(self.state['epoch']):.3g} kimg is in "
                f"{self.run.path}\nthe same command goes on from there"
            ) from None
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
            "kid_last_over_first": ratio(points[-1]["kid"], points[0]["kid"]),
            "features": self.judge.features.record,
            "real_images": len(self.judge.real),
            "generated_images": len(samples),
            "classes": self.classes,
            "memorisation": self.judge.memorisation(samples),
            "synthetic": self.run.synthetic,
        }
        write_json(self.run.path / "metrics.json", metrics)

    def _loop(self, tell: Callable[[Mapping[str, float]], None]) -> None:
        shown = self.config.batch_size * self.config.critic_steps  # images, in an iteration
        with terminal.progress("GAN", shown * self.total, "images", transient=True) as bar:
            bar.restart(shown * self.state["epoch"], shown * self.total)
            began, start = time.monotonic(), self.state["epoch"]
            saved, losses = began, []
            for iteration in range(start, self.total):
                losses.append(
                    self.gan.step(
                        self.draws.batch(iteration * self.config.critic_steps),
                        max(0, iteration - self.first),
                        critic_only=iteration < self.first,
                    )
                )
                done = iteration + 1
                bar.at(shown * done)
                due = done % self.every == 0 or done == self.total
                if done % self.row_every and not due:
                    continue
                rate = shown * (done - start) / (time.monotonic() - began)
                history = [*self.state["history"], self._row(done, losses)]
                losses = []
                points = self.state["points"]
                if due:
                    points = [*points, self._evaluate(done)]
                if due or time.monotonic() - saved > SAVE_SECONDS:
                    self._save(done, history, points)
                    saved = time.monotonic()
                # Kept in memory between saves, too.
                self.state = {**self.state, "history": history, "points": points}
                tell(self._told(history[-1]))
                if due:
                    self._report(points[-1], history[-1], rate)

    def _told(self, row: dict[str, float]) -> dict[str, float]:
        """A row with the evaluation at its place, if there was one."""
        points = (point for point in self.state["points"] if point["kimg"] == row["kimg"])
        return row | {k: v for k, v in next(points, {}).items() if isinstance(v, float)}

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
            saved = self._kimg(self.state["epoch"])
            kept = f"the state after {saved:g} kimg is kept in {self.run.path}"
            raise InputError(
                f"the losses or weights became NaN or infinite before {row['kimg']:g} kimg; "
                f"{kept if saved else 'no state before it is saved'}; try smaller values of "
                "--learning-rate and --critic-learning-rate"
            )
        return row

    def _save(
        self,
        iteration: int,
        history: list[dict[str, float]],
        points: list[dict[str, float]],
    ) -> None:
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

    def _report(self, point: dict[str, float], row: dict[str, float], rate: float) -> None:
        self.judge.draw_curves(self.state["history"], self.state["points"])
        terminal.line(
            f"{point['kimg']:g}/{self.config.kimg:g} kimg  distance {row['distance']:.3f}  |  "
            f"KID {point['kid']:.4g} ± {point['kid_se']:.2g}  FID {point['fid']:.4g}  "
            f"precision {point['precision']:.2f}  recall {point['recall']:.2f}  |  "
            f"{rate:.0f} images/s"
        )
