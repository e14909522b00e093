"""The one reader of a paper's protocol.toml and discrepancies.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar

from common import papers
from common.errors import InputError

SEVERITIES = ("high", "medium", "low")
"""How much of a result rests on a discrepancy, the most first."""

Record = TypeVar("Record")


@dataclass(frozen=True)
class Paper:
    """Who wrote the paper and where it stands.

    Attributes
    ----------
    title : str
    authors : tuple of str
    venue : str
        Journal, volume and pages as far as they are printed.
    year : int
    licence : str
        Of the paper's text, not of its data.
    trainings : str
        How many one full reproduction takes.
    doi : str
        "" if none is printed.
    headline : tuple of str
        Table, row and metric of the printed number, an accuracy, that stands for the paper; of
        published.csv.
    """

    title: str
    authors: tuple[str, ...]
    venue: str
    year: int
    licence: str
    trainings: str
    doi: str = ""
    headline: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stated:
    """One thing that the paper says about how its numbers came about.

    Attributes
    ----------
    name : str
        Key within the paper.
    where : str
        Section, table or figure.
    says : str
        What it says, in words.
    values : tuple
        What it is; several where the paper's rows, or its sections, differ. With a `field` that is
        followed, in the terms of that setting.
    field : str
        Setting of the paper's `Config` ("gan.x" is one of the GAN's), or "".
    ours : object
        What is done here where that differs; None where it does not.
    why : str
        The reason for the difference.
    """

    name: str
    where: str
    says: str
    values: tuple[Any, ...]
    field: str = ""
    ours: Any = None
    why: str = ""


@dataclass(frozen=True)
class Open:
    """One thing that the paper leaves open.

    Attributes
    ----------
    name : str
        Key within the paper.
    default : object
        What is done here; with a `field`, the default of that setting.
    why : str
        The reason for it.
    field : str
        Setting of the paper's `Config` ("gan.x" is one of the GAN's), or "".
    """

    name: str
    default: Any
    why: str
    field: str = ""


@dataclass(frozen=True)
class NotBuilt:
    """One thing that the paper claims or announces and never describes; it is not built here.

    Attributes
    ----------
    name : str
        Key within the paper.
    where : str
        Section, table or figure.
    says : str
        What it says, in words.
    why : str
        Why it is not built.
    """

    name: str
    where: str
    says: str
    why: str


@dataclass(frozen=True)
class Protocol:
    """All that a paper's protocol.toml holds.

    Attributes
    ----------
    paper : Paper
    stated : dict of str to Stated
    open : dict of str to Open
    not_built : dict of str to NotBuilt
    """

    paper: Paper
    stated: dict[str, Stated]
    open: dict[str, Open]
    not_built: dict[str, NotBuilt]

    @property
    def deviations(self) -> list[Stated]:
        """What is stated and done otherwise here."""
        return [entry for entry in self.stated.values() if entry.ours is not None]


@dataclass(frozen=True)
class Discrepancy:
    """One place where a paper contradicts itself, its data, or arithmetic.

    Attributes
    ----------
    id : str
        A letter of the paper and two digits: "H03".
    severity : str
        One of `SEVERITIES`.
    where : str
        Sections, tables or figures.
    claim : str
        What is printed, its numbers as they stand there.
    problem : str
        What is wrong with it.
    evidence : str
        What shows that; sums are written out (``195 + 906 = 1101``), and a test works them out.
    resolution : str
        What is done about it here.
    found_by : tuple of str
        Rules of `common.forensics` that find it from the paper's printed numbers alone; empty where
        it takes reading.
    """

    id: str
    severity: str
    where: str
    claim: str
    problem: str
    evidence: str
    resolution: str
    found_by: tuple[str, ...] = ()


def protocol(package: str) -> Protocol:
    """Read a paper's protocol.toml; the package is not imported.

    Parameters
    ----------
    package : str
        Name of the paper's package.

    Returns
    -------
    Protocol

    Raises
    ------
    InputError
        If the file is missing or no TOML, or an entry lacks something or has too much; names it.
    """
    name = "protocol.toml"
    content = _load(package, name)
    unknown = set(content) - {"paper", "stated", "open", "not_built"}
    if unknown:
        raise InputError(f"{package}/{name}: unknown section [{min(unknown)}]")
    stated = {}
    for key, entry in content.get("stated", {}).items():
        where = f"{package}/{name} [stated.{key}]"
        if ("value" in entry) == ("values" in entry):
            raise InputError(f"{where}: needs one of value and values")
        if ("ours" in entry) != ("why" in entry):
            raise InputError(f"{where}: ours and why go together")
        values = entry["values"] if "values" in entry else [entry["value"]]
        rest = {k: v for k, v in entry.items() if k not in ("value", "values")}
        stated[key] = _record(Stated, where, {"name": key, "values": values, **rest})
    return Protocol(
        _record(Paper, f"{package}/{name} [paper]", content.get("paper", {})),
        stated,
        {
            key: _record(Open, f"{package}/{name} [open.{key}]", {"name": key, **entry})
            for key, entry in content.get("open", {}).items()
        },
        {
            key: _record(NotBuilt, f"{package}/{name} [not_built.{key}]", {"name": key, **entry})
            for key, entry in content.get("not_built", {}).items()
        },
    )


def discrepancies(package: str) -> dict[str, Discrepancy]:
    """Read a paper's discrepancies.toml; the package is not imported.

    Parameters
    ----------
    package : str
        Name of the paper's package.

    Returns
    -------
    dict of str to Discrepancy
        By id, in the order of the file.

    Raises
    ------
    InputError
        If the file is missing or no TOML, or an entry lacks something or has too much; names it.
    """
    name = "discrepancies.toml"
    found = {}
    for key, entry in _load(package, name).items():
        where = f"{package}/{name} [{key}]"
        found[key] = _record(Discrepancy, where, {"id": key, **entry})
        if found[key].severity not in SEVERITIES:
            raise InputError(f"{where}: severity is one of {', '.join(SEVERITIES)}")
    return found


def _load(package: str, name: str) -> dict[str, Any]:
    path = papers.folder(package) / name
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from None


def _record(kind: type[Record], where: str, entry: Mapping[str, Any]) -> Record:
    """Make a dataclass of a table; lists become tuples."""
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    missing = [n for n, field in known.items() if field.default is MISSING and n not in entry]
    if missing:
        raise InputError(f"{where}: lacks {', '.join(missing)}")
    unknown = [name for name in entry if name not in known]
    if unknown:
        raise InputError(f"{where}: unknown {', '.join(unknown)}")
    return kind(**{name: _tuples(value) for name, value in entry.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
