"""What each extra is for, done with the wheel: python -P tests/extra_commands.py EXTRA.

Run in an empty folder by the interpreter of an environment that has the wheel with that extra;
nothing is imported here but what the environment has.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent


def none() -> None:
    """A training, its report, its card and what is published with that, which runs by itself."""
    run = trained()
    assert (run.path / "report.html").stat().st_size > 100_000
    module("common.runs", "verify", run.path)
    module("common.card", "--run", run.path, "--out", "card")
    example = [sys.executable, "example.py", next(drawn().absolute().rglob("*.png"))]
    subprocess.run(example, cwd="card", check=True)


def stain() -> None:
    from PIL import Image

    Image.fromarray(tissue()).save("patch.png")
    options = ("--engine", "staintools", "--preset", "staintools", "--output")
    module("common.stain", "fit", "patch.png", *options, "fitted.json")


def decode() -> None:
    """A PNG that OpenCV is not asked for."""
    from PIL import Image

    from common.images import fast_png, formats

    Image.fromarray(tissue()).save("patch.png")
    data = Path("patch.png").read_bytes()
    fast_png.decode_with_opencv = None
    fast_png.cores = lambda: 1
    found = fast_png.decode_png(data, formats.inspect(data, ".png"))
    np.testing.assert_array_equal(found, tissue())


def edge() -> None:
    from common.export import checks

    content = Path(exported()["float32"]).read_bytes()
    assert type(checks.interpreter(content)).__module__.startswith("ai_edge_litert")


def edge_quantizer() -> None:
    """Its int8 file is among those that are compared."""
    from common import export

    model, images = network()
    made = {"precisions": ["int8"], "converters": ["ai-edge-quantizer"]}
    record = export.export(model, "out", calibration=images, heldout=images, **made)
    assert record["files"] and not record["refused"], record["refused"]


def onnx() -> None:
    assert Path(exported(onnx=True)["onnx"]).stat().st_size > 1000


def jax() -> None:
    os.environ["KERAS_BACKEND"] = "jax"
    run = trained()
    from common.backend import keras

    assert keras.backend.backend() == "jax" and run.finished


def slurm() -> None:
    """As far as one comes without a cluster: what submitit would be told."""
    from common.reproduce.slurm import Settings, Slurm, executor

    Path("bin").mkdir()
    for name in executor.NEEDED:
        (Path("bin") / name).touch(0o755)
    os.environ["PATH"] = f"{Path('bin').absolute()}:{os.environ['PATH']}"
    assert Slurm(Settings("12:00:00", gpus=1), Path("jobs")).free() > 0


def ray() -> None:
    """A job on a cluster of this machine alone, which ends with this process."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    begun = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    asked = ("--only", "complexity", "--paper", "ernet", "--executor", "ray")
    address = ("--ray-address", begun.address_info["gcs_address"], "--ray-cpus", "1")
    module("common.reproduce", "run", *asked, *address, "--runs-dir", "runs")
    ray.shutdown()


def slides() -> None:
    import tifffile

    with tifffile.TiffWriter("slide.tif") as file:
        known = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}
        file.write(np.tile(tissue(), (4, 4, 1)), photometric="rgb", tile=(128, 128), **known)
    module("wrn_edge.predict", "--run", trained().path, "slide.tif", "--tiles")


def tensorboard() -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for run, expected in followed("tensorboard"):
        folder = Path("runs", "tensorboard", run.record.package, run.path.name)
        found = EventAccumulator(str(folder)).Reload()
        assert len(list(folder.iterdir())) == 1
        for name, steps in expected.items():
            assert [event.step for event in found.Scalars(name)] == steps, name


def mlflow() -> None:
    for run, expected in followed("mlflow"):
        import mlflow

        asked = f"tags.`histopapers.run_id` = '{run.record.run_id}'"
        (found,) = mlflow.search_runs(
            search_all_experiments=True, filter_string=asked, output_format="list"
        )
        assert (found.info.run_name, found.info.status) == (run.path.name, "FINISHED")
        for name, steps in expected.items():
            history = mlflow.MlflowClient().get_metric_history(found.info.run_id, name)
            assert [each.step for each in history] == steps, name


def wandb() -> None:
    """Without network: what `wandb sync` would send."""
    os.environ["WANDB_MODE"] = "offline"
    for run, expected in followed("wandb"):
        (file,) = Path("runs", "wandb").glob(f"offline-run-*/run-*-{run.record.run_id}.wandb")
        rows = list(wandb_rows(file))
        for name, steps in expected.items():
            assert [step for step, values in rows if name in values] == steps, name


def wandb_rows(file: Path) -> Iterator[tuple[int, set[str]]]:
    """Step and names of each row of W&B's log: pieces in blocks of 32 KiB, as LevelDB has it."""
    from wandb.proto import wandb_internal_pb2

    content, at, record = file.read_bytes(), 7, b""
    while at < len(content):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or its last piece
            found = wandb_internal_pb2.Record.FromString(record)
            record = b""
            if found.WhichOneof("record_type") == "history":
                names = {item.key or item.nested_key[0] for item in found.history.item}
                yield found.history.step.num, names


def docs() -> None:
    subprocess.run([sys.executable, ROOT / "docs" / "site" / "documents.py", "site"], check=True)


def release() -> None:
    module("build", "--outdir", "dist", ROOT)
    module("twine", "check", "--strict", *Path("dist").iterdir())


