"""What is known of an exported run: its record, its data, how exact its model is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import runs
from common.errors import InputError
from common.files import file_hash, read_json

PRECISIONS = ("int8", "dynamic", "float16", "float32")
TOLERANCE = {"dynamic": 0.02, "float16": 2e-3, "float32": 1e-4, "int8": 0.02}
"""What two families of kernels may differ by in a probability; of int8 models see `tolerance`."""


def read_export(run: runs.Run) -> dict[str, Any]:
    """Read what `wrn_edge.export` wrote beside its models.

    Parameters
    ----------
    run : Run

    Raises
    ------
    InputError
        If the run was not exported, or the record is damaged.
    """
    path = run.path / "export" / "export.json"
    again = f"export it first: python -m wrn_edge.export --run {run.path}"
    return read_json(path, repair=again)


def find_model(
    run: runs.Run, export: dict[str, Any], precision: str
) -> tuple[Path, dict[str, Any]]:
    """Find one of the exported models.

    Parameters
    ----------
    run : Run
    export : dict
        From `read_export`.
    precision : {"int8", "dynamic", "float16", "float32"}

    Returns
    -------
    path : Path
        The .tflite file, with the bytes that were exported.
    entry : dict
        What the exporter says of it.

    Raises
    ------
    InputError
        If it was not exported, is not the file that was exported, or takes normalised images.
    """
    entry = next((each for each in export["files"] if each["precision"] == precision), None)
    if entry is None:
        raise InputError(
            f"{run.path}: no {precision} model was exported: python -m wrn_edge.export --run "
            f"{run.path} --precision {precision}"
        )
    if export["stain_normalised"]:
        raise InputError(f"{run.path}: trained on stain-normalised images, which no device makes")
    path = run.path / "export" / entry["file"]
    if not path.is_file() or file_hash(path) != entry["sha256"]:
        raise InputError(f"{path}: missing, or not the file that was exported; export it again")
    return path, entry


def find_data(run: runs.Run, data_dir: Path | None) -> Path:
    """Folder of the run's pictures, found as the export found it.

    Parameters
    ----------
    run : Run
    data_dir : Path, optional

    Raises
    ------
    InputError
        If nothing says where they are.
    """
    from common import export

    return export.data_folder(run, data_dir)


def tolerance(precision: str, logit_step: float | None) -> float:
    """How far a probability may lie from that of other kernels on the same picture.

    Kernels of two families move an int8 model's logits by up to two steps each; a softmax moves a
    probability by at most a quarter of the largest change between two logits, which is four steps.

    Parameters
    ----------
    precision : str
        A key of `TOLERANCE`.
    logit_step : float or None
        One step of the quantised logits; None if they are not quantised.
    """
    return TOLERANCE[precision] if logit_step is None else logit_step
