"""What may happen to a training from outside, through the command line: Ctrl-C, a second process,
a loss that becomes NaN."""

import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from common import training
from common.datasets import synthetic

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interrupt")
    synthetic.bci(folder / "bci", slides=16, patches_per_slide=3, size=64)
    return folder


def command(work, runs, *options):
    return [
        sys.executable, "-m", "her2scoring.train", "--demo", "--network", "mobilenet",
        "--image-size", "32", "--epochs", "50", "--data-dir", str(work / "bci"),
        "--runs-dir", str(runs), "--cache-dir", str(work / "cache"), *options,
    ]  # fmt: skip


def test_a_second_process_stops_and_ctrl_c_leaves_a_run_that_goes_on(work, tmp_path):
    with subprocess.Popen(
        command(work, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        # A parent that ignores Ctrl-C, as a test runner in the background may, hands that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as first:  # fmt: skip
        said = ""
        for line in first.stderr:
            said += line
            if line.startswith("epoch  1/50"):
                break
        second = subprocess.run(
            command(work, tmp_path), capture_output=True, text=True, check=False
        )
        first.send_signal(signal.SIGINT)
        said += first.stderr.read()
    assert second.returncode == 2
    assert second.stderr.count("error: ") == 1
    assert "another process is working on this run" in second.stderr
    (run,) = (tmp_path / "her2scoring").iterdir()
    assert str(run) in second.stderr

    assert first.returncode == 130
    done = training.trained_epochs(run)
    assert done >= 1
    assert f"interrupted; {done} of 50 epochs are saved in {run}" in said
    assert "the same command goes on from there" in said
    assert said.count("interrupted") == 1
    assert "Traceback" not in said + second.stderr
    assert not list(run.rglob(".part-*"))
    history = np.loadtxt(run / "history.csv", delimiter=",", skiprows=1, ndmin=2)
    assert history[:, 0].tolist() == list(range(1, done + 1))


def test_a_loss_that_is_not_finite_stops_the_training(work, tmp_path):
    # `test_training` has the case of a good state before it. The first step throws every weight to
    # the end of float32; kernels differ in which of the two losses they then let overflow.
    done = subprocess.run(
        command(work, tmp_path, "--learning-rate", "3e38"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert re.search("error: the (validation )?loss became (nan|inf) in epoch 1", done.stderr)
    assert "no epoch before it is saved; try a smaller --learning-rate" in done.stderr
    assert not (tmp_path / "her2scoring").exists()  # a start that failed leaves no folder
