"""What runs there are and what they hold: python -m common.runs list|show|diff|verify|remove."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import errors, runs, terminal, writers
from common.arguments import Parser
from common.errors import InputError, WriteError, many
from common.files import path_argument
from common.metrics.summary import aligned
from common.papers import PAPERS
from common.runs import listing
from common.runs.listing import Listed
from common.runs.manifest import BUSY
from common.runs.naming import RUNS_DIR, named
from common.terminal import megabytes, plain

_LISTED = 20
_RUN = "a run folder, the name of a run, or the beginning of its id"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m common.runs``.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of the command line's.

    Returns
    -------
    int
        Exit code.
    """
    parser = Parser(prog="python -m common.runs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    part = _command(commands, "list", "list all runs, finished or not")
    part.add_argument("--paper", choices=PAPERS, help="only runs of this paper")
    part = _command(commands, "show", "show a run: settings, data, draws, machines, scores, files")
    part.add_argument("run", type=path_argument, metavar="RUN", help=_RUN)
    part = _command(commands, "diff", "compare two runs: settings, environment, scores")
    part.add_argument("a", type=path_argument, metavar="A", help=_RUN)
    part.add_argument("b", type=path_argument, metavar="B", help=_RUN)
    part = _command(commands, "verify", "compare the files of finished runs with their manifests")
    part.epilog = (
        "Exit code: 0 if every file is as it was, 1 if one has changed or is missing, 2 if a run "
        "has no manifest to compare with. Additional files are named and change nothing."
    )
    part.add_argument("runs", nargs="+", type=path_argument, metavar="RUN", help=_RUN)
    part = _command(commands, "remove", "delete runs, after asking")
    part.add_argument("runs", nargs="+", type=path_argument, metavar="RUN", help=_RUN)
    part.add_argument("--yes", action="store_true", help="do not ask")
    flags = parser.parse_args(arguments)
    if flags.command == "list":
        return _list(flags.runs_dir, flags.paper)
    if flags.command == "show":
        return _show(_find(flags.run, flags.runs_dir))
    if flags.command == "diff":
        return _diff(*(runs.load(_find(each, flags.runs_dir)) for each in (flags.a, flags.b)))
    if flags.command == "verify":
        return max(_verify(text, flags.runs_dir) for text in flags.runs)
    return _remove([_find(text, flags.runs_dir) for text in flags.runs], sure=flags.yes)


def _command(commands: Any, name: str, what: str) -> argparse.ArgumentParser:
    part: argparse.ArgumentParser = commands.add_parser(
        name, help=what, description=f"{what[0].upper()}{what[1:]}."
    )
    part.add_argument(
        "--runs-dir", type=path_argument, default=RUNS_DIR, metavar="DIR",
        help=f"where the runs are (default: {RUNS_DIR})",
    )  # fmt: skip
    return part


def _find(text: Path, runs_dir: Path) -> Path:
    found = named(text, runs_dir)
    if found is None:
        raise runs.no_run(text, runs_dir)
    return found


# --- list --------------------------------------------------------------------------------------


def _list(runs_dir: Path, paper: str | None) -> int:
    found = listing.listing(runs_dir, paper)
    if not found:
        terminal.out(f"no runs in {runs_dir}")
        return 0
    rows = [["run", "paper", "row", "state", "score", "size", "age"]]
    rows += [_cells(each) for each in found]
    for line in aligned(rows):
        terminal.out(line)
    total = sum(each.size for each in found)
    terminal.out(f"\n{_count(len(found))}, {megabytes(total)}, in {runs_dir}")
    return 0


def _count(number: int) -> str:
    return f"{number} run{'s' if number != 1 else ''}"


def _cells(each: Listed) -> list[str]:
    size, age = megabytes(each.size), listing.age(each.changed)
    if each.run is None:
        return [plain(each.path.name), each.path.parent.name, "", each.state, "", size, age]
    record = each.run.record
    return [
        plain(record.name or record.run_id or each.path.name),
        record.package,
        plain(listing.row_of(each.run)),
        each.state,
        each.score,
        size,
        age,
    ]


# --- show --------------------------------------------------------------------------------------


def _show(path: Path) -> int:
    run = runs.load(path)
    record = run.record
    told = listing.describe_run(path)
    state = told.state
    if run.finished:
        state += f" {record.finished}"
    elif record.failed is not None:
        state += f": {record.failed}"
    images = f"{many(record.n_images or 0, 'image')} of {record.dataset}"
    if record.own:
        images += ", which fill no row"
    elif record.expected_images not in (None, record.n_images):
        images += f", which has {record.expected_images}"
    facts = [
        ("run", path),
        ("name", record.name),
        ("id", record.run_id),
        ("paper", f"{record.package}, {listing.row_of(run)}"),
        ("state", state),
        ("command", record.command),
        ("data", images if record.n_images is not None else record.dataset),
        ("draw", listing.drawn(run)),
        ("starts from", record.weights),
        *(("may flatter", each) for each in record.leaks),
        *(
            ("machine", ", ".join(f"{name} {value}" for name, value in each.items()))
            for each in record.machines
        ),
    ]
    _facts(facts)
    _heading("settings (with the default, where it is another)")
    defaults = {str(row.get("name")): row.get("default") for row in record.sources}
    _facts(
        [
            (name, f"{_text(value)}{_default(value, defaults.get(name, value))}")
            for name, value in record.config.items()
        ]
    )
    scores = listing.scores_of(run)
    if scores:
        _heading("scores")
        _facts(list(scores.items()))
    _heading("files")
    differing = runs.compare(path, quick=True) if _has_manifest(run) else {}
    sizes = [
        (file.relative_to(path).as_posix(), file.stat().st_size)
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != ".lock"
    ]
    _facts(
        [
            (name, f"{_bytes(size)}{'  ' * (name in differing)}{differing.get(name, '')}")
            for name, size in sizes
        ]
        + [(name, what) for name, what in differing.items() if what == "missing"]
    )
    terminal.out(f"\n{megabytes(told.size)} in {len(sizes)} files; {_whole(run, differing)}")
    return 0


def _bytes(count: int) -> str:
    return megabytes(count) if count >= 1e6 else f"{count / 1e3:.1f} kB"


def _has_manifest(run: runs.Run) -> bool:
    return run.finished and runs.has_manifest(run.path)


def _whole(run: runs.Run, differing: dict[str, str]) -> str:
    if not _has_manifest(run):
        return "no manifest"
    damaged = any(what != "additional" for what in differing.values())
    return "damaged" if damaged else "as the manifest says (verify reads every byte)"


def _default(value: Any, default: Any) -> str:
    return "" if value == default else f"  ({_text(default)})"


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _heading(text: str) -> None:
    terminal.out(f"\n{text}\n")


def _facts(rows: Sequence[tuple[str, Any]]) -> None:
    """Print names and values, one a line; unknown ones are left out."""
    told = [(plain(name), plain(value)) for name, value in rows if value not in (None, "")]
    width = max((len(name) for name, _ in told), default=0)
    for name, value in told:
        terminal.out(f"{name:<{width}}  {value}".rstrip())


# --- diff --------------------------------------------------------------------------------------


def _diff(a: runs.Run, b: runs.Run) -> int:
    both = (a, b)
    of_run: list[dict[str, Any]] = [
        {
            "paper": run.record.package,
            "row": listing.row_of(run),
            "state": listing.state(run),
            "data": run.record.data[:12],
            "images": run.record.n_images,
            "starts from": run.record.weights[:12],
            "split.csv": (run.record.split_sha256 or "")[:12],
        }
        for run in both
    ]
    heads = [run.record.name or run.record.run_id or run.path.name for run in both]
    _beside("runs", heads, of_run)
    _beside("settings", heads, [run.config for run in both])
    _beside("environment", heads, [listing.environment_of(run) for run in both])
    _beside("scores", heads, [listing.scores_of(run) for run in both], equal=True)
    return 0


def _beside(
    title: str, heads: Sequence[str], values: Sequence[dict[str, Any]], *, equal: bool = False
) -> None:
    """Print what two mappings say side by side; what is equal is counted, or shown as well."""
    a, b = values
    names = list(dict.fromkeys([*a, *b]))
    shown = [name for name in names if equal or a.get(name) != b.get(name)]
    same = len(names) - len(shown)
    tail = f" ({same} equal)" if same else ""
    if not shown:
        terminal.out(f"{title}: {'no difference' if names else 'not known'}{tail}\n")
        return
    rows = [[f"{title}{tail}", *map(plain, heads)]]
    rows += [
        [plain(name), *(plain(_text(each[name])) if name in each else "-" for each in values)]
        for name in shown
    ]
    for line in aligned(rows):
        terminal.out(line)
    terminal.out("")


# --- verify ------------------------------------------------------------------------------------


def _verify(text: Path, runs_dir: Path) -> int:
    """Compare one run with its manifest; say what differs."""
    try:
        run = runs.load(_find(text, runs_dir))
        if not run.finished:
            raise InputError(f"{run.path}: no manifest, the run has not finished")
        if not runs.has_manifest(run.path):
            raise InputError(f"{run.path}: no manifest, an earlier version finished this run")
        found = runs.compare(run.path)
    except InputError as error:
        terminal.line(f"error: {error}", always=True)
        return 2
    lines = [f"{what:<10}  {plain(name)}" for name, what in found.items()]
    damaged = sum(what != "additional" for what in found.values())
    for line in lines[:_LISTED]:
        terminal.out(line)
    if len(lines) > _LISTED:
        terminal.out(f"and {len(lines) - _LISTED} more")
    files = f"{damaged} file{'s' if damaged != 1 else ''} damaged"
    terminal.out(f"{plain(run.path)}: {files if damaged else 'whole'}")
    return 1 if damaged else 0


# --- remove ------------------------------------------------------------------------------------


def _remove(paths: Sequence[Path], *, sure: bool) -> int:
    """Delete run folders, all or, if one cannot be, none."""
    found = [runs.load(path) for path in dict.fromkeys(paths)]  # a damaged one is no run to us
    for run in found:
        if run.path.is_symlink():
            raise InputError(f"{run.path}: a link; name the folder that it leads to")
        if writers.is_held(run.path):
            raise InputError(f"{run.path}: {BUSY.partition(';')[0]}; nothing is removed")
    sizes = [listing.size_on_disk(run.path) for run in found]
    for run, size in zip(found, sizes, strict=True):
        terminal.out(f"{run.path}  {listing.state(run)}  {megabytes(size)}")
    if not sure:
        if not sys.stdin.isatty():
            raise InputError("nothing is removed: there is no terminal to ask on; give --yes")
        if input(f"remove {_count(len(found))}? [y/N] ").strip().lower() not in ("y", "yes"):
            terminal.out("nothing is removed")
            return 1
    for run in found:
        _delete(run.path)
    terminal.out(f"removed {_count(len(found))}, {megabytes(sum(sizes))}")
    return 0


def _delete(path: Path) -> None:
    """Delete a run folder; a kill leaves no half run, but a half that the next start removes."""
    try:
        with writers.alone(path, BUSY):
            writers.remove_halves(path.parent, deep=False)
            going = Path(tempfile.mkdtemp(prefix=writers.half_prefix(), dir=path.parent))
            path.rename(going / path.name)
        shutil.rmtree(going)
    except OSError as error:
        raise WriteError(f"{path}: cannot be removed ({error.strerror})") from None


if __name__ == "__main__":
    errors.main(main)
