"""Make a folder for a Raspberry Pi from an exported run: python -m wrn_edge.bundle --run RUN.

The folder holds the model, everything that is needed to use it, and pictures with known outputs;
the device needs NumPy, Pillow and a runtime, and no network. `--demo` trains on synthetic tissue,
exports and bundles in one go.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import datetime
import hashlib
import importlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from common import errors, notices, runs
from common.errors import InputError
from common.files import file_hash, write_json, write_text

DEVICE = Path(__file__).resolve().parent / "device"
PRECISIONS = ("int8", "dynamic", "float16", "float32")
GOLDEN_PER_CLASS = 2
FAMILIES = ("default", "builtin")
# What two families of kernels may differ by in a probability; of int8 models see `tolerance`.
TOLERANCE = {"dynamic": 0.02, "float16": 2e-3, "float32": 1e-4, "int8": 0.02}


@dataclass(frozen=True)
class Golden:
    """A picture whose outputs are known: its file, true label, and the Keras model's answer."""

    path: Path
    label: str
    keras: tuple[float, ...]


# --- gathering ---------------------------------------------------------------------------------


def read_export(run: runs.Run) -> dict[str, Any]:
    """Read what `wrn_edge.export` wrote beside its models.

    Raises
    ------
    InputError
        If the run was not exported, or the record is damaged.
    """
    path = run.path / "export" / "export.json"
    again = f"export it first: python -m wrn_edge.export --run {run.path}"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: missing; {again}") from None
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); {again}") from None


def choose_golden(run: runs.Run, data_dir: Path) -> list[Golden]:
    """Take the first test pictures of each class, each of another patient where that can be.

    Raises
    ------
    InputError
        If the pictures are not in `data_dir`.
    """
    from common import predictions

    frame = predictions.of_part(predictions.read(run.path / "predictions.csv"))
    frame = frame.sort_values("image")
    found = []
    for label in run.record["classes"]:
        of_class = frame[frame["label"] == label]
        one_each = of_class.drop_duplicates("case")
        rest = of_class.drop(index=one_each.index)
        for row in [*one_each.to_dict("records"), *rest.to_dict("records")][:GOLDEN_PER_CLASS]:
            path = data_dir / row["image"]
            if not path.is_file():
                raise InputError(
                    f"{path}: missing; name the folder that the run was trained on with --data-dir"
                )
            keras = tuple(float(row[predictions.column(name)]) for name in run.record["classes"])
            found.append(Golden(path, label, keras))
    if not found:
        raise InputError(f"{run.path / 'predictions.csv'}: holds no test pictures")
    return found


def find_data(run: runs.Run, data_dir: Path | None) -> Path:
    """Folder of the run's pictures: as given, $HISTOPAPERS_DATA, or the demo's own."""
    own = run.path.parents[1] / "demo-data" / run.record["dataset"]
    if data_dir is None and run.synthetic and own.is_dir():
        return own
    from common import datasets

    return datasets.data_folder(datasets.get(run.record["dataset"]), data_dir)


# --- writing -----------------------------------------------------------------------------------


def write(
    out: Path,
    about: Mapping[str, Any],
    content: bytes,
    golden: Sequence[Golden],
    class_weights: np.ndarray | None = None,
) -> Path:
    """Write a bundle, whole or not at all.

    Parameters
    ----------
    out : Path
        A folder that does not exist yet, or is empty.
    about : mapping
        ``run_id, dataset, licence, attribution, synthetic, classes, positive, threshold,
        image_size, resize_filter, tolerance`` and ``model``: what the exporter says of the file.
    content : bytes
        The .tflite file.
    golden : sequence of Golden
    class_weights : ndarray, optional
        (C, K) float32: the model's second output times these are class activation maps.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    InputError
        If `out` is in use or cannot be written, the device cannot resize as the training did, or
        the finished bundle fails its own self-test.
    """
    if about["resize_filter"] != "area":
        raise InputError(
            f"the run resizes with {about['resize_filter']!r}, the device with 'area' only: train "
            "with --resize-filter area"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: exists; name a folder that does not, with --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=".part-", dir=out.parent))
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); give --out") from None
    try:
        _fill(half, about, content, golden, class_weights)
        half.chmod(0o755)
        if out.exists():
            out.rmdir()
        half.rename(out)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise
    return out


