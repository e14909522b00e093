"""The one list of papers. Nothing else is ever imported by a name that a file gives.

A new paper is one more line here; commands and tests read this list. Beside it stands what makes a
paper's package answer at once and its `train` module callable.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from common.errors import InputError

PAPERS = (
    "her2scoring",
    "breakhis",
    "ernet",
    "gan_fusion",
    "wrn_edge",
)
"""Names of the papers' packages, in the order in which they are shown."""


def folder(package: str) -> Path:
    """Folder of a paper's package, found without importing it.

    Parameters
    ----------
    package : str
        Its name. It need not stand in `PAPERS`: a file beside it is read, nothing is run.

    Returns
    -------
    Path
        Holds its modules, ``published.csv`` and ``README.md``.

    Raises
    ------
    InputError
        If there is no such package.
    """
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"{package}: no such package")
    return Path(spec.submodule_search_locations[0])


def module_of(package: str, module: str, where: object = "") -> ModuleType:
    """Import a module of a paper, and of nothing else, whatever a file calls the paper.

    Parameters
    ----------
    package : str
    module : str
        ``config``, ``train`` ...
    where : object
        What gives it, a run's folder for example; begins the message.

    Returns
    -------
    module

    Raises
    ------
    InputError
        If the package is none of `PAPERS`.
    """
    if package not in PAPERS:
        begin = f"{where}: a run of " if where else ""
        raise InputError(
            f"{begin}{package!r}, which is none of {', '.join(PAPERS)}; nothing of it is imported"
        )
    return import_module(f"{package}.{module}")


def lazily(package: str, **places: str) -> Callable[[str], Any]:
    """Make a package's ``__getattr__``, which imports a name when it is asked for.

    Keras takes seconds to import, and `--help` must not.

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    **places : str
        Name -> module of the package that has it: ``build_model="model"``. A module stands for
        itself: ``train="train"``, and ``gan_config="gan.config"``, which has no such name.
    """

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{places[name]}")
        return module if name == places[name] else getattr(module, name, module)

    return find


def callable_module(name: str, function: str = "train") -> None:
    """Let the module `name` be called as the function of it that bears its name.

    ``from breakhis import train`` gives the module of ``python -m breakhis.train``; with this it is
    the training too: ``breakhis.train(Config(), data_dir=D)``.

    Parameters
    ----------
    name : str
        The module's ``__name__``.
    function : str
        Which of its functions is called.
    """

    class Command(ModuleType):
        def __call__(self, *arguments: Any, **settings: Any) -> Any:
            return getattr(self, function)(*arguments, **settings)

    sys.modules[name].__class__ = Command
