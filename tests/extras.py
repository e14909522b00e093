"""The wheel in empty environments: each extra is installed, and one command is run with it.

python -m tests.extras dist/histopapers-*.whl [EXTRA ...]
"""

import configparser
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent

NETWORK = (
    "from common import backbones; "
    "print(backbones.classifier('mobilenet_v2', 32, 2, weights='none').count_params())"
)

COMMANDS = {
    "": ["-m", "common.datasets", "info", "breakhis"],
    "stain": ["-c", "import staintools; print(staintools.StainNormalizer(method='macenko'))"],
    "edge": ["-c", "from ai_edge_litert.interpreter import Interpreter; print(Interpreter)"],
    "edge-quantizer": ["-c", "from ai_edge_quantizer import quantizer; print(quantizer)"],
    "jax": ["-c", NETWORK],
    "onnx": ["-c", "import onnxruntime, tf2onnx; print(onnxruntime.__version__)"],
    "gpu": ["-c", "import tensorflow as tf; print(tf.config.list_physical_devices('GPU'))"],
    "slurm": ["-c", "import submitit; print(submitit.__version__)"],
    "ray": ["-c", "import ray; print(ray.__version__)"],
    "decode": ["-c", "import kornia_rs; print(kornia_rs.__version__)"],
    "slides": ["-c", "import tiffslide; print(tiffslide.__version__)"],
    "tensorboard": ["-m", "tensorboard.main", "--version"],
    "mlflow": ["-c", "import mlflow; print(mlflow.__version__)"],
    "wandb": ["-c", "import wandb; print(wandb.__version__)"],
    "docs": ["-m", "sphinx", "--version"],
    "release": ["-m", "twine", "--version"],
    "notebooks": ["-m", "jupyterlab", "--version"],
    "test": ["-m", "pytest", "--version"],
}
"""What each extra brings, asked once."""

ENVIRONMENT = {"jax": {"KERAS_BACKEND": "jax"}}


def extras():
    """Extras that setup.cfg has, and none."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return ["", *setup["options.extras_require"]]


def tried(wheel, extra):
    """Install the wheel with one extra into an empty environment; give why it failed, or ""."""
    with tempfile.TemporaryDirectory() as work:
        subprocess.run([sys.executable, "-m", "venv", work], check=True)
        python = Path(work) / "bin" / "python"
        wanted = f"{wheel}[{extra}]" if extra else str(wheel)
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **ENVIRONMENT.get(extra, {})}
        environment.pop("PYTHONPATH", None)
        for arguments in (["-m", "pip", "install", "--quiet", wanted], ["-P", *COMMANDS[extra]]):
            done = subprocess.run(
                [python, *arguments], cwd=work, env=environment, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            if done.returncode:
                return done.stderr.strip().splitlines()[-1]
    return ""


def main(wheel, *chosen):
    failed = 0
    for extra in chosen or extras():
        began = time.monotonic()
        wrong = tried(Path(wheel).resolve(), extra)
        failed += bool(wrong)
        print(
            f"{extra or 'none':15} {time.monotonic() - began:5.0f} s  {wrong or 'ok'}", flush=True
        )
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
