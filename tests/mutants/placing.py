"""How an error gets into the code: into a loaded function, a loaded module, or a fresh import."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType

from .operators import Mutant, compiled


def patch(mutant: Mutant) -> bool:
    """Replace the code of one loaded function.

    Parameters
    ----------
    mutant
        Inside a function.

    Returns
    -------
    bool
        False if the function cannot be found where it stands.
    """
    found: object = importlib.import_module(_module(mutant.path))
    for name in mutant.function.split("."):
        found = vars(found).get(name)
        if isinstance(found, property):
            found = found.fget
        elif isinstance(found, cached_property):
            found = found.func
        elif isinstance(found, staticmethod | classmethod):
            found = found.__func__
        if found is None:
            return False
    while hasattr(found, "__wrapped__"):
        found = found.__wrapped__
    code = _code(compiled(mutant), mutant.function)
    if not isinstance(found, FunctionType) or code is None:
        return False
    if found.__code__.co_freevars != code.co_freevars:
        return False
    found.__code__ = code
    return True


def _code(code: CodeType, function: str) -> CodeType | None:
    """Code of a function, by its qualified name, in that of its module."""
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    for const in inner:
        if const.co_qualname == function:
            return const
    return next((c for const in inner if (c := _code(const, function))), None)


def execute(path: str, mutant: Mutant | None) -> None:
    """Run a loaded module again in its place; who has imported its names gets the new ones.

    Parameters
    ----------
    path
        File, from the repository's root.
    mutant
        The error that it gets; None: none.
    """
    module = importlib.import_module(_module(path))
    before = dict(vars(module))
    file = Path(path).resolve()
    code = compiled(mutant) if mutant else compile(file.read_text("utf-8"), str(file), "exec")
    exec(code, vars(module))
    for name, old in before.items():
        new = vars(module)[name]
        if new is not old:
            for other in [each for each in sys.modules.values() if hasattr(each, "__dict__")]:
                if vars(other).get(name) is old:
                    vars(other)[name] = new


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module with its error.

    Parameters
    ----------
    mutant
        The error.
    """

    def __init__(self, mutant: Mutant) -> None:
        self.name, self.file = _module(mutant.path), str(Path(mutant.path).resolve())
        self.code = compiled(mutant)

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the module that has the error, and no other."""
        if name != self.name:
            return None
        package = [str(Path(self.file).parent)] if self.file.endswith("__init__.py") else None
        return importlib.util.spec_from_file_location(
            name, self.file, loader=self, submodule_search_locations=package
        )

    def exec_module(self, module: object) -> None:
        """Run its code."""
        exec(self.code, vars(module))


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
