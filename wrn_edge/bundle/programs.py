"""The programs that run on the device, as files to copy and as modules to use here."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import common
from common.errors import InputError

DEVICE = Path(__file__).resolve().parents[1] / "device"
"""Folder whose files are copied into every bundle."""
SHARED = (
    "images/bmp.py", "images/formats.py", "images/header.py", "images/jpeg.py", "images/png.py",
    "images/tiff.py", "notices.py", "tissue.py",
)  # fmt: skip
"""Files of `common` by which the device works, too; they need no more than it has."""


def copy(folder: Path) -> None:
    """Copy all that runs on the device.

    Parameters
    ----------
    folder : Path
        The bundle.
    """
    for file in sorted(DEVICE.iterdir()):
        if file.is_file():
            shutil.copyfile(file, folder / file.name)
    source = Path(common.__file__).parent
    for name in SHARED:
        target = folder / "common" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # Packages of their own, so that no other `common` on the device is found first.
        (target.parent / "__init__.py").touch()
        shutil.copyfile(source / name, target)


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
