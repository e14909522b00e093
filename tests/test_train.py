"""Whole runs through the command line: what is written, resume after SIGKILL, bad input."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from common import confidence, datasets, evaluation, runs
from common.datasets import synthetic
from common.notices import RESEARCH_USE
from common.predictions import column

PAPERS = ("her2scoring", "breakhis")
# As where nobody has set how much TensorFlow says.
UNSET = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
SMALL = ("--demo", "--image-size", "32", "--epochs", "3", "--batch-size", "16")


@pytest.fixture(scope="session")
def tissue(tmp_path_factory):
    """Small synthetic data sets in the layouts of BCI and BreakHis, by paper."""
    root = tmp_path_factory.mktemp("tissue")
    return {
        "her2scoring": synthetic.bci(root / "bci", slides=16, patches_per_slide=3, size=64),
        "breakhis": synthetic.breakhis(
            root / "breakhis",
            patients=24,
            images_per_patient=2,
            magnifications=("100X",),
            size=(46, 70),
        ),
    }


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def command(paper, *arguments):
    return [sys.executable, "-m", f"{paper}.train", *map(str, arguments)]


def run(paper, *arguments, **options):
    return subprocess.run(
        command(paper, *arguments), capture_output=True, text=True, check=False, **options
    )


@pytest.fixture(scope="session")
def finished(tissue, cache, tmp_path_factory):
    """A finished run of each paper: its folder and what the command printed."""
    done = {}

    def make(paper):
        if paper not in done:
            folder = tmp_path_factory.mktemp(paper)
            result = run(
                paper, *SMALL, "--data-dir", tissue[paper], "--runs-dir", folder,
                "--cache-dir", cache, env=UNSET,
            )  # fmt: skip
            assert result.returncode == 0, result.stderr
            (path,) = (folder / paper).iterdir()
            done[paper] = path, result
        return done[paper]

    return make


@pytest.mark.parametrize("paper", PAPERS)
def test_a_run_writes_all_its_files(paper, finished, tissue):
    path, result = finished(paper)
    assert path.name.startswith("SYNTHETIC-demo-changed-")
    written = {file.name for file in path.iterdir()}
    assert {
        "config.json", "environment.json", "split.csv", "history.csv", "predictions.csv",
        "metrics.json", "model.keras", "leakage.json", "report.html", "figures",
    } <= written  # fmt: skip
    assert "checkpoint" not in written
    record = json.loads((path / "config.json").read_text())
    assert record["finished"]
    assert record["synthetic"] is True
    assert record["config"]["image_size"] == 32
    assert len(pd.read_csv(path / "history.csv")) == 3
    split = pd.read_csv(path / "split.csv", dtype=str)
    predictions = pd.read_csv(path / "predictions.csv", dtype={"label": str})
    assert set(predictions.image) == set(split.image[split.part != "train"])
    probabilities = predictions.filter(regex="^p_").to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert "SYNTHETIC" in result.stdout
    assert RESEARCH_USE in result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("paper", PAPERS)
def test_a_training_says_what_it_does_and_nothing_else(paper, finished):
    said = finished(paper)[1].stderr.splitlines()
    ours = re.compile(
        r"image cache: |\d+ train images( of \d+ patients)?( \(and \d+ made of them\))?, "
        r".*, 32 px, 3 epochs of \d+ steps?; run |epoch \d/3  loss "
        r"|predicting: |warning: the (validation|test) part is of \d patients only"
    )
    assert said and not [line for line in said if not ours.match(line)]
    (begins,) = (line for line in said if "train images" in line)
    run = runs.load(finished(paper)[0])
    assert f", {run.config['network']}, 32 px, " in begins and begins.endswith(f"; run {run.path}")


@pytest.mark.parametrize("paper", PAPERS)
def test_metrics_come_from_the_predictions_alone(paper, finished, tmp_path):
    path, _ = finished(paper)
    copy = shutil.copytree(path, tmp_path / "copy")
    before = json.loads((copy / "metrics.json").read_text())
    for name in ("metrics.json", "model.keras", "report.html"):
        (copy / name).unlink()
    assert json.loads(json.dumps(evaluation.evaluate_run(copy))) == before


def test_a_finished_run_answers_from_its_files(finished, tissue, cache):
    path, first = finished("her2scoring")
    stamp = (path / "predictions.csv").stat().st_mtime_ns
    again = run(
        "her2scoring", *SMALL, "--data-dir", tissue["her2scoring"],
        "--runs-dir", path.parent.parent, "--cache-dir", cache,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert (path / "predictions.csv").stat().st_mtime_ns == stamp
    assert again.stdout == first.stdout
    assert "epoch" not in again.stderr


def test_a_saved_model_takes_raw_pixels_and_gives_the_predictions_again(finished, tissue, tmp_path):
    path, _ = finished("her2scoring")
    predictions = evaluation.read_predictions(path / "predictions.csv")
    chosen = predictions.iloc[:4]
    images = [tissue["her2scoring"] / name for name in chosen.image]
    output = tmp_path / "out.csv"
    done = subprocess.run(
        [
            sys.executable, "-m", "her2scoring.predict", "--run", path, *images,
            "--output", output, "--gradcam", tmp_path / "maps",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    columns = [column(name) for name in datasets.get("bci").CLASSES[4]]
    sure = confidence.read(path).calibrated(chosen[columns].to_numpy())
    np.testing.assert_allclose(pd.read_csv(output)[columns], sure, atol=1e-5)
    maps = list((tmp_path / "maps").glob("*-gradcam.png"))
    assert len(maps) == 4
    assert cv2.imread(str(maps[0])).shape[2] == 3
    assert "Research use, not for diagnosis" in done.stdout


def test_a_killed_run_goes_on_to_the_same_result(finished, tissue, cache, tmp_path):
    """Kill with SIGKILL when the second epoch has been saved; the same command goes on."""
    first, _ = finished("her2scoring")
    arguments = (
        *SMALL, "--data-dir", tissue["her2scoring"], "--cache-dir", cache, "--runs-dir", tmp_path,
    )  # fmt: skip
    with subprocess.Popen(
        command("her2scoring", *arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stderr:
            if line.startswith("epoch 2/3"):
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    again = run("her2scoring", *arguments)
    assert again.returncode == 0, again.stderr
    assert "resuming after epoch" in again.stderr
    (second,) = (tmp_path / "her2scoring").iterdir()
    for name in ("predictions.csv", "history.csv", "metrics.json", "split.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    assert not list(second.rglob(".part-*"))


@pytest.mark.parametrize(
    "options",
    [
        ("--classes", "8", "--oversample", "before", "--split", "image"),
        ("--classes", "8", "--oversample", "after", "--normalisation", "per_image"),
        ("--schedule", "plateau", "--frozen-layers", "20", "--select-on", "last"),
    ],
)
@pytest.mark.slow
def test_breakhis_options(options, tissue, cache, tmp_path):
    result = run(
        "breakhis", *SMALL, *options, "--data-dir", tissue["breakhis"], "--runs-dir", tmp_path,
        "--cache-dir", cache,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (path,) = (tmp_path / "breakhis").iterdir()
    samples = pd.read_csv(path / "samples.csv")
    if "before" in options:
        assert samples.label.value_counts().nunique() == 1
    if "after" in options:
        assert samples[samples.part == "train"].label.value_counts().nunique() == 1
        assert (samples[samples.part == "validation"].op == "none").all()
    assert runs.load(path).finished


# --- bad input ---------------------------------------------------------------------------------


def fails(result, *words):
    """Check that a command ended with one clear message and without a traceback."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    (message,) = [part for part in result.stderr.split("error: ")[1:]]
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("paper", PAPERS)
def test_no_data(paper, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "HISTOPAPERS_DATA"}
    result = run(paper, "--runs-dir", tmp_path / "runs", env=environment)
    fails(result, "--data-dir", "HISTOPAPERS_DATA", "--demo")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("content", ["missing", "empty", "wrong"])
