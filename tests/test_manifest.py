"""The manifest of a finished run, `python -m common.runs verify`, and who is writing where."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
import run_folder

from common import evaluation, report, runs, writers
from common.errors import InputError
from common.runs.__main__ import main


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished classifier's run with what it promises, the model aside."""
    path = run_folder.make(tmp_path_factory.mktemp("made"), pictures=False)
    report.write(path)
    (path / "checkpoint").mkdir()
    (path / "checkpoint" / "state-000001.npz").write_bytes(b"state")
    runs.load(path).finish()
    return path


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / made.name)


def verify(*paths):
    return main(["verify", *map(str, paths)])


def test_a_finished_run_is_whole(run, capsys):
    assert not (run / "checkpoint").exists()
    assert runs.compare(run) == {}
    assert verify(run) == 0
    assert capsys.readouterr().out == f"{run}: whole\n"
    noted = json.loads((run / "manifest.json").read_text())["files"]
    assert noted["split.csv"]["sha256"] == runs.file_hash(run / "split.csv")
    assert noted["split.csv"]["bytes"] == (run / "split.csv").stat().st_size
    assert {"config.json", "predictions.csv", "report.html"} <= set(noted)
    assert not {"manifest.json", ".lock"} & set(noted)


def test_every_kind_of_difference_is_named(run, capsys):
    (run / "metrics.json").write_text("{}")
    (run / "split.csv").unlink()
    (run / "figures" / "mine.txt").write_text("x")
    (run / ".hidden").write_text("x")
    assert verify(run) == 1
    assert capsys.readouterr().out.splitlines() == [
        "additional  figures/mine.txt",
        "changed     metrics.json",
        "missing     split.csv",
        f"{run}: 2 files damaged",
    ]


def test_an_additional_file_is_no_damage(run, capsys):
    (run / "notes.txt").write_text("x")
    assert verify(run) == 0
    assert capsys.readouterr().out == f"additional  notes.txt\n{run}: whole\n"


def test_a_byte_that_changed_without_a_trace_is_found(run):
    file = run / "model.keras"
    file.write_bytes(bytes(5 << 20))
    (run / "manifest.json").unlink()
    runs.load(run).finish()
    before = file.stat()
    with file.open("r+b") as opened:
        opened.seek(3 << 20)
        opened.write(b"\1")
    assert runs.compare(run, quick=True) == {"model.keras": "changed"}  # it is younger
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert runs.compare(run, quick=True) == {}
    assert runs.compare(run) == {"model.keras": "changed"}


def test_commands_that_write_into_a_finished_run_are_no_damage(run):
    (run / "metrics.json").write_text("{}")
    (run / "report.html").write_text("gone")
    (run / "environment.json").write_text("{}")
    assert set(runs.compare(run)) == {"metrics.json", "report.html", "environment.json"}
    evaluation.evaluate_run(run)
    report.write(run)
    # What these did not write is as damaged as it was.
    assert runs.compare(run) == {"environment.json": "changed"}
    with runs.changing(run):
        (run / "export").mkdir()
        (run / "export" / "model.tflite").write_bytes(b"1")
    (run / "export" / "model.tflite").write_bytes(b"2")
    assert runs.compare(run)["export/model.tflite"] == "changed"
    with runs.changing(run):
        (run / "export" / "model.tflite").unlink()
    assert "export/model.tflite" not in runs.compare(run)
    runs.load(run).note(colour="blue")
    assert runs.compare(run) == {"environment.json": "changed"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no manifest, an earlier version finished this run"),
        ("", "manifest.json: damaged"),
        ('{"schema": 1, "files": {"a": 3}}', "manifest.json: damaged"),
        ('{"schema": 1, "files": []}', "manifest.json: damaged"),
        ('{"schema": 9, "files": {}}', "manifest.json: written by a newer version"),
        ("[" * 100_000, "manifest.json: damaged"),
    ],
)
def test_without_a_manifest_nothing_can_be_compared(run, content, said, capsys):
    file = run / "manifest.json"
    file.unlink()
    if content is not None:
        file.write_text(content)
    assert verify(run) == 2
    assert said in capsys.readouterr().err
    with runs.changing(run):  # and the run can be used all the same
        (run / "report.html").write_text("another")


def test_several_runs_and_what_is_none(run, tmp_path, capsys):
    (run / "split.csv").unlink()
    assert verify(run, tmp_path / "nowhere") == 2
    said = capsys.readouterr()
    assert "missing     split.csv" in said.out
    assert "nowhere: not a run folder" in said.err


# --- who is writing ----------------------------------------------------------------------------

WRITES = """
import sys, time
from pathlib import Path
from common.files import atomic_path
with atomic_path(Path(sys.argv[1]) / "a.txt") as temporary:
    temporary.write_text("half")
    print(temporary.name, flush=True)
    time.sleep(60)
"""


def test_halves_of_a_killed_process_go_and_those_of_a_living_one_stay(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", WRITES, tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        half = tmp_path / process.stdout.readline().strip()
        folder = half.with_name(half.name.replace(".txt", "-folder"))
        folder.mkdir()
        (folder / "b").touch()
        try:
            writers.remove_halves(tmp_path)
            writers.remove_halves(tmp_path, alone=True)
            assert half.read_text() == "half" and folder.is_dir()
        finally:
            process.kill()
            process.wait()
    runs.write_text(tmp_path / "other.txt", "whole")  # this process's first file there
    assert [file.name for file in tmp_path.iterdir()] == ["other.txt"]


def test_of_halves_of_other_machines_and_of_other_names(tmp_path):
    foreign = tmp_path / "sub" / ".part-00000000-1-1-abc.csv"
    old = tmp_path / "sub" / ".part-00000000-1-1-old.csv"
    earlier = tmp_path / ".part-abcdefgh.csv"  # as earlier versions named them
    foreign.parent.mkdir()
    for file in (foreign, old, earlier):
        file.touch()
    os.utime(old, (time.time() - 100_000,) * 2)
    writers.remove_halves(tmp_path)
    assert foreign.exists() and earlier.exists() and not old.exists()
    reused = tmp_path / f"{writers.half_prefix().rsplit('-', 2)[0]}-1-x.csv"
    reused.touch()  # our number, but of a process that began at another time
    writers.remove_halves(tmp_path, alone=True)
    assert not any(file.exists() for file in (foreign, earlier, reused))


def test_a_folder_has_one_writer_who_may_ask_twice(tmp_path):
    code = (
        "import sys\nfrom common import errors, writers\n"
        "def main():\n    with writers.alone(sys.argv[1], 'busy'): pass\n"
        "errors.main(main)"
    )
    ask = [sys.executable, "-c", code, str(tmp_path)]
    with writers.alone(tmp_path, "busy"), writers.alone(tmp_path, "busy"):
        assert writers.is_held(tmp_path)
        other = subprocess.run(ask, capture_output=True, text=True)
        assert (other.returncode, other.stderr) == (2, f"error: {tmp_path}: busy\n")
    assert not writers.is_held(tmp_path)
    assert subprocess.run(ask, check=False).returncode == 0


def test_a_folder_that_is_a_file_is_no_place_to_write(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match="file: cannot be written"),
        writers.alone(tmp_path / "file", "busy"),
    ):
        pass
