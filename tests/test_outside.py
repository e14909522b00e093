"""Nothing outside the config and what is recorded changes a result."""

import functools
import json
import os
import shutil
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
import json, os, sys
notebook = json.loads(os.environ.get("NOTEBOOK", "{}"))
if notebook.get("tensorflow"):
    import keras
    import tensorflow as tf
    keras.config.set_dtype_policy("float16")
    tf.config.threading.set_intra_op_parallelism_threads(3)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    tf.config.optimizer.set_jit(True)
if notebook.get("jax"):
    import jax
    jax.config.update("jax_default_matmul_precision", "highest")
from common import backend, runs
backend.load()
import keras
from wrn_edge import Config, build_model
model = build_model(Config(image_size=32, stem="strided"))
print(model.count_params(), model.inputs[0].shape, {v.dtype for v in model.weights},
      keras.backend.backend(), keras.config.epsilon())
print(json.dumps(runs.machine()))
"""
# WRN-28-2's, in float32, whatever the file says.
BUILT = "1470194 (None, 32, 32, 3) {'float32'} {} 1e-07"


def build(home, **variables):
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    environment |= {"KERAS_HOME": str(home), "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, "-c", BUILD], capture_output=True, text=True, check=False, env=environment
    )


def built(done, backend="tensorflow"):
    """What a process said of the network and of what really ran."""
    assert done.returncode == 0, done.stderr
    network, machine = done.stdout.splitlines()
    assert network == BUILT.replace("{}", backend)
    return json.loads(machine)


def test_keras_own_settings_change_no_network(tmp_path):
    """Also those of a notebook, which has loaded Keras before; what chooses kernels is recorded."""
    settings = {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.01}
    (tmp_path / "keras.json").write_text(json.dumps(settings | {"backend": "theano"}))
    variables = {
        "TF_ENABLE_ONEDNN_OPTS": "0", "TF_XLA_FLAGS": "--tf_xla_cpu_global_jit",
        "NVIDIA_TF32_OVERRIDE": "0",
    }  # fmt: skip
    done = build(tmp_path, **variables)
    assert built(done).items() >= variables.items()
    assert "channels_first; images are NHWC here: set back" in done.stderr
    assert "float16; weights are float32: set back" in done.stderr
    assert "epsilon was 0.01; it is 1e-07: set back" in done.stderr

    notebook = {"tensorflow": True}
    done = build(
        tmp_path / "none", KERAS_BACKEND="tensorflow", NOTEBOOK=json.dumps(notebook),
    )  # fmt: skip
    assert built(done).items() >= {"threads": 3, "tf32": False, "xla": "autoclustering"}.items()
    assert "Keras' policy was float16; weights are float32: set back" in done.stderr


@pytest.mark.slow
def test_other_settings_of_a_backend_are_recorded_as_they_are(tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "jax"}))
    plain = built(build(tmp_path))
    assert plain["threads"] == len(os.sched_getaffinity(0))
    assert not {"tf32", "xla", "TF_XLA_FLAGS", "jax_enable_x64"} & set(plain)
    assert built(build(tmp_path, TF_NUM_INTRAOP_THREADS="5"))["threads"] == 5
    done = build(
        tmp_path, KERAS_BACKEND="jax", JAX_ENABLE_X64="1", NOTEBOOK=json.dumps({"jax": True})
    )
    found = built(done, "jax")
    assert (found["backend"], found["jax_default_matmul_precision"]) == ("jax", "highest")
    assert found["jax_enable_x64"] is True


def test_a_backend_that_is_none_of_ours_is_refused(tmp_path):
    done = build(tmp_path, KERAS_BACKEND="numpy")
    assert done.returncode == 1
    assert "KERAS_BACKEND=numpy: this project runs on tensorflow and jax" in done.stderr


# --- everything without a framework ------------------------------------------------------------

RESULTS = """
import hashlib, json, sys
import numpy as np
import pandas as pd
if sys.argv[1] == "hostile":
    import decimal, locale, os, warnings
    import matplotlib
    np.seterr(all="raise")
    np.set_printoptions(precision=1, threshold=2)
    options = {"precision": 1, "max_rows": 2, "max_columns": 1, "width": 20,
               "float_format": "{:.1f}".format}
    for name, value in options.items():
        pd.set_option(f"display.{name}", value)
    matplotlib.rcParams.update({
        "font.size": 40, "axes.grid": True, "figure.dpi": 30, "savefig.dpi": 30,
        "savefig.facecolor": "red", "lines.linewidth": 9, "axes.formatter.use_locale": True,
        "image.cmap": "jet", "image.origin": "lower", "font.family": "serif",
        "figure.autolayout": True, "axes.facecolor": "black", "path.simplify": False,
    })
    before = matplotlib.rcParams.copy()
    decimal.getcontext().prec = 2
    locale.setlocale(locale.LC_ALL, "")
    sys.setrecursionlimit(400)
    warnings.simplefilter("error")
    os.umask(0o077)
