"""Submissions of a study that does not exist: a clean one, and the same with one planted fault."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

CLASSES = ("benign", "malignant")


class Submission:
    """Numbers, split and predictions that belong together; change a table, then `write` it."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        rows = []
        for patient in range(60):
            part = "train" if patient < 24 else "validation" if patient < 30 else "test"
            label = CLASSES[patient % 2]
            for i in range(4):
                rows.append((f"img/P{patient:02d}_{i}.png", f"P{patient:02d}", label, part))
        self.split = pd.DataFrame(rows, columns=["image", "patient_id", "label", "part"])
        tested = self.split[self.split["part"] == "test"].reset_index(drop=True)
        # Sure by 0.9 on average, and right as often.
        sure = rng.uniform(0.8, 0.9999, len(tested))
        right = rng.uniform(size=len(tested)) < sure
        positive = (tested["label"] == "malignant").to_numpy()
        p = np.where(positive == right, sure, 1 - sure).round(6)
        self.predictions = pd.DataFrame(
            {
                "filename": tested["image"],
                "patient_id": tested["patient_id"],
                "y_true": tested["label"],
                "prob_benign": (1 - p).round(6),
                "prob_malignant": p,
            }
        )
        said = p > 0.5
        tp, fn = int((positive & said).sum()), int((positive & ~said).sum())
        fp, tn = int((~positive & said).sum()), int((~positive & ~said).sum())
        self.matrix = tp, fn, fp, tn
        self.numbers = pd.DataFrame(
            [
                ("accuracy", (tp + tn) / len(p)),
                ("per_class.malignant.precision", tp / (tp + fp)),
                ("per_class.malignant.recall", tp / (tp + fn)),
                ("specificity", tn / (tn + fp)),
            ],
            columns=["metrics_key", "value"],
        )
        self.numbers["printed"] = [f"{100 * v:.2f}" for v in self.numbers.pop("value")]
        self.numbers = self.numbers.assign(
            table="T1", row="Net", unit="percent", n_test=len(p), classes="benign; malignant"
        )

    def write(self, folder: Path) -> list[str]:
        """Write the files; give the arguments that name them."""
        folder.mkdir(parents=True, exist_ok=True)
        given = []
        for name in ("numbers", "split", "predictions"):
            table = getattr(self, name)
            if table is not None:
                table.to_csv(folder / f"{name}.csv", index=False)
                given += [f"--{name}", str(folder / f"{name}.csv")]
        return given

    def draw(self, folder: Path, size: int = 40) -> list[str]:
        """Write an image for each line of the split; give the arguments that name them."""
        rng = np.random.default_rng(1)
        for image in self.split["image"].unique():
            path = folder / image
            path.parent.mkdir(parents=True, exist_ok=True)
            small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            cv2.imwrite(str(path), cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC))
        return ["--images", str(folder)]
