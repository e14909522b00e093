"""A run's folder: made, found again by the same command, locked, read."""

from __future__ import annotations

import contextlib
import datetime
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from common import terminal, writers
from common.errors import BEFORE_ANYTHING, SHOWN, InputError, WriteError, many
from common.files import expanded, read_json, write_json
from common.notices import RESEARCH_USE, SYNTHETIC, SYNTHETIC_PREFIX
from common.runs.contents import require_same_images
from common.runs.environment import commit, environment, machine, now
from common.runs.identity import id_of, same_run
from common.runs.manifest import BUSY, CHANGED, compare, has_manifest, renew, write_manifest
from common.runs.naming import folders, is_foreign, named, no_run, require_free_name
from common.runs.record import Record

if TYPE_CHECKING:
    from common.images import Pixels

T = TypeVar("T")


@dataclass
class Run:
    """A run folder and what its `config.json` says.

    Attributes
    ----------
    path : Path
    record : Record
    started : datetime
        When this process began to work on it.
    log : str or None
        Program that its history is given to (`common.loggers`); known to this process alone.
    """

    path: Path
    record: Record = field(repr=False)
    started: datetime.datetime = field(default_factory=now, repr=False)
    log: str | None = field(default=None, repr=False, compare=False)

    @property
    def finished(self) -> bool:
        """Whether every file of the run has been written."""
        return self.record.finished is not None

    @property
    def config(self) -> dict[str, Any]:
        """The fields of the paper's Config."""
        return self.record.config

    @property
    def synthetic(self) -> bool:
        """Whether the run saw synthetic images; its results never stand in a paper's table."""
        return self.record.synthetic

    def setting(self, name: str, kind: type[T]) -> T:
        """One field of the config, of the type that it must have.

        Parameters
        ----------
        name : str
        kind : type

        Raises
        ------
        InputError
            If `config.json` lacks it, or has another there.
        """
        value = self.config.get(name)
        if isinstance(value, bool) != (kind is bool) or not isinstance(value, kind):
            raise InputError(
                f"{self.path / 'config.json'}: {name} is {str(value)[:40]!r}, which is no "
                f"{kind.__name__}; take the file as the training wrote it"
            )
        return value

    def closing_words(self) -> str:
        """Say where the results are, and whether other code than today's made them."""
        called = f" ({self.record.name})" if self.record.name else ""
        lines = [f"\nrun     {terminal.plain(self.path)}{terminal.plain(called)}"]
        if (self.path / "report.html").is_file():  # a GAN's run has none
            lines.append(f"report  {terminal.plain(self.path / 'report.html')}")
        made_by = read_json(self.path / "environment.json")
        if made_by.get("commit") != commit():
            lines.append(
                f"made by commit {str(made_by.get('commit'))[:10]}, not the present one; "
                f"--fresh trains again"
            )
        skipped = self.record.skipped
        if skipped:
            lines.append(
                f"LEFT OUT {many(len(skipped), 'image')} that cannot be used (--skip-bad), so "
                "this run "
                "fills no row of a table:"
            )
            lines += [f"  {each['image']}: {each['reason']}" for each in skipped[:SHOWN]]
            if len(skipped) > SHOWN:
                lines.append(f"  and {len(skipped) - SHOWN} more, see config.json")
        if self.synthetic:
            lines.append(SYNTHETIC)
        lines.append(RESEARCH_USE)
        return "\n".join(lines)

    def note(self, **facts: Any) -> None:
        """Add facts that became known during the run to `config.json`.

        Parameters
        ----------
        **facts : object
            Fields of the record, or what a paper wants to keep (as JSON).
        """
        self.record.note(**facts)
        write_json(self.path / "config.json", self.record.to_json())
        if self.finished and has_manifest(self.path):
            renew(self.path, ["config.json"])

    def note_machine(self) -> None:
        """Note where this process trains; say so if the run began elsewhere.

        The same bytes are promised for equal threads, processor and versions, so a run that goes
        on elsewhere ends in other ones than it would have.
        """
        here = machine()
        began = self.record.machines
        if here in began[-1:]:
            return
        if began:
            differs = ", ".join(
                f"{name} {began[-1].get(name)} then, {here.get(name)} now"
                for name in {**began[-1], **here}
                if began[-1].get(name) != here.get(name)
            )
            terminal.line(
                f"this run was begun elsewhere ({differs}): it goes on, but not to the same bytes",
                always=True,
            )
        self.note(machines=[*began, here])

    def record_environment(self) -> None:
        """Write where and how long the run was made, before its report is."""
        finished = now()
        facts = {
            "started": self.record.created,
            "finished": finished.isoformat(),
            "seconds": (finished - self.started).total_seconds(),
        }
        write_json(self.path / "environment.json", environment(self.record.command) | facts)

    def finish(self) -> None:
        """Mark the run as finished, which lets `tables` read it; its resume state goes."""
        # While this folder is there the manifest is still to be written, whoever is killed when.
        (self.path / "checkpoint").mkdir(exist_ok=True)
        self.note(finished=now().isoformat())
        self._end()

    def _end(self) -> None:
        state = self.path / "checkpoint"
        if state.is_dir() and not has_manifest(self.path):
            write_manifest(self.path)
        shutil.rmtree(state, ignore_errors=True)


