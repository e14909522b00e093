"""How to make the run again: its settings and their sources, where it was made, its files."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

from common.report.files import RunFiles
from common.report.words import duration, known, size, value

_PLACE = re.compile(r"""((?:^|[\s=]))['"]?(?:~|[A-Za-z]:|\.{1,2})?[/\\][^\s]*""")

MARKS = ("ASSUMED", "DEVIATION")
"""What the source of a setting may begin with."""


def settings(files: RunFiles) -> list[dict[str, Any]]:
    """List every setting with its default and its source.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    list of dict
        As the template shows it; without sources if the run noted none.
    """
    rows = []
    for row in files.record.sources:
        source = str(row.get("source") or "")
        kind, _, rest = source.partition(": ")
        marked = kind in MARKS and rest
        rows.append(
            {
                "name": row["name"],
                "value": row["value"],
                "default": row.get("default"),
                "changed": bool(row.get("changed")),
                "help": row.get("help") or "",
                "kind": kind.lower() if marked else "",
                "source": rest if marked else source,
            }
        )
    return rows or [
        {"name": name, "value": setting, "default": setting, "changed": False, "help": "",
         "kind": "", "source": ""}
        for name, setting in files.config.items()
    ]  # fmt: skip


def command(files: RunFiles) -> str | None:
    """Give the command that made the run; on a light page without the places of its machine.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    str or None
        None where no file says it.
    """
    typed = files.record.command or files.environment.get("command")
    if typed is None or not files.light:
        return typed
    return _PLACE.sub(lambda found: f"{found[1]}DIR", str(typed))


def environment(files: RunFiles) -> list[tuple[str, str]]:
    """List where the run was made.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    list of (str, str)
        What, and its value.
    """
    known_of = files.environment
    rows = []
    commit = known_of.get("commit")
    if commit:
        dirty = ", with changes not committed" if known_of.get("dirty") else ""
        rows.append(("Commit", f"{commit}{dirty}"))
    rows += [
        (title, value(known_of[key]))
        for title, key in (
            ("Backend", "backend"), ("Device", "device"), ("Processor", "cpu"),
            ("Cores", "cores"), ("Memory (GiB)", "memory_gib"), ("Platform", "platform"),
            ("Python", "python"), ("Started", "started"), ("Finished", "finished"),
        )
        if known_of.get(key) is not None
    ]  # fmt: skip
    if known(known_of.get("seconds")):
        rows.append(("Took", duration(known_of["seconds"])))
    packages = known_of.get("packages")
    if isinstance(packages, Mapping) and packages:
        rows.append(("Packages", ", ".join(f"{k} {v}" for k, v in packages.items())))
    inputs = (("Data", files.record.data), ("Starting weights", files.record.weights))
    return rows + [(title, text) for title, text in inputs if text]


def listing(files: RunFiles) -> dict[str, Any]:
    """List the files of the run; the page itself, which is being written, and checkpoints aside.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict
        `all`: name, address from the page, and size; `main`: those in no folder of their own.
    """
    root = files.path
    if files.light:
        return {"all": [], "main": []}
    found = [
        (path.relative_to(root).as_posix(), size(path.stat().st_size))
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and path != root / "report.html"
        and not path.name.startswith(".")
        and path.relative_to(root).parts[0] != "checkpoint"
    ]
    # "./" because a name may look like the scheme of an address.
    rows = [(name, f"./{urllib.parse.quote(name)}", length) for name, length in found]
    return {"all": rows, "main": [row for row in rows if "/" not in row[0]]}
