"""A folder to publish: card, model, labels, scores, and an example that runs."""

from __future__ import annotations

import shutil
from pathlib import Path

from common import runs, writers
from common.card.public import public
from common.card.text import card
from common.errors import InputError
from common.files import write_json, write_text
from common.report import files as run_files

EXAMPLE = '''"""Classify images with the model beside this file: python example.py IMAGE...

pip install histopapers. Research use, not for diagnosis.
"""

import sys
from pathlib import Path

from common import backend, classification, errors, notices, runs


def main() -> int:
    images = [Path(name) for name in sys.argv[1:]]
    if not images:
        raise errors.InputError("no image is named: python example.py IMAGE...")
    for image in images:
        if not image.is_file():
            raise errors.InputError(f"{image}: no such file")
    backend.load()
    run = runs.load(Path(__file__).parent)
    if run.synthetic:
        print(notices.SYNTHETIC_MODEL)
    print(classification.predict(run, images).round(4).to_string(index=False))
    print(notices.RESEARCH_USE)
    return 0


if __name__ == "__main__":
    errors.main(main)
'''
"""What example.py holds."""

_TAKEN = ("model.keras", "metrics.json")


def pack(run_path: str | Path, out: str | Path) -> Path:
    """Write a folder that is ready to be published.

    Parameters
    ----------
    run_path : path
        A finished run of a classifier.
    out : path
        The folder; a new or an empty one.

    Returns
    -------
    Path
        Its README.md, the card.

    Raises
    ------
    InputError
        If the run has not finished, lacks its model or scores, or `out` holds something.
    WriteError
        If it cannot be written.
    """
    files, out = run_files.read(run_path), Path(out)
    run = runs.load_classifier(run_path)
    if not run.finished:
        raise InputError(f"{run.path}: the training has not finished; run its command again")
    for name in _TAKEN:
        if not (run.path / name).is_file():
            raise InputError(f"{run.path / name}: missing; {runs.RESTORE}")
    if not files.metrics:
        raise InputError(f"{run.path}: {files.damaged[0]}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: holds something already; give another folder")
    text = card(files)
    with writers.room_beside(out) as room:
        new = room / "new"
        new.mkdir()
        for name in _TAKEN:
            shutil.copyfile(run.path / name, new / name)
        write_json(new / "config.json", public(files.record).to_json())
        packages = {key: files.environment.get(key) for key in ("backend", "packages", "python")}
        write_json(new / "environment.json", packages)
        write_json(new / "labels.json", dict(enumerate(files.classes)))
        write_text(new / "example.py", EXAMPLE)
        write_text(new / "README.md", text)
        new.replace(out)  # an empty folder is replaced
    return out / "README.md"
