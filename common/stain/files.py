"""Fitted normalisers in files: the methods by name, and what `Normalizer.save` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.files import expanded, read_json
from common.stain.conventions import FILE_VERSION
from common.stain.normalizer import Normalizer
from common.stain.reinhard import ReinhardNormalizer
from common.stain.unmixing import MacenkoNormalizer, VahadaneNormalizer

METHODS: dict[str, type[Normalizer]] = {
    kind.method: kind for kind in (MacenkoNormalizer, VahadaneNormalizer, ReinhardNormalizer)
}
"""Normalisers by the name of their method; Macenko's is the default."""


def load(path: str | Path) -> Normalizer:
    """Read a fitted normaliser.

    Parameters
    ----------
    path : path
        What `Normalizer.save` wrote.

    Returns
    -------
    Normalizer
        With the saved one's identity.

    Raises
    ------
    InputError
        Names the file and what is wrong with it.
    """
    again = "make it again with: python -m common.stain fit"
    state = read_json(expanded(path), repair=again)
    if state.get("stain_normalizer") != FILE_VERSION:
        raise InputError(f"{path}: is no stain normaliser of this version; {again}")
    try:
        return from_state(state)
    except InputError as error:
        raise InputError(f"{path}: {error}; {again}") from None


def from_state(state: Mapping[str, Any]) -> Normalizer:
    """Make a fitted normaliser again.

    Parameters
    ----------
    state : mapping
        Its `Normalizer.state`.

    Returns
    -------
    Normalizer
        With its identity.

    Raises
    ------
    InputError
        It is none, or another version's.
    """
    try:
        kind = METHODS[state["method"]]
        normalizer = kind(state["preset"], engine=state["engine"])
        conventions = state["conventions"]
        if set(conventions) != kind.uses:
            raise InputError("its conventions are not those of this version")
        normalizer.conventions = replace(normalizer.conventions, **conventions)
        normalizer.set_target(**state["target"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("the state of a stain normaliser is damaged") from None
    return normalizer
