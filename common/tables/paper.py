"""Which finished run fills which row of a paper's tables, and what keeps the others from it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from common import config as configuration
from common import datasets, evaluation, measurements, results, runs
from common.errors import InputError
from common.files import expanded
from common.measurements import Measurement
from common.tables.elsewhere import Line, of_run
from common.tables.ours import Group, run_id
from common.tables.printed import published

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Paper:
    """A paper package's printed numbers and presets, and the runs that belong to each.

    Attributes
    ----------
    package : str
        Its name.
    table : DataFrame
        From `published`.
    presets : mapping
        Name -> Config, of every training command.
    honest : mapping
        Row's preset -> that of its honest twin, or ``none:`` and why there is none.
    leaks : mapping
        Row's preset -> what may flatter it, joined by semicolons.
    groups : dict
        Preset -> the runs that fill it.
    others : list of (str, Run, list of str)
        Runs that fill no row: the nearest preset, the run, what differs.
    trained_by : mapping
        Training command of presets that are not ``train``'s.
    as_printed : mapping
        Row's preset -> that of an experiment which does as the paper did where the row does not,
        because that flatters.
    chains : mapping
        Preset of a row that is more than one training -> what it takes, in words.
    fabricated : bool
        Whether the runs are those that a test made up, and no others.
    measured : dict
        Preset -> counts of its network, and what devices took with its model.
    elsewhere : list of Line
        What runs were worth on other data, those on images of one's own, too.
    """

    package: str
    table: pd.DataFrame
    presets: Mapping[str, Any]
    honest: Mapping[str, str]
    leaks: Mapping[str, str]
    groups: dict[str, Group] = field(default_factory=dict)
    others: list[tuple[str, runs.Run, list[str]]] = field(default_factory=list)
    trained_by: Mapping[str, str] = field(default_factory=dict)
    as_printed: Mapping[str, str] = field(default_factory=dict)
    chains: Mapping[str, str] = field(default_factory=dict)
    fabricated: bool = False
    measured: dict[str, list[Measurement]] = field(default_factory=dict)
    elsewhere: list[Line] = field(default_factory=list)

    def takes(self, run: runs.Record | results.Recorded) -> bool:
        """Whether a run is of the kind that counts here: on real tissue, or made up by a test.

        Parameters
        ----------
        run : Record or Recorded
        """
        return run.fabricated if self.fabricated else not run.synthetic


def load(
    package: str,
    runs_dir: str | Path,
    results_dir: str | Path | None = None,
    *,
    fabricated: bool = False,
) -> Paper:
    """Read a paper's printed numbers and presets, and sort its finished runs into rows.

    Synthetic runs are left out.

    Parameters
    ----------
    package : str
        Name of the paper's package; its ``config`` is imported.
    runs_dir : path
        Where runs live.
    results_dir : path, optional
        Folder of results (`common.results`): runs that stand there and not in `runs_dir` count
        as well.
    fabricated : bool
        Take the runs that a test made up, and no others.

    Returns
    -------
    Paper

    Raises
    ------
    InputError
        If published.csv names a preset that the package does not have, `runs_dir` is no folder, or
        a run is damaged.
    """
    paper = _without_runs(package, importlib.import_module(f"{package}.config"))
    paper.fabricated = fabricated
    rows = list(dict.fromkeys(paper.table["preset"]))
    twins = [paper.honest[name] for name in rows if name in paper.honest]
    candidates = rows + [name for name in twins if name in paper.presets]
    candidates += [paper.as_printed[name] for name in rows if name in paper.as_printed]
    for run in runs.find(runs_dir, package):
        if paper.takes(run.record):
            _sort_in(paper, run, candidates)
            paper.elsewhere += of_run(run)
    if results_dir is not None:
        _add_recorded(paper, expanded(results_dir) / f"{package}.csv", candidates)
    _add_measured(paper, measurements.find(runs_dir), candidates)
    return paper


def _add_measured(paper: Paper, found: Sequence[Measurement], candidates: Sequence[str]) -> None:
    """Add what was measured to every preset whose network, or whose run, it is of."""
    hashes = {name: configuration.config_sha256(paper.presets[name]) for name in candidates}
    for each in found:
        if each.synthetic:
            continue
        for name in candidates:
            group = paper.groups.get(name)
            ids = {run_id(run) for run in group.runs} if group else set()
            same = (each.paper, each.config_sha256) == (paper.package, hashes[name])
            if same or each.run_id in ids:
                paper.measured.setdefault(name, []).append(each)


def _add_recorded(paper: Paper, file: Path, candidates: Sequence[str]) -> None:
    """Add the runs of a file of results to every preset whose config they have."""
    if not file.is_file():
        return
    here = {run_id(run) for group in paper.groups.values() for run in group.folders}
    hashes = {name: configuration.config_sha256(paper.presets[name]) for name in candidates}
    lines = results.read(file)
    _add_measured(paper, results.measured(lines), candidates)
    for run in results.recorded(lines):
        if not paper.takes(run) or run.run_id in here:
            continue
        for name in candidates:
            if hashes[name] == run.config_sha256:
                group = paper.groups.setdefault(name, Group([], []))
                group.runs.append(run)
                group.metrics.append(run.metrics)


def _without_runs(package: str, module: ModuleType) -> Paper:
    paper = Paper(
        package,
        published(package),
        module.PRESETS | getattr(module, "OTHER_PRESETS", {}),
        getattr(module, "HONEST", {}),
        getattr(module, "LEAKS", {}),
        trained_by=getattr(module, "TRAINED_BY", {}),
        as_printed=getattr(module, "AS_PRINTED", {}),
        chains=_chains(package),
    )
    unknown = [name for name in paper.table["preset"].unique() if name not in paper.presets]
    if unknown:
        raise InputError(f"{package}/published.csv: no preset {', '.join(unknown)}")
    unknown = [name for name in paper.as_printed.values() if name not in paper.presets]
    if unknown:
        raise InputError(f"{package}.config: AS_PRINTED names no preset {', '.join(unknown)}")
    for name, twin in paper.honest.items():
        if twin not in paper.presets and not twin.startswith("none: "):
            raise InputError(f"{package}.config: HONEST[{name!r}] is neither a preset nor 'none: '")
    return paper


def _chains(package: str) -> dict[str, str]:
    """Rows that take more than one command, and which, from the paper's `experiments`."""
    if importlib.util.find_spec(f"{package}.experiments") is None:
        return {}
    found = {}
    for name, each in importlib.import_module(f"{package}.experiments").EXPERIMENTS.items():
        words = []
        if each.needed is not None:
            words.append(f"{each.needed.preset}, its images")
        count = len(each.rounds)
        words.append("the training" if count == 1 else f"{count} trainings")
        words += [step.kind for step in each.after]
        if words != ["the training"]:
            found[name] = ", ".join(words)
    return found


