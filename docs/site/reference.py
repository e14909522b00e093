"""Pages of the API: for every room and paper its public names, drawn from their docstrings."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import common
from common.papers import PAPERS

ALSO = (
    "common.datasets.bach",
    "common.datasets.bci",
    "common.datasets.breakhis",
    "common.datasets.synthetic",
    "common.splits.leakage",
)
"""Modules inside rooms that users import by their own name."""


def modules() -> list[str]:
    """Name the modules that have a page: every room, what is used inside one, every paper.

    Returns
    -------
    list of str
    """
    rooms = [f"common.{m.name}" for m in pkgutil.iter_modules(common.__path__)]
    return sorted([*rooms, *ALSO]) + list(PAPERS)


def public(module: ModuleType) -> list[str]:
    """Name what a module offers.

    Parameters
    ----------
    module : module

    Returns
    -------
    list of str
        Its ``__all__``; without one, what it defines itself that has no underscore.
    """
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    own = {
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
    }
    return sorted(name for name in own | set(_constants(module)) if not name.startswith("_"))


def write(folder: Path) -> None:
    """Write one page for each module, and the list of them.

    Parameters
    ----------
    folder : path
        Where they lie.
    """
    names = modules()
    for name in names:
        (folder / f"{name}.rst").write_text(page(importlib.import_module(name)), encoding="utf-8")
    rooms = [name for name in names if name.startswith("common.")]
    text = [
        _title("API"),
        "Every public name, from its docstring; :doc:`the map of the rooms </common/README>` says",
        "in which order data flow through them.\n",
    ]
    for caption, listed in (("Rooms", rooms), ("Papers", list(PAPERS))):
        text += [f".. toctree::\n   :maxdepth: 1\n   :caption: {caption}\n"]
        text += [f"   {name}" for name in listed] + [""]
    (folder / "index.rst").write_text("\n".join(text), encoding="utf-8")


def page(module: ModuleType) -> str:
    """Draw a module's page.

    Parameters
    ----------
    module : module

    Returns
    -------
    str
        reStructuredText for autodoc.
    """
    name = module.__name__
    out = [_title(name), f".. automodule:: {name}\n", f".. currentmodule:: {name}\n"]
    constants = _constants(module)
    for each in public(module):
        value = getattr(module, each)
        if inspect.isclass(value):
            out.append(f".. autoclass:: {name}.{each}\n   :members:\n")
        elif inspect.isroutine(inspect.unwrap(value) if callable(value) else value):
            out.append(f".. autofunction:: {name}.{each}\n")
        else:
            text = (value.__doc__ or "") if callable(value) else ""
            out.append(_data(each, value, constants.get(each, text)))
    return "\n".join(out)


def _data(name: str, value: Any, text: str) -> str:
    """Entry of a constant: autodoc does not find the docstrings of those that are re-exported."""
    shown = repr(value)
    longest = 60 if text else 300  # without words the value has to say all
    short = f"   :value: {shown}\n" if len(shown) <= longest and " at 0x" not in shown else ""
    body = "".join(f"   {line}\n" for line in inspect.cleandoc(text).splitlines())
    return f".. py:data:: {name}\n{short}\n{body}"


def _constants(module: ModuleType) -> dict[str, str]:
    """Docstrings of what a module, or one inside it, assigns at its top."""
    found: dict[str, str] = {}
    for file in _files(module):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        for i, node in enumerate(body):
            if not isinstance(node, ast.Assign | ast.AnnAssign):
                continue
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if not isinstance(target, ast.Name):
                continue
            after = body[i + 1] if i + 1 < len(body) else None
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                found.setdefault(target.id, str(after.value.value))
    return found


def _files(module: ModuleType) -> Iterator[Path]:
    first = Path(str(module.__file__))
    yield first
    if first.name == "__init__.py":
        yield from sorted(each for each in first.parent.glob("*.py") if each != first)


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"
