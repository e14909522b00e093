"""The page: all sections in the template, each left out alone if the run's files do not fit."""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from common import notices, runs, terminal
from common.errors import DAMAGE, WriteError
from common.files import write_text
from common.report import (
    data,
    elsewhere,
    making,
    paper,
    patients,
    results,
    summary,
    sure,
    training,
    verdict,
    words,
)
from common.report.files import RunFiles, read

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CODE = re.compile("(?<=<code>)[^<]*(?=</code>)")
_FLAG = re.compile(r"(?<=\s)(--?[\w-]{1,30})(?!\S)")

if TYPE_CHECKING:
    import jinja2

Section = Callable[[RunFiles], Any]
"""Makes what a template shows under one name; None leaves it out."""

SECTIONS: dict[str, Section] = {
    "headline": summary.headline,
    "verdict": verdict.verdict,
    "data": data.data,
    "leakage": data.leakage,
    "curves": training.curves,
    "confusion": results.confusion,
    "roc": results.roc,
    "calibration": results.calibration,
    "sure": sure.sure,
    "per_class": results.per_class,
    "per_case": patients.per_case,
    "magnifications": results.magnifications,
    "roc_by_magnification": results.roc_by_magnification,
    "confusion_by_magnification": results.confusion_by_magnification,
    "wrong": patients.wrong,
    "elsewhere": elsewhere.section,
    "published": paper.published,
    "settings": making.settings,
    "examples": data.examples,
    "mistakes": patients.mistakes,
    "gradcam": patients.gradcam,
    "warnings": summary.warnings,
    "environment": making.environment,
    "files": making.listing,
}
"""What the template shows under each name. Pictures are drawn before the files are listed."""


def write(run_path: str | Path) -> Path:
    """Write `report.html`, and the figures it shows, into a classifier's run folder.

    Parameters
    ----------
    run_path : path
        The run folder; only `config.json` must be there.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the folder is no run folder, or no classifier's.
    WriteError
        If the page or a figure cannot be written.
    """
    return write_page(
        read(run_path), "common.report/page.html", SECTIONS, "python -m common.report"
    )


def write_page(
    files: RunFiles, template: str, sections: Mapping[str, Section], command: str
) -> Path:
    """Write `report.html` from sections and a template that extends `common.report/frame.html`.

    Parameters
    ----------
    files : RunFiles
        Of the run.
    template : str
        A package and a file in it, with a slash between them.
    sections : mapping of str to callable
        What the template shows under each name, made of the run's files. One whose files do not
        fit is None, and named.
    command : str
        Writes the page again, given a run.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    WriteError
        If the page or a figure cannot be written.
    """
    target = files.path / "report.html"
    with runs.changing(files.path):
        known = context(files, sections) | {"page_command": f"{command} RUN"}
        write_text(target, render(template, known))
    return target


def render(template: str, known: Mapping[str, Any]) -> str:
    """Fill a template that extends `common.report/frame.html`; nothing in it does anything.

    Parameters
    ----------
    template : str
        A package and a file in it, with a slash between them.
    known : mapping of str to object
        What it shows. Of a page that is about no run, synthetic and research use need not be said.

    Returns
    -------
    str
        The page; markup and control characters of what it shows are escaped.
    """
    about = {"synthetic": False, "research_use": notices.RESEARCH_USE}
    page = _templates().get_template(template).render(about | dict(known))
    # A line of a command ends before a flag or after it: browsers end one after any hyphen.
    page = _CODE.sub(lambda found: _FLAG.sub(r'<span class="k">\1</span>', found[0]), page)
    # Jinja escapes what is markup; control characters of names and bytes that are no UTF-8 are not.
    return _UNSEEN.sub(lambda found: terminal.plain(found[0]), page)


def context(
    files: RunFiles, sections: Mapping[str, Section] = MappingProxyType(SECTIONS)
) -> dict[str, Any]:
    """Give everything that a template shows.

    Parameters
    ----------
    files : RunFiles
        Of the run.
    sections : mapping of str to callable
        As in `write_page`.

    Returns
    -------
    dict
        The sections and a few facts of the run; a section is None if it is left out.
    """
    damaged = list(files.damaged)
    made = {name: _section(name, make, files, damaged) for name, make in sections.items()}
    record = files.record
    return {
        **made,
        "warnings": made.get("warnings") or [],
        "files": made.get("files") or {"all": [], "main": []},
        "dataset": summary.dataset(files),
        "title": f"{record.package}: {record.preset or files.path.name}",
        "folder": files.path.name,
        "run_id": record.run_id,
        "synthetic": files.synthetic,
        "leaks": record.leaks,
        "classes": files.classes,
        "damaged": damaged,
        "metrics": files.metrics,
        "environment_known": bool(files.environment),
        "command": making.command(files),
        "research_use": notices.RESEARCH_USE,
        "synthetic_notice": notices.FABRICATED if record.fabricated else notices.SYNTHETIC,
    }


def _section(
    name: str, make: Callable[[RunFiles], Any], files: RunFiles, damaged: list[str]
) -> Any:
    """Give a section's content; None if what it is made of does not fit together."""
    try:
        return make(files)
    except WriteError:  # a page without its pictures is no page
        raise
    except DAMAGE as error:
        damaged.append(
            f"{name}: left out, the run's files do not fit ({type(error).__name__}: {error})"
        )
        return None


@functools.cache
def _templates() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=words.percent,
        number=words.number,
        count=words.count,
        value=words.value,
    )
    return environment


def _source(name: str) -> str:
    package, _, file = name.rpartition("/")
    return importlib.resources.files(package).joinpath(file).read_text("utf-8")
