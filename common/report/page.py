"""The page: all sections in the template, each left out alone if the run's files do not fit."""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import notices, terminal
from common.errors import WriteError
from common.files import write_text
from common.report import data, making, paper, patients, results, summary, training, verdict, words
from common.report.files import DAMAGE, RunFiles, read

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

if TYPE_CHECKING:
    import jinja2

SECTIONS: dict[str, Callable[[RunFiles], Any]] = {
    "headline": summary.headline,
    "verdict": verdict.verdict,
    "data": data.data,
    "leakage": data.leakage,
    "curves": training.curves,
    "confusion": results.confusion,
    "roc": results.roc,
    "calibration": results.calibration,
    "per_class": results.per_class,
    "per_case": patients.per_case,
    "magnifications": results.magnifications,
    "roc_by_magnification": results.roc_by_magnification,
    "wrong": patients.wrong,
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
    """Write `report.html`, and the figures it shows, into a run folder.

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
        If the folder is no run folder.
    WriteError
        If the page or a figure cannot be written.
    """
    files = read(run_path)
    target = files.path / "report.html"
    page = _template().render(context(files))
    # Jinja escapes what is markup; a name's control characters and bytes that are no UTF-8 are not.
    write_text(target, _UNSEEN.sub(lambda found: terminal.plain(found[0]), page))
    return target


def context(files: RunFiles) -> dict[str, Any]:
    """Give everything that the template shows.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict
        The sections and a few facts of the run; a section is None if it is left out.
    """
    damaged = list(files.damaged)
    sections = {name: _section(name, make, files, damaged) for name, make in SECTIONS.items()}
    record = files.record
    return {
        **sections,
        "warnings": sections["warnings"] or [],
        "files": sections["files"] or {"all": [], "main": []},
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
        "command": record.command or files.environment.get("command"),
        "research_use": notices.RESEARCH_USE,
        "synthetic_notice": notices.SYNTHETIC,
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
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
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
    source = importlib.resources.files("common.report").joinpath("page.html").read_text("utf-8")
    return environment.from_string(source)
