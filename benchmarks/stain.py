"""Measure stain normalisation against torchstain and StainTools, and compare what comes out.

Prints, for every case, what was measured on both sides, the target, the ratio and PASS or MISS.
The peers run in an environment of their own, which this script makes with pip: StainTools brings
an `opencv-python` that would overwrite the headless one. Both sides use one thread and take turns
image by image, so that another load on the machine meets both.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy is loaded

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from common import images  # noqa: E402
from common.arguments import Parser  # noqa: E402
from common.errors import InputError, main  # noqa: E402
from common.stain import (  # noqa: E402
    MacenkoNormalizer,
    ReinhardNormalizer,
    VahadaneNormalizer,
    choose_target,
)

PACKAGES = (
    ["torch==2.13.0", "torchstain==1.4.1"],
    ["staintools==2.1.2", "spams-bin"],
)
CASES = {
    # peer: our normaliser with that peer's conventions
    "torchstain numpy": lambda: MacenkoNormalizer("torchstain_numpy"),
    "torchstain torch": lambda: MacenkoNormalizer("torchstain"),
    "torchstain reinhard": lambda: ReinhardNormalizer("torchstain"),
    "staintools macenko": lambda: MacenkoNormalizer("staintools"),
    "staintools vahadane": lambda: VahadaneNormalizer("staintools"),
    "staintools reinhard": lambda: ReinhardNormalizer("staintools"),
}
DEFAULTS = {
    "macenko": MacenkoNormalizer, "vahadane": VahadaneNormalizer, "reinhard": ReinhardNormalizer,
}  # fmt: skip


class Peers:
    """The peers' processes, asked for one image at a time.

    Each peer has its own: in one that has loaded SPAMS, PyTorch takes four times as long.
    """

    def __init__(self, folder: Path, work: Path) -> None:
        python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        if not python.exists():
            print(f"making the peers' environment in {folder}", flush=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            for group in PACKAGES:
                subprocess.run([python, "-m", "pip", "install", "--quiet", *group], check=True)
        self.source, self.result = work / "image.npy", work / "result.npy"
        script = Path(__file__).with_name("stain_peers.py")
        self.processes = {
            peer: subprocess.Popen(
                [python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for peer in CASES
        }

    def ask(self, peer: str, image: np.ndarray) -> dict:
        """Have a peer normalise an image; the first image is its target."""
        np.save(self.source, image)
        job = json.dumps([peer, str(self.source), str(self.result)])
        process = self.processes[peer]
        print(job, file=process.stdin, flush=True)
        answer = json.loads(process.stdout.readline())
        if answer.get("seconds") is not None:
            answer["image"] = np.load(self.result)
        return answer

    def stop(self) -> None:
        """End the processes."""
        for process in self.processes.values():
            process.stdin.close()
            process.wait()


def line(name: str, met: bool, text: str) -> bool:
    print(f"{'PASS' if met else 'MISS'}  {name}: {text}", flush=True)
    return met


def speed(name: str, ours: Sequence[float], theirs: Sequence[float], target: float) -> bool:
    mine, other = (statistics.median(times) * 1e3 for times in (ours, theirs))
    ratio = other / mine
    text = f"{ratio:.1f} times as fast (target >= {target:g}); ours {mine:.2f} ms, "
    return line(name, ratio >= target, text + f"theirs {other:.1f} ms, {len(ours)} images")


def degrees(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip((a * b).sum(axis=1), -1, 1))).max())


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return cv2.absdiff(a, b)


def copies(method: str) -> float:
    """Copies of an image that a transform adds to memory beside its input; in a fresh process."""
    side = 6000
    code = (
        "import resource, numpy as np\n"
        f"from common.stain import {DEFAULTS[method].__name__} as Normalizer\n"
        "rng = np.random.default_rng(0)\n"
        "target = rng.integers(60, 230, (256, 256, 3)).astype(np.uint8)\n"
        "normalizer = Normalizer().fit(target); normalizer.transform(target)\n"
        # Filled in place: what made the image must not hide the transform's peak.
        f"image = np.empty(({side}, {side}, 3), np.uint8)\n"
        f"image.reshape({side // 250}, 250, {side // 250}, 250, 3)[:] = target[:250, None, :250]\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before = peak(); normalizer.transform(image)\n"
        "print((peak() - before) / image.nbytes)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    return float(done.stdout)


def memory() -> bool:
    """Measure memory; before images are loaded, for a process inherits its parent's peak."""
    met = []
    for name in DEFAULTS:
        used = copies(name)
        text = f"{used:.1f} times the image (target <= 4), 6000 x 6000 px"
        met.append(line(f"{name}, memory beside the input", used <= 4, text))
    return all(met)


