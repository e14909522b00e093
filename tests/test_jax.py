"""The JAX backend, with TensorFlow out of reach: train, resume, predict, Grad-CAM."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from common import evaluation
from common.datasets import bci, synthetic

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed"),
]

BLOCKED = """
import runpy, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ImportError("TensorFlow is out of reach in this test")

sys.meta_path.insert(0, Block())
module = sys.argv.pop(1)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def jax(*arguments):
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, *map(str, arguments)],
        capture_output=True, text=True, check=False, env={**os.environ, "KERAS_BACKEND": "jax"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jax")
    synthetic.bci(folder / "bci", slides=16, patches_per_slide=3, size=64)
    return folder


def flags(work, name):
    return (
        "--demo", "--image-size", 32, "--epochs", 2, "--data-dir", work / "bci",
        "--cache-dir", work / "cache", "--runs-dir", work / name,
    )  # fmt: skip


def test_a_whole_run_and_the_same_one_again(work):
    written = []
    for name in ("first", "second"):
        done = jax("her2scoring.train", *flags(work, name))
        assert done.returncode == 0, done.stderr
        (run,) = (work / name / "her2scoring").iterdir()
        assert (run / "figures" / "gradcam.png").is_file()
        assert '"backend": "jax"' in (run / "environment.json").read_text()
        written.append((run / "predictions.csv").read_bytes())
    assert written[0] == written[1]


def test_a_model_trained_with_tensorflow_predicts_the_same(work):
    trained = subprocess.run(
        [sys.executable, "-m", "her2scoring.train", *map(str, flags(work, "tensorflow"))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    (run,) = (work / "tensorflow" / "her2scoring").iterdir()
    predictions = evaluation.read_predictions(run / "predictions.csv")
    images = [work / "bci" / name for name in predictions.image]
    output = work / "again.csv"
    done = jax("her2scoring.predict", "--run", run, "--output", output, *images)
    assert done.returncode == 0, done.stderr
    columns = [f"p_{name}" for name in bci.CLASSES[4]]
    np.testing.assert_allclose(pd.read_csv(output)[columns], predictions[columns], atol=1e-4)


def test_a_missing_backend_is_said_clearly(work):
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, "her2scoring.train", *map(str, flags(work, "none"))],
        capture_output=True, text=True, check=False,
        env={k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"},
    )  # fmt: skip
    assert done.returncode == 2
    assert "KERAS_BACKEND=jax" in done.stderr
    assert "Traceback" not in done.stderr
