"""A run on other data: what stands under a name, in which order, and whose patients they are."""

from __future__ import annotations

import dataclasses
import re

import cv2
import numpy as np
import pandas as pd
import pytest
import run_folder

from common import backend, evaluation, external, report, runs
from common.errors import InputError
from common.external import copies, evaluating, of_images
from common.external.others import parsed_map
from common.files import read_json
from common.report import elsewhere, files

LOAD = backend.load


class Model:
    """Calls every image the first class."""

    def predict(self, pixels, batch_size, verbose):
        return np.tile([0.8, 0.2], (len(pixels), 1))


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "load", lambda: None)
    monkeypatch.setattr(runs, "load_model", lambda run: Model())
    monkeypatch.setattr(report, "write", lambda path: None)
    made = runs.load(run_folder.make(tmp_path / "runs", "binary", pictures=False))
    (made.path / "model.keras").touch()
    made.note(config={**made.config, "image_size": 8, "resize_filter": "area"})
    return made


def site(folder, patients=("1", "1", "2", "2"), name="images.csv"):
    folder.mkdir(exist_ok=True)
    rows = ["image,label,patient"]
    for i, patient in enumerate(patients):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((8, 8, 3), i, np.uint8))
        rows.append(f"{i}.png,{('benign', 'malignant')[i % 2]},{patient}")
    (folder / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / name


def judge(run, source, *more):
    command = ["--run", str(run.path), "--images", str(source), *more]
    return external.main("breakhis", command)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], r"list.csv: tumour, normal, in situ: none .* \(benign, malignant\); say of each which "
         "of these it is: --label-map tumour=... normal=... 'in situ=...'; tumour= leaves one out"),
        (["tumour=malignant"], "list.csv: normal, in situ: none .*map normal=... 'in situ=...';"),
        (["tumour=malign"], "^--label-map tumour=malign: malign is none of the run's classes, "
         r"benign, malignant; did you mean tumour=malignant\?$"),
        (["normal=n"], "^--label-map normal=n: n is none of the run's classes, benign, malignant$"),
        (["tumor=malignant", "x="], r"^--label-map tumor=, x=: .*list.csv has BENIGN, in situ, no"),
    ],
)  # fmt: skip
def test_classes_are_given_a_meaning_by_their_owner(run, tmp_path, given, message):
    site(tmp_path / "a", "1234")
    text = "image,label\n0.png,BENIGN\n1.png,tumour\n2.png,normal\n3.png,in situ\n"
    (tmp_path / "a" / "list.csv").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        of_images(run, tmp_path / "a" / "list.csv", parsed_map(given))
    assert not re.search(r"normal=(benign|malignant)", str(error.value))


def test_classes_are_read_in_any_case(run, tmp_path):
    found = of_images(run, site(tmp_path / "a"), {"BENIGN": "Malignant", "malignant": ""})
    assert found.labels == {"benign": "malignant", "malignant": ""}
    assert list(found.table["label"]) == ["malignant"] * 2


def test_other_data_of_the_same_name_are_refused(run, tmp_path):
    one, other = site(tmp_path / "a"), site(tmp_path / "b")
    assert judge(run, one) == 0
    folder = run.path / "external" / "images"
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    second = site(tmp_path / "a", name="more.csv")
    for source, *more in (
        (other,),
        (other, "--data-dir", str(tmp_path / "a")),
        (one, "--data-dir", str(tmp_path / "b")),
        (second, "--name", "images"),
    ):
        with pytest.raises(InputError, match=r"external.images: holds the results on .*--name"):
            judge(run, source, *more)
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before
    assert judge(run, one) == 0  # the same again
    assert judge(run, other, "--name", "b") == 0
    found = read_json(run.path / "external" / "b" / "external.json")
    assert found["source"] == str(other.resolve())


