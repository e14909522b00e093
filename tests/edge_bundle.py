"""A bundle around a model of a few lines of NumPy, for tests of the device's programs.

The model compares the green and the blue of a picture, and gives the same comparison for each of
4x4 parts as activation maps; `probabilities` computes the same for a test to compare with.
"""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from common import runs
from common.files import write_csv, write_json
from wrn_edge import bundle
from wrn_edge.bundle.programs import device_module

SIZE = 32
CLASSES = ("benign", "malignant")
BIAS = np.array([0.4, -0.4], np.float32)
TEMPERATURE = 1.6
RUNTIME = '''"""Stands in for the runtime: the model's file is JSON."""
import enum, json
import numpy as np


class OpResolverType(enum.Enum):
    AUTO = 0
    BUILTIN_REF = 2
    BUILTIN_WITHOUT_DEFAULT_DELEGATES = 3


class Interpreter:
    def __init__(self, model_path, num_threads, experimental_op_resolver_type):
        with open(model_path) as file:
            self.model = json.load(file)
        self.delegated = experimental_op_resolver_type is OpResolverType.AUTO

    def allocate_tensors(self):
        pass

    def _get_ops_details(self):
        convolution = {"op_name": "CONV_2D", "inputs": [0, 7]}
        softmax = {"op_name": "DELEGATE", "inputs": [8]}
        return [convolution, softmax, *[{**convolution, "op_name": "DELEGATE"}] * self.delegated]

    def get_input_details(self):
        size = self.model["size"]
        return [{"index": 0, "shape": np.array([1, size, size, 3]),
                 "dtype": np.dtype(self.model["dtype"]).type,
                 "quantization": tuple(self.model["quantization"])}]

    def get_output_details(self):
        none = (0.0, 0)
        return [{"index": 1, "shape": np.array([1, 4, 4, 2]), "quantization": none},
                {"index": 2, "shape": np.array([1, 2]), "quantization": none}]

    def set_tensor(self, index, value):
        self.pixels = value

    def invoke(self):
        size = self.model["size"] // 4
        parts = self.pixels.reshape(4, size, 4, size, 3).astype(float).mean(axis=(1, 3))
        maps = (parts[..., 2] - parts[..., 1]) / 20 - self.model["offset"]
        p = 1 / (1 + np.exp(-maps.mean()))
        self.values = {1: np.stack([-maps, maps], -1)[None] / 2, 2: np.array([[1 - p, p]])}

    def get_tensor(self, index):
        return self.values[index]
'''


def install_runtime(folder: Path) -> Path:
    """Write the runtime as a package below `folder`, for PYTHONPATH or sys.path."""
    package = folder / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "interpreter.py").write_text(RUNTIME)
    return folder


def load_runtime(folder: Path) -> object:
    """Import that package's interpreter without leaving a trace in this process."""
    name = "ai_edge_litert.interpreter"
    spec = importlib.util.spec_from_file_location(name, folder / "ai_edge_litert/interpreter.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def device(name: str) -> object:
    """Import one of the device's programs."""
    with device_module(name) as module:
        return module


def picture(seed: int, height: int = 60, width: int = 90) -> np.ndarray:
    """A pink and purple texture that passes for tissue: RGB, shape (height, width, 3), uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((6, 9)).astype(np.float32)
    share = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None].clip(0, 1)
    eosin, nuclei = np.array([232, 160, 190.0]), np.array([110, 70, 140.0])
    noise = rng.normal(0, 6, (height, width, 1))
    blue = np.array([0, 0, rng.uniform(-25, 25)])
    mixed = share * eosin + (1 - share) * nuclei + noise + blue
    return np.rint(mixed).clip(0, 255).astype(np.uint8)


def save(path: Path, image: np.ndarray) -> Path:
    """Write a picture; PNG, JPEG or TIFF by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def probabilities(image: np.ndarray, size: int = SIZE, offset: float = 2.0) -> np.ndarray:
    """What the model gives for a picture that is resized as in training."""
    small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA).astype(float)
    p = 1 / (1 + np.exp(-((small[..., 2] - small[..., 1]).mean() / 20 - offset)))
    return np.array([1 - p, p])