def compare(paths: Sequence[Path], peers: Peers, repeats: int) -> bool:
    pictures = [images.read(path) for path in paths]
    target = choose_target(pictures)
    print(f"{len(paths)} images; the target is {paths[target].name}", flush=True)
    ours = {peer: make().fit(pictures[target]) for peer, make in CASES.items()}
    quick = {name: kind().fit(pictures[target]) for name, kind in DEFAULTS.items()}
    full = {name: kind(stride=1).fit(pictures[target]) for name, kind in DEFAULTS.items()}
    for peer in CASES:
        answer = peers.ask(peer, pictures[target])
        if "error" in answer:
            raise InputError(f"{peer}: {answer['error']}; delete its environment to make it anew")
    our_times: dict[str, list[float]] = {name: [] for name in DEFAULTS}
    their_times: dict[str, list[float]] = {peer: [] for peer in CASES}
    sampled: dict[str, list[float]] = {name: [] for name in DEFAULTS}
    most: dict[str, list[int]] = {peer: [] for peer in CASES}
    mean: dict[str, list[float]] = {peer: [] for peer in CASES}
    angle: dict[str, list[float]] = {peer: [] for peer in CASES}
    for path, image in zip(paths, pictures, strict=True):
        for peer, normalizer in ours.items():
            answer = peers.ask(peer, image)
            if "error" in answer:
                print(f"      {peer} failed on {path.name}: {answer['error']}")
                continue
            their_times[peer].append(answer["seconds"])
            apart = difference(answer["image"], normalizer.transform(image))
            most[peer].append(int(apart.max()))
            mean[peer].append(float(apart.mean()))
            if "matrix" in answer:
                found = normalizer.stain_matrix(image)
                angle[peer].append(degrees(found, np.array(answer["matrix"])))
        for name, normalizer in quick.items():
            for _ in range(repeats):
                start = time.perf_counter()
                result = normalizer.transform(image)
                our_times[name].append(time.perf_counter() - start)
            sampled[name].append(float(difference(result, full[name].transform(image)).mean()))

    fastest = min(
        ("torchstain numpy", "torchstain torch"), key=lambda x: statistics.median(their_times[x])
    )
    for peer, seconds in their_times.items():
        print(f"      {peer}: {statistics.median(seconds) * 1e3:.1f} ms")
    met = [
        speed(f"Macenko against {fastest}", our_times["macenko"], their_times[fastest], 10),
        speed("Macenko against StainTools", our_times["macenko"],
              their_times["staintools macenko"], 40),
        speed("Vahadane against StainTools", our_times["vahadane"],
              their_times["staintools vahadane"], 20),
    ]  # fmt: skip
    for name in ("macenko", "vahadane"):
        average, worst = statistics.mean(sampled[name]), max(sampled[name])
        text = f"{average:.3f} grey level (target <= 0.5), worst image {worst:.3f}"
        met.append(line(f"{name}, sub-sampled against every pixel, mean", average <= 0.5, text))
    for peer in ("torchstain numpy", "torchstain torch", "torchstain reinhard",
                 "staintools reinhard"):  # fmt: skip
        text = f"{max(most[peer])} grey level (target <= 1) on {len(most[peer])} images"
        met.append(line(f"{peer}, preset, largest difference", max(most[peer]) <= 1, text))
    for peer in ("staintools macenko", "staintools vahadane"):
        good = [a <= 2 and m <= 3 for a, m in zip(angle[peer], mean[peer], strict=True)]
        share = sum(good) / len(good)
        text = (
            f"{100 * share:.1f} % of {len(good)} images within 2 degrees and 3 grey levels "
            f"(target >= 95 %); median {statistics.median(angle[peer]):.3f} degrees, "
            f"{statistics.median(mean[peer]):.3f} grey levels"
        )
        met.append(line(f"{peer}, preset", share >= 0.95, text))
        for path, a, m, fine in zip(paths, angle[peer], mean[peer], good, strict=True):
            if not fine:
                print(f"      {path.name}: {a:.2f} degrees, {m:.2f} grey levels")
    return all(met)


def _main() -> int:
    parser = Parser(prog="python -m benchmarks.stain", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of H&E images")
    parser.add_argument(
        "--peers", type=Path, help="the peers' environment, kept (default: made and deleted)"
    )
    parser.add_argument("--every", type=int, default=1, help="take every n-th image (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="our runs per image (default: 3)")
    arguments = parser.parse_args()
    paths = sorted(
        path for path in arguments.data_dir.rglob("*")
        if path.suffix.lower() in (".png", ".tif", ".tiff", ".jpg")
    )[:: arguments.every]  # fmt: skip
    if not paths:
        raise InputError(f"{arguments.data_dir}: holds no images")
    cv2.setNumThreads(1)
    met = memory()
    with tempfile.TemporaryDirectory() as work:
        peers = Peers(arguments.peers or Path(work) / "peers", Path(work))
        try:
            met = compare(paths, peers, arguments.repeats) and met
        finally:
            peers.stop()
    return 0 if met else 1


if __name__ == "__main__":
    main(_main)
