"""Which layer of which network Grad-CAM looks at."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from common import networks
from common.errors import InputError

if TYPE_CHECKING:
    import keras


class Recorded(Protocol):
    """What `stages` asks of a run: `common.runs.Run` has it."""

    @property
    def record(self) -> Mapping[str, Any]:
        """What its `config.json` says."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """The fields of the paper's Config."""
        ...


def stages(run: Recorded) -> dict[str, str]:
    """Stage -> layer that the pictures of a run show, the last stage last.

    Parameters
    ----------
    run : common.runs.Run
        `gradcam_layers` in its `config.json`, where the paper's model noted them (a network of its
        own), stands before those of the application that `network` names.

    Returns
    -------
    dict
        "stage_1" ... -> name of a layer.
    """
    noted = run.record.get("gradcam_layers")
    return dict(noted) if noted else networks.gradcam_layers(str(run.config.get("network")))


def find(model: keras.Model, name: str) -> keras.Operation:
    """Layer or operation of a model by name, also inside nested models.

    Parameters
    ----------
    model : keras.Model
    name : str

    Returns
    -------
    keras.Operation

    Raises
    ------
    InputError
        If there is none; the message gives near names.
    """
    found: dict[str, keras.Operation] = {}

    def collect(part: keras.Model) -> None:
        for operation in getattr(part, "operations", part.layers):
            found.setdefault(operation.name, operation)
            if hasattr(operation, "layers"):
                collect(operation)

    collect(model)
    if name not in found:
        near = difflib.get_close_matches(name, found, n=5, cutoff=0.5)
        hint = f"near names: {', '.join(near)}" if near else f"the last is {list(found)[-1]}"
        raise InputError(f"the model {model.name} has no layer {name!r}; {hint}")
    return found[name]
