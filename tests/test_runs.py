"""Run folders: identity, atomic writes, locks, damaged files."""

import json
import subprocess
import sys

import pandas as pd
import pytest
import run_folder

from common import runs
from common.errors import InputError
from common.files import atomic_path, file_hash, write_csv, write_json, write_text


def record(**changes):
    return {
        "package": "breakhis",
        "preset": "T2-binary-resnet50",
        "config": {"classes": 2, "weights": "imagenet", "epochs": 30},
        "data": "d" * 64,
        "weights": "imagenet",
        "synthetic": False,
        "command": "python -m breakhis.train",
        **changes,
    }


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "a.txt"
    write_text(file, "old")
    with pytest.raises(RuntimeError), atomic_path(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_json_has_no_nan_and_csv_nine_digits(tmp_path):
    write_json(tmp_path / "a.json", {"x": float("nan"), "y": (1, 2), "z": pd.Series([0.5])})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": None, "y": [1, 2], "z": [0.5]}
    write_csv(tmp_path / "a.csv", pd.DataFrame({"case": ["", "7"], "p": [1 / 3, 1.0]}))
    assert (tmp_path / "a.csv").read_text() == "case,p\n,0.333333333\n7,1\n"


def test_identity_depends_on_what_changes_predictions_and_nothing_else():
    config = {"classes": 2, "weights": "/a/w.h5", "lr": 1e-4}
    first = runs.run_id("breakhis", config, "data", "abc")
    assert len(first) == 10
    assert first == runs.run_id("breakhis", {**config, "weights": "/b/w.h5"}, "data", "abc")
    others = [
        runs.run_id("ernet", config, "data", "abc"),
        runs.run_id("breakhis", {**config, "lr": 1e-3}, "data", "abc"),
        runs.run_id("breakhis", config, "other", "abc"),
        runs.run_id("breakhis", config, "data", "def"),
    ]
    assert len({first, *others}) == 5


def test_weights_are_known_by_content(tmp_path):
    file = tmp_path / "w.h5"
    file.write_bytes(b"abc")
    assert runs.weights_id("none") == "none"
    assert runs.weights_id(str(file)).startswith("ba7816bf8f01cfea")  # SHA-256 of "abc", FIPS 180
    with pytest.raises(InputError, match="no such file"):
        runs.weights_id(str(tmp_path / "missing.h5"))


def test_the_same_record_finds_the_same_folder(tmp_path):
    with runs.open_run(tmp_path, record()) as run:
        assert not run.finished
        (run.path / "history.csv").write_text("kept")
    with runs.open_run(tmp_path, record()) as again:
        assert again.path == run.path
        assert (again.path / "history.csv").read_text() == "kept"
        (again.path / "checkpoint").mkdir()
        again.finish()
    assert not (again.path / "checkpoint").exists()
    assert [found.path for found in runs.find(tmp_path, "breakhis")] == [run.path]
    with runs.open_run(tmp_path, record(), fresh=True) as fresh:
        assert not fresh.finished
        assert not (fresh.path / "history.csv").exists()
    assert runs.find(tmp_path, "breakhis") == []


def test_synthetic_runs_say_so_in_their_name(tmp_path):
    with runs.open_run(tmp_path, record(synthetic=True)) as run:
        assert run.path.name.startswith("SYNTHETIC-")


def test_a_run_folder_belongs_to_one_process(tmp_path):
    with runs.open_run(tmp_path, record()) as run:
        code = (
            "from pathlib import Path; from common import errors, runs; import json, sys\n"
            f"record = json.loads({json.dumps(json.dumps(record()))})\n"
            "def main():\n"
            f"    with runs.open_run({str(tmp_path)!r}, record): pass\n"
            "errors.main(main)"
        )
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert other.returncode == 2
        assert other.stderr == (
            f"error: {run.path}: another process is working on this run; wait for it, or change "
            f"a setting\n"
        )


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1}', "[]"])
def test_a_damaged_config_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json: damaged"):
        runs.load(tmp_path)


def test_a_newer_schema_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"schema": 99}')
    with pytest.raises(InputError, match="newer version"):
        runs.load(tmp_path)


