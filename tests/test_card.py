"""The model card says what the run's files say, and no number that metrics.json has not."""

import importlib
import json
import re
import subprocess
import sys
import zipfile

import pandas as pd
import pytest
import yaml
from card_numbers import NUMBER, foreign
from run_folder import TASKS, make

from common import card, checklists, datasets, evaluation, papers, report, runs
from common.card.__main__ import main
from common.config import to_dict
from common.errors import InputError
from common.files import read_json, write_json
from common.report import files as run_files
from common.report import summary


def text_of(folder):
    return card.card(run_files.read(folder))


def metadata(text):
    head = text.split("---\n")[1]
    return {line.partition(": ")[0]: json.loads(line.partition(": ")[2])
            for line in head.splitlines()}  # fmt: skip


@pytest.mark.parametrize("synthetic", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_every_number_is_in_metrics_json(task, synthetic, tmp_path):
    folder = make(tmp_path, task, synthetic=synthetic, pictures=False)
    if task == "binary":
        runs.load(folder).note(generated={"gan": "small", "images": {"benign": 640}})
        assert "the GAN small generated were trained on as well (640 benign)" in text_of(folder)
    assert foreign(folder) == set()


@pytest.mark.parametrize("paper", papers.PAPERS)
def test_the_network_of_every_paper_is_named(paper, tmp_path):
    config = importlib.import_module(f"{paper}.config").PRESETS["demo"]
    folder = make(tmp_path, "binary", pictures=False)
    told = read_json(folder / "config.json", repair="")
    write_json(folder / "config.json", {**told, "config": to_dict(config)})
    name = getattr(config, "network", "WRN-10-2")
    assert f"\n`{name}`, trained on" in text_of(folder)
    assert text_of(folder).count(f" | Network {name}, whole in model.keras") == 2
    assert summary.headline(run_files.read(folder))["network"] == name


def test_a_foreign_number_would_be_found():
    assert NUMBER.findall("58 of 96, 60.42 %, mobilenet_v2, 2+, -0.5") == [
        "58",
        "96",
        "60.42",
        "0.5",
    ]


def test_metadata_of_hugging_face(tmp_path):
    folder = make(tmp_path, "binary", pictures=False)
    told = metadata(text_of(folder))
    assert told["library_name"] == "keras" and told["pipeline_tag"] == "image-classification"
    assert told["license"] == "cc-by-4.0"  # BreakHis'
    (result,) = told["model-index"][0]["results"]
    values = {each["type"]: each["value"] for each in result["metrics"]}
    assert values["accuracy"] == read_json(folder / "metrics.json", repair="")["accuracy"]
    assert result["dataset"]["type"] == "breakhis"
    # Weights from data without a public licence have that licence and no other.
    told = metadata(text_of(make(tmp_path, "four", pictures=False)))
    assert told["license"] == "other" and told["license_link"] == datasets.get("bci").HOME


@pytest.mark.parametrize("dataset, kind", [
    ("breakhis", "breakhis"), ("", "unknown"), ("own data (wards/a b.csv)", "own-data"),
])  # fmt: skip
def test_a_data_set_is_named_as_hugging_face_takes_it(dataset, kind, tmp_path):
    """It refuses other names: of mteb's cards, "CQADupstackRetrieval is a combined dataset"."""
    folder = make(tmp_path, "binary", pictures=False)
    own = {"own": {"source": "wards/a b.csv"}} if kind == "own-data" else {}
    write_json(folder / "config.json", read_json(folder / "config.json", repair="")
               | {"dataset": dataset} | own)  # fmt: skip
    head = yaml.safe_load(text_of(folder).split("---\n")[1])  # which reads JSON, too
    assert head["model-index"][0]["results"][0]["dataset"]["type"] == kind
    assert re.fullmatch(r"(?:[\w-]+/)?[\w.-]+", kind, re.ASCII)


def test_synthetic_is_said_and_is_no_result(tmp_path):
    text = text_of(make(tmp_path, "binary", synthetic=True, pictures=False))
    told = metadata(text)
    assert "model-index" not in told and "synthetic" in told["tags"]
    assert "license" not in told and "licence" not in text.partition("\n## Scores")[0]
    assert text.count("SYNTHETIC") >= 2


def test_leaks_stand_in_the_card(tmp_path):
    folder = make(tmp_path, "binary", pictures=False)
    told = read_json(folder / "config.json", repair="")
    write_json(folder / "config.json", {**told, "leaks": ["patients are in two | parts"]})
    text = text_of(folder)
    assert "- patients are in two | parts" in text
    assert "Nothing that the run noticed" not in text


def test_both_checklists_are_whole_and_what_is_not_known_is_left_to_fill(tmp_path):
    text = text_of(make(tmp_path, "binary", pictures=False))
    for name, count in (("tripod_ai", 27), ("claim", 44)):
        title = checklists.checklist(name).title
        part = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
        rows = re.findall(r"^\| (\d+) \| .* \| (.+) \|$", part, re.M)
        assert [int(number) for number, _ in rows] == list(range(1, count + 1))
        filled = {int(number) for number, told in rows if card.FILL not in told}
        assert filled and len(filled) < count
        # Ethics, funding: no file of a run knows them.
        assert not filled & {"tripod_ai": {17, 19}, "claim": {34, 44}}[name]
    # Intervals over patients were made: item 23 of TRIPOD+AI is answered.
    assert re.search(r"^\| 23 \| Performance .* \| The .*over patients \|$", text, re.M)


def changed(folder, **settings):
    told = read_json(folder / "config.json", repair="")
    write_json(folder / "config.json", told | {"config": told["config"] | settings})


def test_which_weights_were_taken_is_said_as_it_was(tmp_path):
    folder = make(tmp_path, "binary", pictures=False)
    for chosen, said in (("last", "The last epoch's weights; no images chose them"),
                         ("validation", "The epoch that was best on the validation images"),
                         ("test", "The epoch that was best on the test images")):  # fmt: skip
        changed(folder, select_on=chosen)
        assert re.search(rf"^\| 26 \| .* \| {said} \|$", text_of(folder), re.M)


def test_what_was_recalibrated_is_said_as_it_was(tmp_path):
    folder = make(tmp_path, "four", pictures=False)
    changed(folder, class_weights="none")
    scores = read_json(folder / "metrics.json", repair="")
    assert scores["confidence"]["temperature"] is not None
    (line,) = re.findall(r"^\| 13 \|.*Weights of classes.*$", text_of(folder), re.M)
    assert "are recalibrated, by the temperature" in line
    scores["confidence"]["temperature"] = None
    write_json(folder / "metrics.json", scores)
    (line,) = re.findall(r"^\| 13 \|.*Weights of classes.*$", text_of(folder), re.M)
    assert "none; nothing was recalibrated |" in line


def test_names_are_no_markup(tmp_path):
    hostile = "<img src=x onerror=alert(1)> ``a` [b](c) | & d"
    folder = make(tmp_path, "binary", pictures=False)
    for path in folder.iterdir():
        if path.suffix in (".json", ".csv"):
            words = path.read_text(encoding="utf-8").replace("benign", hostile)
            path.write_text(words, encoding="utf-8")
    told = read_json(folder / "config.json", repair="")
    write_json(folder / "config.json", {**told, "leaks": [f"of {hostile}"]})
    text = text_of(folder).split("---\n", 2)[2]
    assert f"``` {hostile} ```" in text  # code, in which nothing is markup
    rest = text.replace(f"``` {hostile} ```", "")
    assert rest.count("&lt;img src=x onerror=alert(1)&gt;") >= 4 and "<" not in rest
    cell = r"&lt;img src=x onerror=alert(1)&gt; \`\`a\` \[b\](c) \| &amp; d"
    assert f"\n| {cell} | " in rest


def test_what_cannot_be_packed_leaves_nothing(tmp_path):
    folder = make(tmp_path, "binary", pictures=False)
    with pytest.raises(InputError, match=r"model\.keras: missing"):
        card.pack(folder, tmp_path / "out")
    (folder / "model.keras").write_bytes(b"a model")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(InputError, match="holds something already"):
        card.pack(folder, tmp_path / "full")
    (folder / "metrics.json").write_text('{"n": "many"}')
    with pytest.raises(InputError, match=r"metrics\.json"):
        card.pack(folder, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["breakhis", "full"]


def test_a_folder_to_publish(tmp_path, capsys):
    folder = make(tmp_path, "four", pictures=False)
    (folder / "model.keras").write_bytes(b"a model")
    told = read_json(folder / "config.json", repair="")
    secret = "python -m her2scoring.train --data-dir /home/ada/patients"
    write_json(folder / "config.json", {**told, "command": secret})
    assert main(["--run", str(folder), "--out", str(tmp_path / "out")]) == 0
    out = tmp_path / "out"
    assert str(out / "README.md") in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "config.json", "environment.json", "example.py", "labels.json",
        "metrics.json", "model.keras",
    ]  # fmt: skip
    assert read_json(out / "labels.json", repair="") == {"0": "0", "1": "1+", "2": "2+", "3": "3+"}
    assert (out / "README.md").read_text(encoding="utf-8") == text_of(folder)
    for path in out.iterdir():
        assert b"/home/ada" not in path.read_bytes(), path


def test_nothing_private_is_packed(tmp_path):
    """Neither a folder, a file, a host nor an image of one's own goes out, wherever it stands."""
    folder = make(tmp_path, "four", pictures=False)
    with zipfile.ZipFile(folder / "model.keras", "w") as file:
        file.writestr("config.json", "{}")
    private = ["/home/ada", "wardlist", "ada.h5", "C:\\scans", "node7", "mueller", "secret name"]
    told = read_json(folder / "config.json", repair="")
    told["config"] |= {"weights": "ada.h5", "reference": "/home/ada/x.png", "list": ["C:\\scans"]}
    told["sources"][0] |= {"name": "weights", "value": "ada.h5"}
    told |= {
        "weights": "ab" * 32,
        "dataset": "own data (wardlist.csv)",
        "own": {"source": "wardlist.csv", "root": "/home/ada/scans", "sha256": "cd" * 32},
        "skipped": [{"image": "mueller_1.png", "reason": "/home/ada/mueller_1.png: damaged"}],
        "stain_target": "mueller_2.png",
        "generated": {"gan": "/home/ada/gan", "images": {"0": 3}},
        "of_a_later_version": "/home/ada",
        "failed": "/home/ada: full",
        "name": "secret name",
        "machines": [{"cpu": "node7"}],
        "command": "python -m her2scoring.train --images /home/ada/wardlist.csv",
        "preset": "own-demo",
    }
    write_json(folder / "config.json", told)
    environment = read_json(folder / "environment.json", repair="")
    write_json(folder / "environment.json", environment | {"cpu": "node7", "platform": "node7"})
    (folder / "leakage.json").write_text("/home/ada")  # damaged, which the card says
    out = card.pack(folder, tmp_path / "out").parent
    for path in out.iterdir():
        content = path.read_text(errors="replace")
        assert [word for word in private if word in content] == [], path
    text = (out / "README.md").read_text(encoding="utf-8")
    assert text == text_of(folder)
    assert "# her2scoring: preset demo, on own images" in text and "own-demo" not in text
    assert "1 image could not be used" in text and "leakage.json is damaged" in text
    flattering = text.partition("## What may flatter")[2].partition("\n## ")[0]
    assert "fills no row" in text and "fills no row" not in flattering
    assert "published row" not in text
    assert runs.load(out).record.own and not runs.load(out).record.own_root


def test_parts_and_row_of_a_card(tmp_path):
    folder = make(tmp_path, "binary", pictures=False)
    split = run_files.read(folder).split
    rows = split[split.part == "train"]
    said = f"{len(rows)} images of {rows.case.nunique()} patients"
    text = text_of(folder)
    assert f"- train part: {said}" in text
    assert len(re.findall(rf"^\| (?:20|35) \|.*train: {said};", text, re.M | re.I)) == 2
    (software,) = re.findall(r"^\| 43 \|.*$", text, re.M)
    assert "model.keras" in software and "unding" not in software
    told = read_json(folder / "config.json", repair="")
    for preset, row in (("T2-binary-resnet50", True), ("T2-binary-resnet50-changed", False)):
        write_json(folder / "config.json", {**told, "preset": preset})
        assert ("to reproduce a published row" in text_of(folder)) == row
    few = split[split.case.isin(rows.case.unique()[:3])]
    few.to_csv(folder / "split.csv", index=False)
    assert "- The train part is of 3 patients only" in text_of(folder)


@pytest.mark.parametrize("arguments, line", [
    ([], "error: no image is named: python example.py IMAGE..."),
    (["nosuch.png"], "error: nosuch.png: no such file"),
])  # fmt: skip
def test_the_example_names_what_it_lacks(arguments, line, tmp_path):
    (tmp_path / "example.py").write_text(card.EXAMPLE)
    done = subprocess.run(
        [sys.executable, "example.py", *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()) == (2, [line])


@pytest.mark.slow
def test_the_example_of_a_folder_to_publish_runs(tmp_path):
    import her2scoring
    from common.datasets import synthetic

    data = synthetic.bci(tmp_path / "data", slides=16, patches_per_slide=3, size=64)
    run = her2scoring.train(
        preset="demo", data_dir=data, image_size=32, epochs=1, runs_dir=tmp_path / "runs",
        log="tensorboard",
    )  # fmt: skip
    # Beside the runs, and nothing of it in the run.
    (told,) = (tmp_path / "runs" / "tensorboard" / "her2scoring" / run.path.name).iterdir()
    assert "tfevents" in told.name and told.stat().st_size > 100
    card.pack(run.path, tmp_path / "out")
    image = sorted(data.rglob("*.png"))[0]
    done = subprocess.run(
        [sys.executable, tmp_path / "out" / "example.py", image],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert image.name in done.stdout and "p_3+" in done.stdout


def test_patients_that_are_known_of_some_images_alone_are_told(tmp_path):
    folder = make(tmp_path, "binary", pictures=False)
    for name in ("predictions.csv", "split.csv"):
        table = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
        table.loc[table.index[table["part"] == "test"][:100], "case"] = ""
        table.to_csv(folder / name, index=False)
    evaluation.evaluate_run(folder)
    said = "100 of 393 images have no patient, so intervals are over images and too narrow."
    assert said in text_of(folder)
    report.write(folder)
    assert said in (folder / "report.html").read_text(encoding="utf-8")
