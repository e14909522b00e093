"""Pictures with known outputs: which they are, and what a bundle's model makes of them."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common import runs
from common.errors import InputError
from common.files import write_json
from wrn_edge.bundle.programs import device_module

GOLDEN_PER_CLASS = 2
FAMILIES = ("default", "builtin")
"""Kernels whose outputs are written down."""


@dataclass(frozen=True)
class Golden:
    """A picture whose outputs are known: its file, true label, and the Keras model's answer."""

    path: Path
    label: str
    keras: tuple[float, ...]


def choose_golden(run: runs.Run, data_dir: Path, temperature: float | None = None) -> list[Golden]:
    """Take the first test pictures of each class, each of another patient where that can be.

    Parameters
    ----------
    run : Run
        Its predictions.csv says what was tested and what Keras answered.
    data_dir : Path
        The folder that the predictions name their pictures in.
    temperature : float, optional
        That the exported model was built with.

    Returns
    -------
    list of Golden
        `GOLDEN_PER_CLASS` of each class, or as many as there are.

    Raises
    ------
    InputError
        If the pictures are not in `data_dir`.
    """
    from common import confidence, predictions

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
            answer = [[float(row[predictions.column(name)]) for name in run.record["classes"]]]
            keras = confidence.apply_temperature(np.array(answer), temperature)[0]
            found.append(Golden(path, label, tuple(keras.tolist())))
    if not found:
        raise InputError(f"{run.path / 'predictions.csv'}: holds no test pictures")
    return found


def write(folder: Path, about: Mapping[str, Any], golden: Sequence[Golden]) -> None:
    """Copy the golden pictures, add a blank one, and write down what the model makes of them.

    Parameters
    ----------
    folder : Path
        A sealed bundle, but for its folder `golden`, which is made with `expected.json` in it.
    about : mapping
        `image_size` (px), `resize_filter`, `tolerance`.
    golden : sequence of Golden
    """
    (folder / "golden").mkdir()
    pictures: list[dict[str, Any]] = []
    for number, each in enumerate(golden, 1):
        label = re.sub(r"[^\w+-]+", "_", each.label, flags=re.ASCII)  # a class of one's own
        file = f"{number}-{label}{each.path.suffix.lower()}"
        shutil.copyfile(each.path, folder / "golden" / file)
        pictures.append({"file": file, "source": each.path.name, "truth": each.label,
                         "keras": each.keras})  # fmt: skip
    _write_blank(folder / "golden" / "blank.png", about["image_size"])
    pictures.append({"file": "blank.png", "source": "generated", "truth": None, "keras": None})
    with (
        device_module("sealed") as sealed,
        device_module("classifier") as classifier,
        device_module("pixels") as pixels,
    ):
        bundle = sealed.load(folder)
        models = [classifier.Classifier(bundle, kernels=kernels) for kernels in FAMILIES]
        for picture in pictures:
            picture |= _known(
                folder / "golden" / picture["file"], about, models, pixels,
                answer=picture["truth"] is not None,
            )  # fmt: skip
    write_json(
        folder / "golden" / "expected.json",
        {"tolerance": about["tolerance"], "pictures": pictures},
    )


def _known(
    path: Path, about: Mapping[str, Any], models: Sequence[Any], pixels: Any, *, answer: bool
) -> dict[str, Any]:
    """What the device's programs make of a picture; of a blank one, no model is asked."""
    from common import images, tissue

    picture = pixels.read(path)
    small = pixels.resize(picture, about["image_size"])
    known = {
        "pixels_sha256": hashlib.sha256(small.tobytes()).hexdigest(),
        "tissue": not tissue.judge(small)[1],
    }
    if not answer:
        return known
    outputs = {model.family: model.run(small) for model in models}
    trained_on = images.resize(picture, about["image_size"], about["resize_filter"])
    same = np.array_equal(small, trained_on)
    drift = 0 if same else np.abs(models[0].run(trained_on) - models[0].run(small)).max()
    return known | {
        "outputs": outputs,
        "label": {name: models[0].decide(output)[0] for name, output in outputs.items()},
        "drift_from_training_resize": float(drift),
    }


def _write_blank(path: Path, size: int) -> None:
    from PIL import Image

    Image.new("RGB", (2 * size, size), (243, 241, 244)).save(path)