def _sort_in(paper: Paper, run: runs.Run, candidates: Sequence[str]) -> None:
    """Add a run to every preset that it is a whole run of, else to the others.

    A run on images of one's own is neither: it has no row that it could nearly fill.
    """
    if run.record.own:
        return
    found = {
        name: configuration.differences(run.config, paper.presets[name]) for name in candidates
    }
    base = run.record.preset.removesuffix("-changed")
    nearest = min(candidates, key=lambda name: (len(found[name]), name != base))
    what = [
        f"{name} {_shown(run.config, name)} (row: {_shown(paper.presets[nearest], name)})"
        for name in found[nearest]
    ]
    what += missing_images(run.record)
    if what:
        paper.others.append((nearest, run, what))
        return
    metrics = evaluation.read_metrics(run)
    # Presets may be equal (a later row printed again): the runs belong to each of them.
    for name in candidates:
        if not found[name]:
            group = paper.groups.setdefault(name, Group([], []))
            group.runs.append(run)
            group.metrics.append(metrics)


def missing_images(record: runs.Record) -> list[str]:
    """What a run did not see of its data set: then it fills no row.

    Parameters
    ----------
    record : Record

    Returns
    -------
    list of str
        In words; empty if it saw all.
    """
    what = []
    if record.own:
        return [f"{record.dataset}, not the paper's images"]
    if record.n_images is None or record.n_images != record.expected_images:
        what.append(f"{record.n_images} of {record.expected_images} images")
    if record.get("recompressed"):
        what.append(f"{record['recompressed']} images are JPEG copies, so another data set")
    if record.skipped:
        names = [f"{each['image']}: {each['reason']}" for each in record.skipped]
        shown = datasets.listed(names, 3)
        what.append(f"{len(record.skipped)} left out by --skip-bad ({shown})")
    return what


def _shown(config: Any, name: str) -> str:
    values = configuration.to_dict(config)
    if name not in values:
        return "missing"
    value = values[name]
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def command(
    package: str,
    preset: str,
    trained_by: Mapping[str, str] | None = None,
    chains: Mapping[str, str] | None = None,
    kind: str | None = None,
) -> str:
    """Command that makes a row: a training, or all rounds of it and what comes before.

    Parameters
    ----------
    package : str
        Name of the paper's package.
    preset : str
        Its name.
    trained_by, chains : mapping, optional
        As in `Paper`.
    kind : str, optional
        What measures the number, of one that is no score (`common.measurements.kind_of`).

    Returns
    -------
    str
        To be typed, with the data's folder in place of DIR.
    """
    if kind is not None:
        data = "" if kind == "complexity" else " --data-dir DIR  # a training, export, bench"
        return (
            f"python -m common.reproduce run --paper {package} --row {preset} --twins no "
            f"--only {kind}{data}"
        )
    if preset in (chains or {}):
        return (
            f"python -m common.reproduce run --paper {package} --row {preset} --twins no "
            f"--data-dir DIR  # {(chains or {})[preset]}"
        )
    module = (trained_by or {}).get(preset, "train")
    return f"python -m {package}.{module} --preset {preset} --data-dir DIR"
