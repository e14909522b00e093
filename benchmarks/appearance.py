"""How often predict warns of images of unseen patients, and of images changed as elsewhere.

Real images, parted by patient again and again: python -m benchmarks.appearance --data-dir D
"""

from __future__ import annotations

import numpy as np

from common import appearance, errors, images, splits
from common.arguments import Parser
from common.datasets import breakhis
from common.files import path_argument


def hue(image: np.ndarray, degrees: float) -> np.ndarray:
    """Turn the hue of every pixel."""
    import cv2

    found = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(int)
    found[..., 0] = (found[..., 0] + round(degrees / 2)) % 180
    return cv2.cvtColor(found.astype(np.uint8), cv2.COLOR_HSV2RGB)


CHANGES = {
    "unchanged": lambda image: image,
    **{f"hue {d:+} degrees": lambda image, d=d: hue(image, d) for d in (-60, -40, 40, 60)},
    **{
        f"brightness x {f}": lambda image, f=f: np.clip(image * f, 0, 255).astype(np.uint8)
        for f in (0.5, 0.7, 0.8, 1.2, 1.35, 1.5)
    },
    "negative": lambda image: 255 - image,
    "blank": lambda image: np.full_like(image, 245),
    "noise": lambda image: np.random.default_rng(0).integers(0, 256, image.shape, np.uint8),
}


def main() -> None:
    """Print a rate for each change."""
    parser = Parser(prog="python -m benchmarks.appearance", description=__doc__)
    parser.add_argument("--data-dir", type=path_argument, required=True)
    parser.add_argument("--splits", type=int, default=20)
    flags = parser.parse_args()
    index = breakhis.index(flags.data_dir, classes=2)
    pixels = images.cached(flags.data_dir, index.image, 224)
    warned: dict[str, list[bool]] = {name: [] for name in CHANGES}
    for seed in range(flags.splits):
        part = splits.by_patient(index, test=0.3, validation=0, seed=seed).part
        known = appearance.checked(appearance.of_training(pixels, np.flatnonzero(part == "train")))
        for row in np.flatnonzero(part == "test"):
            for name, change in CHANGES.items():
                warned[name].append(bool(appearance.unlike(known, change(pixels[int(row)]))))
    print(f"warned of, of {len(warned['unchanged'])} images of unseen patients in all splits:")
    for name, each in warned.items():
        print(f"{name:<18} {100 * np.mean(each):5.1f} %")


if __name__ == "__main__":
    errors.main(main)
