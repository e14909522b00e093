"""Write a bundle: programs, model, labels, golden pictures, texts and seal, whole or not at all."""

from __future__ import annotations

import csv
import datetime
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import notices, runs, writers
from common.errors import InputError
from common.files import write_json, write_text
from wrn_edge.bundle import golden as golden_pictures
from wrn_edge.bundle import programs, seal
from wrn_edge.bundle.golden import Golden
from wrn_edge.bundle.programs import DEVICE


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
        writers.remove_halves(out.parent, deep=False)
        half = Path(tempfile.mkdtemp(prefix=writers.half_prefix(), dir=out.parent))
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
    programs.copy(folder)
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
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "software": {"histopapers": _version(), "commit": runs.commit()},
        **{key: value for key, value in about.items() if key != "model"},
        "model": {**about["model"], "file": name, "bytes": len(content)},
    }
    seal.write(folder, manifest)  # the device's programs load nothing that is not sealed
    golden_pictures.write(folder, about, golden)
    seal.write(folder, manifest)
    seal.self_test(folder)


def _write_published(path: Path) -> None:
    """Copy the paper's latencies (Table 6)."""
    with (DEVICE.parent / "published.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["table"] == "T6"]
    columns = ("table", "row", "metric", "printed", "unit", "note")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


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
    if about.get("temperature") is not None:
        lines.append(
            "Its probabilities were calibrated on validation pictures, with temperature "
            f"{about['temperature']:.3g}."
        )
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


def _version() -> str | None:
    from importlib import metadata

    try:
        return metadata.version("histopapers")
    except metadata.PackageNotFoundError:
        return None
