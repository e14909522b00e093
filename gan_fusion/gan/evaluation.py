"""How good a GAN's images are, while it trains and in the end: scores, copies and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.files import read_json
from gan_fusion.gan.config import GanConfig
from gan_fusion.gan.draws import HALVES, Reference, random, variant, variants

if TYPE_CHECKING:
    from common.generative import FeatureNetwork
    from common.runs import Run

_SHOWN = 16  # samples per class in the pictures


class Judge:
    """Compares generated images with the same real ones, and draws both.

    Parameters
    ----------
    config : GanConfig
    reference : Reference
        Real images.
    labels : int array (M,)
        Class of each of them.
    features : FeatureNetwork
    run : Run
        Its folder gets the pictures, its record names the classes.
    """

    def __init__(
        self,
        config: GanConfig,
        reference: Reference,
        labels: np.ndarray,
        features: FeatureNetwork,
        run: Run,
    ):
        self.config, self.reference, self.labels = config, reference, labels
        self.features, self.run = features, run
        self.classes = tuple(run.record["classes"])
        self.real = features(reference.pixels, keep=True)
        self.floor = floor(self.real, reference.rows, config.seed)

    def scores(self, samples: np.ndarray) -> dict[str, float]:
        """FID, KID, precision and recall of generated images.

        Parameters
        ----------
        samples : uint8 array (N, S, S, 3), RGB

        Returns
        -------
        dict
            `fid`, `kid`, `kid_se` (its standard error), `precision`, `recall`.
        """
        from common import generative

        found = self.features(samples)
        kid = generative.kid(self.real, found, blocks=blocks(len(self.real)), seed=self.config.seed)
        precision, recall = generative.precision_recall(self.real, found)
        return {
            "fid": generative.fid(self.real, found),
            "kid": kid.value,
            "kid_se": kid.error,
            "precision": precision,
            "recall": recall,
        }

    def memorisation(self, samples: np.ndarray) -> dict[str, Any]:
        """How near the samples come to training images, turned and mirrored ones included.

        Draws `nearest.png`: the ten samples that come nearest, above what they come near to.

        Parameters
        ----------
        samples : uint8 array (N, S, S, 3), RGB

        Returns
        -------
        dict
            `median_ratio`, `smallest_ratio`, `below_half`: see `common.generative.memorisation`.
        """
        from common import generative

        real, rows = self.reference
        seen = range(variants(self.config))
        training = [self.features(variant(real, which), keep=True) for which in seen]
        found = generative.memorisation(
            np.concatenate(training), self.features(samples), np.tile(rows, len(seen)).tolist()
        )
        closest = np.argsort(found["ratio"], kind="stable")[:10]
        which, row = np.divmod(found["nearest"][closest], len(real))
        nearest = [variant(real[r], w) for r, w in zip(row, which, strict=True)]
        self._mosaic(
            {"generated": samples[closest], "nearest\nreal": nearest}, len(closest), "nearest.png"
        )
        return {k: v for k, v in found.items() if k not in ("nearest", "ratio")}

    def draw_samples(self, samples: np.ndarray, labels: np.ndarray, name: str) -> None:
        """Draw some images of each class.

        Parameters
        ----------
        samples : uint8 array (N, S, S, 3), RGB
        labels : int array (N,)
        name : str
            File in the run's `figures`.
        """
        self._mosaic(self._by_class("generated", samples, labels), 8, name)

    def draw_real(self) -> None:
        """Draw some of the real images that the generated ones are compared with."""
        self._mosaic(self._by_class("real", self.reference.pixels, self.labels), 8, "real.png")

    def draw_curves(self, history: Sequence[Mapping], points: Sequence[Mapping]) -> None:
        """Draw losses and scores.

        Parameters
        ----------
        history : sequence of mapping
            Rows of history.csv.
        points : sequence of mapping
            Rows of evaluations.csv.
        """
        from common import figures

        figure = figures.curves(
            _panels(history, points, self.floor), "Thousands of real images shown (kimg)"
        )
        last = points[-1]
        figures.save(
            figure, self.run.path / "figures" / "curves.png", self.run.synthetic,
            f"Losses, KID and FID over {last['kimg']:g} thousand images shown. Last KID "
            f"{last['kid']:.3g}, of two halves of the real images {self.floor['kid']:.3g}.",
        )  # fmt: skip

    def _by_class(self, what: str, images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        return {
            f"{what}\n{name}": images[labels == number][:_SHOWN]
            for number, name in enumerate(self.classes)
        }

    def _mosaic(self, rows: Mapping[str, Any], columns: int, name: str) -> None:
        from common import figures

        figure = figures.mosaic(rows, columns=columns)
        figures.save(figure, self.run.path / "figures" / name, self.run.synthetic)


def floor(real: np.ndarray, rows: np.ndarray, seed: int) -> dict[str, Any]:
    """FID and KID of one half of the real images against the other.

    Parameters
    ----------
    real : array (M, D)
        Features of the real images.
    rows : int array (M,)
        The image that each belongs to; crops of one image stay in one half.
    seed : int
        Of the halves, and of the blocks of KID.

    Returns
    -------
    dict
        `fid`, `kid`, `kid_se`, and `images`, how many each half has.
    """
    from common import generative

    order = np.argsort(random(seed, HALVES).random(rows.max() + 1), kind="stable")
    first, second = (real[np.isin(rows, half)] for half in (order[::2], order[1::2]))
    kid = generative.kid(first, second, blocks=blocks(len(second)), seed=seed)
    return {
        "fid": generative.fid(first, second),
        "kid": kid.value,
        "kid_se": kid.error,
        "images": [len(first), len(second)],
    }


def blocks(images: int) -> int:
    """Blocks of `generative.kid`: ten, or as many as hold two images.

    Parameters
    ----------
    images : int
        Of the smaller set.
    """
    return min(10, images // 2)


def ratio(last: float, first: float) -> float | None:
    """Last over first KID; None where the first is no distance (unbiased: it may be negative).

    Parameters
    ----------
    last, first : float
    """
    return last / first if first > 0 else None


def _panels(
    history: Sequence[Mapping], points: Sequence[Mapping], floor: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """What `figures.curves` draws: panels of named lines, empty panels left out."""
    import pandas as pd

    rows, scores = pd.DataFrame(history), pd.DataFrame(points)
    halves = "two halves of the real images"
    panels = {
        "Loss": {
            name: (rows.kimg, rows[column])
            for name, column in (("critic: real - generated", "distance"),
                                 ("generator", "generator"))
            if column in rows
        },
        "Penalty": {
            name: (rows.kimg, rows[column])
            for name, column in (("gradient penalty", "penalty"), ("R1", "r1"))
            if column in rows
        },
        "KID": {
            "generated, with standard error": (scores.kimg, scores.kid, scores.kid_se),
            halves: (scores.kimg, floor["kid"]),
        },
        "FID": {
            "generated": (scores.kimg, scores.fid),
            halves: (scores.kimg, floor["fid"]),
        },
    }  # fmt: skip
    return {label: named for label, named in panels.items() if named}


# --- results -----------------------------------------------------------------------------------


def read_metrics(run: Run) -> dict[str, Any]:
    """Read a finished GAN run's metrics.json.

    Parameters
    ----------
    run : Run

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    file = Path(run.path) / "metrics.json"
    return read_json(file, repair="train again with --fresh")


def summary(metrics: dict[str, Any]) -> str:
    """Every evaluation, the floor and the check for copies, as text.

    Parameters
    ----------
    metrics : dict
        From `read_metrics`.
    """
    features, copies, least = metrics["features"], metrics["memorisation"], metrics["floor"]
    change = metrics["kid_last_over_first"]
    change = "none, the first is not above 0" if change is None else f"{change:.2f}"
    lines = [
        "    kimg         KID     ± s.e.         FID  precision  recall",
        *(
            f"{p['kimg']:8g}  {p['kid']:10.4g}  {p['kid_se']:9.2g}  {p['fid']:10.4g}  "
            f"{p['precision']:9.2f}  {p['recall']:6.2f}"
            for p in metrics["points"]
        ),
        f"   floor  {least['kid']:10.4g}  {least['kid_se']:9.2g}  {least['fid']:10.4g}"
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