def build(folder: Path, *, synthetic: bool = True, **model: object) -> Path:
    """Write a bundle to ``folder/bundle``; the stand-in runtime must be importable."""
    content = {"size": SIZE, "dtype": "uint8", "quantization": [1.0, 0], "offset": 2.0, **model}
    golden = [
        bundle.Golden(save(folder / f"golden-{seed}.png", picture(seed)), label, (0.5, 0.5))
        for seed, label in ((1, "benign"), (2, "malignant"))
    ]
    return bundle.write(
        folder / "bundle",
        about(synthetic=synthetic),
        json.dumps(content).encode(),
        golden,
        np.eye(2, dtype=np.float32),
    )


def about(*, synthetic: bool = True, size: int = SIZE) -> dict:
    """What `bundle.write` is told of a model."""
    return {
        "run_id": "0123456789",
        "dataset": "BreakHis",
        "licence": "CC BY 4.0",
        "attribution": "F. A. Spanhol and others",
        "synthetic": synthetic,
        "classes": CLASSES,
        "positive": "malignant",
        "threshold": 0.5,
        "image_size": size,
        "resize_filter": "area",
        "tolerance": 0.02,
        "model": {"file": "model-int8.tflite", "precision": "int8"},
    }


def exported_run(root: Path) -> runs.Run:
    """A finished run around a tiny network with random weights, exported as int8 and float32."""
    import keras
    import pandas as pd

    from common import config as configuration
    from common import evaluation, export, predictions
    from wrn_edge import config
    from wrn_edge.model import build_model

    settings = replace(
        config.PRESETS["demo"], image_size=32, depth=10, width=1, stem="strided", split="patient"
    )
    folder = root / "wrn_edge" / "SYNTHETIC-demo-0123456789"
    data = root / "demo-data" / "breakhis"
    rows = []
    for number in range(16):
        label = CLASSES[number % 2]
        name = f"{label}/{number // 4}/SOB-{number:02d}.png"
        save(data / name, picture(number))
        part = "train" if number < 8 else "test"
        case = f"case-{number // 4}-{label}"
        rows.append({"image": name, "case": case, "slide": case, "folder": case,
                     "magnification": "100X", "label": label, "part": part})  # fmt: skip
    split = pd.DataFrame(rows)
    keras.utils.set_random_seed(3)
    model = build_model(settings)
    dense = model.get_layer("logits")
    dense.set_weights([6 * dense.get_weights()[0], BIAS])
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    write_csv(folder / "split.csv", split)
    record = {
        "schema": 1, "run_id": "0123456789", "package": "wrn_edge", "preset": "demo",
        "config": configuration.to_dict(settings), "data": "9f" * 32, "weights": "none",
        "dataset": "breakhis", "licence": "CC BY 4.0", "classes": CLASSES, "positive": "malignant",
        "synthetic": True, "command": "python -m wrn_edge.train --demo",
        "created": "2026-11-20T08:00:00+00:00", "finished": "2026-11-20T08:01:00+00:00",
    }  # fmt: skip
    write_json(folder / "config.json", record)
    made = runs.load(folder)
    test = split[split.part == "test"].reset_index(drop=True)
    outputs = _keras(made, [data / image for image in test.image])
    predictions.write(folder / "predictions.csv", predictions.table(test, outputs, CLASSES))
    scores = evaluation.evaluate_run(folder)
    scores["confidence"]["temperature"] = TEMPERATURE  # as validation images would have told it
    write_json(folder / "metrics.json", scores)
    arguments = ["--run", str(folder), "--precision", "int8", "float32", "--heldout", "8"]
    assert export.main("wrn_edge", [*arguments, "--converter", "tensorflow"]) == 0
    return made


def _keras(run: runs.Run, paths: list[Path]) -> np.ndarray:
    from common import classification

    return runs.load_model(run).predict(classification.read(run, paths), verbose=0)


def forget_device() -> None:
    """Drop the device's programs from `sys.modules`."""
    for path in bundle.DEVICE.glob("*.py"):
        sys.modules.pop(path.stem, None)
