"""The network that makes features of images, and the cache of what it made."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError


class FeatureNetwork:
    """A network of `common.backbones` up to its pooled last feature map.

    Parameters
    ----------
    network : str
        Key of `common.backbones.NETWORKS`; the papers say InceptionV3.
    size : int
        Side in px that images are resized to; 299 is InceptionV3's own.
    weights : str or path
        "imagenet", "none" (random: differences only, no meaning) or a file.
    resize_filter : str
        Of `common.images.resize`: 8-bit pixels go in and come out, as from a file. FID moves by
        several points between filters.
    cache_dir : path, optional
        Where `__call__` keeps features; None keeps none.
    """

    def __init__(
        self,
        network: str = "inception_v3",
        size: int = 299,
        *,
        weights: str | Path = "imagenet",
        resize_filter: str = "linear",
        cache_dir: str | Path | None = None,
    ) -> None:
        from common import backbones, images, runs
        from common.backend import keras

        if resize_filter not in images.FILTERS:
            raise InputError(
                f"resize filter {resize_filter!r}: choose from {', '.join(images.FILTERS)}"
            )
        inputs, feature_map = backbones.features(network, size, weights=weights, bn_momentum=None)
        pooled = keras.layers.GlobalAveragePooling2D(dtype="float32")(feature_map)
        self.model = keras.Model(inputs, pooled, name=f"{network}_features")
        self.size, self.filter = size, resize_filter
        self.cache_dir = None if cache_dir is None else Path(cache_dir) / "features"
        self.record = {
            "network": network,
            "weights": runs.weights_id(str(weights)),
            "size": size,
            "resize": f"OpenCV {resize_filter}, 8 bit",
            "features": int(pooled.shape[1]),
            "comparable": "not comparable with published values",
        }

    def __call__(self, pixels: Any, *, batch_size: int = 32, keep: bool = False) -> np.ndarray:
        """Features of images.

        Parameters
        ----------
        pixels : array-like or common.images.Pixels
            RGB uint8, (N, H, W, 3).
        batch_size : int
            Images per step.
        keep : bool
            Look in the cache first, and keep what was computed there.

        Returns
        -------
        float32 array (N, D)
            One row per image.

        Raises
        ------
        InputError
            If the pixels are not uint8 RGB, there are none, or `batch_size` is no whole number
            above 0.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InputError(f"batch_size must be a whole number above 0, not {batch_size!r}")
        if not hasattr(pixels, "__len__") or not len(pixels):
            raise InputError("pixels of no image: there are no features to make")
        file = None
        if keep and self.cache_dir is not None:
            file = self.cache_dir / f"{self._key(pixels)}.npy"
            if file.is_file():
                kept = _kept(file, (len(pixels), self.model.output_shape[-1]))
                if kept is not None:
                    return kept
                file.unlink()  # damaged: computed anew
        found = np.concatenate(
            [
                self._batch(np.asarray(pixels[start : start + batch_size]), batch_size)
                for start in range(0, len(pixels), batch_size)
            ]
        )
        if file is not None:
            from common.files import atomic_path

            with atomic_path(file) as temporary:
                np.save(temporary, found)
        return found

    def _batch(self, batch: np.ndarray, batch_size: int) -> np.ndarray:
        from common import images

        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[3] != 3:
            raise InputError(f"images are uint8 (N, H, W, 3), not {batch.dtype} {batch.shape}")
        resized = np.zeros((batch_size, self.size, self.size, 3), np.float32)
        for out, image in zip(resized, batch, strict=False):
            out[:] = images.resize(image, self.size, self.filter)
        # Always whole batches: another shape would be compiled anew.
        return np.asarray(self.model.predict_on_batch(resized))[: len(batch)]

    def _key(self, pixels: Any) -> str:
        digest = hashlib.sha256(repr(sorted(self.record.items())).encode())
        if self.record["weights"] == "none":
            for weight in self.model.get_weights():
                digest.update(np.ascontiguousarray(weight).data)
        for start in range(0, len(pixels), 256):
            chunk = np.ascontiguousarray(pixels[start : start + 256])
            digest.update(repr(chunk.shape).encode())
            digest.update(chunk.data)
        return digest.hexdigest()


def _kept(file: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """The features in a file of the cache; None unless it holds as many, whatever its size."""
    try:
        mapped = np.lib.format.open_memmap(file, mode="r")
        right = mapped.shape == shape and mapped.dtype == np.float32
        return np.array(mapped) if right else None
    except (ValueError, EOFError, OSError):
        return None
