"""Tables of a paper that are no result of it: earlier work, data, settings; shown, never judged."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

from common import papers
from common.errors import InputError
from common.tables.show import markdown_table

KINDS = {"literature": "other works’ results", "data": "data", "settings": "settings"}
"""What such a table holds."""

FILE = "quoted.toml"

HEADING = "Quoted as printed, never judged"


@dataclass(frozen=True)
class Quoted:
    """One table, every cell as it is printed.

    Attributes
    ----------
    id : str
        ``T3``.
    label : str
        What the paper calls it.
    kind : str
        Of `KINDS`.
    title : str
        What it shows, in our words.
    columns : tuple of str
    rows : tuple of tuple of str
        As many cells each; "" is a dash or an empty cell. Of a table with own results, the others.
    note : str
    """

    id: str
    label: str
    kind: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    @property
    def heading(self) -> str:
        """Its label, what it shows, and of what kind that is."""
        return f"{self.label}: {self.title} ({KINDS[self.kind]})"


def quoted(package: str) -> list[Quoted]:
    """Read a paper's quoted tables; the package is not imported.

    Parameters
    ----------
    package : str
        Name of the paper's package.

    Returns
    -------
    list of Quoted
        In the order of the file; empty where a paper has none.

    Raises
    ------
    InputError
        If the file is no TOML, or a table lacks something or has rows of another length; names it.
    """
    path = papers.folder(package) / FILE
    if not path.is_file():
        return []
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("table", [])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from None
    found = []
    for entry in tables:
        try:
            rows = tuple(tuple(row) for row in entry["rows"])
            table = Quoted(**{**entry, "columns": tuple(entry["columns"]), "rows": rows})
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: {entry.get('id', 'a table')}: {error}") from None
        if table.kind not in KINDS:
            raise InputError(f"{path}, {table.id}: kind is one of {', '.join(KINDS)}")
        if any(len(row) != len(table.columns) for row in rows):
            raise InputError(f"{path}, {table.id}: every row has {len(table.columns)} cells")
        found.append(table)
    return found


def quoted_markdown(package: str) -> str:
    """Lay out a paper's quoted tables.

    Parameters
    ----------
    package : str
        Name of the paper's package.

    Returns
    -------
    str
        Under a heading of their own; "" where there are none.
    """
    tables = quoted(package)
    if not tables:
        return ""
    out = [f"## {HEADING}", ""]
    for table in tables:
        lines = [[cell.replace("|", "\\|") or "–" for cell in row] for row in table.rows]
        out += [f"**{table.heading}**", ""]
        out += [*markdown_table(table.columns, lines), ""]
        if table.note:
            out += [table.note, ""]
    return "\n".join(out).rstrip() + "\n"
