"""Measure our int8 export of WRN-28-2 at 224 px against other engines.

Prints latency ratios with one and two threads, peak memory and the time from a process's start to
its first answer, each with its target and PASS or MISS. Every engine and thread count has a process
of its own, in an environment that has only that engine; they take turns, so that another load on
the machine meets all. ONNX Runtime and OpenVINO get the same network, with the same rewriting,
quantised by ONNX Runtime. Latencies of this machine say nothing about a Raspberry Pi's.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from common import backend
from common.arguments import Parser
from common.errors import InputError, main

SIZE = 224
ENVIRONMENTS = {
    # --no-deps: what a device installs; the rest of LiteRT's list is for its other tools.
    "litert": (["--no-deps", "ai-edge-litert==2.3.0"], ["numpy", "pillow"]),
    # The last release; it needs NumPy 1 and Python 3.11 or older.
    "tflite-runtime": (["tflite-runtime==2.14.0", "numpy<2", "pillow"],),
    "onnx": (["onnxruntime==1.31.1", "onnx==1.23.2", "openvino==2026.4.1", "pillow"],),
}
ENGINES = {
    # name: engine, environment, file
    "ours": ("litert", "litert", "model-int8.tflite"),
    "LiteRT float32": ("litert", "litert", "model-float32.tflite"),
    "ONNX Runtime int8": ("onnxruntime", "onnx", "int8.onnx"),
    "OpenVINO int8": ("openvino", "onnx", "int8.onnx"),
    "tflite-runtime int8": ("tflite-runtime", "tflite-runtime", "model-int8.tflite"),
}
TARGETS = {
    "LiteRT float32": 0.32, "ONNX Runtime int8": 1.0, "OpenVINO int8": None,
    "tflite-runtime int8": 0.1,
}  # fmt: skip
PEERS = Path(__file__).with_name("int8_peers.py")


def environment(folder: Path, name: str, python: str) -> Path:
    """Python of an engine's environment, made with pip if it is missing."""
    made = folder / name / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not made.exists():
        print(f"making the environment of {name}", flush=True)
        subprocess.run([python, "-m", "venv", folder / name], check=True)
        for group in ENVIRONMENTS[name]:
            subprocess.run([made, "-m", "pip", "install", "--quiet", *group], check=True)
    return made


