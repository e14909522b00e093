"""What a command works on: a public data set's images, or one's own, with their parts.

A paper names its data set and how it splits; `gather` gives that data set's images, or those that
`--images` names, with the request as these images answer it: so many classes, such a split.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from common import datasets, terminal
from common.config import Execution, PaperConfig, Request
from common.datasets import Card, own, patients, synthetic
from common.datasets.lists import read_list
from common.errors import InputError, many
from common.files import file_hash
from common.material import parts

if TYPE_CHECKING:
    import pandas as pd

    from common.datasets.own import Images, OwnImages
    from common.images import Pixels

C = TypeVar("C", bound=PaperConfig)

_OF_DATA_SETS = {"official", "counts", "partition"}
"""Splits that are facts of a public data set."""


@dataclass(frozen=True)
class Material(Generic[C]):
    """The images of a command.

    Attributes
    ----------
    request : Request
        Settings, of one's own images with the number of their classes and the split that they
        allow.
    card : Card
        The data set, or one's own images as one.
    data_dir : Path
        Where they lie.
    index : DataFrame
        Columns `common.datasets.COLUMNS`.
    images : Images, optional
        As the list or folder names them; None of a public data set.
    """

    request: Request[C]
    card: Card
    data_dir: Path
    index: pd.DataFrame
    images: Images | None = None

    @property
    def own(self) -> bool:
        """Whether these are the user's own images."""
        return self.images is not None

    def split(
        self, index: pd.DataFrame, make: Callable[[pd.DataFrame], pd.DataFrame]
    ) -> pd.DataFrame:
        """Assign every image to a part: as a list's column `part` says, else as the paper does.

        Parameters
        ----------
        index : DataFrame
            The images that can be used.
        make : callable
            The paper's split of an index.

        Returns
        -------
        DataFrame
            The index with the column `part`.

        Raises
        ------
        InputError
            If two sources say different parts, a patient lies in two parts of what is to be a
            split by patient, or no such split can be drawn.
        """
        config, execution = self.request.config, self.request.execution
        if self.images is not None and "part" in self.images.columns:
            return parts.given(self.images, index, config, execution)
        source: str | Path = ""
        if self.images is not None:
            listing = execution.patients if config.split == "patient" else None
            source = listing or self.images.source
        return parts.drawn(index, config, make, source)

    def leaks(self, say: Callable[[Any], list[str]]) -> list[str]:
        """What may flatter the result.

        Parameters
        ----------
        say : callable
            The paper's words for a config.
        """
        config: Any = self.request.config
        if self.images is None:
            return say(config)
        # What a paper says of its split is about its data set; of a file's it says nothing.
        found = say(dataclasses.replace(config, split="file"))
        known = self.index["case"] != ""
        if config.split == "image" and known.any():
            found.append("image-wise split: a patient's images may lie in training and test alike")
        if not known.any():
            found.append("patients unknown: one patient's images may lie in both training and test")
        elif not known.all():
            found.append(
                f"the patients of {int((~known).sum())} of {len(known)} images are unknown: some "
                "may lie in both training and test"
            )
        return found

    def more(self, index: pd.DataFrame, other: str = "") -> str:
        """Hash of what makes another run of the same images.

        Parameters
        ----------
        index : DataFrame
            The images that are used.
        other : str
            Such a hash of the paper's own.
        """
        if self.images is None:
            return other
        card: Any = self.card
        return " ".join(each for each in (card.identity(index), other) if each)

    def facts(self) -> dict[str, Any]:
        """What `config.json` says of one's own images."""
        if self.images is None:
            return {}
        source, root = self.images.source, str(self.images.root)
        digest = file_hash(source) if source.is_file() else ""
        said: dict[str, Any] = {"source": source.name, "root": root, "sha256": digest}
        scales = [self.images.mpp.get(image, 0.0) for image in self.index["image"]]
        if all(scales):
            said["mpp"] = [min(scales), max(scales)]
        return {"own": said}

    def checked(self, index: pd.DataFrame, pixels: Pixels) -> pd.DataFrame:
        """Give the images that can be used; refuse a file of one's own that has two labels.

        Parameters
        ----------
        index : DataFrame
            All images.
        pixels : Pixels
            Those that could be decoded.
        """
        kept = pixels.kept(index)
        if self.images is not None:
            digests = dict(zip(pixels.images, pixels.digests, strict=True))
            own.require_one_label(self.images, kept, [digests[name] for name in kept["image"]])
        return kept