sys.path.insert(0, sys.argv[3])
from pathlib import Path
import run_folder
from common import datasets, evaluation, files, images, report, splits, stain, tables
root = Path(sys.argv[2])
found = {}
def note(name, value):
    value = value.encode() if isinstance(value, str) else value
    found[name] = hashlib.sha256(value).hexdigest()
run_folder.TASKS["small"] = ("breakhis", "breakhis", "T2-binary-resnet50-honest",
                             ("benign", "malignant"), "malignant", "patient", (6, 6))
run = run_folder.make(root, "small", pictures=False)
note("summary", evaluation.summary(evaluation.evaluate_run(run)))
report.write(run)
for file in sorted(run.rglob("*.*")):
    note(file.name, file.read_bytes())
note("tables", tables.markdown(tables.load("breakhis", root)))
index = files.read_table(run / "split.csv").drop(columns="part").assign(official="")
split = splits.by_group(index, group="case", test=0.3, validation=0.2, seed=3)
note("split", files.csv_text(split))
tissue = np.exp(-np.random.default_rng(0).uniform(0.1, 1.2, (48, 48, 2)) @ stain.RUIFROK)
tissue = np.clip(255 * tissue, 0, 255).astype(np.uint8)
for method in stain.METHODS.values():
    note(method.__name__, method().fit(tissue).transform(tissue[::-1].copy()).tobytes())
note("resize", images.resize(tissue, 20).tobytes())
if sys.argv[1] == "hostile":
    assert matplotlib.rcParams.copy() == before
print(json.dumps(found))
"""


def results(tmp_path, how, cwd, **variables):
    folder = tmp_path / "runs"
    shutil.rmtree(folder, ignore_errors=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        [sys.executable, "-c", RESULTS, how, str(folder), str(ROOT / "tests")],
        capture_output=True, text=True, check=False, cwd=cwd, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_a_machine_or_a_notebook_sets_changes_no_byte(tmp_path):
    """Splits, metrics, tables, figures, pages, stains: all settings at once against none."""
    rc = tmp_path / "matplotlibrc"
    rc.write_text("font.size: 30\naxes.grid: True\nfigure.facecolor: blue\n")
    plain = results(tmp_path, "plain", ROOT, PYTHONHASHSEED="1")
    hostile = results(
        tmp_path, "hostile", tmp_path, PYTHONHASHSEED="7", LC_ALL="C", TZ="Asia/Kathmandu",
        COLUMNS="20", PYTHONOPTIMIZE="1", OMP_NUM_THREADS="1", MATPLOTLIBRC=str(rc),
    )  # fmt: skip
    assert len(plain) > 15
    assert hostile == plain


WALKED = {
    "test_keras_own_settings_change_no_network": (
        "`keras.json`: image_data_format", "`keras.json`: floatx", "`keras.json`: epsilon",
        "`keras.json`: backend", "a global dtype policy of a notebook",
        "`$TF_NUM_INTRAOP_THREADS`, `tf.config.threading`",
        "XLA (`$TF_XLA_FLAGS`, `$XLA_FLAGS`, `tf.config.optimizer.set_jit`)",
        "TF32 (`$NVIDIA_TF32_OVERRIDE`, `tf.config`)", "oneDNN (`$TF_ENABLE_ONEDNN_OPTS`)",
    ),
    "test_other_settings_of_a_backend_are_recorded_as_they_are": ("JAX's precision and x64",),
    "test_a_backend_that_is_none_of_ours_is_refused": ("`$KERAS_BACKEND`",),
    "test_the_number_of_cores_is_recorded_and_compared_on_resume": (
        "number of cores (`taskset`, a container)",
        "processor, versions of packages, also of a user site",
    ),
    "test_what_a_machine_or_a_notebook_sets_changes_no_byte": (
        "`matplotlibrc`, `rcParams` of a notebook", "pandas options",
        "NumPy's error state, print options", "locale, `$COLUMNS`", "time zone",
        "working directory", "umask", "`$PYTHONHASHSEED`",
        "`$PYTHONWARNINGS`, warnings as errors", "`python -O`", "recursion limit",
    ),
    "test_a_data_folder_named_like_a_package_hides_none": ("a data folder named like a package",),
    "test_home_is_home_everywhere": ("`$HOME`, `~`, variables in paths",),
    "test_every_command_is_readable_on_every_terminal": (
        "encoding of the terminal (`$PYTHONIOENCODING`, `LANG=C`, cp1252)",
    ),
}  # fmt: skip
"""Test -> rows of the page's table that it sets and compares."""


def test_every_row_of_the_page_is_walked():
    lines = (ROOT / "docs" / "outside-settings.md").read_text(encoding="utf-8").splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ")][1:]
    names = [row[0].removeprefix("| ") for row in rows]
    assert sorted(names) == sorted(name for each in WALKED.values() for name in each)
    assert {row[1] for row in rows} == {"pinned", "recorded"}
    tests = "".join(
        (ROOT / "tests" / f"test_{each}.py").read_text() for each in ("outside", "paths")
    )
    assert all(f"def {name}(" in tests for name in WALKED)


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