@contextlib.contextmanager
def open_run(
    runs_dir: str | Path,
    record: Record | Mapping[str, Any],
    *,
    fresh: bool = False,
    pixels: Pixels | None = None,
) -> Iterator[Run]:
    """Create the run folder for `record`, or find the one that the same command made before.

    The folder is locked while the block runs, so that two processes never write to one run. A
    `config.json` that was cut while the run was not finished is written anew: the folder's name
    says that it is this run's. A folder that an earlier version named otherwise is found by what
    its `config.json` says.

    Parameters
    ----------
    runs_dir : path
        Where runs live; the folder is made if it is missing.
    record : Record or mapping
        What `config.json` holds. `package`, `preset`, `config`, `data`, `weights` and `synthetic`
        decide the folder's name.
    fresh : bool
        Start anew: what the folder held is deleted.
    pixels : Pixels, optional
        The images as they are now. What bytes they have is kept in `images.csv`.

    Yields
    ------
    Run

    Raises
    ------
    InputError
        If the folder cannot be written, its `config.json` is damaged, another process has it, or
        images have changed since the run began.
    """
    asked = record if isinstance(record, Record) else Record.from_json(record)
    identity = id_of(asked)
    path = _folder_of(expanded(runs_dir) / asked.package, asked, identity)
    if asked.name is not None:
        require_free_name(asked.name, runs_dir, path)
    made = [each for each in (path, *path.parents[:2]) if not each.exists()]
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(writers.alone(path, BUSY))
        except WriteError as error:
            raise WriteError(f"{error} with --runs-dir") from None
        stack.enter_context(_failing(path, made))
        if fresh:
            _empty(path, keep=".lock")
        if not _can_go_on(path):
            begun = asked.changed(run_id=identity, created=now().isoformat(), finished=None)
            write_json(path / "config.json", begun.to_json())
        run = load(path)
        if asked.name not in (None, run.record.name) or run.record.failed is not None:
            run.note(name=asked.name or run.record.name, failed=None)
        if run.finished:
            run._end()  # that of a process which was killed a moment before
            if has_manifest(path) and compare(path, quick=True).get("images.csv") == CHANGED:
                (path / "images.csv").unlink()  # what the images are now is written there again
        if pixels is not None:
            require_same_images(run.path / "images.csv", pixels)
        yield run


# What a run has before anything is computed that the same command would not make again.
_BEFORE = {
    "config.json", "environment.json", "images.csv", "split.csv", "samples.csv", "leakage.json",
    "looks.bin", "figures/leakage.png",
}  # fmt: skip