def test_a_folder_that_was_not_finished_is_not_shown(run, tmp_path, monkeypatch):
    source = site(tmp_path / "a")
    assert judge(run, source) == 0
    assert elsewhere.section(files.read(run.path))["scores"]["rows"][1][0] == "images.csv"

    def killed(path, values):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(evaluating, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            judge(run, source)
    folder = run.path / "external" / "images"
    assert {each.name for each in folder.iterdir()} == {"predictions.csv", "metrics.json"}
    assert elsewhere.section(files.read(run.path)) is None
    assert judge(run, source) == 0 and (folder / "external.json").is_file()


def test_patients_of_ones_own_data_that_may_be_the_same(run, tmp_path):
    split = pd.read_csv(run.path / "split.csv", dtype=str, keep_default_na=False)
    case = split["case"].iloc[0]
    others = of_images(run, site(tmp_path / "a", (case, case, "new", "")), {})
    expected = f"2 of 4 images are of 1 patient whose names stand .* \\({case}\\): they may be"
    (said,) = copies._patients(run, others, set(split["case"]) - {""})
    assert pd.Series(said).str.match(expected).all()
    public = dataclasses.replace(others, dataset="bach")
    assert copies._patients(run, public, {case}) == []
    run.note(own={"source": "list.csv", "root": str(tmp_path), "sha256": ""})
    assert copies._patients(run, public, {case}) == [said]
    same = dataclasses.replace(others, dataset=run.record.dataset)
    assert copies._patients(run, same, {case}) == [
        "2 of 4 images are of 1 patient of the run's own data"
    ]
    assert copies._patients(run, others, {"other"}) == []


def test_what_validation_images_chose_is_judged_on_the_other_data(run, tmp_path, capsys):
    assert judge(run, site(tmp_path / "a")) == 0
    own = evaluation.read_metrics(run)["confidence"]
    found = read_json(run.path / "external" / "images" / "metrics.json")["confidence"]
    assert found["validation"] == own["validation"] and own["temperature"] is not None
    assert found["temperature"] == own["temperature"]
    for name, key in (("abstain", "below"), ("sets", "limit")):
        assert found[name][key] == own[name][key]
    # Every image is called the first class at 0.8, and half of them are.
    odds = 4 ** (1 / own["temperature"])
    assert found["after"]["ece"] == pytest.approx(abs(odds / (1 + odds) - 0.5))
    answered = odds / (1 + odds) >= own["abstain"]["below"]
    assert found["abstain"]["answered"] == 4 * answered
    assert found["abstain"]["error"] == (0.5 if answered else None)
    # A class is in the set if 1 - p is at most the limit; each patient has one image of each.
    inside = np.array([0.2, 0.8]) <= own["sets"]["limit"]
    assert found["sets"]["coverage"] == found["sets"]["coverage_of_images"] == inside.mean()
    rows = elsewhere.held({"confidence": found})
    held = f"{100 * inside.mean():.1f}\xa0%"
    assert rows["Sets that hold the class"][0] == held
    section = elsewhere.section(files.read(run.path))
    assert section["sure"]["heads"] == list(rows) == list(elsewhere.held({"confidence": own}))
    assert re.search(f"Sets that hold the class +{held} ", capsys.readouterr().out)
    assert "sets that are to hold the class of 90\xa0% of a new patient's" in section["chosen"]
    # Of a run whose own predictions are gone, nothing was chosen, and the rest is judged.
    (run.path / "predictions.csv").unlink()
    assert judge(run, tmp_path / "a" / "images.csv") == 0
    found = read_json(run.path / "external" / "images" / "metrics.json")
    assert found["n"] == 4 and found["confidence"]["temperature"] is None
    assert found["confidence"]["reasons"]["sets"] == "no validation images"
    told = "There were no validation images on which the run could choose anything."
    assert elsewhere.chosen(found) == told
    assert f"\n{told} Here, and on its own test images:\n" in capsys.readouterr().out


def test_batchnorm_is_refused_for_a_network_without_it_before_any_image_is_read(
    run, tmp_path, monkeypatch
):
    monkeypatch.setattr(backend, "load", LOAD)
    from common.backend import keras

    source = site(tmp_path / "a")
    layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    monkeypatch.setattr(runs, "load_model", lambda run: keras.Sequential(layers))
    (tmp_path / "a" / "0.png").write_bytes(b"")  # would be told if it were read
    message = (
        r"^--adapt batchnorm: the network of .* has no BatchNormalization, .* or take .*stain$"
    )
    with pytest.raises(InputError, match=message):
        judge(run, source, "--adapt", "stain", "batchnorm")
    assert not (run.path / "external").exists()
