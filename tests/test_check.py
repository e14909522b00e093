"""A stranger's run: what is seen of one that is not what it says."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil

import pytest
import run_folder

from common import config, evaluation, results, runs
from common.errors import InputError
from common.files import file_hash, write_json
from common.reproduce.__main__ import main
from common.reproduce.check import check
from common.runs import manifest

PRESET = "T2-binary-resnet50-honest"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run of a row, its settings, scores, split and manifest as they should be."""
    path = run_folder.make(tmp_path_factory.mktemp("made"), pictures=False)
    preset = importlib.import_module("breakhis.config").PRESETS[PRESET]
    edit(
        path,
        config=config.to_dict(dataclasses.replace(preset, seed=3)),
        split_sha256=file_hash(path / "split.csv"),
        sources=config.sources(preset),
    )
    edit(path, run_id=runs.id_of(runs.load(path).record))
    evaluation.evaluate_run(path)
    manifest.write_manifest(path)
    return path


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / made.name)


def edit(path, **facts):
    """Change what config.json says."""
    values = json.loads((path / "config.json").read_text())
    write_json(path / "config.json", {**values, **facts})


def wrong(path):
    return {finding.what: finding.words for finding in check(path).findings if not finding.fine}


def seal(path):
    """Let the manifest say what is there now, as a forger would."""
    manifest.write_manifest(path)
    return path


def test_a_run_that_is_what_it_says_fills_its_row(run, tmp_path, capsys):
    assert wrong(run) == {}
    assert check(run).presets == [PRESET]
    assert main(["check", str(run), "--add", str(tmp_path / "results")]) == 0
    said = capsys.readouterr().out
    accuracy = evaluation.read_metrics(run)["accuracy"]
    assert f"fills {PRESET} with an accuracy of {100 * accuracy:.2f} %" in said
    lines = results.read(tmp_path / "results" / "breakhis.csv")
    assert {(line["tier"], line["seed"], line["preset"]) for line in lines} == {
        ("reproduced by others", "3", PRESET)
    }
    (kept,) = [line for line in lines if line["metric"] == "accuracy"]
    assert float(kept["value"]) == pytest.approx(accuracy)
    assert kept["predictions_sha256"] == file_hash(run / "predictions.csv")


def test_a_file_that_changed(run):
    (run / "history.csv").write_text("epoch,loss\n1,0\n")
    assert list(wrong(run)) == ["files"]
    assert "history.csv is changed" in wrong(run)["files"]


def test_scores_that_its_predictions_do_not_give(run):
    file = run / "metrics.json"
    scores = json.loads(file.read_text())
    write_json(file, {**scores, "accuracy": scores["accuracy"] + 0.001})
    assert wrong(seal(run)) == {"scores": "differ from what predictions.csv gives: accuracy"}
    write_json(file, {**scores, "auc": None})
    assert wrong(seal(run)) == {"scores": "differ from what predictions.csv gives: auc"}
    per_class = {**scores["per_class"], "benign": {**scores["per_class"]["benign"], "tp": 1}}
    write_json(file, {**scores, "per_class": per_class})
    assert wrong(seal(run))["scores"].endswith("per_class.benign.tp")


def test_settings_of_another_row_or_none(run, tmp_path, capsys):
    values = json.loads((run / "config.json").read_text())
    edit(run, config={**values["config"], "epochs": 31})
    found = wrong(seal(run))
    assert found["settings"] == f"not those of {PRESET}: epochs"
    assert "identity" in found  # the id was that of the other settings
    edit(run, run_id=runs.id_of(runs.load(run).record))
    assert list(wrong(seal(run))) == ["settings"]
    assert main(["check", str(run), "--add", str(tmp_path / "results")]) == 1
    assert "fills no row" in capsys.readouterr().out
    assert not (tmp_path / "results").exists()


def test_images_that_are_missing(run):
    edit(run, expected_images=7909)
    assert list(wrong(seal(run))) == ["images"]
    edit(run, expected_images=52, n_images=52, skipped=[{"image": "a.png", "reason": "cut"}])
    assert wrong(seal(run))["images"] == "52 of 52, 1 left out by --skip-bad"
    edit(run, skipped=[], own={"root": "/somewhere"}, expected_images=None)
    assert wrong(seal(run))["images"] == "52 of one's own, which fill no row"
    values = json.loads((run / "config.json").read_text())
    del values["own"]
    (run / "config.json").write_text(json.dumps(values))
    assert wrong(seal(run))["images"] == "52 of a number that is not noted"
    edit(run, expected_images=52, recompressed=7)
    assert wrong(seal(run))["images"] == "52 of 52, JPEG copies among them"


def test_a_split_that_is_not_by_patient(run):
    text = (run / "split.csv").read_text().splitlines()
    rows = [line.split(",") for line in text]
    case, part = rows[0].index("case"), rows[0].index("part")
    trained = next(row for row in rows if row[part] == "train")
    tested = next(row for row in rows if row[part] == "test")
    patient = trained[case]
    tested[case] = patient
    (run / "split.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    found = wrong(seal(run))
    assert found["split"] == "split.csv is not the one that the run began with"
    edit(run, split_sha256=file_hash(run / "split.csv"))
    assert wrong(seal(run))["split"] == f"by patient, but in two parts: {patient}"


def test_synthetic_tissue_fills_nothing(run):
    edit(run, synthetic=True)
    assert "tissue" in wrong(seal(run))


def test_what_is_no_finished_run_of_a_paper(run, tmp_path):
    edit(run, finished=None)
    with pytest.raises(InputError, match="not finished"):
        check(run)
    edit(run, finished="2026-11-20T09:12:31+00:00", package="elsewhere")
    with pytest.raises(InputError, match="a run of elsewhere, which is no paper here"):
        check(run)
    with pytest.raises(InputError, match="not a run folder"):
        check(tmp_path)
