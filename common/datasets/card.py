"""What is asked of a data set: the facts of its card, and three functions beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from common.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from common.datasets import bach, bci, breakhis


class Card(Protocol):
    """A data set. The modules of `common.datasets.MODULES` are such cards; mypy holds them to it.

    Attributes
    ----------
    NAME : str
        As commands take it: "breakhis".
    TITLE : str
        As texts name it: "BreakHis".
    LICENCE : str
        In its authors' words.
    NON_COMMERCIAL : bool
        Whether the licence allows no commercial use.
    CITATION, HOME : str
        The paper to cite; the page of the data set.
    OBTAIN : str
        How to get it, to follow "Obtain it".
    URL, ARCHIVE : str or None
        Address of the archive and its name; None where there is no fixed one.
    ARCHIVE_BYTES : int
        Its size, about.
    RECORD : str or None
        Address of a record, as Zenodo gives it, with the archive's size and checksum.
    SUFFIX : str
        How its own files end; copies in other lossless formats are the same images.
    FOLDER, LAYOUT : str
        Its folder's name, and how the files lie in it officially, as lines.
    CLASSES : dict
        Number of classes of a task -> their names, in the order of every table.
    POSITIVE : dict
        Number of classes of a task -> the positive class, or None.
    MAGNIFICATIONS : tuple of str
        () where it has one, or they are unknown.
    IMAGE_SIZE : (int, int)
        Height and width of its images in px.
    MICRONS : dict
        Magnification ("" where it has one) -> micrometres per px of its images; {} where unknown.
    NO_PATIENTS : str
        Why an image's patient is unknown; "" where it is known.
    SELECTED_BY : tuple of str
        Options of `index` and of `expected_images` that choose among its images.
    SERIES : dict
        Title -> options of `index`. Together they give all images; a name is an image's identity
        within one of them.
    COUNTED_BY : tuple of str
        Columns of the index.
    EXPECTED_COUNTS : dict
        Value of that column, or tuple of values -> images of the whole data set, in each series.
    EXPECTED_IMAGES : int
        Their sum.
    EXPECTED_GROUPS : dict
        Column -> how many different patients or slides there are.
    NOTES : tuple of str
        What a user should know before a result is believed.
    """

    NAME: str
    TITLE: str
    LICENCE: str
    NON_COMMERCIAL: bool
    CITATION: str
    HOME: str
    OBTAIN: str
    URL: str | None
    ARCHIVE: str | None
    ARCHIVE_BYTES: int
    RECORD: str | None
    SUFFIX: str
    FOLDER: str
    LAYOUT: str
    CLASSES: dict[int, tuple[str, ...]]
    POSITIVE: dict[int, str | None]
    MAGNIFICATIONS: tuple[str, ...]
    IMAGE_SIZE: tuple[int, int]
    MICRONS: dict[str, float]
    NO_PATIENTS: str
    SELECTED_BY: tuple[str, ...]
    SERIES: dict[str, dict[str, Any]]
    COUNTED_BY: tuple[str, ...]
    EXPECTED_COUNTS: dict[Any, int]
    EXPECTED_IMAGES: int
    EXPECTED_GROUPS: dict[str, int]
    NOTES: tuple[str, ...]

    def index(
        self, data_dir: str | os.PathLike[str] | None, *args: Any, **options: Any
    ) -> pd.DataFrame:
        """Index the images below a folder by their file names.

        Parameters
        ----------
        data_dir : path or None
            Folder anywhere above the images; None means $HISTOPAPERS_DATA.
        *args, **options
            `classes` (the task), `strict`, and what the data set has to choose from.

        Returns
        -------
        DataFrame
            Columns `common.datasets.COLUMNS`.
        """

    def expected_images(self, *args: Any, **selection: Any) -> int:
        """Count the images that the whole data set has, of those that are selected.

        Parameters
        ----------
        *args, **selection
            As `SELECTED_BY` names them; without one, all that `index` gives by default.
        """

    def check(self, data_dir: str | os.PathLike[str] | None) -> tuple[str, ...]:
        """Find what is wrong with a copy beside missing and damaged images.

        Parameters
        ----------
        data_dir : path or None
            As `index` takes it.

        Returns
        -------
        tuple of str
            One line each; empty if all is well.
        """


if TYPE_CHECKING:
    _CARDS: tuple[Card, ...] = (breakhis, bci, bach)


def selection(card: Card, config: object) -> dict[str, Any]:
    """Options of a data set's `index` and `expected_images` that a paper's config has set.

    Parameters
    ----------
    card : Card
        Names them in `SELECTED_BY`.
    config : object
        With some of these names as attributes.
    """
    return {name: getattr(config, name) for name in card.SELECTED_BY if hasattr(config, name)}


def no_patients(card: Card, others: Sequence[str] = ()) -> InputError:
    """Error for a split by patient of a data set whose patients are unknown; to be raised.

    Parameters
    ----------
    card : Card
        Its `NO_PATIENTS` is the reason.
    others : sequence of str
        Splits that the command offers besides.
    """
    besides = f" Others: --split {', '.join(others)}." if others else ""
    return InputError(
        f"--split patient: {card.NO_PATIENTS}, so no patient-wise split can be built. If you know "
        f"the patients, give your split with --split file --split-file CSV.{besides}"
    )


def indexes(card: Card, data_dir: str | os.PathLike[str] | None) -> Mapping[str, pd.DataFrame]:
    """Index all images of a data set, in its finest classes.

    Parameters
    ----------
    card : Card
        Its `SERIES` are indexed one by one.
    data_dir : path or None
        As its `index` takes it.

    Returns
    -------
    dict
        Title of a series -> its index.
    """
    return {
        title: card.index(data_dir, classes=max(card.CLASSES), **options)
        for title, options in card.SERIES.items()
    }
