"""One contract for all papers: what a run writes, what it resumes to, how it answers."""

import importlib
import json
import runpy
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from card_numbers import foreign

from common import (
    card,
    classification,
    evaluation,
    lifecycle,
    notices,
    pipeline,
    predictions,
    runs,
    terminal,
    training,
)
from common.datasets import bci, breakhis, synthetic
from common.errors import InputError
from common.images import cached
from common.papers import PAPERS

TINY = {
    "her2scoring": {"network": "mobilenet_v2"},
    "breakhis": {"network": "mobilenet_v2"},
    "ernet": {"network": "ernet18"},
    "gan_fusion": {"network": "mobilenet_v2"},
    "wrn_edge": {"stem": "strided"},
}
"""What makes a paper's demo smaller still."""

PROMISED = {
    "config.json", "environment.json", "images.csv", "split.csv", "samples.csv", "history.csv",
    "model.keras", "predictions.csv", "metrics.json", "leakage.json", "looks.bin", "figures",
    "report.html", "manifest.json",
}  # fmt: skip
"""What README.md and docs/run-folder.md promise of every run."""

SAME = ("split.csv", "samples.csv", "history.csv", "predictions.csv", "metrics.json", "images.csv")
"""Files that a run which was stopped and went on holds byte for byte."""

EPOCHS = 3


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    root = tmp_path_factory.mktemp("tissue")
    slides = synthetic.breakhis(
        root / "breakhis", patients=24, images_per_patient=2, magnifications=("100X", "200X"),
        size=(46, 70),
    )  # fmt: skip
    patches = synthetic.bci(root / "bci", slides=16, patches_per_slide=3, size=64)
    return {paper: patches if paper == "her2scoring" else slides for paper in PAPERS}


@pytest.fixture(scope="module")
def train(tissue, tmp_path_factory):
    """Train a paper's demo, tiny; the same settings find the same run."""
    cache = tmp_path_factory.mktemp("cache")

    def call(paper, runs_dir, **settings):
        package = importlib.import_module(paper)
        return package.train(
            preset="demo", image_size=32, epochs=EPOCHS, batch_size=16, data_dir=tissue[paper],
            runs_dir=runs_dir, cache_dir=cache, workers=0, **TINY[paper], **settings,
        )  # fmt: skip

    return call


@pytest.fixture(scope="module")
def whole(train, tmp_path_factory):
    """A run of each paper that nothing stopped."""
    done = {}

    def make(paper):
        if paper not in done:
            done[paper] = train(paper, tmp_path_factory.mktemp("whole"))
        return done[paper]

    return make


