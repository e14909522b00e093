"""What a run's files answer of the checklists; in words, with no number of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common import confidence, models, networks
from common.card import markdown
from common.checklists import Item, seen
from common.errors import InputError
from common.report.files import RunFiles
from common.report.words import plural
from common.splits import PARTS

FILL = "*to be filled*"
"""Stands where the run does not know."""

_TRIPOD = {
    "4": "goal", "7": "preparing", "9": "predictors", "13": "weighting", "18": "open",
    "20": "parts", "22": "model", "26": "limits",
}  # fmt: skip
_CLAIM = {
    "6": "goal", "9": "preparing", "22": "model", "23": "software", "24": "initial",
    "25": "training", "26": "selection", "31": "explanation", "35": "parts", "36": "classes",
    "40": "limits", "43": "code",
}  # fmt: skip
_ANSWERS = {"tripod_ai": _TRIPOD, "claim": _CLAIM}
"""Checklist -> item -> what of `_told` answers it, beside the facts that the items name."""


def answers(files: RunFiles) -> dict[str, dict[str, str]]:
    """Answer the items that a run's files answer.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict
        Checklist -> number of the item -> the answer.
    """
    told = _told(files)
    return {
        name: {item: told[key] for item, key in chosen.items() if told.get(key)}
        for name, chosen in _ANSWERS.items()
    }


def answer(item: Item, own: dict[str, str], facts: dict[str, str]) -> str | None:
    """Answer one item.

    Parameters
    ----------
    item : Item
        Of a checklist.
    own : dict of str to str
        The checklist's, from `answers`.
    facts : dict of str to str
        From `facts`.

    Returns
    -------
    str or None
        None where the run does not know.
    """
    told = own.get(item.number) or seen(item, facts)
    return told and told[0].upper() + told[1:]


def facts(files: RunFiles) -> dict[str, str]:
    """Say which of `common.checklists.FACTS` a run's files show.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict of str to str
        Where each is to be read.
    """
    found: dict[str, str] = {}
    scores = files.metrics
    if files.split is not None:
        found["split"] = f"drawn {_split(files)}"
        if "case" in files.split and (files.split["case"] != "").all():
            shared = files.record.leaks
            found["patients of the split"] = (
                "patients are known" + ("; what parts share stands above" if shared else "")
            )  # fmt: skip
    if scores:
        found["test part"] = "the test images, scored above"
        found["labels and predictions"] = "the confusion matrix above"
        found["probabilities"] = "a probability for each class, which sum to one"
        found["images of each class"] = "the confusion matrix above"
        found["scores"] = "the table of scores above"
        found["scores of each class"] = "the table of classes above"
        if scores.get("n_patients"):
            found["patients tested"] = "the number of patients above"
        if scores.get("ci_unit") == "patient" and scores.get("accuracy_ci"):
            found["intervals over patients"] = "the intervals above, over patients"
    return found


def _split(files: RunFiles) -> str:
    kind = str(files.metrics.get("split") or files.config.get("split") or "")
    words = {
        "patient": "by patient", "image": "by image", "official": "as the data set's authors did",
    }  # fmt: skip
    return words.get(kind, f"by the rule {kind!r}" if kind else "by a rule that was not noted")


def _told(files: RunFiles) -> dict[str, str]:
    """Sentences by what they tell; "" where the files do not know."""
    config, record = files.config, files.record
    packages = files.environment.get("packages") or {}
    code = (
        "Code, settings and the seeds of this run: the package histopapers (Apache licence), "
        f"{preset(files)}"
    )
    every = "every setting with its source stands in config.json"
    return {
        "goal": "To develop a model that classifies images of tissue, and to test it on held-out "
        "images; no use in care was evaluated",
        "preparing": _preparing(files),
        "predictors": "The pixels of one image; nothing else of a patient",
        "weighting": _weighting(files),
        "open": f"{code}; data: see above. {FILL} funding, interests, protocol and registration",
        "code": f"{code}; the trained model: model.keras; data: see above",
        "parts": _parts(files),
        "classes": _classes(files),
        "model": f"{_network(files)}, whole in model.keras; {every}",
        "software": f"histopapers, Keras on {files.environment.get('backend', 'its backend')}; "
        "versions stand in environment.json" if packages else "",
        "initial": {"none": "Random", "imagenet": "Trained on ImageNet"}.get(
            record.weights, "From a file; its hash stands in config.json"),
        "training": f"Optimizer, rates, batches, augmentation and epochs: {every}",
        "selection": _selection(config),
        "explanation": "Grad-CAM, by `predict --gradcam`",
        "limits": "What may flatter the scores stands above" if record.leaks else "",
    }  # fmt: skip


def preset(files: RunFiles) -> str:
    """Name the preset as it can be given.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    str
        "preset demo on own images", "no preset".
    """
    name, own = files.record.preset, files.record.own
    if own:
        name = name.removeprefix("own").removeprefix("-")
    said = f"preset {name}" if name else "no preset"
    return f"{said}, on own images" if own else said


def parts(files: RunFiles) -> dict[str, str]:
    """Count the images and patients of each part.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict
        Part -> "42 images of 14 patients"; empty without a split.
    """
    found: dict[str, str] = {}
    split = files.split
    if split is None:
        return found
    for part in PARTS:
        rows = split[split["part"] == part]
        if len(rows):
            cases = rows["case"] if "case" in rows else rows["image"].map(lambda _: "")
            unknown = int((cases == "").sum())
            of = f" of {plural(cases[cases != ''].nunique(), 'patient')}"
            left = f", and of {plural(unknown, 'image')} the patient is unknown" if unknown else ""
            known = ", patients unknown" if unknown == len(rows) else of + left
            found[part] = f"{plural(len(rows), 'image')}{known}"
    return found


def _parts(files: RunFiles) -> str:
    told = [f"{part}: {said}" for part, said in parts(files).items()]
    if not told:
        return ""
    left = files.record.get("left_out") or len(files.record.skipped)
    told.append(f"left out as damaged: {left or 'none'}")
    return f"{'; '.join(told)}. {FILL} who was left out before, and what the patients are like"


def _classes(files: RunFiles) -> str:
    split = files.split
    if split is None:
        return ""
    told = []
    for part in PARTS:
        labels = split["label"][split["part"] == part]
        if len(labels):
            sizes = (
                f"{markdown.name(name)} {int((labels == name).sum())}" for name in files.classes
            )
            told.append(f"{part}: {', '.join(sizes)}")
    return f"Images of each class: {'; '.join(told)}. {FILL} what the patients are like"


def _network(files: RunFiles) -> str:
    name = networks.title(files.config)
    said = f"Network {name}" if name else "The network"
    try:
        weights = models.check_keras(files.path / "model.keras")[1]
    except InputError:
        return said  # the card alone can be had without the model
    # The state of what draws random numbers is no parameter.
    count = sum(size for path, size in weights.items() if "seed_generator" not in path)
    return f"{said} of {count:,} parameters"


def _preparing(files: RunFiles) -> str:
    if "image_size" not in files.config:
        return ""
    stain = "stain-normalised, " if files.record.facts.get("stain_normalizer") else ""
    how = files.config.get("resize_filter", "default")
    return f"Images are {stain}resized as a whole (filter {how}; side in config.json), all alike"


def _weighting(files: RunFiles) -> str:
    weights = files.config.get("class_weights")
    if not weights:
        return ""
    if confidence.kept(files.metrics).temperature is None:
        return f"Weights of classes: {weights}; nothing was recalibrated"
    return (
        f"Weights of classes: {weights}; probabilities of new images are recalibrated, by the "
        "temperature in metrics.json, which the scores above do without"
    )


def _selection(config: Mapping[str, Any]) -> str:
    chosen = config.get("select_on")
    if chosen == "last":
        return "The last epoch's weights; no images chose them"
    return f"The epoch that was best on the {chosen} images" if chosen else ""
