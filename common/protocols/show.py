"""Protocols and discrepancies in words: for a terminal, and for a paper's README."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import files, papers
from common.errors import InputError
from common.protocols.read import (
    Discrepancy,
    NotBuilt,
    Open,
    Stated,
    discrepancies,
    protocol,
)

BEGIN, END = "<!-- discrepancies:begin -->", "<!-- discrepancies:end -->"
"""What the block in a README stands between."""


def block(package: str) -> str:
    """Markdown of what is done otherwise than a paper says, and of its discrepancies.

    Parameters
    ----------
    package : str
        Name of the paper's package.

    Returns
    -------
    str
        Lists, made of protocol.toml and discrepancies.toml alone.
    """
    read = protocol(package)
    found = discrepancies(package).values()
    out = []
    if read.deviations:
        out += ["Done otherwise than the paper says:", ""]
        out += [f"- {deviation(entry)}" for entry in read.deviations] + [""]
    if read.not_built:
        out += ["Claimed or announced by the paper, and not built:", ""]
        out += [f"- {left_out(entry)}" for entry in read.not_built.values()] + [""]
    out += [
        "What the paper leaves open, with our choice and the reason, is printed by",
        f"`python -m common.protocols show {package}`.",
        "",
    ]
    if found:
        out += ["In the paper:", ""]
        out += [f"- {_discrepancy(each)}" for each in found] + [""]
    return "\n".join(out).rstrip() + "\n"


def deviation(entry: Stated) -> str:
    """Say in Markdown what is done otherwise than a paper says.

    Parameters
    ----------
    entry : Stated
        With `ours`.
    """
    setting = f" (`{flag(entry.field)}`)" if entry.field else ""
    return (
        f"**{words(entry.name)}**{setting}. {entry.where}: {_values(entry)}; {entry.says}. "
        f"Here: {_value(entry.ours)}; {entry.why}."
    )


def left_out(entry: NotBuilt) -> str:
    """Say in Markdown what a paper claims and is not built here, and why.

    Parameters
    ----------
    entry : NotBuilt
    """
    return f"**{words(entry.name)}**. {entry.where}: {entry.says}. Not built: {entry.why}."


def _discrepancy(each: Discrepancy) -> str:
    return (
        f"**{each.id}** ({each.where}; {each.severity}; {_how(each)}). Printed: {each.claim}. But: "
        f"{each.problem}. Evidence: {each.evidence}. Here: {each.resolution}."
    )


def _how(each: Discrepancy) -> str:
    return f"by arithmetic: {', '.join(each.found_by)}" if each.found_by else "by reading"


def update_readme(path: str | Path, package: str) -> bool:
    """Replace what stands between a README's two markers by `block`.

    Parameters
    ----------
    path : path
        The README.
    package : str
        Name of the paper's package.

    Returns
    -------
    bool
        Whether the file changed.

    Raises
    ------
    InputError
        If the markers are not there, once each and in order.
    """
    return files.replace_block(path, BEGIN, END, block(package))


def text(package: str, names: list[str] | None = None) -> str:
    """A paper's protocol and discrepancies as plain text.

    Parameters
    ----------
    package : str
        Name of the paper's package.
    names : list of str, optional
        Only these: ids of discrepancies, names of entries, or settings. Default: all.

    Returns
    -------
    str
        One entry a paragraph.

    Raises
    ------
    InputError
        If one of `names` is nowhere.
    """
    read, found = protocol(package), discrepancies(package)
    entries: list[Stated | Open | NotBuilt | Discrepancy] = [
        *read.stated.values(),
        *read.open.values(),
        *read.not_built.values(),
        *found.values(),
    ]
    for name in names or []:
        if not any(name in _keys(entry) for entry in entries):
            raise InputError(
                f"{name}: neither a discrepancy nor an entry nor a setting of {package}; "
                f"python -m common.protocols show {package} prints all"
            )
    chosen = [e for e in entries if not names or any(name in _keys(e) for name in names)]
    out = []
    if not names:
        about = read.paper
        doi = f", doi {about.doi}" if about.doi else ""
        out.append(
            f"{', '.join(about.authors)}: {about.title}. {about.venue}, {about.year}{doi}; "
            f"licence: {about.licence}. Trainings: {about.trainings}."
        )
    return "\n\n".join([*out, *map(_paragraph, chosen)]) + "\n"


def _keys(entry: Stated | Open | NotBuilt | Discrepancy) -> tuple[str, ...]:
    """Names by which an entry can be asked for."""
    if isinstance(entry, Discrepancy):
        return (entry.id,)
    if isinstance(entry, NotBuilt):
        return (entry.name,)
    return (entry.name, entry.field, flag(entry.field)) if entry.field else (entry.name,)


def _paragraph(entry: Stated | Open | NotBuilt | Discrepancy) -> str:
    if isinstance(entry, Discrepancy):
        return (
            f"{entry.id}  {entry.severity}; {entry.where}; {_how(entry)}\n"
            f"  printed   {entry.claim}\n  but       {entry.problem}\n"
            f"  evidence  {entry.evidence}\n  here      {entry.resolution}"
        )
    if isinstance(entry, NotBuilt):
        return f"{words(entry.name)}\n  {entry.where}: {entry.says}\n  not built: {entry.why}"
    setting = f"  {flag(entry.field)}" if entry.field else ""
    if isinstance(entry, Open):
        return f"{words(entry.name)}{setting}\n  left open: {_value(entry.default)}; {entry.why}"
    lines = f"{words(entry.name)}{setting}\n  {entry.where}: {_values(entry)}; {entry.says}"
    if entry.ours is not None:
        lines += f"\n  here: {_value(entry.ours)}; {entry.why}"
    return lines


def flag(field: str) -> str:
    """Command-line flag of a setting.

    Parameters
    ----------
    field : str
        Its name in `Config`, with ``gan.`` before it one of the GAN's.

    Returns
    -------
    str
    """
    return "--" + field.removeprefix("gan.").replace("_", "-")


def words(name: str) -> str:
    """An entry's name as words.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
        With a capital.
    """
    return name.replace("_", " ").capitalize()


def _values(entry: Stated) -> str:
    return " or ".join(map(_value, entry.values))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return format(value, "g")
    if isinstance(value, tuple):
        return ", ".join(map(_value, value))
    return str(value)


def packages(names: list[str]) -> list[str]:
    """The papers that a command is about.

    Parameters
    ----------
    names : list of str
        What was asked for; empty means all.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        If one is no paper.
    """
    for name in names:
        if name not in papers.PAPERS:
            raise InputError(f"{name}: no paper; there are {', '.join(papers.PAPERS)}")
    return names or list(papers.PAPERS)
