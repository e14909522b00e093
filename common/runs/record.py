"""What `config.json` says of a run, checked when it is read."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from common.errors import RESTORE, InputError, brief

SCHEMA = 2
"""Raised when older code could misread what is written."""


@dataclass
class Record(Mapping[str, Any]):
    """A run's settings, its data, and the facts that became known while it was made.

    It reads as a mapping, too: ``record["rgb_mean"]`` and ``record.get("generated")`` reach the
    `facts` that a paper notes.

    Attributes
    ----------
    package : str
        The paper's package, or of a tool beside the papers.
    config : dict
        Every field of the paper's Config.
    synthetic : bool
        Whether the run saw synthetic images.
    preset : str
        The table row, or what the config is called.
    data : str
        Hash of the images' index, and of what else was trained on.
    weights : str
        "none", "imagenet" or the file's SHA-256.
    schema : int
    run_id : str
        See `run_id`.
    created, finished : str, optional
        ISO dates; `finished` is None until every file is written.
    sources : list of dict
        One per setting: name, value, default, first, changed, help, source.
    dataset, licence : str, optional
        Name of the data set's card, and its licence.
    classes : list of str, optional
        In the order of the network's outputs.
    positive : str, optional
        The positive class of a two-class problem.
    n_images, expected_images : int, optional
        Images used, and those that the whole data set has.
    leaks : list of str
        What may flatter the result, in words.
    skipped : list of dict
        ``{image, reason}`` of what `--skip-bad` left out.
    command : str, optional
        The command that was typed.
    name : str, optional
        What its maker calls it (`--name`); no part of its identity.
    failed : str, optional
        What stopped it, until it goes on.
    split_sha256, samples_sha256 : str, optional
        Hashes of `split.csv` and `samples.csv`, which are written once.
    machines : list of dict
        Where it was trained (`machine`): more than one if it was resumed elsewhere.
    kept_epoch : int, optional
        Epoch whose weights `model.keras` holds, counted from 1.
    gradcam_layers : dict, optional
        Stage and layer of a paper's own network.
    no_classifier : str, optional
        A run that classifies nothing (a GAN's) says what to ask it instead.
    facts : dict
        What else a paper noted.
    """

    package: str
    config: dict[str, Any]
    synthetic: bool
    preset: str = ""
    data: str = ""
    weights: str = "none"
    schema: int = SCHEMA
    run_id: str = ""
    created: str | None = None
    finished: str | None = None
    sources: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    dataset: str | None = None
    licence: str | None = None
    classes: list[str] | None = None
    positive: str | None = None
    n_images: int | None = None
    expected_images: int | None = None
    leaks: list[str] = dataclasses.field(default_factory=list)
    skipped: list[dict[str, str]] = dataclasses.field(default_factory=list)
    command: str | None = None
    name: str | None = None
    failed: str | None = None
    split_sha256: str | None = None
    samples_sha256: str | None = None
    machines: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    kept_epoch: int | None = None
    gradcam_layers: dict[str, str] | None = None
    no_classifier: str | None = None
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def fabricated(self) -> bool:
        """Whether a test drew its predictions: no network made them. It is synthetic, too."""
        return bool(self.facts.get("fabricated"))

    @property
    def own(self) -> bool:
        """Whether it was trained on images of its user's own: then it fills no row."""
        return "own" in self.facts

    @property
    def own_root(self) -> str:
        """Folder that paths of one's own images count from; "" where it is not noted."""
        noted = self.facts.get("own")
        root = noted.get("root") if isinstance(noted, dict) else None
        return root if isinstance(root, str) else ""

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Make a record of what a `config.json` holds.

        Parameters
        ----------
        values : object
            What `json` made of the file.

        Raises
        ------
        InputError
            If a newer version wrote it.
        ValueError
            If it is no record: a field is missing or of the wrong type.
        """
        if not isinstance(values, Mapping):
            raise ValueError("not a JSON object")
        schema = values.get("schema", SCHEMA)
        if isinstance(schema, int) and schema > SCHEMA:
            raise InputError("written by a newer version of histopapers; update yours")
        hints = _hints(cls)
        known: dict[str, Any] = {}
        facts: dict[str, Any] = {}
        for name, value in values.items():
            if name == "facts" or name not in hints:
                facts[name] = value
                continue
            value = list(value) if isinstance(value, tuple) else value
            if not _is(value, hints[name]):
                raise ValueError(f"{name} is {brief(value)}")
            known[name] = value
        if not str(known.get("package", "x")).isidentifier():
            raise ValueError(f"package is {brief(known['package'])}")
        classes, positive = known.get("classes"), known.get("positive")
        if classes is not None and len(set(classes)) < len(classes):
            raise ValueError(f"classes is {brief(classes)}")
        # A GAN's classes are those that it draws; old ones named their kind alone.
        judged = classes if values.get("no_classifier", values.get("kind")) is None else None
        if judged is not None and positive is not None and positive not in judged:
            raise ValueError(f"positive is {brief(positive)}, none of the classes")
        missing = [
            field.name
            for field in dataclasses.fields(cls)
            if field.default is field.default_factory is dataclasses.MISSING
            and field.name not in known
        ]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
        return cls(**known, facts=facts)

    def to_json(self) -> dict[str, Any]:
        """What `config.json` holds: the fields, then the facts; unknown ones are left out."""
        always = ("created", "finished", "positive")
        found = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "facts"
        }
        return {
            name: value for name, value in found.items() if value is not None or name in always
        } | self.facts

    def changed(self, **facts: Any) -> Self:
        """Give a copy in which these fields and facts are different.

        Parameters
        ----------
        **facts : object
            Fields by their name; any other name is a fact.
        """
        return type(self).from_json(self.to_json() | facts)

    def note(self, **facts: Any) -> None:
        """Set fields and facts.

        Parameters
        ----------
        **facts : object
            As for `changed`.
        """
        names = {field.name for field in dataclasses.fields(self)}
        for name, value in facts.items():
            if name in names:
                setattr(self, name, value)
            else:
                self.facts[name] = value

    def __getitem__(self, name: str) -> Any:
        try:
            return self.to_json()[name]
        except KeyError:
            raise MissingError(f"the run's config.json lacks {name}; {RESTORE}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.to_json())

    def __len__(self) -> int:
        return len(self.to_json())

    def __or__(self, facts: Mapping[str, Any]) -> Self:
        return self.changed(**facts)


class MissingError(InputError, KeyError):
    """What a record does not hold: a mapping's error, and one that a user can mend."""

    def __str__(self) -> str:
        return str(self.args[0])


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _is(value: Any, hint: Any) -> bool:
    """Whether a value that came from JSON is of an annotated type."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (types.UnionType, typing.Union):
        return any(_is(value, each) for each in inner)
    if origin is list:
        return isinstance(value, list) and all(_is(each, inner[0]) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            _is(name, inner[0]) and _is(each, inner[1]) for name, each in value.items()
        )
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)
