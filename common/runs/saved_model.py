"""A run's model, loaded with the layers of the package that made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import papers
from common.errors import RESTORE, InputError
from common.runs.folder import Run, load


def require_model(run: Run, name: str = "model.keras") -> Path:
    """A run's file of a model; refuses a run that lacks it before anything heavy is imported.

    Parameters
    ----------
    run : Run
    name : str

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If it is not there.
    """
    file = run.path / name
    if not file.is_file():
        cure = RESTORE if run.finished else "run the training command again to finish this run"
        raise InputError(f"{file}: missing; {cure}")
    return file


def load_model(run: Run | str | Path, name: str = "model.keras", module: str = "model") -> Any:
    """Load a run's best model; it takes raw RGB pixels in [0, 255].

    The package that made the run is imported first, because its own layers must be known to Keras.
    The file goes through `common.models` like every other.

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
        If the file is missing, damaged, asks for other code, or is a network for images of another
        size or for other classes than the run's.
    """
    run = run if isinstance(run, Run) else load(run)
    file = require_model(run, name)
    papers.module_of(run.record.package, module, run.path)
    from common import models

    try:
        model = models.load(file)
        if name == "model.keras":
            size, classes = run.config["image_size"], run.record["classes"]
            models.check_shapes(model, file, [(None, size, size, 3)], [(None, len(classes))])
    except InputError as error:
        raise InputError(f"{error}; {RESTORE}") from None
    return model