@contextlib.contextmanager
def _failing(path: Path, made: Sequence[Path]) -> Iterator[None]:
    """Note what stopped a run; of one that ended before it had done anything leave no folder."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        # In whole: a glob left half-way keeps its folder open.
        begun = [
            each
            for each in path.rglob("*")
            if each.is_file()
            and not each.name.startswith(".")
            and each.relative_to(path).as_posix() not in _BEFORE
        ]
        interrupted = isinstance(error, KeyboardInterrupt)
        if not begun and (path in made or interrupted):
            shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):
                for folder in made[1:]:
                    folder.rmdir()
            if interrupted and not str(error):
                raise KeyboardInterrupt(BEFORE_ANYTHING) from None
        elif isinstance(error, Exception):
            with contextlib.suppress(OSError, InputError):
                run = load(path)
                if not run.finished:
                    run.note(failed=str(error).splitlines()[0] if str(error) else repr(error))
        raise


def _folder_of(package: Path, record: Record, identity: str) -> Path:
    """The folder named after the id, or the one that already holds this run."""
    prefix = SYNTHETIC_PREFIX if record.synthetic else ""
    path = package / f"{prefix}{record.preset}-{identity}"
    if path.exists():
        return path
    with contextlib.suppress(OSError):
        for file in sorted(package.glob("*/config.json")):
            with contextlib.suppress(InputError):
                if same_run(record, load(file.parent).record):
                    return file.parent
    return path


def _can_go_on(path: Path) -> bool:
    """Whether a folder holds a run; a damaged `config.json` that can be made again is named."""
    file = path / "config.json"
    if not file.exists():
        return False
    try:
        load(path)
    except InputError as error:
        # A finished run has no checkpoint, and what it noted would be lost.
        if error.__cause__ is None or not list((path / "checkpoint").glob("state-*.npz")):
            raise
        terminal.line(f"{file}: damaged, written anew; the run goes on", always=True)
        return False
    return True


def _empty(folder: Path, keep: str) -> None:
    for entry in folder.iterdir():
        if entry.name == keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def load(path: str | Path, package: str | None = None) -> Run:
    """Read the run in folder `path`.

    Parameters
    ----------
    path : path
        The run folder, or what names a run below the folder ``runs`` (`named`).
    package : str, optional
        The package that must have made it.

    Raises
    ------
    InputError
        If the folder is no run folder, its `config.json` is damaged, a newer version wrote it, or
        it is another package's.
    """
    path = named(path, package=package) or named(path) or expanded(path)
    file = path / "config.json"
    if not file.is_file():
        raise no_run(path)
    values = read_json(file, repair="delete the folder, or train again with --fresh")
    if is_foreign(values):
        raise no_run(path)
    try:
        record = Record.from_json(values)
        if "finished" not in values:
            raise ValueError("it does not say whether the run finished")
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    except ValueError as error:
        raise InputError(
            f"{file}: damaged ({error}); delete the folder, or train again with --fresh"
        ) from error
    if package is not None and record.package != package:
        raise InputError(f"{path}: a run of {record.package}, not of {package}")
    return Run(path, record)


def load_classifier(path: str | Path, package: str | None = None) -> Run:
    """As `load`; refuses a run that classifies nothing, such as a GAN's.

    Parameters
    ----------
    path : path
    package : str, optional

    Raises
    ------
    InputError
        As `load`, or saying what to ask such a run instead.
    """
    run = load(path, package)
    said = run.record.no_classifier
    if said is None and "kind" in run.record.facts:  # before `no_classifier` a run named its kind
        said = f"a run of the kind {run.record.facts['kind']!r}, which has no predictions; its "
        said += "scores are in its metrics.json"
    if said is not None:
        raise InputError(f"{path}: {said}")
    return run


def find(runs_dir: str | Path, package: str) -> list[Run]:
    """Finished runs of a package, oldest first. Folder names do not matter.

    Parameters
    ----------
    runs_dir : path
    package : str
    """
    found = map(load, folders(runs_dir, package))
    runs = [run for run in found if run.finished]
    return sorted(runs, key=lambda run: str(run.record.finished))
