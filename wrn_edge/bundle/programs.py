"""The programs that run on the device, as files to copy and as modules to use here."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from common.errors import InputError

DEVICE = Path(__file__).resolve().parents[1] / "device"
"""Folder whose files are copied into every bundle."""


@contextlib.contextmanager
def device_module(name: str) -> Iterator[ModuleType]:
    """Import one of the device's programs, which find each other beside themselves.

    What they report as the user's error is one of ours too.

    Parameters
    ----------
    name : str
        "classifier", "pixels" ...
    """
    sys.path.insert(0, str(DEVICE))
    try:
        module = importlib.import_module(name)
    finally:
        sys.path.remove(str(DEVICE))
    try:
        yield module
    except sys.modules["errors"].InputError as error:
        raise InputError(str(error)) from None