def gather(
    request: Request[C],
    card: Card | Callable[[], Card],
    load: Callable[[C, Path], pd.DataFrame],
) -> Material[C]:
    """Find the images that a request is about.

    Parameters
    ----------
    request : Request
        Its execution names `images`, `data_dir`, `patients`.
    card : Card or callable
        The paper's data set, or what gives it where it is asked for.
    load : callable
        Gives its index, from a config and a folder.

    Raises
    ------
    InputError
        If there are none, or they cannot be used so.
    """
    execution = request.execution
    listing, source, doubtful = execution.patients, execution.images, None
    if source is not None and source.is_file() and read_list(source).only_patients:
        if listing is not None:
            raise InputError("--images and --patients are both lists of patients: give one")
        listing, source, doubtful = source, None, source
    if source is None:
        _refuse_own(execution)
        _require_split_file(request)
        execution = dataclasses.replace(execution, images=None, patients=listing)
        request = dataclasses.replace(request, execution=execution)
        card = card() if callable(card) else card
        with parts.missing_labels(doubtful, execution.data_dir):
            if listing is not None:
                loader = functools.partial(load, request.config)
                known = synthetic.demo_index(card.NAME, loader) if _drawn(request) else None
                patients.require_fitting(known, listing)  # before a demo's images are drawn
            data_dir = data_folder(request, card)
            index = load(request.config, data_dir)
            if listing is not None:
                index = patients.with_patients(index, listing)
        return Material(request, card, data_dir, index)
    images = own.read(source, data_dir=execution.data_dir if source.is_file() else None)
    if listing is not None:
        images = dataclasses.replace(
            images,
            table=patients.with_patients(images.table, listing),
            columns=(*images.columns, "patient"),
        )
    index = _of_magnifications(images, request)
    made = own.card(images, order=execution.classes_order, positive=execution.positive, index=index)
    terminal.line(_introduction(made, index))
    answered = _answered(request, made, index)
    if "part" not in images.columns:
        _require_split_file(answered)
    return Material(answered, made, images.root, index, images)


def data_folder(request: Request[Any], card: Card) -> Path:
    """Where a run's images lie: the folder asked for, or a demo's synthetic tissue.

    Parameters
    ----------
    request : Request
        Its `data_dir`; unset, the demo grows its tissue in the runs folder, and every other run
        reads the folder that $HISTOPAPERS_DATA names.
    card : Card
        The data set.

    Raises
    ------
    InputError
        If there is no such folder; the message says how the data are obtained.
    """
    if _drawn(request):
        return synthetic.demo(request.execution.runs_dir, card.NAME)
    return datasets.data_folder(card, request.execution.data_dir)


def _drawn(request: Request[Any]) -> bool:
    """Whether the images are a demo's."""
    return request.execution.data_dir is None and request.preset.startswith("demo")


def _refuse_own(execution: Execution) -> None:
    for name, value in (("classes-order", execution.classes_order),
                        ("positive", execution.positive)):  # fmt: skip
        if value:
            raise InputError(f"--{name}: is for images of your own; give them with --images")


def _require_split_file(request: Request[Any]) -> None:
    """Refuse a file of parts that nothing would read."""
    split, file = request.config.split, request.execution.split_file
    if file is not None and split != "file":
        raise InputError(f"--split-file {file}: is for --split file, and the split is {split}")


def _of_magnifications(images: Images, request: Request[Any]) -> pd.DataFrame:
    """Of one's own images those of the magnifications asked for; all, if none is."""
    name = next((n for n in ("magnifications", "magnification") if n in request.asked), None)
    if name is None:
        return images.table
    said = getattr(request.config, name)
    wanted = (said,) if isinstance(said, str) else tuple(said)
    if "magnification" not in images.columns:
        raise InputError(
            f"--{name} {' '.join(wanted)}: {images.source} does not say the magnification of its "
            "images; leave the flag out, or add a column magnification"
        )
    index = images.table[images.table["magnification"].isin(wanted)].reset_index(drop=True)
    if index.empty:
        there = sorted(set(images.table["magnification"]) - {""}, key=lambda m: (len(m), m))
        raise InputError(
            f"--{name} {' '.join(wanted)}: no such image in {images.source}, which has "
            f"{', '.join(there)}"
        )
    return index


