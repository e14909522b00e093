"""`python -m common.runs`: list, show, diff, remove; names of runs; what a failed start leaves."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import run_folder
from test_runs import record

from common import config as configuration
from common import runs, writers
from common.errors import InputError
from common.runs.__main__ import main


@pytest.fixture
def folder(tmp_path):
    """A folder with a finished, an interrupted, a failed and a damaged run."""
    run_folder.make(tmp_path, pictures=False)
    with runs.open_run(tmp_path, record(name="pilot study")) as run:
        state(run, 3)
    with (
        pytest.raises(InputError),
        runs.open_run(tmp_path, record(package="ernet", data="e" * 64)) as run,
    ):
        state(run, 2)
        raise InputError("the loss became nan in epoch 3")
    damaged = tmp_path / "ernet" / "broken-00000000ff"
    damaged.mkdir()
    (damaged / "config.json").write_text("{")
    return tmp_path


def state(run, epoch):
    (run.path / "checkpoint").mkdir(exist_ok=True)
    (run.path / "checkpoint" / f"state-{epoch:06d}.npz").write_bytes(bytes(1_500_000))


def ask(*arguments, folder):
    return main([*map(str, arguments), "--runs-dir", str(folder)])


def test_list_shows_every_run_in_every_state(folder, capsys):
    assert ask("list", folder=folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["run", "paper", "row", "state", "score", "size", "age"]
    assert lines[-1].startswith("4 runs, 3.") and lines[-1].endswith(f"MB, in {folder}")
    found = {line[: line.index("  ")]: line for line in lines[1:-2]}
    assert "interrupted at epoch 3 of 30" in found["pilot study"]
    assert "1.5 MB" in found["pilot study"]  # of its checkpoint
    assert " damaged " in found["broken-00000000ff"]
    assert any("failed at epoch 2 of 30" in line for line in found.values())
    (finished,) = (line for line in found.values() if "finished" in line)
    assert "breakhis" in finished and " % [" in finished
    assert ask("list", "--paper", "ernet", folder=folder) == 0
    assert "2 runs" in capsys.readouterr().out
    assert ask("list", folder=folder / "nowhere") == 0
    assert capsys.readouterr().out == f"no runs in {folder / 'nowhere'}\n"
    (folder / "file").touch()
    with pytest.raises(InputError, match="no folder of runs"):
        ask("list", folder=folder / "file")


def test_a_run_at_work_is_said_to_run_and_is_not_removed(folder, capsys):
    path = runs.named("pilot study", folder)
    code = (
        "import sys, time; from common import writers\n"
        "with writers.alone(sys.argv[1], ''):\n    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        ask("list", folder=folder)
        assert "running, at epoch 3 of 30" in capsys.readouterr().out
        with pytest.raises(InputError, match="another process is working on this run"):
            ask("remove", "pilot study", "--yes", folder=folder)
        other.kill()
    ask("list", folder=folder)
    assert "interrupted at epoch 3 of 30" in capsys.readouterr().out
    assert path.is_dir()


def test_a_run_is_named_by_path_name_or_beginning(folder, monkeypatch):
    pilot = runs.named("pilot study", folder)
    assert runs.load(pilot).record.name == "pilot study"
    run_id = runs.load(pilot).record.run_id
    for text in (pilot, str(pilot), run_id, run_id[:6], pilot.name, pilot.name[:-3]):
        assert runs.named(text, folder) == pilot, text
    with pytest.raises(InputError, match=r"T2-binary: may be 3 runs: T2-binary-resnet50"):
        runs.named("T2-binary", folder)
    assert runs.named("T2-8", folder) is None
    assert runs.named(pilot.name, folder, "ernet") is None
    (folder / "runs").symlink_to(folder)
    monkeypatch.chdir(folder)
    assert runs.load("pilot study").path == Path("runs") / pilot.relative_to(folder)
    with pytest.raises(InputError, match=r"nobody: not a run folder .*common.runs list"):
        runs.load("nobody")
    for name in ("pilot study", "T2", pilot.name):  # as a folder of images may be called
        (folder / name).mkdir()
    assert runs.load("pilot study").path == runs.load(pilot.name).path
    with pytest.raises(InputError, match="T2: not a run folder"):
        runs.load("T2")


def test_no_two_runs_have_one_name(tmp_path):
    with runs.open_run(tmp_path, record(name="a")) as first:
        pass
    with (
        pytest.raises(InputError, match=r"--name a: .* has this name; choose another"),
        runs.open_run(tmp_path, record(name="a", data="e" * 64)),
    ):
        pass
    assert [path.name for path in (tmp_path / "breakhis").iterdir()] == [first.path.name]
    # Given again it is the same run; another name renames it, also where it is finished.
    with runs.open_run(tmp_path, record(name="a")) as again:
        again.finish()
    with runs.open_run(tmp_path, record(name="b")) as again:
        assert again.record.name == "b"
    with runs.open_run(tmp_path, record()) as again:
        assert again.path == first.path and again.record.name == "b"
        assert runs.compare(again.path) == {}


@pytest.mark.parametrize("name", ["", " a", "-a", ".a", "a/b", "a\\b", "a\nb", "x" * 65])
def test_a_name_that_cannot_be_typed_or_shown_is_refused(name):
    with pytest.raises(InputError, match="--name"):
        configuration.Execution(name=name)


@pytest.mark.parametrize("module", ["train", "train_gan"])
def test_training_commands_have_the_flag(module):
    from gan_fusion.gan.config import PRESETS, DataExecution, GanConfig

    request = configuration.parse(
        GanConfig, PRESETS, package="gan_fusion", module=module, description="",
        execution_class=DataExecution, arguments=["--name", "pilot 2"],
    )  # fmt: skip
    assert request.execution.name == "pilot 2"


# --- show, diff --------------------------------------------------------------------------------


def test_show_says_what_a_run_is(folder, capsys):
    finished = next((folder / "breakhis").glob("*0123456789"))
    assert main(["show", str(finished)]) == 0
    said = capsys.readouterr().out
    for text in (
        str(finished), "breakhis, T2-binary-resnet50-honest", "finished 20", "train ", "patients",
        "Accuracy ", "split ", "predictions.csv", "no manifest", "kB",
    ):  # fmt: skip
        assert text in said, text
    assert ask("show", "pilot study", folder=folder) == 0
    said = capsys.readouterr().out
    assert "name  " in said and "checkpoint/state-000003.npz  1.5 MB" in said


def test_diff_sets_two_runs_side_by_side(tmp_path, capsys):
    a = run_folder.make(tmp_path / "1", pictures=False)
    b = run_folder.make(tmp_path / "2", seed=1, pictures=False)
    for path, epochs, keras in ((a, 30, "3.1"), (b, 3, "3.2")):
        values = json.loads((path / "config.json").read_text())
        values["config"]["epochs"] = epochs
        runs.write_json(path / "config.json", values | {"name": f"epochs {epochs}"})
        values = json.loads((path / "environment.json").read_text())
        runs.write_json(path / "environment.json", values | {"packages": {"keras": keras}})
    assert main(["diff", str(a), str(b)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["epochs", "30", "3"] in lines and ["keras", "3.1", "3.2"] in lines
    (accuracy,) = (line for line in lines if line[:1] == ["Accuracy"])
    assert accuracy.count("%") == 2
    assert not [line for line in lines if line[:1] == ["network"]]  # equal


# --- remove ------------------------------------------------------------------------------------


def test_remove_deletes_what_is_named_and_nothing_else(folder, capsys, monkeypatch):
    pilot = runs.named("pilot study", folder)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(InputError, match="nothing is removed: there is no terminal"):
        ask("remove", "pilot study", folder=folder)
    assert pilot.is_dir()
    assert ask("remove", "pilot study", "--yes", folder=folder) == 0
    assert "removed 1 run, 1.5 MB" in capsys.readouterr().out
    assert not pilot.exists() and not list(folder.rglob(f"{writers.HALF}*"))
    assert len(list(folder.glob("*/*/config.json"))) == 3


@pytest.mark.parametrize(("answer", "left"), [("y", 0), ("n", 1), ("", 1)])
def test_on_a_terminal_it_asks(tmp_path, answer, left, capsys, monkeypatch):
    with runs.open_run(tmp_path, record(name="x")):
        pass
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert ask("remove", "x", folder=tmp_path) == left
    assert len(list(tmp_path.glob("*/*/config.json"))) == left
    capsys.readouterr()


def test_what_is_no_run_is_never_removed(folder, tmp_path):
    other = tmp_path / "photos"
    other.mkdir()
    (other / "config.json").write_text('{"a": 1}')
    link = tmp_path / "link"
    link.symlink_to(runs.named("pilot study", folder))
    for path in (other, link, folder, tmp_path / "ernet", tmp_path / "ernet" / "broken-00000000ff"):
        with pytest.raises(InputError):
            main(["remove", "--yes", str(path)])
        assert path.exists()


# --- failed starts -----------------------------------------------------------------------------


def test_a_start_that_fails_leaves_no_folder(tmp_path):
    with pytest.raises(InputError), runs.open_run(tmp_path / "runs", record()) as run:
        (run.path / "split.csv").write_text("x")
        raise InputError("no test images")
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_is_interrupted_leaves_no_folder(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt, match="before anything was saved; the same command"),
        runs.open_run(tmp_path / "runs", record()),
    ):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fresh", [False, True])
def test_what_is_interrupted_again_before_anything_is_saved_leaves_no_folder(tmp_path, fresh):
    with runs.open_run(tmp_path, record()) as run:  # a process that was killed
        (run.path / "split.csv").touch()
        if fresh:  # a finished run, which is not wanted any more
            (run.path / "model.keras").touch()
            (run.path / "metrics.json").touch()
    with (
        pytest.raises(KeyboardInterrupt, match="before anything was saved; the same command"),
        runs.open_run(tmp_path, record(), fresh=fresh),
    ):
        raise KeyboardInterrupt
    assert not run.path.exists()


@pytest.mark.parametrize("name", ["checkpoint/state-000001.npz", "predictions.csv", "epochs.txt"])
def test_an_interruption_keeps_what_was_done(tmp_path, name):
    with runs.open_run(tmp_path, record()) as run:
        (run.path / name).parent.mkdir(exist_ok=True)
        (run.path / name).touch()
    with pytest.raises(KeyboardInterrupt), runs.open_run(tmp_path, record()):
        raise KeyboardInterrupt
    assert (run.path / name).exists()


def test_what_was_there_before_a_failure_stays(tmp_path):
    with pytest.raises(KeyboardInterrupt), runs.open_run(tmp_path, record()) as run:
        (run.path / "model.keras").touch()
        raise KeyboardInterrupt
    with pytest.raises(InputError), runs.open_run(tmp_path, record()) as run:
        raise InputError("no room")
    assert runs.load(run.path).record.failed == "no room"
    with runs.open_run(tmp_path, record()) as run:  # which goes on
        assert run.record.failed is None
