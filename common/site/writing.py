"""The site as a folder: all pages, or none."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from common import notices, terminal, writers
from common.backend import cores
from common.errors import InputError
from common.files import expanded, read_json, write_json, write_text
from common.papers import PAPERS
from common.report.page import render
from common.reproduce.states import Place
from common.site import data, front, paper, printed
from common.site.gather import Known, gather
from common.site.run import COMMAND, Made, Task, address, write_page

MARK = "site.json"
"""In a folder that `write` made, and may write again."""

ALONE = 12
"""Fewer pages of runs are written by this process: to begin others takes a second or two."""


def write(
    out: str | Path,
    place: Place,
    results_dir: Path | None = None,
) -> Path:
    """Write the site of all papers.

    Parameters
    ----------
    out : path
        Its folder: a new one, an empty one, or that of an earlier site, which is replaced.
    place : Place
        Where runs live, and which of them are shown.
    results_dir : Path, optional
        Folder of results files.

    Returns
    -------
    Path
        The front page.

    Raises
    ------
    InputError
        If the folder holds something else, or a file of a run or of the results is damaged.
    WriteError
        If it cannot be written.
    """
    out = expanded(out)
    _require_ours(out)
    found = [gather(package, place, results_dir) for package in PAPERS]
    with _whole(out) as folder:
        _pages(folder, found, place)
    return out / "index.html"


def _pages(folder: Path, found: Sequence[Known], place: Place) -> None:
    tasks = _tasks(folder, found)
    shown = {task.run: made for task, made in zip(tasks, _written(tasks), strict=True)}
    made: dict[str, tuple[str, Made]] = {}
    for known in found:
        for item in known.trainings:
            run = known.state[item.key].run
            if known.state[item.key].done and run in shown:
                made[item.key] = address(run), shown[run]
    base = {
        "synthetic": place.synthetic or place.fabricated,
        "synthetic_notice": notices.FABRICATED if place.fabricated else notices.SYNTHETIC,
        "research_use": notices.RESEARCH_USE,
        "page_command": COMMAND + (" --demo" if place.synthetic else ""),
    }

    def put(file: str, template: str, content: dict[str, Any]) -> None:
        write_text(folder / file, render(f"common.site/{template}", base | content))

    above = {"crumbs": [("All papers", "../index.html")]}
    used = data.names(found)
    for known in found:
        mine = [(data.title(name), f"../data/{name}.html")
                for name, users in used.items() if known in users]  # fmt: skip
        content = paper.page(known, made, mine)
        put(f"papers/{known.package}.html", "paper.html",
            {**content, **above, "here": known.package})  # fmt: skip
        crumbs = [*above["crumbs"], (known.package, f"../papers/{known.package}.html")]
        judged = printed.page(known.package) | {"crumbs": crumbs, "here": "forensics"}
        write_text(folder / f"forensics/{known.package}.html",
                   render("common.forensics/page.html", base | judged))  # fmt: skip
    for name, users in used.items():
        put(f"data/{name}.html", "data.html",
            {**data.page(name, users, made), **above, "here": data.title(name)})  # fmt: skip
    sets = [(data.title(name), f"data/{name}.html", data.in_brief(name)) for name in sorted(used)]
    put("index.html", "front.html", front.page(found, sets))
    write_json(folder / MARK, {"site": "histopapers", "schema": 1})


def _tasks(folder: Path, found: Sequence[Known]) -> list[Task]:
    """A page for each run; of the first round of a row also pictures for the paper's page."""
    tasks = []
    for known in found:
        first: dict[str, Path | None] = {}
        for item in known.trainings:
            first.setdefault(item.preset, known.state[item.key].run)
        drawn = set(first.values())
        for run in sorted(known.runs, key=lambda run: run.path.name):
            crumbs = [("All papers", "../../index.html"),
                      (known.package, f"../../papers/{known.package}.html")]  # fmt: skip
            file = folder / "runs" / known.package / f"{run.path.name}.html"
            tasks.append(Task(run.path, file, crumbs, run.path.name, run.path in drawn))
    return tasks


def _written(tasks: Sequence[Task]) -> list[Made]:
    found = []
    with contextlib.ExitStack() as stack:
        each: Iterator[Made] = map(write_page, tasks)
        if len(tasks) >= ALONE and cores() > 1:
            # Started anew, not forked: this process may have threads.
            pool = ProcessPoolExecutor(cores(), multiprocessing.get_context("spawn"))
            stack.callback(pool.shutdown, cancel_futures=True)
            each = pool.map(write_page, tasks, chunksize=4)
        bar = stack.enter_context(terminal.progress("writing", len(tasks), "pages of runs"))
        for made in each:
            found.append(made)
            bar.at(len(found))
    return found


# --- the folder -----------------------------------------------------------------------------------


def _require_ours(out: Path) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"{out}: is no folder; give another name for the site's")
    with contextlib.suppress(InputError):
        mark = read_json(out / MARK)
        if isinstance(mark, dict) and mark.get("site") == "histopapers":
            return
    if any(out.iterdir()):
        raise InputError(
            f"{out}: holds something else than a site that this command made; give another folder"
        )


@contextlib.contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """Give a folder that takes the place of `out` only when the block ends without an error."""
    with writers.room_beside(out) as room:
        new, old = room / "new", room / "old"
        new.mkdir()
        yield new
        _require_ours(out)  # it may have been filled meanwhile
        if out.exists():
            out.replace(old)
        try:
            new.replace(out)
        except OSError:
            if old.exists():
                old.replace(out)
            raise


__all__ = ["MARK", "write"]
