"""Convert, check, choose the better converter's file, and write all files or none."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import terminal
from common.errors import InputError, first_line
from common.export import checks, conversion, flatbuffer, onnx_file, preparing
from common.export.conversion import CONVERTERS, PRECISIONS
from common.export.flatbuffer import Description
from common.files import as_bytes, atomic_path, plain
from common.metrics.summary import aligned
from common.notices import RESEARCH_USE

if TYPE_CHECKING:
    import keras

SCHEMA = 1


@dataclass
class Candidate:
    """A converted file whose structure passed its checks."""

    converter: str
    content: bytes = field(repr=False)
    description: Description
    calibration: dict[str, Any]
    """Its agreement on the calibration images."""

    @property
    def error(self) -> float:
        """What the better file has less of; a top class more or less the same is chance."""
        return self.calibration["mean_logit_error"]


def export(
    model: keras.Model,
    out: str | Path,
    *,
    calibration: np.ndarray,
    heldout: np.ndarray,
    precisions: Sequence[str] = PRECISIONS,
    converters: Sequence[str] = tuple(CONVERTERS),
    heldout_names: Sequence[str] | None = None,
    facts: Mapping[str, Any] | None = None,
    threads: int = 1,
    onnx: bool = False,
) -> dict[str, Any]:
    """Write ``model-<precision>.tflite`` and ``export.json``; a file that fails is left out.

    Where both converters can make a file, the one is kept whose logits are nearer those of the
    Keras model on the calibration images. The held-out images judge that file alone.

    Parameters
    ----------
    model : keras.Model
        From raw RGB pixels (None, S, S, 3) in [0, 255] to probabilities (None, K). Sides may be
        open; a file has those of the calibration images.
    out : path
        A folder. Files of an earlier export in it are replaced.
    calibration : ndarray, uint8, (N, S, S, 3), RGB
        Training images only.
    heldout : ndarray, uint8, (M, S, S, 3), RGB
        Images that were not trained on; they measure the agreement.
    precisions : sequence of str
        From `PRECISIONS`.
    converters : sequence of str
        From `CONVERTERS`; one that is not installed is passed over, and `export.json` says so.
    heldout_names : sequence of str, optional
        Names of the held-out images, for the list of disagreements.
    facts : mapping, optional
        What else `export.json` shall hold (classes, licence, run).
    threads : int
        Threads for running the files.
    onnx : bool
        Whether to write ``model.onnx``, too.

    Returns
    -------
    dict
        What `export.json` holds; `refused` lists the precisions that failed, with the reason.

    Raises
    ------
    InputError
        If the backend is not TensorFlow, the images do not fit the model, the model is none from
        an image to probabilities, or every file fails its checks; nothing is written then.
    """
    from common.backend import keras

    if keras.backend.backend() != "tensorflow":
        raise InputError("TFLite files are made by TensorFlow: unset KERAS_BACKEND for the export")
    for name in precisions:
        if name not in PRECISIONS:
            raise InputError(f"precision {name!r}: choose from {', '.join(PRECISIONS)}")
    preparing.check_model(model)
    shape = tuple(model.inputs[0].shape[1:])
    for name, images in (("calibration", calibration), ("held-out", heldout)):
        fits = len(images) and images.ndim == 4 and images.dtype == np.uint8
        if not fits or any(
            a not in (None, b) for a, b in zip(shape, images.shape[1:], strict=True)
        ):
            raise InputError(
                f"{name} images are {images.dtype} {images.shape}, the model takes uint8 "
                f"{('N', *shape)}"
            )
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: no folder; give another one for the files")
    model = preparing.in_float32(model)
    known, expected = (preparing.predict(model, images) for images in (calibration, heldout))
    graph_for = preparing.graphs(model, calibration)
    files: list[dict[str, Any]] = []
    contents: dict[str, bytes] = {}
    refused: list[dict[str, str]] = []
    for precision in precisions:
        graph = graph_for(precision)
        passed: list[Candidate] = []
        tried: list[dict[str, Any]] = []
        for converter in _converters(precision, converters):
            try:
                conversion.require(converter)
                terminal.line(f"{precision}: converting with {converter}")
                candidate = _convert(converter, graph, precision, calibration, known, threads)
            except InputError as error:
                tried.append({"converter": converter, "problem": str(error)})
                continue
            passed.append(candidate)
            tried.append({"converter": converter, "problem": None} | _numbers(candidate))
        if not passed:
            problem = "; ".join(f"{each['converter']}: {each['problem']}" for each in tried)
            refused.append({"precision": precision, "problem": problem})
            continue
        best = min(passed, key=lambda candidate: candidate.error)
        try:
            outputs = checks.run(best.content, heldout, threads)
            agreement = checks.agreement(expected, outputs, heldout_names)
            checks.check_agreement(agreement, precision)
        except InputError as error:
            refused.append({"precision": precision, "problem": f"{best.converter}: {error}"})
            continue
        name = f"model-{precision}.tflite"
        contents[name] = best.content
        files.append(
            {
                "file": name,
                "precision": precision,
                "sha256": hashlib.sha256(best.content).hexdigest(),
                "bytes": len(best.content),
                "input": best.description.input,
                "output": best.description.output,
                "ops": best.description.ops,
                "converter": {"name": best.converter, "tried": tried},
                "agreement": agreement,
            }
        )
    if not files:
        raise InputError(
            "nothing written, files failed their checks:\n"
            + "\n".join(f"{each['precision']}, {each['problem']}" for each in refused)
        )
    interchange = None
    if onnx:
        try:
            contents[onnx_file.FILE], interchange = onnx_file.make(model, heldout, heldout_names)
        except InputError as error:
            refused.append({"precision": "onnx", "problem": str(error)})
    record = {
        "schema": SCHEMA,
        "notice": RESEARCH_USE,
        "network": model.name,
        "parameters": model.count_params(),
        "image_size": calibration.shape[1],
        **(facts or {}),
        "calibration": {
            "count": len(calibration),
            "part": "train",
            "sha256": hashlib.sha256(np.ascontiguousarray(calibration).data).hexdigest(),
        },
        "versions": versions(),
        "files": files,
        **({"onnx": interchange} if interchange else {}),
        "refused": refused,
    }
    # All under other names first: a full disk leaves an earlier export as it was.
    with contextlib.ExitStack() as stack:
        last = stack.enter_context(atomic_path(out / "export.json"))
        last.write_bytes(as_bytes(json.dumps(plain(record), indent=2, ensure_ascii=False) + "\n"))
        for name, content in contents.items():
            stack.enter_context(atomic_path(out / name)).write_bytes(content)
    for name in (*(f"model-{precision}.tflite" for precision in PRECISIONS), onnx_file.FILE):
        if name not in contents:  # of an earlier model, perhaps
            (out / name).unlink(missing_ok=True)
    return record


def _converters(precision: str, wanted: Sequence[str]) -> list[str]:
    """Converters for a precision; float files need no quantizer."""
    if precision in ("float32", "float16"):
        return ["tensorflow"]
    return list(wanted)


def _convert(
    converter: str,
    model: keras.Model,
    precision: str,
    calibration: np.ndarray,
    known: np.ndarray,
    threads: int,
) -> Candidate:
    """Convert and check the structure; InputError says why there is no such file."""
    try:
        content = CONVERTERS[converter](model, precision, calibration)
    except ModuleNotFoundError as error:
        raise conversion.not_installed(error.name) from None
    except Exception as error:  # what a converter raises is its result: the other one may manage
        raise InputError(first_line(error)) from error
    found = checks.check_structure(content, precision, model)
    if precision == "int8":
        content = _centred(content, calibration, known, threads)
    agrees = checks.agreement(known, checks.run(content, calibration, threads))
    return Candidate(converter, content, found, agrees)


def _centred(content: bytes, images: np.ndarray, known: np.ndarray, threads: int) -> bytes:
    """Take the mean error of the logits on the calibration images out of the last biases."""
    errors = checks.logits(checks.run(content, images, threads)) - checks.logits(known)
    return flatbuffer.shift_logits(content, -errors.mean(axis=0))


def _numbers(candidate: Candidate) -> dict[str, Any]:
    """What `export.json` says of a file that was made, kept or not."""
    keys = ("n", "k", "mean_logit_error", "max_logit_error", "max_abs_probability_error")
    numbers = {key: candidate.calibration[key] for key in keys}
    return {"bytes": len(candidate.content), "on_calibration_images": numbers}


def versions() -> dict[str, str]:
    """Versions of what converted and what ran the files.

    Returns
    -------
    dict
        Name of the distribution to its version; those that are not installed are left out.
    """
    found = {}
    for name in ("tensorflow", "keras", "ai-edge-quantizer", "ai-edge-litert"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def table(record: Mapping[str, Any]) -> str:
    """Lay out an export for a terminal: sizes, agreement, errors, and every disagreement.

    Parameters
    ----------
    record : mapping
        What `export.json` holds.

    Returns
    -------
    str
        Several lines.
    """
    rows = [
        ["file", "bytes", "same top class", "95 % interval", "logit error, mean", "most",
         "probability error, most", "converter"]
    ]  # fmt: skip
    notes = []
    for each in record["files"]:
        found = each["agreement"]
        low, high = found["interval"]
        rows.append(
            [
                each["file"],
                f"{each['bytes']:,}",
                f"{found['k']}/{found['n']}",
                f"{low:.4f} to {high:.4f}",
                f"{found['mean_logit_error']:.4f}",
                f"{found['max_logit_error']:.4f}",
                f"{found['max_abs_probability_error']:.4f}",
                each["converter"]["name"],
            ]
        )
        notes += [
            f"{each['file']} differs on {other['image']}: float margin {other['float_margin']:.3f}"
            for other in found["disagreements"]
        ]
        made = [other for other in each["converter"]["tried"] if not other["problem"]]
        for other in each["converter"]["tried"]:
            if other["problem"]:
                notes.append(f"{each['file']} not by {other['converter']}: {other['problem']}")
            elif len(made) > 1:
                found = other["on_calibration_images"]
                notes.append(
                    f"{each['file']} by {other['converter']}: on the {found['n']} calibration "
                    f"images {found['k']} the same, logit error {found['mean_logit_error']:.4f}, "
                    f"at most {found['max_logit_error']:.4f}"
                )
    written = ", ".join(each["file"] for each in record["files"])
    if record.get("onnx"):
        notes.append(onnx_file.line(record["onnx"]))
    notes += [
        f"{each['precision']} not written: {each['problem']}. Written: {written}"
        for each in record.get("refused", ())
    ]
    return "\n".join([*aligned(rows), *map(terminal.plain, notes)])