@pytest.mark.parametrize("paper", PAPERS)
def test_a_run_holds_what_is_promised(paper, whole):
    run = whole(paper)
    assert {file.name for file in run.path.iterdir()} - {".lock"} == PROMISED
    assert not list(run.path.rglob(".part-*"))
    record = runs.load(run.path, paper).record
    assert record.finished and record.synthetic and run.path.name.startswith("SYNTHETIC-")
    assert record.split_sha256 == runs.file_hash(run.path / "split.csv")
    assert record.samples_sha256 == runs.file_hash(run.path / "samples.csv")
    samples = pd.read_csv(run.path / "samples.csv", dtype=str, keep_default_na=False)
    split = pd.read_csv(run.path / "split.csv", dtype=str, keep_default_na=False)
    parts = split.set_index("image").part
    for part in ("train", "validation"):
        used = samples[samples.part == part]
        assert set(used.image) == set(parts.index[parts == part]), part
    assert f"python -m {paper}.train --preset " in record.command


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
def test_what_a_run_publishes_works_by_itself(paper, whole, tissue, tmp_path, monkeypatch, capsys):
    """As card and folder of `common.card`: its numbers are the run's, its example answers alike."""
    run = whole(paper)
    network = f" of {runs.load_model(run).count_params():,} parameters"
    text = card.pack(run.path, tmp_path / "out").read_text(encoding="utf-8")
    assert text.count(network) == 2
    assert foreign(run.path, network) == set()
    images = [tissue[paper] / name for name in pd.read_csv(run.path / "split.csv").image[::20]]
    sheet = tmp_path / "sheet.csv"
    classification.main(paper, ["--run", str(run.path), "--output", str(sheet), *map(str, images)])
    expected = pd.read_csv(sheet, dtype={"predicted": str, "set": str})
    monkeypatch.setattr(sys, "argv", ["example.py", *map(str, images)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(tmp_path / "out" / "example.py"), run_name="__main__")
    assert ended.value.code == 0
    said = capsys.readouterr().out
    told = (notices.SYNTHETIC_MODEL, expected.round(4).to_string(index=False), notices.RESEARCH_USE)
    assert said == "\n".join([*told, ""])


@pytest.mark.parametrize("paper", PAPERS)
def test_the_reported_epoch_is_the_one_that_model_keras_holds(paper, whole, tissue):
    run = whole(paper)
    history = pd.read_csv(run.path / "history.csv")
    kept = evaluation.read_metrics(run)["best_epoch"]
    assert kept == run.record.kept_epoch
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert f"The weights of epoch {kept} were kept" in page
    rows = predictions.of_part(evaluation.read_run(run), "validation")
    classes = run.record.classes
    true, p = predictions.labels(rows, classes), predictions.probabilities(rows, classes)
    row = history.set_index("epoch").loc[kept]
    assert (p.argmax(1) == true).mean() == pytest.approx(row.val_accuracy, abs=1e-6)
    model = runs.load_model(run)
    # Keras' loss holds the penalties of weights, too.
    loss = -np.log(np.clip(p[np.arange(len(p)), true], 1e-7, 1)).mean() + sum(
        float(penalty) for penalty in model.losses
    )
    assert loss == pytest.approx(row.val_loss, rel=1e-4)
    # And predictions.csv is of model.keras.
    if run.record.get("stain_normalizer") is None:
        pixels = cached(
            tissue[paper], rows.image, 32, filter=run.config["resize_filter"],
            cache_dir=run.path.parent / "cache",
        )  # fmt: skip
        numbers = np.arange(len(rows))
        again = pipeline.Batches(pixels, numbers, list(rows.label), classes, batch_size=16)
        found = evaluation.predict(model, again, rows, classes)
        np.testing.assert_allclose(predictions.probabilities(found), p, atol=1e-6)


@pytest.mark.parametrize(
    "paper",
    # The smallest network by default, all of them in CI.
    [name if name == "wrn_edge" else pytest.param(name, marks=pytest.mark.slow) for name in PAPERS],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(
    paper, whole, train, tmp_path, monkeypatch, capsys
):
    from common.training import fitting

    def interrupted(self, epoch, logs=None):
        if epoch == EPOCHS - 1:
            raise KeyboardInterrupt
        return begin(self, epoch, logs)

    begin = fitting._Recorder.on_epoch_begin
    with monkeypatch.context() as patch:
        patch.setattr(fitting._Recorder, "on_epoch_begin", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(paper, tmp_path)
    (folder,) = (tmp_path / paper).iterdir()
    assert training.trained_epochs(folder) == EPOCHS - 1
    assert not runs.load(folder).finished
    # What is shared is told before the hours are spent.
    assert (folder / "leakage.json").is_file()
    run = train(paper, tmp_path)
    assert run.path == folder
    for name in SAME:
        assert (folder / name).read_bytes() == (whole(paper).path / name).read_bytes(), name
    assert "resuming after epoch 2" in capsys.readouterr().err


@pytest.mark.parametrize("paper", PAPERS)
def test_a_finished_run_answers_from_its_files(paper, whole, train, monkeypatch, capsys):
    """No image is normalised, drawn or decoded, and nothing is written."""
    run = whole(paper)
    data = importlib.import_module(f"{paper}.data")
    monkeypatch.setattr(data, "make_samples", lambda *a, **k: pytest.fail("drawn again"))
    if hasattr(data, "normalise_stains"):
        monkeypatch.setattr(data, "normalise_stains", lambda *a: pytest.fail("estimated again"))
    monkeypatch.setattr(training, "fit", lambda *a, **k: pytest.fail("trained again"))
    before = {file: file.stat().st_mtime_ns for file in run.path.rglob("*") if file.name != ".lock"}
    again = train(paper, run.path.parent.parent)
    assert again.path == run.path
    assert {
        file: file.stat().st_mtime_ns for file in run.path.rglob("*") if file.name != ".lock"
    } == before
    assert "accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    "paper",
    [name if name == "wrn_edge" else pytest.param(name, marks=pytest.mark.slow) for name in PAPERS],
)
def test_what_is_damaged_of_a_finished_run_is_made_again(paper, whole, train, tmp_path, capsys):
    before = whole(paper).path
    run = tmp_path / paper / before.name
    shutil.copytree(before, run)
    (run / "manifest.json").touch()  # copied before the model, which is so not younger
    assert runs.compare(run) == {}
    train(paper, tmp_path)
    assert "made again" not in capsys.readouterr().err

    for name in ("report.html", "split.csv", "figures/gradcam.png", "leakage.json", "looks.bin"):
        (run / name).unlink()
    for name in ("predictions.csv", "metrics.json", "images.csv"):
        (run / name).write_bytes((run / name).read_bytes()[:200])
    with (run / "samples.csv").open("a") as file:
        file.write("one line more\n")
    (run / "figures" / "examples.png").write_bytes(b"")
    train(paper, tmp_path)
    said = capsys.readouterr().err
    assert "made again: " in said
    for name in (*SAME, "figures/gradcam.png", "figures/examples.png", "leakage.json", "looks.bin"):
        assert (run / name).read_bytes() == (before / name).read_bytes(), name
    assert (run / "report.html").stat().st_size > 10_000
    assert runs.compare(run) == {}


def test_what_cannot_be_made_again_is_refused(whole, train, tmp_path, capsys):
    paper, before = "wrn_edge", whole("wrn_edge").path
    run = tmp_path / paper / before.name
    shutil.copytree(before, run)
    (run / "report.html").unlink()
    with (run / "model.keras").open("r+b") as file:  # one bit, the size stays
        file.seek(-100_000, 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(InputError, match=r"cannot be made again as it was: model\.keras \(changed"):
        train(paper, tmp_path)
    assert (run / "report.html").is_file()
    assert runs.compare(run) == {"model.keras": "changed"}
    # Without the model there is nothing from which predictions could come.
    (run / "predictions.csv").unlink()
    with pytest.raises(InputError, match=r"model\.keras \(changed\), predictions\.csv \(missing"):
        train(paper, tmp_path)
    (run / "history.csv").write_text("epoch\n")
    with pytest.raises(InputError, match=r"history\.csv \(changed"):
        train(paper, tmp_path)
    capsys.readouterr()


def test_a_finished_run_of_an_earlier_version_has_no_manifest(whole, train, tmp_path, capsys):
    paper, before = "wrn_edge", whole("wrn_edge").path
    run = tmp_path / paper / before.name
    shutil.copytree(before, run)
    (run / "manifest.json").unlink()
    train(paper, tmp_path)
    (run / "report.html").unlink()
    train(paper, tmp_path)
    assert (run / "report.html").is_file() and not runs.has_manifest(run)
    capsys.readouterr()


def test_another_draw_stops_a_run_that_was_begun(train, tmp_path, monkeypatch):
    """Else an image that it was trained on would be tested on."""
    from breakhis import data
    from common import splits
    from common.training import fitting

    def stopped(self, epoch, logs=None):
        if epoch:
            raise KeyboardInterrupt
        return begin(self, epoch, logs)

    begin = fitting._Recorder.on_epoch_begin
    with monkeypatch.context() as patch:
        patch.setattr(fitting._Recorder, "on_epoch_begin", stopped)
        with pytest.raises(KeyboardInterrupt):
            train("breakhis", tmp_path)
    (folder,) = (tmp_path / "breakhis").iterdir()
    before = (folder / "split.csv").read_bytes()
    drawn = splits.by_group

    def otherwise(index, **options):
        return drawn(index, **{**options, "seed": options["seed"] + 1})

    monkeypatch.setattr(data.splits, "by_group", otherwise)
    with pytest.raises(InputError, match=r"split\.csv: this run began with another split"):
        train("breakhis", tmp_path)
    assert (folder / "split.csv").read_bytes() == before


def test_a_call_finds_data_as_the_command_line_does(tissue, tmp_path, monkeypatch):
    from breakhis.config import PRESETS, Config
    from common import config as configuration

    def ask(**settings):
        return configuration.request(Config, PRESETS, package="breakhis", **settings)

    monkeypatch.setenv("HISTOPAPERS_DATA", str(tissue["breakhis"]))
    assert lifecycle.data_folder(ask(), breakhis) == tissue["breakhis"]
    other = tmp_path / "other"
    other.mkdir()
    assert lifecycle.data_folder(ask(data_dir=other), breakhis) == other
    # A demo is of synthetic tissue, whatever the environment says.
    monkeypatch.setattr(synthetic, "demo", lambda runs_dir, name: (runs_dir, name))
    asked = ask(preset="demo", runs_dir=tmp_path)
    assert lifecycle.data_folder(asked, breakhis) == (tmp_path, "breakhis")
    monkeypatch.delenv("HISTOPAPERS_DATA")
    with pytest.raises(InputError, match="no data folder is given for BCI"):
        lifecycle.data_folder(ask(), bci)


@pytest.mark.parametrize("paper", PAPERS)
def test_a_package_is_trained_by_a_call(paper):
    package = importlib.import_module(paper)
    module = importlib.import_module(f"{paper}.train")
    assert package.train is module  # and the module is callable
    with pytest.raises(TypeError, match="no setting 'epoch'"):
        package.train(epoch=3)
    assert json.loads(json.dumps(package.Config().seed)) == package.Config().seed


def test_weak_parts_are_told_before_the_training(capsys):
    def split(*rows):
        return pd.DataFrame(rows, columns=["part", "label", "case"])

    many = [("train", label, f"{label}{i}") for label in "ab" for i in range(5)]
    lifecycle._tell_weak_parts(split(*many))
    lifecycle._tell_weak_parts(split(("train", "a", ""), ("train", "b", "")))  # patients unknown
    assert capsys.readouterr().err == ""
    lifecycle._tell_weak_parts(
        split(
            *many, ("validation", "a", "v"), ("validation", "a", "w"),
            ("test", "a", "x"), ("test", "a", "y"), ("test", "b", "z"),
        )
    )  # fmt: skip
    assert capsys.readouterr().err.splitlines() == [
        "warning: the validation part is of 2 patients only and holds one class only, a",
        "warning: the test part is of 3 patients only and has a single patient of b; its scores "
        "will say little of other patients",
    ]


def test_quiet_gives_out_the_path_alone(whole, train, capsys):
    folder = whole("wrn_edge").path.parents[1]
    capsys.readouterr()
    terminal.quiet()
    try:
        run = train("wrn_edge", folder)
    finally:
        terminal.quiet(False)
    assert capsys.readouterr().out == f"{run.path}\n"
