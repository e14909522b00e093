"""Nothing outside the config and what is recorded changes a result."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import breakhis
from common import config as configuration
from common import datasets, images, runs
from common.datasets import synthetic
from common.errors import InputError

ROOT = Path(__file__).parent.parent

BUILD = """
from common import backend
backend.load()
import keras
from wrn_edge import Config, build_model
model = build_model(Config(image_size=32, stem="strided"))
print(model.count_params(), model.inputs[0].shape, {v.dtype for v in model.weights},
      keras.backend.backend())
"""


def build(home, **variables):
    unset = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"KERAS_HOME": str(home), "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, "-c", BUILD], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"image_data_format": "channels_first"}, "channels_first; images are NHWC here: set back"),
        ({"floatx": "float16"}, "float16; weights are float32: set back"),
        ({"backend": "jax"}, ""),
        ({"backend": "theano"}, ""),
    ],
)
def test_keras_own_settings_change_no_network(tmp_path, settings, said):
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr
    # WRN-28-2's, in float32, whatever the file says.
    assert done.stdout == "1470194 (None, 32, 32, 3) {'float32'} tensorflow\n"
    # Nothing else, of TensorFlow neither.
    assert done.stderr == (f"Keras was set to {said}\n" if said else "")


def test_a_backend_that_is_none_of_ours_is_refused(tmp_path):
    done = build(tmp_path, KERAS_BACKEND="numpy")
    assert done.returncode == 1
    assert "KERAS_BACKEND=numpy: this project runs on tensorflow and jax" in done.stderr


# --- paths -------------------------------------------------------------------------------------


def test_home_is_home_everywhere(tmp_path, monkeypatch):
    """A shell leaves `--data-dir=~/x` as it is, and a notebook has no shell."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HISTOPAPERS_CACHE", "~/c")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / "w.h5").write_bytes(b"abc")
    ask = functools.partial(
        configuration.request, breakhis.Config, breakhis.PRESETS, package="breakhis"
    )
    typed = configuration.parse(
        breakhis.Config, breakhis.PRESETS, package="breakhis", description="",
        arguments=["--data-dir=~/x", "--runs-dir=$HOME/r"],
    ).execution  # fmt: skip
    called = ask(data_dir="~/x", runs_dir="$HOME/r").execution
    assert typed == called
    assert (typed.data_dir, typed.runs_dir) == (tmp_path / "x", tmp_path / "r")
    assert images.cache_folder() == images.cache_folder("~/c") == tmp_path / "c"
    assert runs.weights_id("~/w.h5") == runs.weights_id(str(tmp_path / "w.h5"))
    monkeypatch.setenv("HISTOPAPERS_DATA", "~/x")
    assert datasets.data_folder(datasets.get("breakhis"), None) == tmp_path / "x"
    with pytest.raises(InputError, match="there is no such user"):
        ask(data_dir="~nobody-of-that-name/x")
    assert not (tmp_path / "~").exists()


def test_a_data_folder_named_like_a_package_hides_none(tmp_path):
    """Where a folder `breakhis` lies, commands and imports work as `make` has installed them."""
    (tmp_path / "breakhis").mkdir()
    (tmp_path / "common").mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for arguments in (
        ["-m", "breakhis.tables"],
        ["-c", "from breakhis import Config, train; from common import metrics; metrics.auc"],
    ):
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, check=False,
            cwd=tmp_path, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


# --- the number of cores -----------------------------------------------------------------------

TRAIN = """
import sys
from common.training import fitting
data, runs, stop = sys.argv[1:]
begin = fitting._Recorder.on_epoch_begin
def interrupted(self, epoch, logs=None):
    if epoch == int(stop):
        raise KeyboardInterrupt
    begin(self, epoch, logs)
fitting._Recorder.on_epoch_begin = interrupted
import wrn_edge
try:
    wrn_edge.train(preset="demo", stem="strided", image_size=32, epochs=2, batch_size=16,
                   data_dir=data, runs_dir=runs, cache_dir=runs + "/cache", workers=0)
except KeyboardInterrupt:
    pass
"""


def train(cores, data, runs_dir, stop=9):
    done = subprocess.run(
        ["taskset", "-c", cores, sys.executable, "-c", TRAIN, data, runs_dir, str(stop)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = (Path(runs_dir) / "wrn_edge").iterdir()
    return runs.load(path), done.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two cores and a way to give only one",
)
def test_the_number_of_cores_is_recorded_and_compared_on_resume(tmp_path):
    data = synthetic.breakhis(
        tmp_path / "data", patients=24, images_per_patient=2, magnifications=("100X",),
        size=(46, 70),
    )  # fmt: skip
    one, two = (",".join(map(str, sorted(os.sched_getaffinity(0))[:n])) for n in (1, 2))
    first, _ = train(one, data, tmp_path / "first")
    again, _ = train(one, data, tmp_path / "again")
    same = [(run.path / "predictions.csv").read_bytes() for run in (first, again)]
    assert same[0] == same[1]
    both, _ = train(two, data, tmp_path / "both")
    assert first.record.run_id == both.record.run_id  # one run, of which two machines are known
    assert [run.record.machines[0]["threads"] for run in (first, both)] == [1, 2]
    environment = json.loads((first.path / "environment.json").read_text())
    assert (environment["threads"], environment["backend"]) == (1, "tensorflow")

    _, said = train(one, data, tmp_path / "parts", stop=1)
    assert "begun elsewhere" not in said
    moved, said = train(two, data, tmp_path / "parts")
    assert "begun elsewhere (threads 1 then, 2 now): it goes on, but not to the same" in said
    assert [machine["threads"] for machine in moved.record.machines] == [1, 2]
    assert moved.finished