def _answered(request: Request[C], card: OwnImages, index: pd.DataFrame) -> Request[C]:
    """The request as one's own images answer it."""
    config: Any = request.config
    asked = request.asked
    fields = {field.name for field in dataclasses.fields(config)}
    classes = len(card.classes)
    if "classes" in asked and config.classes != classes:
        raise InputError(
            f"--classes {config.classes}: {card.images.source} has {classes} classes "
            f"({', '.join(card.classes)}); leave the flag out"
        )
    if "dataset" in asked and config.dataset != "own":
        raise InputError(f"--dataset {config.dataset}: and --images; give one of them")
    changes: dict[str, Any] = {"split": _split(request, card, index)}
    if "classes" in fields:
        changes["classes"] = classes
    else:
        changes |= {"dataset": "own", "own_classes": classes}
    there = tuple(sorted(set(index["magnification"]) - {""}, key=lambda m: (len(m), m)))
    if "magnifications" in fields:
        changes["magnifications"] = there
    elif "magnification" in fields:
        changes["magnification"] = "+".join(there)
    if changes["split"] == "patient" and "group" in fields and "group" not in asked:
        changes["group"] = "case" if (index["case"] != "").any() else "slide"
    if "stratify" in fields and "stratify" not in asked:
        changes["stratify"] = True  # rare classes of a small set would miss a part
    name = f"own-{request.preset.removesuffix('-changed')}" if "preset" in asked else "own"
    return dataclasses.replace(request, config=dataclasses.replace(config, **changes), preset=name)


def _split(request: Request[Any], card: OwnImages, index: pd.DataFrame) -> str:
    """Which split: that asked for; else the list's parts, patients apart, slides apart, images."""
    config, images = request.config, card.images
    asked = config.split if "split" in request.asked else ""
    cases, slides = (bool((index[name] != "").any()) for name in ("case", "slide"))
    group = getattr(config, "group", "case")
    if "part" in images.columns:
        if asked not in ("", "file", "patient"):
            raise InputError(
                f"--split {asked}: {images.source} says the parts in its column part; leave out "
                "the flag to take these, or the column to draw others"
            )
        return "patient" if asked == "patient" else "file"
    if asked in _OF_DATA_SETS:
        raise InputError(
            f"--split {asked}: is a fact of the paper's data set, and {images.source} says no "
            "parts; add a column part, or use --split patient or image"
        )
    if asked == "patient" and not cases and not (group == "slide" and slides):
        by_slide = "; it has slides: --group slide" if slides and hasattr(config, "group") else ""
        raise InputError(
            f"--split patient: {images.source} names no patients; add a column patient, or give a "
            f"list of them with --patients{by_slide}"
        )
    if asked:
        return asked
    if request.execution.split_file is not None:
        return "file"
    if cases or (slides and hasattr(config, "group")):
        what = "patients" if cases else "slides"
        terminal.line(f"split: {what} are known, so they are kept apart (--split patient)")
        return "patient"
    terminal.line(
        "split: patients are unknown, so images are drawn, and one patient's may lie in both "
        "training and test; a column patient, or --patients FILE.csv, keeps them apart",
        always=True,
    )
    return "image"


def _introduction(card: OwnImages, index: pd.DataFrame) -> str:
    sizes = datasets.counts(index, "label")
    classes = ", ".join(f"{sizes[name]} {name}" for name in card.classes)
    known = index["case"] != ""
    patients_said = "patients unknown"
    if known.any():
        patients_said = many(index["case"][known].nunique(), "patient")
        if not known.all():
            patients_said += f", and {many(int((~known).sum()), 'image')} whose patient is unknown"
    positive = card.POSITIVE[len(card.classes)]
    told = f"; positive class: {positive}" if positive else ""
    if len(card.classes) == 2 and not positive:
        told = "; no positive class is given (--positive NAME)"
    return f"{card.images.source}: {many(len(index), 'image')}, {classes}; {patients_said}{told}"
