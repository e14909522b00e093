"""Public data sets as code: one module per data set holds its card and indexes a copy of it.

`card` says what such a module holds, `folder` finds the data, `listing` the files in it, `index`
makes the table; `fetch` downloads and `synthetic` draws.

Columns of an index (str unless noted): `image` path below the data folder with forward slashes |
`bytes` int64, 0 where nothing can be read: an empty file, a link that leads nowhere | `label` class
of the chosen task | `type` finest class | `case`, `slide`, `folder` "" where unknown |
`magnification` | `official` part given by the data set | `synthetic` bool.
"""

from __future__ import annotations

import importlib
from typing import cast

from common.datasets.card import Card, indexes, no_patients, selection
from common.datasets.folder import DATA_VARIABLE, data_folder, is_synthetic, resolved
from common.datasets.index import (
    COLUMNS,
    assemble,
    counts,
    index_hash,
    missing_classes,
    recompressed,
    two_labels,
    warn_two_labels,
)
from common.datasets.listing import File, looks_like_image, named_images, scan, tell_others
from common.errors import SHOWN, InputError, listed
from common.notices import SYNTHETIC_MARKER

__all__ = [
    "COLUMNS",
    "DATA_VARIABLE",
    "MODULES",
    "SHOWN",
    "SYNTHETIC_MARKER",
    "Card",
    "File",
    "assemble",
    "counts",
    "data_folder",
    "get",
    "index_hash",
    "indexes",
    "is_synthetic",
    "listed",
    "looks_like_image",
    "missing_classes",
    "named_images",
    "no_patients",
    "recompressed",
    "resolved",
    "scan",
    "selection",
    "tell_others",
    "two_labels",
    "warn_two_labels",
]

MODULES = {
    "breakhis": "common.datasets.breakhis",
    "bci": "common.datasets.bci",
    "bach": "common.datasets.bach",
}
"""The data sets: name -> module, imported when it is asked for."""


def get(name: str) -> Card:
    """Find a data set by its name.

    Parameters
    ----------
    name : str
        One of `MODULES`.

    Returns
    -------
    Card
        The module with its card and its functions.

    Raises
    ------
    InputError
        If there is no data set of that name.
    """
    if name not in MODULES:
        raise InputError(f"unknown data set {name!r}; there are {', '.join(MODULES)}")
    return cast(Card, importlib.import_module(MODULES[name]))