def _fill(
    folder: Path,
    about: Mapping[str, Any],
    content: bytes,
    golden: Sequence[Golden],
    class_weights: np.ndarray | None,
) -> None:
    for file in sorted(DEVICE.iterdir()):
        if file.is_file():
            shutil.copyfile(file, folder / file.name)
    name = f"model-{about['model']['precision']}.tflite"
    (folder / name).write_bytes(content)
    if class_weights is not None:
        np.save(folder / "class-weights.npy", class_weights)
    _write_published(folder / "published.csv")
    write_text(folder / "labels.txt", "\n".join(about["classes"]) + "\n")
    write_json(
        folder / "preprocessing.json",
        {
            "image_size": about["image_size"],
            "resize_filter": about["resize_filter"],
            "colours": "RGB, the pixels as they are: the model scales them itself",
            "threshold": about["threshold"],
            "positive": about["positive"],
        },
    )
    write_text(folder / "ABOUT.txt", _about_text(about, golden))
    manifest = {
        "schema": 1,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "software": {"histopapers": _version(), "commit": runs.commit()},
        **{key: value for key, value in about.items() if key != "model"},
        "model": {**about["model"], "file": name, "bytes": len(content)},
    }
    with _device_module("classifier") as classifier:
        _seal(folder, manifest, classifier)  # it loads nothing that is not sealed
        _write_golden(folder, about, golden, classifier)
        _seal(folder, manifest, classifier)
    with _device_module("selftest") as selftest:
        for what, found, well in selftest.check(
            folder, runtime=None, kernels="default", threads=None
        ):
            if not well:
                raise InputError(f"the bundle fails its own self-test ({what}): {found}")