def test_no_images_in_the_folder(paper, content, tmp_path):
    folder = tmp_path / "data"
    if content != "missing":
        (folder / "deeper").mkdir(parents=True)
    if content == "wrong":
        cv2.imwrite(str(folder / "deeper" / "cat.png"), np.zeros((8, 8, 3), np.uint8))
    result = run(paper, "--data-dir", folder, "--runs-dir", tmp_path / "runs")
    fails(result, str(folder), *(["cat.png"] if content == "wrong" else []))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("paper", PAPERS)
def test_all_bad_images_are_named_at_once(paper, tissue, tmp_path):
    folder = shutil.copytree(tissue[paper], tmp_path / "data")
    stain = "HE" if paper == "her2scoring" else "."
    images = sorted(file for file in (folder).rglob("*.png") if stain in (*file.parts, "."))
    images = [file for file in images if "BCI" in str(file) or "SOB" in file.name]
    cut, garbage = images[0], images[5]
    cut.write_bytes(cut.read_bytes()[:-300])
    garbage.write_bytes(b"not an image at all")
    result = run(
        paper, *SMALL, "--data-dir", folder, "--runs-dir", tmp_path / "runs",
        "--cache-dir", tmp_path / "cache",
    )  # fmt: skip
    fails(result, cut.name, garbage.name)
    assert not (tmp_path / "runs").exists()


