"""The one door through which a run's model is loaded; no file runs code of its own."""

from __future__ import annotations

import importlib
import json
import zipfile
from pathlib import Path
from typing import Any

from common.errors import RESTORE, InputError
from common.papers import PAPERS
from common.runs.folder import Run, load

# Objects of Keras that hold or fetch code: Python byte code, pickles, other programs' functions.
_RUNS_CODE = ("Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer")


def load_model(run: Run | str | Path, name: str = "model.keras", module: str = "model") -> Any:
    """Load a run's best model; it takes raw RGB pixels in [0, 255].

    The package that made the run is imported first, because its own layers must be known to Keras.
    Nothing but Keras' and this project's own layers is loaded, and Keras' safe mode stays on: a
    file runs no code of its own.

    Parameters
    ----------
    run : Run or path
        A run of one of this project's papers; nothing else is imported.
    name : str
        The model's file in the run folder; a GAN keeps its generator.
    module : str
        The package's module that defines its layers.

    Raises
    ------
    InputError
        If the file is missing, damaged, or asks for other code.
    """
    run = run if isinstance(run, Run) else load(run)
    if run.record.package not in PAPERS:
        raise InputError(
            f"{run.path}: a run of {run.record.package!r}, which is none of {', '.join(PAPERS)}; "
            "its model is not loaded"
        )
    file = run.path / name
    if not file.is_file():
        raise InputError(f"{file}: missing; run the training command again to finish this run")
    try:
        foreign = _foreign_code(file)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise InputError(f"{file}: damaged or no Keras model; {RESTORE}") from None
    if foreign:
        raise InputError(
            f"{file}: refused, it wants to run code of its own ({foreign}); a model of this "
            f"project never does: {RESTORE}"
        )
    importlib.import_module(f"{run.record.package}.{module}")
    import keras

    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file makes zip, HDF5 and Keras raise almost anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{file}: damaged; {RESTORE}. Keras says: {reason}") from None


def _foreign_code(file: Path) -> str:
    """Name what in a model file would run code that is neither Keras' nor ours; "" if nothing."""
    with zipfile.ZipFile(file) as archive:
        waiting = [json.loads(archive.read("config.json"))]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        if not isinstance(item, dict):
            continue
        waiting += item.values()
        name, module = str(item.get("class_name", "")), str(item.get("module") or "keras")
        ours = str(item.get("registered_name")).startswith("histopapers>")
        if name in _RUNS_CODE:
            return name
        if "class_name" in item and not ours and module.split(".")[0] not in ("keras", "builtins"):
            return f"{module}.{name}"
    return ""