def notebooks() -> None:
    notebook = ROOT / "notebooks" / "own_data.ipynb"
    options = ("--execute", "--to", "notebook", "--output-dir", ".")
    module("jupyter", "nbconvert", *options, notebook)


def notebook(cells: str) -> None:
    """A notebook's first cell installs the package that is not there; then the others run."""
    import nbformat
    from nbclient import NotebookClient

    found = nbformat.read(ROOT / "notebooks" / "own_data.ipynb", as_version=4)
    if cells == "first":
        found.cells = [next(cell for cell in found.cells if cell.cell_type == "code")]
    where = "import common\nprint(common.__file__)"
    found.cells.append(nbformat.v4.new_code_cell(where))
    NotebookClient(found, timeout=600, resources={"metadata": {"path": "."}}).execute()
    outputs = found.cells[-1].outputs  # a line may come in several pieces
    said = "".join(each.text for each in outputs if each.get("name") == "stdout").strip()
    assert said and Path(said).is_relative_to(sys.prefix), outputs


def test() -> None:
    module("pytest", "-q", "-p", "no:cacheprovider", ROOT / "tests" / "test_splits.py")


# --- what several of them begin with --------------------------------------------------------------


def module(name: str, *arguments: object) -> None:
    """Run ``python -m``."""
    subprocess.run([sys.executable, "-P", "-m", name, *map(str, arguments)], check=True)


def tissue() -> np.ndarray:
    """A stained image, uint8 (96, 96, 3)."""
    from common import images

    return images.read(next(drawn().rglob("*.png")))


def network():
    """A small network on raw pixels, and images."""
    from common import backend

    backend.load()
    from common.backend import keras

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)), layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(16, 3, activation="relu"), layers.GlobalAveragePooling2D(),
            layers.Dense(2, name="logits"), layers.Softmax(),
        ]
    )  # fmt: skip
    colours = np.random.default_rng(0).integers(0, 256, (24, 1, 1, 3), np.uint8)
    return model, np.tile(colours, (1, 32, 32, 1))


def exported(**options: bool) -> dict[str, str]:
    """Kind of file -> file."""
    from common import export

    model, images = network()
    asked = {"precisions": ["float32"], "converters": ["tensorflow"], **options}
    record = export.export(model, "out", calibration=images, heldout=images, **asked)
    assert not record["refused"], record["refused"]
    files = {each["precision"]: f"out/{each['file']}" for each in record["files"]}
    return files | ({"onnx": f"out/{record['onnx']['file']}"} if "onnx" in record else {})


def drawn() -> Path:
    from common.datasets import synthetic

    asked = {"patients": 24, "images_per_patient": 2, "magnifications": ["100X"]}
    return synthetic.breakhis("data", size=(96, 96), **asked)


def trained(**options: object):
    """A run of a small network, few images and four epochs."""
    import wrn_edge

    settings = {"image_size": 32, "epochs": 4, "data_dir": drawn(), "runs_dir": "runs"}
    return wrn_edge.train(preset="demo", **settings, **options)


def trained_gan(**options: object):
    """A GAN's run of five rows, whose state is saved after the second, fourth and last."""
    from gan_fusion import train_gan

    settings = {
        "channels": 128, "channels_most": 16, "latent": 8, "batch_size": 4, "kimg": 0.02,
        "evaluate_every": 0.008, "samples": 24, "critic_first": 2, "data_dir": drawn(),
        "runs_dir": "runs",
    }  # fmt: skip
    return train_gan.train(preset="demo", **settings, **options)


TRAININGS = {"trained": trained, "trained_gan": trained_gan}


def followed(log: str) -> Iterator[tuple[Any, dict[str, list[int]]]]:
    """Runs that were killed at their third row, and went on; and the steps of scores."""
    from common.files import read_table

    for name in TRAININGS:  # both before one is trained here: W&B's process would be shared
        done = subprocess.run([sys.executable, "-P", __file__, "killed", name, log], check=False)
        assert done.returncode == -signal.SIGKILL, done
    run = trained(log=log)
    steps = [int(each) for each in read_table(run.path / "history.csv")["epoch"]]
    assert steps == [1, 2, 3, 4]
    yield run, {"loss": steps, "val_accuracy": steps}
    run = trained_gan(log=log)
    told, judged = (
        [round(1000 * float(each)) for each in read_table(run.path / file)["kimg"]]
        for file in ("history.csv", "evaluations.csv")
    )
    assert told == [4, 8, 12, 16, 20] and judged == [8, 16, 20]
    yield run, {"distance": told, "kid": judged}


def killed(name: str, log: str) -> None:
    from common import loggers

    follower, told = loggers._FOLLOWERS[log], []
    tell = follower.tell

    def last_words(self, step, values):
        tell(self, step, values)
        told.append(step)
        if len(told) == 3:
            time.sleep(1)  # W&B has a process of its own, which writes
            os.kill(os.getpid(), signal.SIGKILL)

    follower.tell = last_words
    TRAININGS[name](log=log)


if __name__ == "__main__":
    there = importlib.util.find_spec("common")
    if sys.argv[1] == "notebook":
        assert there is None
    else:  # the wheel, and not the tree in which this file lies
        assert there is not None and Path(str(there.origin)).is_relative_to(sys.prefix), there
    globals()[sys.argv[1].replace("-", "_") or "none"](*sys.argv[2:])