def test_no_run_folder(tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        runs.load(tmp_path)


def test_runs_folder_that_is_a_file(tmp_path):
    (tmp_path / "runs").write_text("")
    with (
        pytest.raises(InputError, match="--runs-dir"),
        runs.open_run(tmp_path / "runs", record()),
    ):
        pass


def test_a_value_at_its_first_default_leaves_the_id_alone():
    config = {"classes": 2, "weights": "none"}
    old = runs.run_id("breakhis", config, "data", "none", {"classes": 8})
    with_new = {**config, "blur": 0}
    assert old == runs.run_id("breakhis", with_new, "data", "none", {"classes": 8, "blur": 0})
    assert old != runs.run_id("breakhis", {**config, "blur": 1}, "data", "none", {"blur": 0})
    # 0 and 0.0 and False are three values.
    ids = {runs.run_id("breakhis", {"blur": v}, "d", "none", {"blur": 0}) for v in (0, 0.0, False)}
    assert len(ids) == 3


def test_a_folder_of_an_earlier_version_is_found_by_what_it_says(tmp_path):
    with runs.open_run(tmp_path, record()) as run:
        pass
    values = json.loads((run.path / "config.json").read_text())
    values |= {"schema": 1, "run_id": "0123456789"}
    write_json(run.path / "config.json", values)
    older = run.path.rename(run.path.with_name("T2-binary-resnet50-0123456789"))
    newer = record(
        config={**record()["config"], "blur": 0},
        sources=[{"name": "blur", "value": 0, "default": 0, "first": 0}],
    )
    with runs.open_run(tmp_path, newer) as found:
        assert found.path == older
    with runs.open_run(tmp_path, record(data="e" * 64)) as other:
        assert other.path != older


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config", []), ("skipped", "x"), ("classes", [1, 2]), ("synthetic", "no"),
        ("n_images", True), ("sources", {}), ("gradcam_layers", ["a"]), ("kept_epoch", "3"),
        ("classes", ["benign", "benign"]), ("positive", "../x"), ("positive", ""),
    ],
)  # fmt: skip
def test_a_record_of_the_wrong_types_is_refused(tmp_path, name, value):
    with runs.open_run(tmp_path, record()) as run:
        pass
    values = json.loads((run.path / "config.json").read_text())
    values |= {"classes": ["benign", "malignant"], name: value}
    write_json(run.path / "config.json", values)
    with pytest.raises(InputError, match=rf"config\.json: damaged \({name} is "):
        runs.load(run.path)


def test_what_a_record_lacks_is_said(tmp_path):
    lacking = runs.Record.from_json(record() | {"classes": None, "positive": None})
    assert lacking.get("classes") is None and "classes" not in lacking
    for error in (InputError, KeyError):
        with pytest.raises(error, match=r"^the run's config\.json lacks classes; restore"):
            lacking["classes"]


def test_a_record_keeps_what_a_paper_notes(tmp_path):
    with runs.open_run(tmp_path, record()) as run:
        run.note(rgb_mean=[1.0, 2.0, 3.0], kept_epoch=4)
    again = runs.load(run.path).record
    assert again.kept_epoch == 4
    assert again["rgb_mean"] == again.facts["rgb_mean"] == [1.0, 2.0, 3.0]
    assert again.get("nothing") is None
    assert again.changed(classes=("a", "b"), colour=1)["colour"] == 1


def test_only_papers_of_the_list_are_imported(tmp_path):
    with runs.open_run(tmp_path, record(package="antigravity")) as run:
        (run.path / "model.keras").write_bytes(b"")
    with pytest.raises(InputError, match="'antigravity', which is none of her2scoring"):
        runs.load_model(run.path)


# --- the draw ----------------------------------------------------------------------------------


def split(parts="aab"):
    names = {"a": "train", "b": "test"}
    return pd.DataFrame({"image": list("xyz"), "part": [names[p] for p in parts]})


def test_the_draw_is_written_once_and_noted(tmp_path):
    samples = pd.DataFrame({"image": ["x", "y"], "op": "none"})
    with runs.open_run(tmp_path, record()) as run:
        runs.settle(run, split(), samples)
        first = {name: (run.path / name).read_bytes() for name in ("split.csv", "samples.csv")}
        for name in first:
            (run.path / name).chmod(0o400)
    with runs.open_run(tmp_path, record()) as again:
        runs.settle(again, split(), samples)
        assert {name: (again.path / name).read_bytes() for name in first} == first
        assert again.record.split_sha256 == file_hash(run.path / "split.csv")
        (again.path / "samples.csv").unlink()
        runs.settle(again, split(), samples)  # the draw is the same, so it can be written again
        assert (again.path / "samples.csv").read_bytes() == first["samples.csv"]


@pytest.mark.parametrize("noted", [True, False])
def test_another_draw_stops_the_run_and_writes_nothing(tmp_path, noted):
    with runs.open_run(tmp_path, record()) as run:
        runs.settle(run, split())
        if not noted:  # as an earlier version left it
            run.note(split_sha256=None)
        before = (run.path / "split.csv").read_bytes()
        with pytest.raises(InputError, match=r"split\.csv: this run began with another split"):
            runs.settle(run, split("aba"))
        assert (run.path / "split.csv").read_bytes() == before


def test_a_split_that_was_edited_stops_the_run(tmp_path):
    with runs.open_run(tmp_path, record()) as run:
        runs.settle(run, split())
        write_csv(run.path / "split.csv", split("aba"))
        with pytest.raises(InputError, match=r"split\.csv: changed since this run began"):
            runs.settle(run, split())


def test_a_run_is_found_beside_a_folder_with_a_config_of_another_library(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "config.json").write_text('{"architectures": ["ViT"]}')
    with pytest.raises(InputError, match=r"its config.json is of something else.* nor the name"):
        runs.load("mine")
    made = run_folder.make(tmp_path / "runs", "binary", pictures=False)
    config = json.loads((made / "config.json").read_text()) | {"name": "mine"}
    (made / "config.json").write_text(json.dumps(config))
    assert runs.load("mine").path.resolve() == made.resolve()
    assert foreign.is_dir()
