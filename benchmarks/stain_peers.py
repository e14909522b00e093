"""The peers' side of `benchmarks.stain`: run in their environment, which has nothing of ours.

Reads one job per line from stdin, a JSON list [peer, image file, result file], and answers each
with the seconds that the peer's transform took, or with an error. The first image of a peer is its
target. Images and results are .npy files, RGB uint8.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import cv2
import numpy as np


class TorchstainNumpy:
    """Macenko on NumPy arrays."""

    def __init__(self, target: np.ndarray) -> None:
        import torchstain

        self.normalizer = torchstain.normalizers.MacenkoNormalizer("numpy")
        self.normalizer.fit(target)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Normalise an image."""
        return self.normalizer.normalize(image, stains=False)[0]


class TorchstainTorch:
    """Macenko on tensors, one thread."""

    def __init__(self, target: np.ndarray) -> None:
        import torch
        import torchstain

        torch.set_num_threads(1)
        self.from_numpy = torch.from_numpy
        self.normalizer = torchstain.normalizers.MacenkoNormalizer("torch")
        self.normalizer.fit(self.from_numpy(target).permute(2, 0, 1))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Normalise an image."""
        tensor = self.from_numpy(image).permute(2, 0, 1)
        return self.normalizer.normalize(tensor, stains=False)[0].numpy().astype(np.uint8)


class TorchstainReinhard:
    """Reinhard on NumPy arrays."""

    def __init__(self, target: np.ndarray) -> None:
        import torchstain

        self.normalizer = torchstain.normalizers.ReinhardNormalizer("numpy")
        self.normalizer.fit(target)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Normalise an image."""
        return self.normalizer.normalize(image)


class StainTools:
    """What StainTools' two stain methods share."""

    method = ""

    def __init__(self, target: np.ndarray) -> None:
        import staintools

        self.normalizer = staintools.StainNormalizer(self.method)
        self.normalizer.fit(target.copy())
        self.extractor = self.normalizer.extractor
        self.normalizer.extractor = self

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Normalise an image."""
        return self.normalizer.transform(image)

    def get_stain_matrix(self, image: np.ndarray) -> np.ndarray:
        """Stand in for the extractor, and keep what it found: it would not find it again."""
        self.matrix = self.extractor.get_stain_matrix(image)
        return self.matrix


class StainToolsMacenko(StainTools):
    """Macenko."""

    method = "macenko"


class StainToolsVahadane(StainTools):
    """Vahadane."""

    method = "vahadane"


class StainToolsReinhard:
    """Reinhard with 8-bit CIELAB."""

    def __init__(self, target: np.ndarray) -> None:
        import staintools

        self.normalizer = staintools.ReinhardColorNormalizer()
        self.normalizer.fit(target)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Normalise an image."""
        return self.normalizer.transform(image)


PEERS = {
    "torchstain numpy": TorchstainNumpy,
    "torchstain torch": TorchstainTorch,
    "torchstain reinhard": TorchstainReinhard,
    "staintools macenko": StainToolsMacenko,
    "staintools vahadane": StainToolsVahadane,
    "staintools reinhard": StainToolsReinhard,
}


def main() -> None:
    warnings.simplefilter("ignore")
    cv2.setNumThreads(1)
    ready: dict[str, object] = {}
    for line in sys.stdin:
        name, source, result = json.loads(line)
        image = np.load(source)
        try:
            if name not in ready:
                ready[name] = PEERS[name](image)
                answer = {"seconds": None}
            else:
                # StainTools writes into the image that it is given.
                copy = image.copy()
                start = time.perf_counter()
                output = ready[name](copy)
                answer = {"seconds": time.perf_counter() - start}
                np.save(result, output)
                if isinstance(ready[name], StainTools):
                    answer["matrix"] = ready[name].matrix.tolist()
        except Exception as error:  # what a peer raises is its result
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
