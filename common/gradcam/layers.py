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


def operations(model: keras.Model) -> dict[str, keras.Operation]:
    """Every layer and operation of a model by name, in its order, those of nested models included.

    A nested one is there as ``outer/inner``, too; as ``inner`` alone only where no other has that
    name.

    Parameters
    ----------
    model : keras.Model
    """
    paths: list[tuple[str, keras.Operation]] = []

    def collect(part: Any, prefix: str) -> None:
        for each in getattr(part, "operations", None) or part._flatten_layers(False, False):
            paths.append((prefix + each.name, each))
            if hasattr(each, "_flatten_layers"):
                collect(each, f"{prefix}{each.name}/")

    collect(model, "")
    whose: dict[str, set[int]] = {}
    for _, each in paths:
        whose.setdefault(each.name, set()).add(id(each))
    direct = {path for path, _ in paths if "/" not in path}
    found: dict[str, keras.Operation] = {}
    for path, each in paths:
        found[path] = each
        if each.name not in direct and len(whose[each.name]) == 1:
            found[each.name] = each
    return found


def title(stage: str) -> str:
    """Name of a stage as it stands above its map.

    Parameters
    ----------
    stage : str
        From `stages`, for example "stage_1".

    Returns
    -------
    str
        In words: "Stage 1".
    """
    words = stage.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def titled_stages(run: Recorded) -> dict[str, str]:
    """Title of each stage -> layer, as above and behind the maps of a run.

    Parameters
    ----------
    run : common.runs.Run
        As in `stages`.

    Returns
    -------
    dict
        "Stage 1" ... -> name of a layer.
    """
    return {title(stage): layer for stage, layer in stages(run).items()}


def find(model: keras.Model, name: str, what: str = "layer") -> keras.Operation:
    """Layer or operation of a model by name, also inside nested models.

    Parameters
    ----------
    model : keras.Model
    name : str
        Of a layer in a nested model that has its name in common with another: ``outer/inner``.
    what : str
        Name of the argument, for messages.

    Returns
    -------
    keras.Operation

    Raises
    ------
    InputError
        If there is none, or more than one; the message gives near names.
    """
    if not isinstance(name, str):
        raise InputError(f"{what}: the name of a layer is expected, not {name!r:.60}")
    found = operations(model)
    if name not in found:
        nested = [each for each in found if each.endswith(f"/{name}")]
        near = nested or difflib.get_close_matches(name, found, n=5, cutoff=0.5)
        last = f"the last is {list(found)[-1]}" if found else "it has none"
        hint = f"near names: {', '.join(near)}" if near else last
        raise InputError(f"the model {model.name} has no layer {name!r}; {hint}")
    return found[name]


def last_feature_map(model: keras.Model) -> keras.Operation:
    """The last operation of a model that gives a feature map of more than one place.

    Parameters
    ----------
    model : keras.Model

    Raises
    ------
    InputError
        If its graph is not known or none does.
    """
    for each in reversed(operations(model).values()):
        if type(each).__name__ == "InputLayer":
            continue
        try:
            shape = each.output.shape
        except (AttributeError, ValueError, TypeError):  # no graph, several outputs, used twice
            continue
        if len(shape) == 4 and shape[1:3] != (1, 1):
            return each
    raise InputError(
        f"the model {model.name} shows no layer with a feature map (N, h, w, channels): name it "
        "with layer="
    )


def scores_layer(model: keras.Model, name: str | None) -> keras.Operation:
    """The operation from which the class scores come: as named, `logits`, or the model's output.

    Parameters
    ----------
    model : keras.Model
    name : str, optional

    Raises
    ------
    InputError
        If it cannot be told without a name.
    """
    if name is not None:
        return find(model, name, "logits")
    for each in getattr(model, "operations", None) or model.layers:
        if each.name == "logits":
            return each
    try:
        outputs = list(model.outputs)
    except (AttributeError, TypeError, ValueError):
        raise InputError(
            f"the model {model.name} has no graph to look at (it is subclassed): name the layer of "
            "its class scores with logits="
        ) from None
    if len(outputs) != 1:
        names = ", ".join(each.name for each in outputs)
        raise InputError(
            f"the model {model.name} has {len(outputs)} outputs ({names}): name the layer of the "
            "class scores with logits="
        )
    last = outputs[0]._keras_history.operation
    nested = hasattr(last, "outputs") and hasattr(last, "layers")
    return scores_layer(last, None) if nested else last