def prepare(work: Path, onnx_python: Path) -> None:
    """Write the network as TFLite and as ONNX. Its weights are random: they do not change time."""
    import cv2

    backend.load()
    from common import export
    from common.backend import keras
    from wrn_edge.model import wide_resnet

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(60, 240, (12, 18, 3)).astype(np.uint8), (700, 460))
    cv2.imwrite(str(work / "image.png"), picture)
    images = np.stack(
        [np.roll(cv2.resize(picture, (SIZE, SIZE)), 20 * i, axis=1) for i in range(4)]
    )
    np.save(work / "images.npy", images)
    model = export.rewrite(wide_resnet(SIZE, 2))
    for precision in ("int8", "float32"):
        content = export.with_tensorflow(model, precision, images)
        export.check_structure(content, precision, model)
        (work / f"model-{precision}.tflite").write_bytes(content)
    layers, weights = [], {}
    for layer in model.layers[1:]:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        entry = {
            "type": type(layer).__name__,
            "name": layer.name,
            "inputs": [tensor._keras_history.operation.name for tensor in inputs],
            "weights": len(layer.get_weights()),
        }
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            stride, kernel = layer.strides[0], layer.kernel_size[0]
            # "same" as TensorFlow has it: the odd pixel of padding comes last.
            total = max(kernel - stride, 0) if layer.padding == "same" else 0
            entry |= {"strides": [stride] * 2, "padding": [total // 2, total - total // 2]}
        if isinstance(layer, keras.layers.BatchNormalization):
            entry["epsilon"] = layer.epsilon
        layers.append(entry)
        weights |= {f"{layer.name}.{i}": value for i, value in enumerate(layer.get_weights())}
    np.savez(work / "graph.npz", **weights)
    graph = {"image_size": SIZE, "classes": 2, "layers": layers}
    (work / "graph.json").write_text(json.dumps(graph), encoding="utf-8")
    subprocess.run([onnx_python, PEERS, "onnx", work], check=True, capture_output=True, text=True)


class Engine:
    """One engine's process."""

    def __init__(self, name: str, threads: int, pythons: dict[str, Path], work: Path) -> None:
        engine, place, file = ENGINES[name]
        start = time.perf_counter()
        self.process = subprocess.Popen(
            [pythons[place], PEERS, "run", engine, work / file, work / "image.png", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        answer = self.process.stdout.readline()
        self.start_s = time.perf_counter() - start
        if not answer:
            raise InputError(f"{name} failed: {self.process.stderr.read().strip()[-500:]}")
        self.answer = json.loads(answer)
        self.times: list[float] = []
        self.peak_mb = 0.0

    def time(self, repeats: int) -> None:
        """Have it infer `repeats` times more."""
        print(repeats, file=self.process.stdin, flush=True)
        found = json.loads(self.process.stdout.readline())
        self.times += found["seconds"]
        self.peak_mb = found["peak_mb"]

    def stop(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()

    @property
    def median_ms(self) -> float:
        """Median of all its inferences."""
        return 1e3 * statistics.median(self.times)


def line(name: str, met: bool | None, text: str) -> bool:
    print(f"{ {True: 'PASS', False: 'MISS', None: '    '}[met] }  {name}: {text}", flush=True)
    return met is not False


def compare(threads: int, pythons: dict[str, Path], work: Path, rounds: int, starts: int) -> bool:
    engines = {}
    try:
        for name in ENGINES:
            engines[name] = Engine(name, threads, pythons, work)
        for _ in range(rounds):
            for engine in engines.values():
                engine.time(2)
    finally:
        for engine in engines.values():
            engine.stop()
    label = f"{threads} thread{'s' * (threads > 1)}"
    for name, engine in engines.items():
        answers = "  ".join(f"{value:.3f}" for value in engine.answer)
        print(
            f"      {label}, {name}: median {engine.median_ms:.1f} ms, peak memory "
            f"{engine.peak_mb:.0f} MB, probabilities {answers}",
            flush=True,
        )
    ours, met = engines["ours"], []
    for name, target in TARGETS.items():
        ratio = ours.median_ms / engines[name].median_ms
        wanted = "no target" if target is None else f"target <= {target:g}"
        met.append(
            line(
                f"{label}, latency against {name}",
                None if target is None else ratio <= target,
                f"{ratio:.3f} times ({wanted})",
            )
        )
    text = f"{ours.peak_mb:.1f} MB (target <= 100), Python, NumPy and Pillow in it"
    met.append(line(f"{label}, peak memory", ours.peak_mb <= 100, text))
    begun = []
    for _ in range(starts):
        engine = Engine("ours", threads, pythons, work)
        begun.append(engine.start_s)
        engine.stop()
    first = statistics.median(begun)
    text = f"{first:.2f} s (target <= 1), median of {starts}, slowest {max(begun):.2f} s"
    met.append(line(f"{label}, start to first answer", first <= 1, text))
    return all(met)


def _main() -> int:
    parser = Parser(prog="python -m benchmarks.int8", description=__doc__)
    parser.add_argument(
        "--peers", type=Path, help="folder of the engines' environments, kept (default: temporary)"
    )
    parser.add_argument(
        "--python", default=sys.executable,
        help="Python 3.11 or older, for tflite-runtime (default: this one)",
    )  # fmt: skip
    parser.add_argument("--work", type=Path, help="folder of the networks, kept and used again")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5, help="turns of every engine (default: 5)")
    parser.add_argument("--starts", type=int, default=5, help="starts to time (default: 5)")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        peers, work = flags.peers or Path(temporary) / "peers", flags.work or Path(temporary)
        pythons = {
            name: environment(
                peers, name, flags.python if name == "tflite-runtime" else sys.executable
            )
            for name in ENVIRONMENTS
        }
        work.mkdir(parents=True, exist_ok=True)
        if not (work / "int8.onnx").exists():
            prepare(work, pythons["onnx"])
        met = [
            compare(threads, pythons, work, flags.rounds, flags.starts) for threads in flags.threads
        ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    main(_main)
