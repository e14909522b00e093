"""Look whether a stranger's run is what it says, and whether it fills a row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import config as configuration
from common import evaluation, runs, splits
from common.errors import InputError, listed
from common.files import file_hash
from common.papers import PAPERS
from common.reproduce.states import whole
from common.reproduce.work import of_paper

RELATIVE = 1e-9
"""How far a score computed again may be from the one that the folder says: rounding."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    what : str
    fine : bool
    words : str
        What was found.
    """

    what: str
    fine: bool
    words: str


@dataclass(frozen=True)
class Checked:
    """What was found in a run folder.

    Attributes
    ----------
    run : Run
    findings : list of Finding
    presets : list of str
        Presets that have its config, seeds and fold aside.
    """

    run: runs.Run
    findings: list[Finding]
    presets: list[str]

    @property
    def fills(self) -> bool:
        """Whether its lines may stand as reproduced by others."""
        return all(finding.fine for finding in self.findings)


def check(path: str | Path) -> Checked:
    """Look whether a finished run is what it says.

    Its scores are computed again from its predictions; its files are compared with its manifest,
    its settings with the paper's rows, its split with what it claims to keep apart. What cannot be
    seen from a folder: that the predictions come from its model, and that the model was trained on
    its split alone.

    Parameters
    ----------
    path : path
        The run folder.

    Returns
    -------
    Checked

    Raises
    ------
    InputError
        If it is no finished run of a paper's classifier, or a file cannot be read.
    """
    run = runs.load_classifier(path)
    if run.record.package not in PAPERS:
        raise InputError(f"{path}: a run of {run.record.package}, which is no paper here")
    if not run.finished:
        raise InputError(f"{path}: not finished; its command, given again, goes on")
    presets = [
        name
        for name, preset in of_paper(run.record.package).presets.items()
        if configuration.differences(run.config, preset) == []
    ]
    findings = [
        _files(run), _scores(run), _identity(run), _row(run, presets), _images(run), _split(run),
        _tissue(run),
    ]  # fmt: skip
    return Checked(run, findings, presets)


def text(checked: Checked) -> str:
    """What was found, in words.

    Parameters
    ----------
    checked : Checked
    """
    out = [str(checked.run.path), ""]
    for finding in checked.findings:
        out.append(f"{'ok   ' if finding.fine else 'WRONG'}  {finding.what:11s} {finding.words}")
    accuracy = evaluation.read_metrics(checked.run).get("accuracy")
    said = "" if accuracy is None else f" with an accuracy of {100 * accuracy:.2f} %"
    rows = " and ".join(checked.presets)
    out += ["", f"fills {rows}{said}" if checked.fills else "fills no row"]
    return "\n".join(out)


def _files(run: runs.Run) -> Finding:
    if not runs.has_manifest(run.path):
        return Finding("files", True, "no manifest: made by a version before there were any")
    found = runs.compare(run.path)
    wrong = sorted(name for name, what in found.items() if what != runs.ADDITIONAL)
    words = listed(f"{name} is {found[name]}" for name in wrong)
    return Finding("files", not wrong, words or "as they were when the run was finished")


def _scores(run: runs.Run) -> Finding:
    """Whether metrics.json is what the predictions say."""
    said, again = evaluation.read_metrics(run), evaluation.recomputed(run)
    wrong = [path for path, a, b in _numbers(said, again) if not _equal(a, b)]
    words = f"differ from what predictions.csv gives: {listed(wrong)}"
    n = again.get("n")
    return Finding("scores", not wrong, words if wrong else f"as {n} predictions give them")


def _numbers(said: Any, again: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Numbers of two metrics.json, side by side; of what only an older version lacks, nothing."""
    if isinstance(said, dict) and isinstance(again, dict):
        for name, value in said.items():
            if name in again:
                yield from _numbers(value, again[name], f"{path}.{name}" if path else name)
    elif isinstance(said, int | float) or isinstance(again, int | float):
        yield path, said, again


def _equal(a: Any, b: Any) -> bool:
    if not isinstance(a, int | float) or not isinstance(b, int | float):
        return False
    return math.isclose(a, b, rel_tol=RELATIVE, abs_tol=RELATIVE)


def _identity(run: runs.Run) -> Finding:
    known = runs.id_of(run.record)
    fine = known == run.record.run_id
    words = f"{known}, its folder says {run.record.run_id}" if not fine else known
    return Finding("identity", fine, words)


def _row(run: runs.Run, presets: list[str]) -> Finding:
    if presets:
        return Finding("settings", True, f"those of {' and '.join(presets)}")
    candidates = of_paper(run.record.package).presets
    found = {name: configuration.differences(run.config, each) for name, each in candidates.items()}
    nearest = min(found, key=lambda name: len(found[name]))
    return Finding("settings", False, f"not those of {nearest}: {listed(found[nearest])}")


def _images(run: runs.Run) -> Finding:
    record = run.record
    fine = whole(run)
    if record.own:
        return Finding("images", False, f"{record.n_images} of one's own, which fill no row")
    words = f"{record.n_images} of {record.expected_images or 'a number that is not noted'}"
    if record.skipped:
        words += f", {len(record.skipped)} left out by --skip-bad"
    if record.get("recompressed"):
        words += ", JPEG copies among them"
    return Finding("images", fine, words)


def _split(run: runs.Run) -> Finding:
    """Whether the split is the one noted, and keeps apart what it claims to."""
    file = run.path / "split.csv"
    noted = run.record.split_sha256
    if noted is not None and file_hash(file) != noted:
        return Finding("split", False, "split.csv is not the one that the run began with")
    table = splits.read(file)
    kind = str(run.config.get("split"))
    group = str(run.config.get("group") or "case")
    if kind == "patient" and group in table:
        known = table[table[group] != ""]
        parts = known.groupby(group)["part"].nunique()
        shared = sorted(parts[parts > 1].index)
        if shared:
            return Finding("split", False, f"by patient, but in two parts: {listed(shared)}")
    return Finding("split", True, f"by {kind}; {len(table)} images")


def _tissue(run: runs.Run) -> Finding:
    kind = "FABRICATED" if run.record.fabricated else "SYNTHETIC" if run.synthetic else "real"
    return Finding("tissue", not run.synthetic, kind)
