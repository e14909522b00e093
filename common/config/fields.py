"""What a setting is: a dataclass field that states its source; what every training command has."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from common.errors import InputError

ASSUMED = "ASSUMED: "
"""Begins the source of a value that the paper leaves open; the reason follows."""

DEVIATION = "DEVIATION: "
"""Begins the source of a value that differs from what the paper says; the reason follows."""

VARIED = ("seed", "split_seed", "fold")
"""Fields in which runs of one table row may differ."""

ResizeFilter = Literal["area", "linear", "cubic", "lanczos", "nearest"]
"""How images are resized; `common.images.FILTERS` has OpenCV's of each."""

Group = Literal["case", "slide", "folder"]
"""What counts as one patient: a column of the index."""

MixedPrecision = Literal["off", "bfloat16", "float16"]
"""Number format of the layers; "off" is float32."""

C = TypeVar("C", bound=Any)
C_co = TypeVar("C_co", covariant=True)

_SAME: Any = object()
_LONGEST_NAME = 64


def hp(
    default: Any,
    help: str,
    source: str,
    *,
    low: float | None = None,
    high: float | None = None,
    first: Any = _SAME,
    flag: bool = True,
    aliases: tuple[str, ...] = (),
) -> Any:
    """Make a dataclass field for a hyper-parameter.

    Parameters
    ----------
    default : object
        The value of the paper's main row.
    help : str
        What it is, with its unit.
    source : str
        Section or table of the paper, or `ASSUMED` or `DEVIATION` followed by the reason.
    low, high : float, optional
        Smallest and largest value that make sense; `check` refuses others.
    first : object, optional
        The default that the field had first, where it has changed since: runs are known by what
        differs from the first defaults (`identity`), so it must never change again.
    flag : bool
        False for a value that the run records and that nobody sets by hand.
    aliases : tuple of str
        Other names under which it may be set: what another paper calls the same idea.
    """
    metadata = {
        "help": help,
        "source": source,
        "low": low,
        "high": high,
        "first": default if first is _SAME else first,
        "flag": flag,
        "aliases": aliases,
    }
    return dataclasses.field(default=default, metadata=metadata)


def _option(default: Any, help: str) -> Any:
    return hp(default, help, source="")


@dataclass(frozen=True)
class Execution:
    """How a run is executed. Nothing here can change a prediction, so nothing here is hashed."""

    data_dir: Path | None = _option(
        None, "folder with the data set; unset: the environment variable HISTOPAPERS_DATA"
    )
    images: Path | None = _option(
        None,
        "your own images instead: a CSV with image,label and, where known, patient, slide, "
        "magnification, mpp, part, or a folder with a folder per class; image,patient alone: as "
        "--patients; its content is hashed",
    )
    classes_order: tuple[str, ...] = _option(
        (), "classes of --images in the order of all tables; unset: sorted"
    )
    positive: str | None = _option(None, "positive class of --images, of two")
    patients: Path | None = _option(
        None,
        "CSV with the columns image and patient, for images whose names do not tell it; its "
        "content is hashed",
    )
    runs_dir: Path = _option(Path("runs"), "folder for run folders")
    cache_dir: Path | None = _option(
        None, "folder for decoded images; unset: HISTOPAPERS_CACHE or the user's cache folder"
    )
    split_file: Path | None = _option(
        None, "CSV with the columns image and part, for --split file; its content is hashed"
    )
    fold_files: Path | None = _option(
        None, "folder with dsfold1.txt ... dsfold5.txt or Folds.csv, for BreakHis' official split"
    )
    workers: int = _option(1, "threads that prepare batches; one keeps up with a real network")
    skip_bad: bool = _option(
        False, "leave out images that cannot be used instead of stopping; the run says which"
    )
    fresh: bool = _option(False, "delete what an earlier run of the same config left, start anew")
    name: str | None = _option(
        None, "what to call the run, as in --run NAME; no two runs in one folder have the same name"
    )

    log: Literal["tensorboard", "mlflow", "wandb"] | None = _option(
        None, "give the history to this program, too (an extra of its name); changes no result"
    )

    def __post_init__(self) -> None:
        name = self.name
        if name is not None and not (
            0 < len(name) <= _LONGEST_NAME
            and name.isprintable()
            and name == name.strip()
            and not name.startswith(("-", "."))
            and not {"/", "\\"} & set(name)
        ):
            raise InputError(
                f"--name {name!r}: give up to {_LONGEST_NAME} letters, digits or the like; no "
                "slashes, no dot or hyphen at the beginning, no space at the ends"
            )


class PaperConfig(Protocol):
    """What `common` asks of every paper's Config, a frozen dataclass of `hp` fields.

    A Config may have more. Of those, pages name `network`, `epochs` and `select_on` where a run's
    record has them, and Grad-CAM knows the layers of a `network` of `common.networks`.
    """

    @property
    def classes(self) -> int:
        """How many classes; a key of the data set's CLASSES."""

    @property
    def split(self) -> str:
        """How the images are parted; "file" reads --split-file."""

    @property
    def image_size(self) -> int:
        """Side of the network's input, px."""

    @property
    def resize_filter(self) -> str:
        """Filter from the original size down, a key of `common.images.FILTERS`."""

    @property
    def weights(self) -> str:
        """Starting weights: "imagenet", "none" or a file."""

    @property
    def batch_size(self) -> int:
        """Images per step."""

    @property
    def seed(self) -> int:
        """Of initialisation, order and augmentation."""


@dataclass(frozen=True)
class Request(Generic[C_co]):
    """What a user asked for, on the command line or in a call.

    Attributes
    ----------
    config : Config
        The paper's settings.
    execution : Execution
        How and where it is run.
    preset : str
        Name of the preset that the config equals, or what to call it.
    command : str
        The command line that asks for the same.
    asked : frozenset of str
        Settings that were given and not left to a preset, by their fields; "preset" if one was.
    """

    config: C_co
    execution: Execution
    preset: str
    command: str = dataclasses.field(default="", compare=False)
    asked: frozenset[str] = dataclasses.field(default=frozenset(), compare=False)
