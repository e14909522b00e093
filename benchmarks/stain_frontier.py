"""Set the error of stain normalisers against their speed: ours, and those of five packages.

The truth is known: amounts of haematoxylin and eosin in tissue (by the fixed stains of Ruifrok, of
real images, or of SYNTHETIC ones without --data-dir) are mixed anew with stains and strengths of
made-up laboratories. The left half of each image is normalised to its right half of another
laboratory, and held to the left half in that laboratory's stains. The error is the mean difference
in grey levels, its median over images. No method can reach 0: two halves show other tissue, and
strengths are guessed from percentiles.

Processor seconds of one thread, medians. The peers run in an environment of their own, which this
script makes with pip, or in that of --python.

    python -m benchmarks.stain_frontier --data-dir D [--figure PNG]
"""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy is loaded

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from common import figures, images  # noqa: E402
from common.arguments import Parser  # noqa: E402
from common.errors import InputError, main  # noqa: E402
from common.files import path_argument  # noqa: E402
from common.stain import (  # noqa: E402
    MacenkoNormalizer,
    Normalizer,
    ReinhardNormalizer,
    VahadaneNormalizer,
)

PACKAGES = (
    ["torch", "torchstain", "torch-staintools", "scikit-image", "opencv-python-headless"],
    ["staintools", "spams-bin"],
    ["tiatoolbox"],
)
PEERS = (
    "torchstain numpy", "torchstain torch", "torchstain reinhard", "torch-staintools macenko",
    "torch-staintools vahadane", "torch-staintools reinhard", "staintools macenko",
    "staintools vahadane", "staintools reinhard", "tiatoolbox macenko", "tiatoolbox vahadane",
    "tiatoolbox reinhard", "scikit-image separation",
)  # fmt: skip
OURS = {
    "histopapers macenko": MacenkoNormalizer,
    "histopapers macenko luminosity": functools.partial(MacenkoNormalizer, "luminosity"),
    "histopapers vahadane": VahadaneNormalizer, "histopapers reinhard": ReinhardNormalizer,
}  # fmt: skip
# Ruifrok and Johnston 2001: optical densities of haematoxylin and of eosin in red, green and blue.
RUIFROK = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])


def amounts(image: np.ndarray) -> np.ndarray:
    """Haematoxylin and eosin of each pixel, not negative: (H, W, 2)."""
    density = -np.log(np.maximum(image, 1) / 255.0)
    return np.maximum(
        density @ np.linalg.pinv(RUIFROK / np.linalg.norm(RUIFROK, axis=1)[:, None]), 0
    )


def mixed(
    amount: np.ndarray, stains: np.ndarray, strength: np.ndarray, white: float = 255
) -> np.ndarray:
    """The image of these amounts in a laboratory's stains, before light of this level."""
    return np.rint(white * np.exp(-(amount * strength) @ stains)).astype(np.uint8)


