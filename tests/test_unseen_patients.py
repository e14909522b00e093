"""The benchmark of unseen patients: its intervals, its words, its trainings and another site."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
import run_folder

from benchmarks import unseen_patients as unseen
from common import backend, datasets, metrics, report, runs, stain
from common.datasets import synthetic
from common.errors import InputError
from common.external import trained
from common.reproduce import price


def answers(skill, seeds=2):
    """Predictions of six patients, three images each, under several seeds."""
    rows = []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, int(100 * skill)])
        for case in range(6):
            label = ("benign", "malignant")[case % 2]
            for image in range(3):
                chance = np.clip(rng.normal(skill if case % 2 else 1 - skill, 0.3), 0.01, 0.99)
                rows.append((f"{case}-{image}.png", str(case), label, chance, seed))
    frame = pd.DataFrame(rows, columns=["image", "case", "label", "p_malignant", "network"])
    return frame.assign(slide="", magnification="", part="test", p_benign=1 - frame.p_malignant)


def test_intervals_leave_out_patients_with_all_their_seeds():
    frames = {unseen.BASE: answers(0.6), "image-wise": answers(0.9)}
    table = unseen.judged(frames).set_index(["variant", "score"])
    # Accuracy, by the library's own comparison: an image under two seeds is two of a patient.
    rows = [f.assign(image=f.image + " " + f.network.astype(str)) for f in frames.values()]
    found = metrics.compare(rows[1], rows[0])
    mine = table.loc[("image-wise", "accuracy")]
    assert mine["value"] == pytest.approx(found["accuracy_a"])
    assert mine["more"] == pytest.approx(found["difference"])
    assert [mine["more_low"], mine["more_high"]] == pytest.approx(found["difference_ci"])
    # Classes are as large as each other here; and seeds that repeat add no certainty.
    assert table.loc[("image-wise", "balanced accuracy"), "value"] == pytest.approx(mine["value"])
    twice = {name: pd.concat([f, f.assign(network=f.network + 9)]) for name, f in frames.items()}
    again = unseen.judged(twice).set_index(["variant", "score"])
    assert again.to_numpy() == pytest.approx(table.to_numpy(), nan_ok=True)
    # The area is the mean of the seeds', which are not pooled.
    areas = [
        metrics.auc(f.label == "malignant", f.p_malignant)
        for _, f in frames["image-wise"].groupby("network")
    ]
    assert table.loc[("image-wise", "AUC"), "value"] == pytest.approx(np.mean(areas))
    # Base against itself: nothing moves.
    assert table.loc[unseen.BASE, "more"].abs().max() == 0


def test_one_patient_of_a_class_gives_no_interval_and_unknown_patients_are_images():
    frame = answers(0.8)
    few = frame[(frame.label == "malignant") | (frame.case == "0")]
    table = unseen.judged({unseen.BASE: few}).set_index("score")
    assert table.loc[["balanced accuracy", "AUC"], ["low", "high"]].isna().all(axis=None)
    assert table.loc["accuracy", ["low", "high"]].notna().all()
    unknown = frame.assign(case="")
    said = unseen.told({unseen.BASE: unknown}, None, False)
    assert "18 images of unknown patients: 9 benign, 9 malignant" in said
    assert "95 % over images" in said and " case " not in said
    narrow = unseen.judged({unseen.BASE: unknown}).set_index("score").loc["accuracy"]
    wide = unseen.judged({unseen.BASE: frame}).set_index("score").loc["accuracy"]
    assert narrow["value"] == wide["value"] and narrow["low"] != wide["low"]


def test_who_knows_the_shares_of_the_classes_alone_is_wrong_about_what_was_left_out():
    """Of three patients with 3, 2 and 1 images: each is left out once, and each time mistaken."""
    index = pd.DataFrame(
        [(f"{case}-{i}.png", case, label) for case, label, n in
         (("1", "benign", 3), ("2", "malignant", 2), ("3", "malignant", 1)) for i in range(n)],
        columns=["image", "case", "label"],
    )  # fmt: skip
    # Without 1: 3 malignant. Without 2: 3 benign, 1 malignant. Without 3: 3 benign, 2 malignant.
    assert unseen.by_shares(index, 3, 2) == 0
    assert unseen.by_shares(index[index.label == "malignant"], 2, 1) == 1


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.1, 0.2, "holds 0: no difference shown"),
        (0.0, 0.2, "holds 0: no difference shown"),
        (-0.2, 0.0, "holds 0: no difference shown"),
        (0.01, 0.2, "all above 0: higher"),
        (-0.2, -0.01, "all below 0: lower"),
        (np.nan, np.nan, "no interval: no difference shown"),
    ],
)
def test_an_interval_that_holds_0_ranks_nothing(low, high, words):
    assert unseen.verdict(low, high) == words
    table = pd.DataFrame(
        [(unseen.BASE, "accuracy", 0.5, 0.4, 0.6, 0.0, np.nan, np.nan),
         ("image-wise", "accuracy", 0.6, 0.5, 0.7, 0.1, low, high)],
        columns=["variant", "score", "value", "low", "high", "more", "more_low", "more_high"],
    )  # fmt: skip
    first, base, other = unseen.text(table, "patient").splitlines()
    assert "95 % over patients" in first
    assert base.split() == ["patient-wise", "accuracy", "50.0", "40.0", "to", "60.0"]
    assert other.endswith(words) and "+10.0" in other


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    return synthetic.breakhis(
        tmp_path_factory.mktemp("tissue"), patients=8, images_per_patient=2,
        magnifications=("100X",), size=(64, 64),
    )  # fmt: skip


def test_the_four_trainings_and_what_is_said_of_them(tissue, tmp_path, monkeypatch, capsys):
    """With a network that knows the patients it was trained on, and calls all others benign."""
    asked = []

    def train(plan, index, numbers, kind, seed, fold):
        asked.append((plan, index, numbers, kind, seed, fold))
        mine, seen = index[numbers == fold], set(index["case"][numbers != fold])
        right = mine["case"].isin(seen) & (mine["label"] == "malignant")
        return mine.assign(part="test", p_malignant=right * 1.0, p_benign=1.0 - right)

    monkeypatch.setattr(price, "trained", train)
    monkeypatch.setattr(price, "tested", lambda found: found)
    command = ["--data-dir", str(tissue), "--weights", "none", "--folds", "2", "--seeds", "1",
               "--output", str(tmp_path), "--figure", str(tmp_path / "f.png"),
               "--", "--image-size", "32"]  # fmt: skip
    unseen.main(command)
    said = capsys.readouterr().out
    assert "16 images of 8 patients: 8 benign, 8 malignant; always benign is 50.0 %" in said
    assert "SYNTHETIC" in said and "commoner in a fold's training: 50.0 %\n" in said
    assert "accuracy of each seed, patient-wise: 50.0 %" in said
    assert cv2.imread(str(tmp_path / "f.png")).shape[1] == 1080
    assert len(asked) == 8
    (plain,) = {plan.request.config for plan, _, _, kind, _, _ in asked if kind == "image"}
    assert (plain.image_size, plain.epochs, plain.split) == (32, 8, "file")
    changed = {plan.request.config.stain_augmentation for plan, *_ in asked}
    assert changed == {0.0, unseen.AUGMENTATION}
    moved = [each for each in asked if each[0].request.execution.data_dir != tissue]
    assert len(moved) == 2
    for plan, index, numbers, kind, seed, fold in moved:
        folder = plan.request.execution.data_dir
        assert kind == "patient" and folder.name == f"seed{seed}-fold{fold}"
        names = [Path(image).name for image in index["image"]]
        original = price.index_of(
            price.planned("breakhis", tissue, tmp_path, 2, 2, unseen.SETTINGS)
        )
        places = [Path(image).name for image in original["image"]]
        assert dict(zip(names, numbers, strict=True)) == dict(
            zip(places, price.folds_of(original, 2, seed)["patient"], strict=True)
        )
        # The target is one of the training images: normalised to itself, it hardly changes.
        method = stain.load(folder.with_suffix(".json"))
        near = [
            np.abs(method.transform(cv2.imread(str(tissue / image))[..., ::-1].copy()).astype(int)
                   - cv2.imread(str(tissue / image))[..., ::-1]).mean()
            for image in original["image"]
        ]  # fmt: skip
        assert numbers[names.index(places[int(np.argmin(near))])] != fold
    # The same again: no image is normalised anew.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    before.pop(tmp_path / "f.png")
    unseen.main(command)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "images are there already" in capsys.readouterr().out


def test_what_is_wrong_with_another_site_is_told_before_the_training(tissue, tmp_path, monkeypatch):
    monkeypatch.setattr(price, "trained", None)
    command = ["--data-dir", str(tissue), "--output", str(tmp_path / "out")]
    for more, told in (
        (["--other", str(tmp_path / "none.csv")], "none.csv"),
        (["--other", str(tmp_path), "--label-map", "tumour"], "--label-map tumour: give THEIRS=O"),
        (["--label-map", "tumour=malignant"], "are for --other"),
    ):
        with pytest.raises(InputError, match=told):
            unseen.main([*command, *more])
    assert not (tmp_path / "out").exists()


class Model:
    """Calls every image malignant."""

    def predict(self, pixels, batch_size, verbose):
        return np.tile([0.2, 0.8], (len(pixels), 1))


def test_another_site_is_judged_in_the_stains_of_the_training(tmp_path, tissue, monkeypatch):
    monkeypatch.setattr(backend, "load", lambda: None)
    monkeypatch.setattr(runs, "load_model", lambda run: Model())
    monkeypatch.setattr(report, "write", lambda path: None)
    own = []

    def find(run, data_dir):  # the images of these runs are not there
        own.append(data_dir)
        return "not there"

    monkeypatch.setattr(trained, "find_or_say", find)
    judged = {}
    for name in ("patient-wise", "stains normalised"):
        judged[name] = runs.load(run_folder.make(tmp_path / name, "binary", pictures=False))
        config = {**judged[name].config, "image_size": 8, "resize_filter": "area"}
        judged[name].note(config=config)
    index = datasets.get("breakhis").index(tissue)
    rows = [f"{tissue / row.image},{'tumour' if row.label == 'malignant' else 'normal'},{row.case}"
            for row in index.itertuples()]  # fmt: skip
    other = tmp_path / "elsewhere.csv"
    other.write_text("image,label,patient\n" + "\n".join(rows) + "\n", encoding="utf-8")
    plan = SimpleNamespace(output=tmp_path)
    target = cv2.imread(str(tissue / index["image"][0]))[..., ::-1].copy()
    (tmp_path / "normalised").mkdir()
    stain.MacenkoNormalizer().fit(target).save(tmp_path / "normalised" / "seed0-fold0.json")
    flags = SimpleNamespace(
        other=other, label_map=["tumour=malignant,normal=benign"], patients=None, data_dir=tissue
    )
    found = {
        name: unseen.elsewhere(plan, name, {(0, 0): run}, flags) for name, run in judged.items()
    }
    written = {
        name: json.loads((run.path / "external" / "elsewhere" / "external.json").read_text())
        for name, run in judged.items()
    }
    assert Path(written["patient-wise"]["root"]) in (tissue / index["image"][0]).parents
    folder = tmp_path / "normalised" / "elsewhere-seed0-fold0"
    assert written["stains normalised"]["root"] == str(folder)
    assert len(list(folder.rglob("*.png"))) == 16
    assert own == [tissue, tmp_path / "normalised" / "seed0-fold0"]
    said = unseen.told(found, None, True, "network")
    assert "16 images of 8 patients: 8 benign, 8 malignant" in said
    assert "accuracy of each network, stains normalised: 50.0 %" in said
    assert "+0.0" in said and "no interval: no difference shown" in said
    assert written["patient-wise"]["labels"] == {"tumour": "malignant", "normal": "benign"}
    flags.label_map = []
    with pytest.raises(InputError, match="none of the classes that the run knows"):
        unseen.elsewhere(plan, "patient-wise", {(0, 0): judged["patient-wise"]}, flags)


@pytest.mark.slow
def test_the_command_trains_resumes_and_judges_elsewhere(tissue, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        unseen, "VARIANTS",
        {name: unseen.VARIANTS[name] for name in ("patient-wise", "stains normalised")},
    )  # fmt: skip
    command = ["--data-dir", str(tissue), "--weights", "none", "--folds", "2", "--seeds", "1",
               "--output", str(tmp_path / "out")]  # fmt: skip
    tiny = ["--", "--image-size", "32", "--network", "mobilenet", "--frozen-layers", "80",
            "--epochs", "1"]  # fmt: skip
    unseen.main([*command, *tiny])
    first = capsys.readouterr().out
    made = sorted((tmp_path / "out" / "breakhis").iterdir())
    assert len(made) == 4  # a folder of normalised images is another run's data
    other = tmp_path / "other"
    index = datasets.get("breakhis").index(tissue)
    for row in index.itertuples():
        folder = other / row.label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / Path(row.image).name).write_bytes((tissue / row.image).read_bytes())
    unseen.main([*command, "--other", str(other), *tiny])
    second = capsys.readouterr().out
    assert "16 images of unknown patients: 8 benign, 8 malignant" in second
    assert "16 images of 8 patients: 8 benign, 8 malignant" in first
    assert sorted((tmp_path / "out" / "breakhis").iterdir()) == made
    assert all((run / "external" / "other" / "external.json").is_file() for run in made)
