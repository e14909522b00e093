"""What ImageNet features of BreakHis images are worth, by image and by patient.

    python -m benchmarks.probe --data-dir D --weights FILE

Features of MobileNetV2 at 224 px, and both probes, five folds each: once with images of a patient
on both sides, once without. A part of the data set will do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from common import datasets, errors, evaluation, probe
from common.arguments import Parser
from common.backbones import __main__ as networks
from common.files import path_argument
from common.metrics import shown
from common.probe.fitting import PROBES

CLASSES = ("benign", "malignant")
SHOWN = ("accuracy", "balanced_accuracy", "auc")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of those of the command line.
    """
    parser = Parser(prog="python -m benchmarks.probe", description=__doc__)
    parser.add_argument("--data-dir", type=path_argument, required=True)
    parser.add_argument("--weights", default="imagenet")
    flags = parser.parse_args(arguments)
    table = datasets.get("breakhis").index(flags.data_dir).assign(part="")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "features.npz"
        networks.main(
            ["features", "--dataset", "breakhis", "--data-dir", str(flags.data_dir),
             "--network", "mobilenet_v2", "--weights", flags.weights, "--out", str(file)]
        )  # fmt: skip
        values = probe.read(file, table["image"].tolist())
    for unit in ("image", "patient"):
        rows = table if unit == "patient" else table.assign(case="")
        for kind in PROBES:
            found = probe.probe(values, rows, CLASSES, kind).predictions
            found["case"] = table.set_index("image")["case"].reindex(found["image"]).to_numpy()
            scores = {
                one.score.key: one
                for one in shown.of_test(evaluation.evaluate(found, CLASSES, positive="malignant"))
            }
            told = []
            for key in SHOWN:
                score, ends = scores[key].score, scores[key].interval or ()
                between = " to ".join(score.text(end) for end in ends)
                told.append(f"{score.title} {score.text(scores[key].value)} ({between})")
            print(f"by {unit:8s}{kind:20s}{', '.join(told)}")


if __name__ == "__main__":
    errors.main(main)