def _write_published(path: Path) -> None:
    """Copy the paper's latencies (Table 6)."""
    with (DEVICE.parent / "published.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["table"] == "T6"]
    columns = ("table", "row", "metric", "printed", "unit", "note")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_golden(
    folder: Path, about: Mapping[str, Any], golden: Sequence[Golden], classifier: ModuleType
) -> None:
    """Copy the golden pictures, add a blank one, and write down what the model makes of them."""
    from common import images

    (folder / "golden").mkdir()
    pictures = []
    for number, each in enumerate(golden, 1):
        file = f"{number}-{each.label}{each.path.suffix.lower()}"
        shutil.copyfile(each.path, folder / "golden" / file)
        pictures.append({"file": file, "source": each.path.name, "truth": each.label,
                         "keras": each.keras})  # fmt: skip
    _write_blank(folder / "golden" / "blank.png", about["image_size"])
    pictures.append({"file": "blank.png", "source": "generated", "truth": None, "keras": None})

    bundle = classifier.load(folder)
    models = [classifier.Classifier(bundle, kernels=kernels) for kernels in FAMILIES]
    with _device_module("pixels") as pixels:
        for each in pictures:
            picture = pixels.read(folder / "golden" / each["file"])
            small = pixels.resize(picture, about["image_size"])
            trained_on = images.resize(picture, about["image_size"], about["resize_filter"])
            each["pixels_sha256"] = hashlib.sha256(small.tobytes()).hexdigest()
            each["tissue"] = not pixels.tissue(small)[1]
            if each["truth"] is None:
                continue
            outputs = {model.family: model.run(small) for model in models}
            each["outputs"] = outputs
            each["label"] = {name: models[0].decide(p)[0] for name, p in outputs.items()}
            same = np.array_equal(small, trained_on)
            drift = 0 if same else np.abs(models[0].run(trained_on) - models[0].run(small)).max()
            each["drift_from_training_resize"] = float(drift)
    write_json(
        folder / "golden" / "expected.json",
        {"tolerance": about["tolerance"], "pictures": pictures},
    )


def _write_blank(path: Path, size: int) -> None:
    from PIL import Image

    Image.new("RGB", (2 * size, size), (243, 241, 244)).save(path)


def _seal(folder: Path, manifest: dict[str, Any], classifier: ModuleType) -> None:
    """Write manifest.json with the hash of every file, and its own."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest["files"] = {
        path.relative_to(folder).as_posix(): {
            "sha256": file_hash(path), "bytes": path.stat().st_size,
        }
        for path in files
        if path.name != "manifest.json"
    }  # fmt: skip
    # As JSON will give it back, so that the seal fits what is read.
    plain = json.loads(json.dumps(manifest))
    plain["seal"] = classifier.seal(plain)
    write_json(folder / "manifest.json", plain)


@contextlib.contextmanager
def _device_module(name: str) -> Iterator[ModuleType]:
    """Import one of the device's programs, which find each other beside themselves.

    What they report as the user's error is one of ours too.
    """
    sys.path.insert(0, str(DEVICE))
    try:
        module = importlib.import_module(name)
    finally:
        sys.path.remove(str(DEVICE))
    try:
        yield module
    except sys.modules["errors"].InputError as error:
        raise InputError(str(error)) from None


def _version() -> str | None:
    from importlib import metadata

    try:
        return metadata.version("histopapers")
    except metadata.PackageNotFoundError:
        return None


def _about_text(about: Mapping[str, Any], golden: Sequence[Golden]) -> str:
    """What a person who finds the folder should know."""
    model = about["model"]
    lines = [
        notices.SYNTHETIC_MODEL
        if about["synthetic"]
        else "A classifier of breast histopathology pictures.",
        notices.RESEARCH_USE,
        "",
        f"Classes: {', '.join(about['classes'])}. Positive: {about['positive']}, from a "
        f"probability of {about['threshold']} on.",
        f"Made from run {about['run_id']} of wrn_edge (histopapers), as {model['precision']}.",
    ]
    agreement = model.get("agreement")
    if agreement:
        lines.append(
            f"On held-out pictures its class is the Keras model's {agreement['k']} of "
            f"{agreement['n']} times; the largest difference of a probability is "
            f"{agreement['max_abs_probability_error']:.3f}."
        )
    lines += [
        "",
        f"Trained on: {about['dataset']}, {about['licence']}.",
        f"The pictures in golden/ ({', '.join(each.path.name for each in golden)}) are unchanged "
        "copies from it, renamed." if not about["synthetic"]
        else "The pictures in golden/ are generated.",
        *([about["attribution"]] if about["attribution"] else []),
        "",
        "The programs are part of histopapers, Apache License 2.0.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


# --- command line ------------------------------------------------------------------------------


def bundle(
    run: runs.Run, out: Path | None, *, data_dir: Path | None = None, precision: str = "int8"
) -> Path:
    """Bundle an exported run; see `write`.

    Parameters
    ----------
    run : Run
        A finished run of wrn_edge.
    out : Path, optional
        Default: `bundle`, with the prefix SYNTHETIC- where that is so, in the run's folder.
    data_dir : Path, optional
        Where the run's pictures are.
    precision : {"int8", "dynamic", "float16", "float32"}
        Which of the exported models.
    """
    if not run.finished:
        raise InputError(f"{run.path}: not finished; run the training command again")
    export = read_export(run)
    entry = next((each for each in export["files"] if each["precision"] == precision), None)
    if entry is None:
        raise InputError(
            f"{run.path}: no {precision} model was exported: python -m wrn_edge.export --run "
            f"{run.path} --precision {precision}"
        )
    if export["stain_normalised"]:
        raise InputError(f"{run.path}: trained on stain-normalised images, which no device makes")
    model = run.path / "export" / entry["file"]
    if not model.is_file() or file_hash(model) != entry["sha256"]:
        raise InputError(f"{model}: missing, or not the file that was exported; export it again")
    from common import datasets
    from wrn_edge import maps

    card = datasets.get(run.record["dataset"])
    opened = maps.open_up(model.read_bytes())
    about = {
        "run_id": run.record["run_id"],
        "command": run.record["command"],
        "dataset": card.TITLE if not run.synthetic else "generated images",
        "licence": run.record["licence"] if not run.synthetic else "free of rights",
        "attribution": card.CITATION if not run.synthetic else "",
        "synthetic": run.synthetic,
        "classes": run.record["classes"],
        "positive": run.record["positive"],
        "threshold": export["threshold"],
        "image_size": run.config["image_size"],
        "resize_filter": run.config["resize_filter"],
        "tolerance": tolerance(precision, opened.logit_step),
        "calibration": export["calibration"],
        "versions": export["versions"],
        "model": {**entry, "exported_sha256": entry["sha256"]},
    }
    del about["model"]["sha256"]  # of the file as it is here, see `files`
    golden = choose_golden(run, find_data(run, data_dir))
    out = out or run.path / f"{notices.SYNTHETIC_PREFIX if run.synthetic else ''}bundle"
    return write(out, about, opened.content, golden, opened.weights)


def tolerance(precision: str, logit_step: float | None) -> float:
    """How far a probability may lie from that of other kernels on the same picture.

    Kernels of two families move an int8 model's logits by up to two steps each; a softmax moves a
    probability by at most a quarter of the largest change between two logits, which is four steps.
    """
    return TOLERANCE[precision] if logit_step is None else logit_step


def demo(runs_dir: Path) -> runs.Run:
    """Train the demo on synthetic tissue and export it; what is finished is not done again."""
    from common import config as configuration
    from common import export
    from wrn_edge import config, train

    request = configuration.parse(
        config.Config,
        config.PRESETS,
        package="wrn_edge",
        description="",
        arguments=["--demo", "--runs-dir", str(runs_dir)],
    )
    run = train.train(request)
    if not (run.path / "export" / "export.json").exists():
        export.main("wrn_edge", ["--run", str(run.path)])
    return run


def main(arguments: list[str] | None = None) -> int:
    """Entry point of ``python -m wrn_edge.bundle``."""
    parser = argparse.ArgumentParser(
        prog="python -m wrn_edge.bundle", description=__doc__.split("\n")[0]
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, metavar="RUN", help="an exported run of wrn_edge")
    source.add_argument(
        "--demo", action="store_true", help="train on synthetic tissue, export and bundle"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR",
        help="the bundle's folder, which must not exist (default: bundle in the run's folder)",
    )  # fmt: skip
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR",
        help="folder with the run's data set; unset: the environment variable HISTOPAPERS_DATA",
    )  # fmt: skip
    parser.add_argument("--precision", choices=PRECISIONS, default="int8", help="default: int8")
    parser.add_argument(
        "--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="for --demo"
    )
    options = parser.parse_args(arguments)
    run = demo(options.runs_dir) if options.demo else runs.load(options.run, "wrn_edge")
    out = bundle(run, options.out, data_dir=options.data_dir, precision=options.precision)
    megabytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    print(f"bundle  {out} ({megabytes:.1f} MB); its self-test passed")
    print(f"next    copy it to the device, read {out / 'README.md'}")
    if run.synthetic:
        print(notices.SYNTHETIC_MODEL)
    print(notices.RESEARCH_USE)
    return 0


if __name__ == "__main__":
    errors.main(main)
