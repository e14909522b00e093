"""The peers' side of `benchmarks.stain_frontier`: run in an environment that has nothing of ours.

    python benchmarks/stain_frontier_peers.py PEER IMAGES.npz RESULTS.npz

Each image is normalised to its target. Writes the results and the processor seconds of each; one
thread.
"""

from __future__ import annotations

import os
import sys
import time
import warnings

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy is loaded

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import stain_peers  # noqa: E402


class TorchStaintools:
    """What its methods share: tensors (1, 3, H, W) in [0, 1]."""

    method = ""

    def __init__(self, target: np.ndarray) -> None:
        import torch
        from torch_staintools.normalizer import NormalizerBuilder

        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.torch = torch
        self.normalizer = NormalizerBuilder.build(self.method)
        self.normalizer.fit(self.tensor(target))

    def tensor(self, image: np.ndarray) -> object:
        """As it takes images."""
        return self.torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Normalise an image."""
        with self.torch.no_grad():
            found = self.normalizer(self.tensor(image))[0].permute(1, 2, 0) * 255
        return found.round().clamp(0, 255).to(self.torch.uint8).numpy()


class TorchStaintoolsMacenko(TorchStaintools):
    """Macenko."""

    method = "macenko"


class TorchStaintoolsVahadane(TorchStaintools):
    """Vahadane."""

    method = "vahadane"


class TorchStaintoolsReinhard(TorchStaintools):
    """Reinhard."""

    method = "reinhard"


class TIAToolbox:
    """What its methods share."""

    method = ""

    def __init__(self, target: np.ndarray) -> None:
        from tiatoolbox.tools.stainnorm import get_normalizer

        self.normalizer = get_normalizer(self.method)
        self.normalizer.fit(target)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Normalise an image."""
        return self.normalizer.transform(image)


class TIAToolboxMacenko(TIAToolbox):
    """Macenko."""

    method = "macenko"


class TIAToolboxVahadane(TIAToolbox):
    """Vahadane."""

    method = "vahadane"


class TIAToolboxReinhard(TIAToolbox):
    """Reinhard."""

    method = "reinhard"


class ScikitImage:
    """Separation by fixed stains (Ruifrok), each amount scaled to the target's 99th percentile."""

    def __init__(self, target: np.ndarray) -> None:
        from skimage.color import hed2rgb, rgb2hed

        self.there, self.back = rgb2hed, hed2rgb
        self.wanted = np.percentile(self.there(target), 99, axis=(0, 1))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Normalise an image."""
        amounts = self.there(image)
        found = np.percentile(amounts, 99, axis=(0, 1))
        scaled = amounts * self.wanted / np.maximum(found, 1e-6)
        return np.rint(255 * np.clip(self.back(scaled), 0, 1)).astype(np.uint8)


PEERS = {
    **stain_peers.PEERS,
    "torch-staintools macenko": TorchStaintoolsMacenko,
    "torch-staintools vahadane": TorchStaintoolsVahadane,
    "torch-staintools reinhard": TorchStaintoolsReinhard,
    "tiatoolbox macenko": TIAToolboxMacenko,
    "tiatoolbox vahadane": TIAToolboxVahadane,
    "tiatoolbox reinhard": TIAToolboxReinhard,
    "scikit-image separation": ScikitImage,
}


def main() -> None:
    warnings.simplefilter("ignore")
    cv2.setNumThreads(1)
    name, source, target = sys.argv[1:]
    with np.load(source) as given:
        images, targets = given["images"], given["targets"]
    # What is loaded or compiled at the first call is no part of it.
    PEERS[name](targets[0])(images[0].copy())
    results, seconds = [], []
    for image, wanted in zip(images, targets, strict=True):
        normalizer = PEERS[name](wanted)
        copy = image.copy()  # StainTools writes into the image that it is given
        start = time.process_time()
        results.append(normalizer(copy))
        seconds.append(time.process_time() - start)
    np.savez(target, results=np.stack(results), seconds=seconds)


if __name__ == "__main__":
    main()
