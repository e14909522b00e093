"""What at least two papers need, unchanged.

Data flows one way: index -> split -> batches -> model -> fit -> predictions -> metrics -> report.
`README.md` here is the map of the rooms.
"""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

_MOVED: dict[str, str] = {
    "archives": "common.datasets.fetch.archives",
    "download": "common.datasets.fetch",
    "formats": "common.images.formats",
    "leakage": "common.splits.leakage",
    "memory": "common.images.memory",
    "prediction": "common.classification",
}
"""Modules that have become a part of a room, under the names by which they are still imported."""


def _rooms() -> list[str]:
    return [name for _, name, _ in iter_modules(__path__) if not name.startswith("_")]


def __dir__() -> list[str]:
    """Name the rooms, so that a notebook offers them."""
    return sorted(_rooms())


def __getattr__(name: str) -> ModuleType:
    """Find a room, or a module that has moved."""
    if name in _MOVED:
        return import_module(_MOVED[name])
    if name in _rooms():
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
