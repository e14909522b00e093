"""Hyper-parameters that state their source, and the requests made from them.

A paper's `Config` is a frozen dataclass whose fields are made by `hp`. `parse` turns it, with the
paper's presets, into flags; `--help` prints for every value where it comes from. `request` does
the same for a call in a notebook.
"""

from common.config.command import parse, request, typed
from common.config.fields import (
    ASSUMED,
    DEVIATION,
    VARIED,
    Execution,
    Group,
    MixedPrecision,
    PaperConfig,
    Request,
    ResizeFilter,
    hp,
)
from common.config.values import (
    check,
    config_sha256,
    differences,
    first_defaults,
    from_dict,
    identity,
    preset_name,
    sources,
    to_dict,
)

__all__ = [
    "ASSUMED",
    "DEVIATION",
    "VARIED",
    "Execution",
    "Group",
    "MixedPrecision",
    "PaperConfig",
    "Request",
    "ResizeFilter",
    "check",
    "config_sha256",
    "differences",
    "first_defaults",
    "from_dict",
    "hp",
    "identity",
    "parse",
    "preset_name",
    "request",
    "sources",
    "to_dict",
    "typed",
]
