"""The JAX backend, with TensorFlow out of reach: train, resume, predict, Grad-CAM."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import epoch_draws
import numpy as np
import pandas as pd
import pytest

from common import confidence, evaluation
from common.datasets import bci, synthetic
from common.predictions import column

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


def command(*arguments):
    return [sys.executable, "-c", BLOCKED, *map(str, arguments)]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jax")
    synthetic.bci(folder / "bci", slides=16, patches_per_slide=3, size=64)
    return folder


@pytest.fixture(scope="module")
def environment(work):
    """Of a process on JAX; what one has compiled, the next need not."""
    return {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_COMPILATION_CACHE_DIR": str(work / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


def flags(work, name):
    return (
        "--demo", "--network", "mobilenet", "--image-size", 32, "--epochs", 3,
        "--data-dir", work / "bci", "--cache-dir", work / "cache", "--runs-dir", work / name,
    )  # fmt: skip


def done_by(arguments, environment):
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, env=environment
    )


def test_train_kill_resume_evaluate_and_gradcam(work, environment):
    whole = done_by(("her2scoring.train", *flags(work, "whole")), environment)
    assert whole.returncode == 0, whole.stderr
    (run,) = (work / "whole" / "her2scoring").iterdir()
    assert (run / "figures" / "gradcam.png").is_file()
    assert '"backend": "jax"' in (run / "environment.json").read_text()

    with subprocess.Popen(
        command("her2scoring.train", *flags(work, "parts")),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        for line in process.stderr:
            if line.startswith("epoch 1/3"):
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    rest = done_by(("her2scoring.train", *flags(work, "parts")), environment)
    assert rest.returncode == 0, rest.stderr
    assert "resuming after epoch" in rest.stderr
    (resumed,) = (work / "parts" / "her2scoring").iterdir()
    for name in ("predictions.csv", "history.csv", "metrics.json", "split.csv"):
        assert (resumed / name).read_bytes() == (run / name).read_bytes(), name

    before = json.loads((run / "metrics.json").read_text())
    (resumed / "metrics.json").unlink()
    found = done_by(("her2scoring.evaluate", "--run", resumed), environment)
    assert found.returncode == 0, found.stderr
    assert json.loads((resumed / "metrics.json").read_text()) == before

    image = next((work / "bci").rglob("HE/test/*.png"))
    maps = work / "maps"
    found = done_by(("her2scoring.predict", "--run", run, "--gradcam", maps, image), environment)
    assert found.returncode == 0, found.stderr
    assert (maps / f"{image.stem}-gradcam.png").is_file()


def test_draws_depend_on_seed_epoch_and_index_alone(environment):
    script = Path(epoch_draws.__file__)
    found = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, env=environment
    )
    assert found.returncode == 0, found.stderr
    epoch_draws.check(json.loads(found.stdout))


def test_a_model_trained_with_tensorflow_predicts_the_same(work, environment):
    trained = subprocess.run(
        [sys.executable, "-m", "her2scoring.train", *map(str, flags(work, "tensorflow"))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    (run,) = (work / "tensorflow" / "her2scoring").iterdir()
    predictions = evaluation.read_predictions(run / "predictions.csv")
    images = [work / "bci" / name for name in predictions.image]
    output = work / "again.csv"
    done = done_by(("her2scoring.predict", "--run", run, "--output", output, *images), environment)
    assert done.returncode == 0, done.stderr
    columns = [column(name) for name in bci.CLASSES[4]]
    sure = confidence.read(run).calibrated(predictions[columns].to_numpy())
    np.testing.assert_allclose(pd.read_csv(output)[columns], sure, atol=1e-4)


def test_a_missing_backend_is_said_clearly(work):
    unset = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    done = done_by(("her2scoring.train", *flags(work, "none")), unset)
    assert done.returncode == 2
    assert "KERAS_BACKEND=jax" in done.stderr
    assert "Traceback" not in done.stderr