def test_runs_folder_that_cannot_be_written(tissue, cache, tmp_path):
    (tmp_path / "runs").write_text("a file")
    result = run(
        "breakhis", *SMALL, "--data-dir", tissue["breakhis"], "--runs-dir", tmp_path / "runs",
        "--cache-dir", cache,
    )  # fmt: skip
    fails(result, str(tmp_path / "runs"), "--runs-dir")
    assert (tmp_path / "runs").read_text() == "a file"


@pytest.mark.slow
def test_a_class_with_one_image(tissue, cache, tmp_path):
    folder = shutil.copytree(tissue["her2scoring"], tmp_path / "data")
    zeros = sorted(folder.rglob("*_0.png"))
    keep = zeros[0].name
    for file in zeros:
        if file.name != keep:
            file.unlink()
    result = run(
        "her2scoring", *SMALL, "--data-dir", folder, "--runs-dir", tmp_path / "runs",
        "--cache-dir", cache,
    )  # fmt: skip
    # One image of a class is no reason to stop: it lies in one part, and the metrics say so.
    assert result.returncode == 0, result.stderr
    (path,) = (tmp_path / "runs" / "her2scoring").iterdir()
    support = json.loads((path / "metrics.json").read_text())["support"]
    assert sum(support.values()) > 0 and support["0"] in (0, 1)


def test_patient_split_of_bci_says_why_not(tissue, cache, tmp_path):
    result = run(
        "her2scoring", *SMALL, "--split", "patient", "--data-dir", tissue["her2scoring"],
        "--cache-dir", cache, "--runs-dir", tmp_path,
    )  # fmt: skip
    fails(result, "no slide or patient", "--split-file")


def test_official_breakhis_split_needs_fold_files(tissue, cache, tmp_path):
    result = run(
        "breakhis", *SMALL, "--split", "official", "--data-dir", tissue["breakhis"],
        "--cache-dir", cache, "--runs-dir", tmp_path,
    )  # fmt: skip
    fails(result, "--fold-files")


def test_split_file_is_asked_for(tissue, cache, tmp_path):
    for paper in PAPERS:
        result = run(
            paper, *SMALL, "--split", "file", "--data-dir", tissue[paper],
            "--cache-dir", cache, "--runs-dir", tmp_path,
        )  # fmt: skip
        fails(result, "--split-file")


def test_missing_weights_file(tissue, cache, tmp_path):
    result = run(
        "breakhis", *SMALL, "--weights", "nowhere.h5", "--data-dir", tissue["breakhis"],
        "--cache-dir", cache, "--runs-dir", tmp_path / "runs",
    )  # fmt: skip
    fails(result, "nowhere.h5", "no such file")
    assert not (tmp_path / "runs").exists()


# --- two choices of one training -----------------------------------------------------------------


@pytest.mark.slow
def test_one_training_yields_the_run_as_printed_and_that_of_the_row(
    finished, tissue, cache, tmp_path
):
    """What is adopted is to the byte what a training of its own gives."""
    row, _ = finished("her2scoring")
    result = run(
        "her2scoring", *SMALL, "--select-on", "test", "--name", "own way",
        "--data-dir", tissue["her2scoring"], "--runs-dir", tmp_path, "--cache-dir", cache,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("epoch 3/3") == 1  # trained once
    made = {run.config["select_on"]: run for run in runs.find(tmp_path, "her2scoring")}
    assert set(made) == {"test", "validation"}
    for name in ("predictions.csv", "metrics.json", "history.csv", "split.csv", "samples.csv"):
        assert (made["validation"].path / name).read_bytes() == (row / name).read_bytes(), name
    assert made["validation"].record.run_id == runs.load(row).record.run_id
    assert made["validation"].record.kept_epoch == runs.load(row).record.kept_epoch
    history = pd.read_csv(made["test"].path / "history.csv")
    best = history.sort_values(["val_accuracy", "val_loss"], ascending=[False, True]).epoch.iloc[0]
    assert made["test"].record.kept_epoch == best
    test = pd.read_csv(made["test"].path / "predictions.csv").query("part == 'test'")
    right = (test.filter(regex="^p_").to_numpy().argmax(axis=1)) == test.label.map(
        {name: i for i, name in enumerate(made["test"].record.classes)}
    )
    assert right.mean() == pytest.approx(history.val_accuracy[history.epoch == best].iloc[0])
    assert "the epoch was chosen on the test images" in " ".join(made["test"].record.leaks)
    again = run(
        "her2scoring", *SMALL, "--select-on", "test", "--data-dir", tissue["her2scoring"],
        "--runs-dir", tmp_path, "--cache-dir", cache,
    )  # fmt: skip
    assert again.returncode == 0 and "epoch 1/3" not in again.stderr
