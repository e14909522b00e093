"""How often conformal sets hold the true class of new patients, and a run before and after.

    python -m benchmarks.confidence             # simulated patients, a minute
    python -m benchmarks.confidence --run RUN   # calibration of a run's test images

Patients have 1 to 40 images, all of them about as hard as the patient. Sets of 90 % are calibrated
by patient, and by image as if images were independent; then new patients come.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common import confidence, errors, evaluation
from common.arguments import Parser
from common.errors import InputError
from common.files import path_argument

REPEATS = 2000
NEW = 50  # patients in each repeat


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of those of the command line.
    """
    parser = Parser(prog="python -m benchmarks.confidence", description=__doc__)
    parser.add_argument("--run", type=path_argument, metavar="RUN")
    flags = parser.parse_args(arguments)
    if flags.run is None:
        _simulate()
    else:
        _tell(flags.run)


def _simulate() -> None:
    rng = np.random.default_rng(0)
    print("patients  by patient: held  set of one class   by image: held  set of one class")
    for count in (9, 12, 15, 25, 57):
        cells = []
        for unit in ("patient", "image"):
            held, single = [], []
            for _ in range(REPEATS):
                scores, case = _patients(rng, count)
                limit = confidence.quantile(scores, case if unit == "patient" else None)
                new, whose = _patients(rng, NEW)
                table = np.stack([1 - new, new], axis=1)
                inside = confidence.prediction_sets(table, 1.0 if limit is None else limit)
                images = np.bincount(whose)
                held.append((np.bincount(whose, inside[:, 0]) / images).mean())
                single.append((np.bincount(whose, inside.sum(axis=1) == 1) / images).mean())
            error = np.std(held) / np.sqrt(REPEATS)
            alone = 100 * np.mean(single)
            cells.append(f"{100 * np.mean(held):6.1f} ± {100 * error:.1f} %{alone:10.1f} %")
        print(f"{count:8d}  {'       '.join(cells)}")


def _patients(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of images (1 less the true class's probability), and whose they are."""
    sizes = rng.choice([1, 2, 5, 20, 40], count)
    hard = rng.normal(-1.5, 2, count) - np.log(sizes) / 2  # few images, harder ones
    case = np.repeat(np.arange(count), sizes)
    return 1 / (1 + np.exp(-(hard[case] + rng.normal(0, 0.5, len(case))))), case


def _tell(run: str) -> None:
    found = confidence.checked(evaluation.read_metrics(run))
    if found is None:
        raise InputError(f"{run}: of an earlier version: python -m common.metrics recompute {run}")
    part = found["validation"]
    print(f"validation: {part['n']} images of {part['n_patients']} patients")
    print(f"temperature: {found['temperature']}")
    for name in ("log_loss", "ece", "brier"):
        after = (found["after"] or found["before"])[name]
        print(f"{name:9s} {found['before'][name]:.3f} before, {after:.3f} after")
    abstain, sets, why = found["abstain"], found["sets"], found["reasons"]
    if abstain is None:
        print(f"abstains: {why['abstain']}")
    else:
        print(
            f"abstains below {abstain['below']:.3f}: answers {100 * abstain['coverage']:.1f} % of "
            f"the test images, {abstain['wrong']} of {abstain['answered']} wrong"
        )
    if sets is None:
        print(f"sets: {why['sets']}")
    else:
        print(
            f"sets hold {100 * sets['coverage_of_images']:.1f} % of the test images, of "
            f"{sets['mean_size']:.2f} classes in the mean"
        )


if __name__ == "__main__":
    errors.main(main)
