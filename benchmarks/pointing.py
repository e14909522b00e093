"""Whether Grad-CAM points at the signal, on synthetic tissue where its place is known.

The pointing game: how often the hottest point of the map lies on tumour. By chance it would as
often as tumour covers the image, so images that are mostly tumour are left out. Beside it, the
sanity check: rank correlation of the maps with those of the same network with random weights.

    python -m benchmarks.pointing --run RUN --data-dir runs/demo-data/bci
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common import backend, errors, evaluation, gradcam, images, metrics, runs
from common.arguments import Parser
from common.predictions import of_part

MOST_TUMOUR = 0.6


def main() -> None:
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    flags = parser.parse_args()
    run = runs.load(flags.run)
    backend.load()
    from common import backbones

    model = runs.load_model(run)
    test = of_part(evaluation.read_run(run))
    places = pd.read_csv(flags.data_dir / "synthetic_signal.csv").set_index("image")["mask"]
    masks = np.stack(
        [
            cv2.imread(str(flags.data_dir / places[name]), cv2.IMREAD_GRAYSCALE)
            for name in test.image
        ]
    )
    share = (masks > 127).mean(axis=(1, 2))
    kept = np.flatnonzero((share > 0) & (share < MOST_TUMOUR))
    test, masks, share = test.iloc[kept], masks[kept] > 127, share[kept]
    pixels = images.cached(
        flags.data_dir,
        test.image,
        run.config["image_size"],
        filter=run.config["resize_filter"],
    )[:]
    print(f"{len(test)} test images with tumour on less than {MOST_TUMOUR:.0%} of them")
    print(f"by chance {share.mean():.1%}")
    for stage, layer in backbones.gradcam_layers(run.config["network"]).items():
        maps = gradcam.heatmaps(model, pixels, layer)
        hits = gradcam.pointing_game(maps, masks)
        low, high = metrics.clopper_pearson(round(hits * len(maps)), len(maps))
        correlation = np.nanmean(gradcam.sanity_check(model, pixels[:16], layer))
        print(
            f"{stage}: {hits:.1%} on tumour (95 % interval {low:.1%} to {high:.1%}), "
            f"correlation with random weights {correlation:+.2f}"
        )


if __name__ == "__main__":
    errors.main(main)
