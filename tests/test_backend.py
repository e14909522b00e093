"""What TensorFlow says at every start is not shown; all else is."""

import gc
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from common import backend

ROOT = Path(__file__).parent.parent
# What a line of C++ logging looks like, whatever it says.
LOGGED = re.compile(
    r"^[IWEF]\d{4} \d\d:\d\d|^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWEF] "
    r"|absl::|oneDNN|cuInit|^INFO: |^WARNING:(absl|tensorflow)"
)


def run(*arguments, **environment):
    """Run a command of Python as it is run where nobody has set how much TensorFlow says."""
    names = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True,
        check=False, env=names | {"PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


def noise(done):
    """Lines of a command's output that C++ code has written; the command must have succeeded."""
    assert done.returncode == 0, done.stderr
    return [line for line in (done.stderr + done.stdout).splitlines() if LOGGED.search(line)]


GREETINGS = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1.2 3 port.cc:153] oneDNN custom operations are on. You may see other results.
I0000 00:00:1.2 3 cpu_feature_guard.cc:227] This TensorFlow binary is optimized to use available \
CPU instructions in performance-critical operations.
To enable the following instructions: AVX2 FMA, rebuild TensorFlow with the right compiler flags.
E0000 00:00:1.2 3 cuda_platform.cc:52] failed call to cuInit: INTERNAL: UNKNOWN ERROR (303)
"""
MESSAGES = """\
E0000 00:00:1.2 3 cuda_dnn.cc:1] Loaded runtime CuDNN library: 8.0 but source was compiled with: 9
E0000 00:00:1.2 3 cuda_platform.cc:52] failed call to cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
F0000 00:00:1.2 3 cpu_feature_guard.cc:38] compiled to use AVX, which your machine has not"""


@pytest.mark.parametrize(
    ("level", "said"),
    [(None, MESSAGES), ("3", MESSAGES), ("0", GREETINGS + MESSAGES)],
)
def test_only_greetings_are_left_out_also_before_an_abort(level, said):
    code = (
        "import os, sys\n"
        "from common import backend\n"
        "with backend.without_greetings():\n"
        f"    os.write(2, {(GREETINGS + MESSAGES).encode()!r})\n"
        "    os.abort()\n"
    )
    done = run("-c", code, **({"TF_CPP_MIN_LOG_LEVEL": level} if level else {}))
    assert done.returncode == -6
    assert done.stderr == said


def test_what_is_written_afterwards_comes_after_it():
    code = (
        "import os, sys\n"
        "from common import backend\n"
        "with backend.without_greetings():\n"
        "    print('within', file=sys.stderr)\n"
        "    os.system('echo by another process >&2')\n"
        "print('after', file=sys.stderr)\n"
        "print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    )
    done = run("-c", code)
    assert done.stderr == "within\nby another process\nafter\n"
    assert done.stdout == "3\n"


def test_nothing_is_left_open_and_streams_of_others_are_left_alone(monkeypatch, capfd):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        with backend.without_greetings(), backend.without_greetings():
            os.write(2, f"{GREETINGS}of C++ code\n".encode())
            print("printed", file=sys.stderr)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert sorted(capfd.readouterr().err.splitlines()) == [*["of C++ code"] * 2, *["printed"] * 2]


def test_importing_a_room_of_networks_is_silent():
    done = run("-c", "from common import pipeline; print(pipeline.keras.ops.ones(2).shape)")
    assert (done.stdout, done.stderr) == ("(2,)\n", "")


@pytest.mark.parametrize("on", [True, False])
def test_the_garbage_collector_is_as_it_was_after_the_import(on):
    before = gc.isenabled(), gc.get_freeze_count()
    (gc.enable if on else gc.disable)()
    try:
        with backend._uncollected():
            assert not gc.isenabled()
        assert gc.isenabled() == on
        assert gc.get_freeze_count() > before[1]  # what is there is not looked through again
        with pytest.raises(ImportError), backend._uncollected():
            raise ImportError
        assert gc.isenabled() == on
    finally:
        gc.unfreeze()
        (gc.enable if before[0] else gc.disable)()


def test_hints_on_how_code_is_written_are_for_nobody(caplog):
    backend.load()
    for name in ("absl", "tensorflow"):
        logger = logging.getLogger(name)
        logger.warning("5 out of the last %d calls triggered tf.function retracing. It is", 5)
        logger.warning("Please consider providing the trackable_obj argument in it")
        logger.warning("of %s", name)
    assert [record.message for record in caplog.records if "keras" not in record.name] == [
        "of absl",
        "of tensorflow",
    ]


@pytest.mark.slow
def test_who_wants_to_read_it_all_can():
    done = run("-c", "from common import normalise", TF_CPP_MIN_LOG_LEVEL="0")
    assert noise(done)


@pytest.mark.slow
def test_no_command_shows_tensorflows_noise(tmp_path):
    """The others' trainings: `test_train`."""
    places = ("--runs-dir", tmp_path, "--cache-dir", tmp_path / "cache")
    small = ("--demo", "--image-size", 32, "--epochs", 1, "--stem", "strided", *places)
    assert not noise(run("-m", "wrn_edge.train", *small))
    (classifier,) = (tmp_path / "wrn_edge").iterdir()
    gan = ("--demo", "--kimg", 0.1, "--evaluate-every", 0.1, "--samples", 32, *places)
    assert not noise(run("-m", "gan_fusion.train_gan", *gan))
    (generator,) = (tmp_path / "gan_fusion").iterdir()
    image = next((tmp_path / "demo-data").rglob("*.png"))
    for command in (
        ("wrn_edge.predict", "--run", classifier, image, "--gradcam", tmp_path / "maps"),
        ("wrn_edge.export", "--run", classifier, "--calibration", 8, "--heldout", 8),
        ("wrn_edge.bundle", "--run", classifier),
        ("gan_fusion.generate", "--run", generator, "--count", 4, "--output", tmp_path / "made"),
        ("ernet.complexity", "--image-size", 32),
    ):
        assert not noise(run("-m", *command)), command
