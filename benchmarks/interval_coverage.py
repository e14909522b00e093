"""How often our 95 % intervals hold the truth: simulated studies of few patients.

Patients' chances of a right image come from a beta distribution (intraclass correlation 0.1, 0.3
and 0.5), images from the patient's chance, as many as cases of BreakHis have at 100x. For the AUC
an image's score is its patient's chance, as a normal quantile, and normal noise. Before: the
percentile bootstrap over patients; now: what metrics.json holds. Studies without an interval,
where nothing varies, are left out, but for the accuracy, which has Clopper and Pearson's.

    python -m benchmarks.interval_coverage             # minutes
    python -m benchmarks.interval_coverage --page docs/intervals.md
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri

from common import errors, metrics
from common.arguments import Parser
from common.files import replace_block
from common.metrics import simulation
from common.metrics.intervals import NOISE, percentile_interval
from common.metrics.jackknife import jackknife_interval
from common.metrics.simulation import Coverage, Studies

PATIENTS = (12, 24, 70)
ACCURACIES = (0.6, 0.8, 0.9, 0.95, 0.99)
CORRELATIONS = (0.1, 0.3, 0.5)
REPLICATES = 1000
STUDIES = 600
"""Of a cell, on the page."""
LOWEST, HIGHEST = 93, 97
"""Where a coverage counts as right: in percent, as the page shows it."""
TITLES = (*simulation.SCORES, "AUC", "difference")
START, END = "<!-- coverage -->", "<!-- end of coverage -->"

Both = tuple[Coverage, Coverage]


def by_counts(drawn: Studies, name: str) -> Both:
    """Coverage of a score of counts, before and now."""
    before = simulation.percentile(drawn, name, replicates=REPLICATES)
    return (
        simulation.coverage(drawn, name, *before),
        simulation.coverage(drawn, name, *simulation.jackknife(drawn, name)),
    )


def areas(drawn: Studies, correlation: float, seed: int) -> Both:
    """Coverage of the area under the ROC curve."""
    rng = np.random.default_rng(seed)
    units = len(drawn.malignant)
    malignant, benign = np.flatnonzero(drawn.malignant), np.flatnonzero(~drawn.malignant)
    grid = quantiles(
        simulation.chances((np.arange(2000) + 0.5) / 2000, drawn.accuracy, correlation)
    )
    true = float(ndtr((grid[:, None] + grid) / np.sqrt(2)).mean())
    times = rng.multinomial(units, np.full(units, 1 / units), size=REPLICATES).astype(float)
    ends = []
    for images, chance in zip(drawn.images, drawn.chance, strict=True):
        scores = [
            level + rng.normal(size=n) for level, n in zip(quantiles(chance), images, strict=True)
        ]
        won = np.zeros((units, units))
        for j in benign:
            others = np.sort(-scores[j])
            for i in malignant:
                won[i, j] = np.searchsorted(others, scores[i]).sum()
        samples = area(won, images, drawn, times)
        before = None if np.nanmax(samples) - np.nanmin(samples) <= NOISE else (
            tuple(np.nanpercentile(samples, [2.5, 97.5]))  # also without width, as it was
        )  # fmt: skip
        ends.append([before, left_out(won, images, drawn)])
    found = []
    for place in (0, 1):
        pairs = [each[place] or (np.nan, np.nan) for each in ends]
        found.append(simulation.held(true, *np.array(pairs).T))
    return found[0], found[1]


def quantiles(chance: np.ndarray) -> np.ndarray:
    return ndtri(np.clip(chance, 1e-12, 1 - 1e-12))


def area(won: np.ndarray, images: np.ndarray, drawn: Studies, times: np.ndarray) -> np.ndarray:
    """Area of samples, NaN without a class."""
    pairs = (times @ (images * drawn.malignant)) * (times @ (images * ~drawn.malignant))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pairs > 0, ((times @ won) * times).sum(axis=1) / pairs, np.nan)


def left_out(
    won: np.ndarray, images: np.ndarray, drawn: Studies
) -> tuple[np.ndarray, np.ndarray] | None:
    units = len(images)
    value = area(won, images, drawn, np.ones((1, units)))[0]
    low, high = jackknife_interval(value, area(won, images, drawn, 1 - np.eye(units)), 0, 1)
    return None if np.isnan(low) else (low, high)


def differences(patients: int, accuracy: float, correlation: float, count: int) -> Both:
    """Coverage of the difference of two networks on the same images, 3 points apart."""
    drawn = simulation.pairs(patients, accuracy, 0.03, correlation, count, seed=2)
    before = simulation.percentile_difference(drawn, REPLICATES)
    now = simulation.jackknife_difference(drawn)
    return simulation.held(0.03, *before), simulation.held(0.03, *now)


def percent(found: Coverage) -> float:
    """Coverage as the page shows it."""
    return float(np.round(100 * found.share))


def cells(count: int) -> Iterator[tuple[float, int, float, list[Both]]]:
    """Correlation, patients, accuracy and the coverages of `TITLES`."""
    for correlation in CORRELATIONS:
        for patients in PATIENTS:
            for accuracy in ACCURACIES:
                drawn = simulation.studies(patients, accuracy, correlation, count, seed=1)
                found = [by_counts(drawn, name) for name in simulation.SCORES]
                few = simulation.studies(patients, accuracy, correlation, count // 5, seed=1)
                found.append(areas(few, correlation, seed=1))
                found.append(differences(patients, accuracy, correlation, count))
                yield correlation, patients, accuracy, found


def over_images(count: int) -> Iterator[tuple[int, float, float]]:
    """Coverage of the percentile bootstrap where every image stands for itself."""
    for n in (100, 400, 1000):
        for accuracy in ACCURACIES:
            right = np.random.default_rng(3).binomial(n, accuracy, size=count)
            kinds, times = np.unique(right, return_counts=True)
            held = 0
            for k, often in zip(kinds, times, strict=True):
                drawn = np.random.default_rng(0).binomial(n, k / n, size=REPLICATES) / n
                ends = percentile_interval(drawn) or metrics.clopper_pearson(int(k), n)
                held += often * (ends[0] <= accuracy <= ends[1])
            yield n, accuracy, held / count


def page(count: int) -> str:
    """Tables of all cells, and how many are right."""
    lines: list[str] = []
    right, total = [0, 0], 0
    shares: dict[str, list[tuple[float, float]]] = {title: [] for title in TITLES}
    for correlation, patients, accuracy, found in cells(count):
        if not lines or (patients, accuracy) == (PATIENTS[0], ACCURACIES[0]):
            lines += [
                f"\nIntraclass correlation {correlation}:\n",
                f"| patients | accuracy | {' | '.join(TITLES)} |",
                "|---|---|" + "---|" * len(TITLES),
            ]
        texts = []
        for title, (before, now) in zip(TITLES, found, strict=True):
            shares[title].append((accuracy, percent(now)))
            texts.append(
                f"{percent(before):.0f} → {percent(now):.0f} "
                # With spaces at which no line ends: widths stay together in a narrow column.
                f"({100 * before.width:.0f}\u00a0→\u00a0{100 * now.width:.0f})"
            )
            total += 1
            for place, each in enumerate((before, now)):
                right[place] += LOWEST <= percent(each) <= HIGHEST
        lines.append(f"| {patients} | {accuracy} | {' | '.join(texts)} |")
    head = [
        "In each cell: how many of 100 intervals hold the truth, before → now, and their median "
        f"width in points. {count} studies a cell ({count // 5} for the AUC).",
        f"Between {LOWEST} % and {HIGHEST} % lie {right[0]} of {total} cells before, "
        f"{right[1]} now.",
    ]
    lines += ["\nCells outside now:\n", *outside(shares)]
    lines += ["\nOver independent images, the accuracy's percentile bootstrap:\n",
              "| images | " + " | ".join(map(str, ACCURACIES)) + " |",
              "|---|" + "---|" * len(ACCURACIES)]  # fmt: skip
    rows: dict[int, list[str]] = {}
    for n, _, share in over_images(20 * count):
        rows.setdefault(n, []).append(f"{100 * share:.0f}")
    lines += [f"| {n} | {' | '.join(texts)} |" for n, texts in rows.items()]
    return "\n".join([*head, *lines])


def outside(shares: Mapping[str, Sequence[tuple[float, float]]]) -> list[str]:
    """Table of the cells outside: of each score, how many, how far, at which accuracies."""
    lines = [
        f"| score | cells | below {LOWEST} %: cells, lowest, at accuracies | "
        f"above {HIGHEST} %: cells, highest, at accuracies |",
        "|---|---|---|---|",
    ]
    for title, cells in shares.items():
        short = [cell for cell in cells if cell[1] < LOWEST]
        long = [cell for cell in cells if cell[1] > HIGHEST]
        texts = [
            f"{len(found)}, {end(share for _, share in found):.0f} %, "
            + " ".join(map(str, sorted({accuracy for accuracy, _ in found})))
            if found
            else "0"
            for found, end in ((short, min), (long, max))
        ]
        lines.append(f"| {title} | {len(cells)} | {' | '.join(texts)} |")
    return lines


def main() -> None:
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--studies", type=int, default=STUDIES, help="in each cell")
    parser.add_argument("--page", type=Path, help="write the tables into this page")
    flags = parser.parse_args()
    began = time.perf_counter()
    tables = page(flags.studies)
    if flags.page:
        replace_block(flags.page, START, END, tables)
    print(tables)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    errors.main(main)