def laboratories(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stains (2, 3) near Ruifrok's, of unit length, and their strengths."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        stains = np.maximum(RUIFROK + rng.normal(0, 0.1, (2, 3)), 0.02)
        found.append((stains / np.linalg.norm(stains, axis=1)[:, None], rng.uniform(0.5, 1.6, 2)))
    return found


def pictures(
    data_dir: Path | None, count: int, scratch: Path, white: float = 255
) -> dict[str, np.ndarray]:
    """Images, the target of each, and what each is in the target's stains: truth."""
    if data_dir is None:
        from common.datasets import synthetic

        print("no --data-dir: SYNTHETIC tissue")
        data_dir = synthetic.breakhis(
            scratch / "tissue", patients=8, images_per_patient=2, magnifications=("100X",)
        )
    names = sorted(data_dir.rglob("*.png"))
    found: dict[str, list[np.ndarray]] = {"images": [], "targets": [], "truth": []}
    chosen = names[:: max(1, len(names) // (3 * count))]
    places = laboratories(2 * len(chosen))
    pairs = zip(places[::2], places[1::2], strict=True)
    for path in chosen:
        field = amounts(images.read(path)[:456, :696])
        left, right = field[:, :348], field[:, 348:]
        if len(found["images"]) == count:
            break
        (here, there), shown = next(pairs), {}
        shown["images"] = mixed(left, *here, white)
        shown["targets"] = mixed(right, *there, white)
        # Macenko's rule, by which all of them see tissue: dense in every channel.
        if all((-np.log(each / 255 + 1e-6) > 0.15).all(axis=2).mean() > 0.1
               for each in shown.values()):  # fmt: skip
            for name, each in (*shown.items(), ("truth", mixed(left, *there, white))):
                found[name].append(each)
    if not found["images"]:
        raise InputError(f"{data_dir}: no PNG below it shows stained tissue on both sides")
    return {name: np.stack(each) for name, each in found.items()}


def ours(
    kind: Callable[[], Normalizer], given: dict[str, np.ndarray]
) -> tuple[np.ndarray, list[float]]:
    """Results and seconds; where a target is refused, its image stays as it is."""
    results, seconds = [], []
    kind().fit(given["targets"][0]).transform(given["images"][0])
    for image, target in zip(given["images"], given["targets"], strict=True):
        try:
            normalizer = kind().fit(target)
        except InputError:
            results.append(image)
            continue
        start = time.process_time()
        results.append(normalizer.transform(image))
        seconds.append(time.process_time() - start)
    return np.stack(results), seconds


def environment(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    for group in PACKAGES:
        subprocess.run([python, "-m", "pip", "install", "--quiet", *group], check=False)
    return python


def peer(
    name: str, python: Path, scratch: Path, limit: float
) -> tuple[np.ndarray, list[float]] | str:
    """Results and seconds, or why there are none."""
    script = Path(__file__).with_name("stain_frontier_peers.py")
    command = [python, script, name, scratch / "images.npz", scratch / "results.npz"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        return f"not done within {limit:g} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no word"])[-1]
    with np.load(scratch / "results.npz") as found:
        return found["results"], list(found["seconds"])


def drawn(points: dict[str, tuple[float, float]], path: Path) -> None:
    """Error over milliseconds, ours filled; the line joins what nothing beats in both."""
    from matplotlib.ticker import FuncFormatter

    from common.figures import canvas

    figure, (axes,) = canvas.chart(figures.WIDTH, 4.2)
    canvas.style(axes)
    axes.set_xscale("log")
    canvas.label(axes, "Processor time for an image of 348x456 px, one thread (ms)",
                 "Mean error (grey levels)")  # fmt: skip
    low, high = min(x for x, _ in points.values()), max(x for x, _ in points.values())
    axes.set_xlim(low / 1.3, high * 3.5)  # the room of a label on the right
    axes.set_ylim(
        0.7 * min(y for _, y in points.values()), 1.1 * max(y for _, y in points.values())
    )
    edge = sorted(points[name] for name in best(points))
    axes.plot(*zip(*edge, strict=True), color=canvas.GREY, linewidth=0.8, zorder=0)
    taken: list[tuple[float, float, float, float]] = []
    for name, (speed, error) in points.items():
        own = name in OURS
        axes.plot(speed, error, marker="o" if own else "s", markersize=6, linestyle="",
                  color=canvas.VERMILLION if own else canvas.BLUE)  # fmt: skip
        x, y = axes.transData.transform((speed, error)) * 72 / figure.dpi
        taken.append((x - 4, y - 4, x + 4, y + 4))
    for name, (speed, error) in points.items():
        # Beside its point, where no other label or point is.
        x, y = axes.transData.transform((speed, error)) * 72 / figure.dpi
        wide = 1.12 * 72 * canvas.breadth(name, canvas.TINY)
        for right, up in ((1, 0), (1, 1), (1, -1), (0, 1), (0, -1), (1, 2), (1, -2), (0, 0)):
            left, bottom = (x + 6 if right else x - 6 - wide), y - 4 + 9 * up
            box = left, bottom, left + wide, bottom + 8
            if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3]
                       for b in taken):  # fmt: skip
                break
        taken.append(box)
        axes.annotate(name, (speed, error), xytext=(6 if right else -6, 9 * up - 3),
                      textcoords="offset points", ha="left" if right else "right",
                      fontsize=canvas.TINY, fontfamily=canvas.FONT, color=canvas.INK,
                      fontweight="bold" if name in OURS else "normal")  # fmt: skip
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    figures.save(figure, path, description="Error of stain normalisers against their time")


def best(points: dict[str, tuple[float, float]]) -> list[str]:
    """Those that no other beats in both."""
    return [
        name for name, (speed, error) in points.items()
        if not any(s <= speed and e <= error and (s, e) != (speed, error)
                   for s, e in points.values())
    ]  # fmt: skip


def run() -> int:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=path_argument, metavar="DIR", help="real H&E images")
    parser.add_argument("--images", type=int, default=12, help="that are normalised")
    parser.add_argument("--white", type=float, default=255, help="level of the light")
    parser.add_argument("--ours", action="store_true", help="without the peers")
    parser.add_argument("--python", type=path_argument, metavar="FILE",
                        help="of an environment with the peers")  # fmt: skip
    parser.add_argument("--limit", type=float, default=600, help="seconds for each peer")
    parser.add_argument("--figure", type=path_argument, metavar="PNG", help="draw them there")
    flags = parser.parse_args()
    cv2.setNumThreads(1)
    points: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        given = pictures(flags.data_dir, flags.images, scratch, flags.white)
        np.savez(scratch / "images.npz", **given)
        truth = given["truth"]
        untouched = np.abs(given["images"].astype(float) - truth).mean(axis=(1, 2, 3))
        print(f"{len(truth)} images; not normalised: error {np.median(untouched):.2f}")
        peers = () if flags.ours else PEERS
        python = flags.python or (environment(scratch / "peers") if peers else Path())
        for name in (*OURS, *peers):
            found = (
                ours(OURS[name], given)
                if name in OURS
                else peer(name, python, scratch, flags.limit)
            )
            if isinstance(found, str):
                print(f"{name:28} left out: {found}", flush=True)
                continue
            errors = np.abs(found[0].astype(float) - truth).mean(axis=(1, 2, 3))
            points[name] = 1000 * statistics.median(found[1]), float(np.median(errors))
            print(f"{name:28} {points[name][0]:8.1f} ms  error {points[name][1]:6.2f}, "
                  f"worst {errors.max():6.2f}", flush=True)  # fmt: skip
    if flags.figure:
        drawn(points, flags.figure)
    frontier = best(points)
    met = any(name in OURS for name in frontier)
    print(f"{'PASS' if met else 'MISS'}  ours on the frontier: {', '.join(frontier)}")
    return 0 if met else 1


if __name__ == "__main__":
    main(run)
