from __future__ import annotations

import io
import itertools
import json
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import run_folder
from pages import Element, luminance, measured, parse
from PIL import Image

from common import report
from common.errors import InputError
from common.figures import png
from common.files import write_csv, write_json
from common.metrics.catalogue import SCORES
from common.metrics.shown import Shown
from common.report import verdict, words


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> dict[str, Path]:
    """Run folders with their pages, by task."""
    root = tmp_path_factory.mktemp("runs")
    folders = {
        "binary": run_folder.make(root, "binary", pictures=False),
        "four": run_folder.make(root, "four", pictures=False),
        "eight": run_folder.make(root, "eight", synthetic=True, seed=1),
    }
    for folder in folders.values():
        assert report.write(folder) == folder / "report.html"
    return folders


@pytest.fixture(scope="module", params=["binary", "four", "eight"])
def task(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def page(finished, task) -> Element:
    return parse(finished[task] / "report.html")


@pytest.fixture
def quick(monkeypatch):
    """Leave figures blank: drawing takes the time, and other tests look at them."""
    blank = np.full((12, 300, 3), 255, np.uint8)
    monkeypatch.setattr(png, "pixels", lambda figure: blank)


@pytest.fixture
def copy(finished, tmp_path, quick) -> Path:
    """A copy of a run to spoil."""
    folder = tmp_path / "run"
    shutil.copytree(finished["four"], folder)
    return folder


def metrics_of(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def edit(folder: Path, **changes) -> None:
    record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", {**record, **changes})


def percent(value: float, decimals: int = 2) -> str:
    return f"{100 * value:.{decimals}f} %"


# --- numbers -----------------------------------------------------------------------------------


def test_numbers_are_those_of_metrics_json(finished, task, page):
    scores = metrics_of(finished[task])
    text = page.text
    low, high = scores["accuracy_ci"]
    for expected in (
        percent(scores["accuracy"]),
        f"{scores['correct']}/{scores['n']}",
        f"{100 * low:.1f}–{percent(high, 1)}",
        f"{scores['ci_method']} over {scores['ci_unit']}s",
        percent(scores["balanced_accuracy"]),
        percent(max(scores["support"].values()) / scores["n"]),
        f"{scores['kappa']:.3f}",
        f"{scores['mcc']:.3f}",
        "{:.3f}–{:.3f}".format(*scores["intervals"]["kappa"])
        if scores["intervals"]["kappa"]
        else f"({scores['reasons']['kappa']})",
        f"{scores['auc']:.4f}",
        f"expected calibration error {scores['ece']:.3f}, Brier {scores['brier']:.3f}, "
        f"log loss {scores['log_loss']:.3f}.",
    ):
        assert expected in text, expected
    table = next(t for t in page.all("table") if "Each class against" in t.text)
    rows = {row.all("th")[0].text: row.text for row in table.all("tr")[1:]}
    assert list(rows) == scores["classes"]
    for name, values in scores["per_class"].items():
        for key in ("precision", "recall", "f1", "tnr"):
            path = f"per_class.{name}.{key}"
            if values[key] is None:
                assert scores["reasons"][path].removesuffix(f" of {name}") in rows[name]
                continue
            assert percent(values[key]) in rows[name]
            pair = scores["intervals"][path]
            if pair is not None:
                assert f"{100 * pair[0]:.1f}–{percent(pair[1], 1)}" in rows[name]


def test_an_absent_class_is_a_dash_with_its_reason(finished):
    """LC has one patient, who is trained on; most other classes have one test patient."""
    scores = metrics_of(finished["eight"])
    assert scores["support"]["LC"] == 0
    page = parse(finished["eight"] / "report.html")
    table = next(t for t in page.all("table") if "Each class against" in t.text)
    row = next(row for row in table.all("tr")[1:] if row.all("th")[0].text == "LC")
    cells = [cell.text for cell in row.all("td")]
    assert cells[0] == "0"
    assert [cell for cell in cells if cell.startswith("–")] == ["–no test image"] * 3
    assert "LC: not defined: Precision, Recall, F1 (no test image of LC)" in page.text
    lone = [name for name in scores["classes"] if scores["reasons"].get(f"per_class.{name}.recall")]
    assert lone
    for name in set(lone) - {"LC"}:
        assert f"{name}: no interval: Precision, Recall, F1 (one patient of {name})" in page.text
    assert "No interval: Balanced accuracy, Macro precision" in page.text


def test_one_test_patient_has_no_interval(finished, tmp_path, quick):
    folder = shutil.copytree(finished["binary"], tmp_path / "run")
    scores = metrics_of(folder)
    scores |= {"accuracy_ci": None, "ci_method": None, "reasons": {"accuracy": "one patient"}}
    (folder / "metrics.json").write_text(json.dumps(scores))
    page = report.write(folder)
    text = parse(page).text
    assert "images right; no interval (one patient)" in text
    assert "None" not in text


def test_metrics_of_earlier_versions_are_shown(finished, tmp_path, quick):
    folder = shutil.copytree(finished["binary"], tmp_path / "run")
    scores = metrics_of(folder)
    for part in (scores, *scores["by_magnification"].values()):
        for key in ("auc", "specificity", "patient_recognition_rate", "brier", "log_loss"):
            del part["intervals"][key]
        part.pop("reasons", None)
        part.pop("intervals_replicates", None)
    (folder / "metrics.json").write_text(json.dumps(scores))
    page = report.write(folder)
    text = parse(page).text
    low, high = scores["intervals"]["per_class.malignant.tnr"]
    assert f"Specificity recall of the other class{percent(scores['specificity'])}" in text
    assert f"{100 * low:.1f}–{percent(high, 1)}" in text


def test_confusion_table_counts(finished, task, page):
    scores = metrics_of(finished[task])
    table = next(t for t in page.all("table") if "Images by true class" in t.text)
    rows = [[cell.text for cell in row.all("td")] for row in table.all("tbody")[0].all("tr")]
    assert [[int(value) for value in row[:-1]] for row in rows] == scores["confusion_matrix"]


def test_split_table_counts_images_and_patients(finished, page, task):
    split = pd.read_csv(finished[task] / "split.csv", dtype=str, keep_default_na=False)
    table = next(t for t in page.all("table") if "of each class in each part" in t.text)
    for row in table.all("tbody")[0].all("tr"):
        label = row.all("th")[0].text
        for cell, part in zip(row.all("td"), ("train", "validation", "test"), strict=False):
            chosen = split[(split["label"] == label) & (split["part"] == part)]
            expected = str(len(chosen))
            if task != "four":
                expected += f" ({chosen['case'].nunique()})"
            assert cell.text.strip() == expected
    known = "No patient has images in more than one part" in page.text
    assert known == (task != "four")
    if task == "four":
        assert "it cannot be excluded" in page.text


def test_a_class_with_one_patient_is_named(finished):
    page = parse(finished["eight"] / "report.html")
    assert "Class LC has a single patient, who lies in train." in page.text


def test_magnifications_and_patients_only_where_known(finished, page, task):
    headings = [heading.text for heading in page.all("h2")]
    assert ("Magnifications" in headings) == (task != "four")
    assert ("Patients" in headings) == (task != "four")
    if task != "four":
        scores = metrics_of(finished[task])
        table = next(t for t in page.all("table") if "by magnification" in t.text)
        names = [row.all("th")[0].text for row in table.all("tbody")[0].all("tr")]
        assert names == ["40X", "100X", "200X", "400X"]
        for name in names:
            assert percent(scores["by_magnification"][name]["accuracy"]) in table.text
        rate = percent(scores["patient_recognition_rate"])
        assert f"(patient recognition rate) {rate}" in page.text


def test_each_magnification_has_its_confusion_matrix(finished, page, task):
    alts = [each.attributes["alt"] for each in page.all("img")]
    alts = [alt for alt in alts if "test images at" in alt]
    if task == "four":
        assert alts == []
        return
    frame = pd.read_csv(finished[task] / "predictions.csv")
    frame = frame[frame["part"] == "test"]
    guesses = frame[[name for name in frame if name.startswith("p_")]].idxmax(axis=1)
    right = guesses.str.removeprefix("p_") == frame["label"]
    assert alts == [
        f"Confusion matrix of {(here := frame['magnification'] == name).sum()} test images at "
        f"{name}, {right[here].sum()} on the diagonal."
        for name in ("40X", "100X", "200X", "400X")
    ]


def test_the_official_patient_rate_stands_below_the_magnifications(finished, tmp_path):
    folder = shutil.copytree(finished["binary"], tmp_path / "run")
    scores = metrics_of(folder)
    parts = scores["by_magnification"]
    for name in ("100X", "200X"):
        parts[name] |= {"folder_recognition_rate": 0.875, "n_folders": 8}
    parts["200X"]["intervals"]["folder_recognition_rate"] = [0.5, 1.0]
    write_json(folder / "metrics.json", scores)
    text = parse(report.write(folder)).text
    rate = percent(0.875)
    assert f"100X {rate} (8 folders), 200X {rate} (8 folders; 50.0–100.0 %)." in text


def test_unknown_patients_read_unknown_and_partly_known_ones_say_so(copy):
    found = json.loads((copy / "leakage.json").read_text(encoding="utf-8"))
    assert found["groups"]["case"]["groups"] == 0
    text = parse(report.write(copy)).text
    assert "Patients in both train and testunknown" in text
    assert "images (patients unknown)" in text
    assert "of each class in each part; patients unknown." in text
    found["groups"]["case"] |= {"groups": 7, "unknown": 3}
    write_json(copy / "leakage.json", found)
    text = parse(report.write(copy)).text
    assert "Patients in both train and test, as far as known000.0 %" in text
    write_json(copy / "leakage.json", {**found, "notes": ["", "two files are equal"]})
    text = parse(report.write(copy)).text
    assert "Two files are equal." in text


def test_mistakes_are_listed_surest_first(finished):
    folder = finished["binary"]
    page = parse(folder / "report.html")
    table = next(t for t in page.all("table") if "Probability of the predicted" in t.text)
    shown = [float(row.all("td")[-1].text) for row in table.all("tbody")[0].all("tr")]
    assert shown == sorted(shown, reverse=True)
    assert len(shown) == report.WRONG_SHOWN
    frame = pd.read_csv(folder / "predictions.csv")
    frame = frame[frame["part"] == "test"]
    wrong = frame[(frame["p_malignant"] > 0.5) != (frame["label"] == "malignant")]
    worst = wrong.loc[wrong[["p_benign", "p_malignant"]].max(axis=1).idxmax()]
    assert table.all("tbody")[0].all("th")[0].text == worst["image"]
    scores = metrics_of(folder)
    assert len(wrong) == scores["n"] - scores["correct"]
    assert f"{len(wrong)} of {scores['n']} test images are wrong" in page.text


def test_settings_mark_changes_assumptions_and_deviations(finished):
    table = next(
        t for t in parse(finished["binary"] / "report.html").all("table") if "default" in t.text
    )
    changed = [row for row in table.all("tr") if row.attributes.get("class") == "changed"]
    assert [row.all("span")[0].text for row in changed] == ["split"]
    assert "official changed" in changed[0].text
    assert "deviation: the paper's split cannot be had" in changed[0].text
    assert "assumed: the rate is not printed" in table.text
    assert "III.C" in table.text


@pytest.mark.parametrize(
    ("noted", "scored", "kept"), [(2, 8, 2), (None, 8, 8), (2, None, 2), (None, None, None)]
)
def test_the_epoch_kept_is_what_the_training_noted(copy, noted, scored, kept):
    edit(copy, kept_epoch=noted)
    write_json(copy / "metrics.json", {**metrics_of(copy), "best_epoch": scored})
    text = parse(report.write(copy)).text
    history = pd.read_csv(copy / "history.csv")
    said = re.findall(r"The weights of epoch (\d+) of 30 were kept", text)
    assert said == ([] if kept is None else [str(kept)])
    with Image.open(copy / "figures" / "learning_curves.png") as picture:
        told = re.search(r"epoch (\d+) were kept, at validation accuracy ([\d.]+)\.$",
                         picture.info["Description"])  # fmt: skip
    if kept is None:
        assert told is None
    else:
        accuracy = history["val_accuracy"][history["epoch"] == kept].iloc[0]
        assert told.groups() == (str(kept), f"{accuracy:.3f}")


@pytest.mark.parametrize(
    ("function", "given", "shown"),
    [
        ("percent", 0.12345, "12.35\xa0%"), ("percent", 1, "100.00\xa0%"), ("percent", None, "–"),
        ("percent", float("nan"), "–"), ("percent", "x", "–"), ("number", -0.5, "−0.500"),
        ("number", None, "–"), ("count", 7909, "7,909"), ("count", 0.5, "–"),
        ("size", 999, "999 bytes"), ("size", 1000, "1.0 kB"), ("size", 999_999, "1000.0 kB"),
        ("size", 1_000_000, "1.0 MB"), ("size", 12_340_000_000, "12340.0 MB"),
        ("value", None, "none"), ("value", True, "yes"), ("value", 1e-4, "0.0001"),
        ("value", [512, "a"], "512, a"), ("value", [], "none"), ("value", "none", "none"),
        ("duration", 59.4, "59 s"), ("duration", 60, "1 min 0 s"), ("duration", 4351, "1 h 12 min"),
        ("duration", None, "–"),
    ],
)  # fmt: skip
def test_how_numbers_look(function, given, shown):
    assert getattr(words, function)(given) == shown


@pytest.mark.parametrize(
    ("key", "pair", "text"),
    [
        ("accuracy", (0.1234, 0.5), "12.3–50.0\xa0%"), ("kappa", (0.1234, 0.5), "0.123–0.500"),
        ("mcc", (-0.0126, 0.5), "−0.013 to 0.500"), ("mcc", None, "–"),
    ],
)  # fmt: skip
def test_intervals_have_the_unit_of_their_score(key, pair, text):
    score = next(each for each in SCORES if each.key == key)
    words_of_it = {"meaning": "", "aside": "", "reason": "", "over_patients": False}
    shown = Shown(score=score, value=0.2, interval=pair, k_of_n=None, **words_of_it)
    assert words.interval(shown) == text


def test_a_count_has_its_noun():
    shown = [words.plural(n, "image") for n in (1, 0, 1200)]
    assert shown == ["1 image", "0 images", "1,200 images"]


# --- structure ---------------------------------------------------------------------------------


def first(element: Element) -> Element:
    return next(child for child in element.children if isinstance(child, Element))


def test_page_is_sound(page):
    (root,) = page.all("html")
    assert root.attributes["lang"] == "en"
    assert len(page.all("h1")) == 1
    levels = [int(h.tag[1]) for h in page.all("h1", "h2", "h3", "h4")]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(set(ids)) == len(ids)
    for link in page.all("a"):
        if link.attributes["href"].startswith("#"):
            assert link.attributes["href"][1:] in ids
    for element in page.all():
        if "aria-labelledby" in element.attributes:
            assert element.attributes["aria-labelledby"] in ids
    for table in page.all("table"):
        assert first(table).tag == "caption"
        assert len(table.all("caption")) == 1
        for header in table.all("th"):
            assert header.attributes["scope"] in {"col", "row", "rowgroup"}
    for details in page.all("details"):
        assert first(details).tag == "summary"
    for region in page.all("div"):
        if {"scroll", "wide"} & set(region.attributes.get("class", "").split()):
            # What scrolls must be reachable by keyboard and have a name.
            assert region.attributes["tabindex"] == "0"
            assert region.attributes["aria-label"]
    assert {"header", "main", "footer", "nav"} <= {e.tag for e in page.all()}


def test_nothing_is_loaded_and_nothing_runs(page, finished, task):
    text = (finished[task] / "report.html").read_text(encoding="utf-8")
    assert not page.all("script", "link", "iframe", "object", "embed", "form", "base")
    for element in page.all():
        assert not any(name.startswith("on") for name in element.attributes)
        if "src" in element.attributes:
            assert element.attributes["src"].startswith("data:image/")
        if "href" in element.attributes and element.tag != "a":
            raise AssertionError(f"{element.tag} loads {element.attributes['href']}")
    (style,) = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    policy = [m for m in page.all("meta") if "http-equiv" in m.attributes]
    assert policy[0].attributes["content"].startswith("default-src 'none'")


def test_pictures_have_alternative_texts_that_state_findings(page, finished, task):
    scores = metrics_of(finished[task])
    pictures = page.all("img")
    assert len(pictures) >= {"binary": 5, "four": 4, "eight": 8}[task]
    for picture in pictures:
        assert len(picture.attributes["alt"]) > 30
        assert re.search(r"\d", picture.attributes["alt"])
        _, data = picture.attributes["src"].split(",")
        with Image.open(io.BytesIO(b64decode(data))) as image:
            width = int(picture.attributes["width"])
            assert image.width == pytest.approx(width * 150 / 96, abs=2)
            assert width <= 704, "wider than the column"
    alt = " ".join(picture.attributes["alt"] for picture in pictures)
    trace = np.trace(np.array(scores["confusion_matrix"]))
    assert f"Confusion matrix of {scores['n']} test images, {trace} on the diagonal" in alt
    assert f"expected calibration error {scores['ece']:.3f}" in alt
    assert f"The weights of epoch {scores['best_epoch']} were kept" in alt
    if task == "binary":
        assert f"malignant {scores['auc']:.3f}" in alt


def test_how_sure_it_is(finished, task, page):
    """What validation images chose, in words and figures, or why they chose nothing."""
    found = json.loads((finished[task] / "metrics.json").read_text())["confidence"]
    (section,) = [e for e in page.all("section") if e.attributes["aria-labelledby"] == "sure"]
    text = re.sub(r"\s+", " ", section.text)
    assert f"Temperature {found['temperature']:.3g}, chosen on" in text
    before, after = found["before"]["log_loss"], found["after"]["log_loss"]
    assert f"log loss {before:.3f} without and {after:.3f} with it" in text
    assert f"Below a confidence of {100 * found['abstain']['below']:.1f} % it abstains" in text
    if task == "four":
        assert "No prediction sets: patients are not known." in text
        assert "No answers of patients: patients are not known." in text
    else:
        sets = found["sets"]
        assert f"from {sets['n_patients']} validation patients (at least 9 are needed)" in text
        right = found["patients"]["vote"]["correct"]
        assert f"Class of most images{right}/{found['patients']['n']}" in text
    assert ("malignant from a mean probability of" in text) == (task == "binary")
    names = {path.stem for path in (finished[task] / "figures").glob("*.png")}
    assert {"risk_coverage", "reliability_temperature"} <= names


def test_a_dot_is_spoken_of_where_there_is_one(copy):
    words = "the dot: where it abstains"
    assert words in report.write(copy).read_text(encoding="utf-8")
    scores = json.loads((copy / "metrics.json").read_text())
    scores["confidence"] |= {"abstain": None}
    write_json(copy / "metrics.json", scores)
    page = report.write(copy).read_text(encoding="utf-8")
    assert "Errors among the surest test images." in page and words not in page


@pytest.mark.parametrize("value", [None, {"temperature": "hot"}, []])
def test_a_damaged_or_missing_confidence_leaves_the_section_out(copy, value):
    scores = json.loads((copy / "metrics.json").read_text())
    scores["confidence"] = value
    if value is None:  # of an earlier version
        del scores["confidence"]
    write_json(copy / "metrics.json", scores)
    report.write(copy)
    page = parse(copy / "report.html")
    assert not [e for e in page.all("section") if e.attributes["aria-labelledby"] == "sure"]
    assert ("sure: left out" in page.text) == (value is not None)


def test_figures_are_saved_beside_the_page(finished, task):
    names = {path.stem for path in (finished[task] / "figures").glob("*.png")}
    assert {"learning_curves", "confusion_matrix", "roc", "reliability"} <= names
    assert ("per_case" in names) == (task != "four")


def test_page_is_small(finished, task):
    assert (finished[task] / "report.html").stat().st_size < 3e6


def test_the_same_files_give_the_same_page(finished):
    folder = finished["binary"]
    before = (folder / "report.html").read_bytes()
    report.write(folder)
    assert (folder / "report.html").read_bytes() == before


def test_synthetic_runs_say_so_everywhere(finished):
    text = (finished["eight"] / "report.html").read_text(encoding="utf-8")
    page = parse(finished["eight"] / "report.html")
    assert page.all("title")[0].text.startswith("SYNTHETIC")
    (banner,) = [p for p in page.all("p") if p.attributes.get("class") == "synthetic"]
    assert "not a result on real tissue" in banner.text
    assert re.search(r"\.synthetic \{ position: sticky; top: 0", text)
    assert "this run saw synthetic images" in page.text
    for path in (finished["eight"] / "figures").glob("*.png"):
        with Image.open(path) as image:
            assert "SYNTHETIC" in image.info, path.name
    for task in ("binary", "four"):
        assert "SYNTHETIC" not in parse(finished[task] / "report.html").text


def test_leaks_licence_and_use_are_stated(page, task):
    assert "Research use, not for diagnosis." in page.text
    leak = "slides unknown: one patient may lie in several parts"
    assert (leak in page.text) == (task == "four")
    # Generated images are nobody's: no data set's licence, citation or home applies to them.
    licence = {"binary": "CC BY 4.0", "four": "non-commercial"}.get(task)
    assert (licence or "no licence of a data set applies") in page.text
    assert ("licence: " in page.text or "Home of the data set" in page.text) == (task != "eight")
    assert ("layout of BreakHis" in page.text) == (task == "eight")


def test_the_page_begins_with_what_the_run_shows(finished, page, task):
    (told,) = [p for p in page.all("p") if p.attributes.get("class") == "verdict"]
    assert told.text == " ".join(verdict.verdict(report.read(finished[task])))
    whom = {"binary": "On patients it has not seen", "four": "On patients it may have seen",
            "eight": "On generated images of patients it has not seen"}[task]  # fmt: skip
    is_better = "not clearly better" if task == "binary" else "better"
    assert told.text.startswith(f"{whom}, this network is {is_better} than always saying ")


def test_files_are_linked_and_there(finished, page, task):
    links = [a.attributes["href"] for a in page.all("a")]
    linked = {unquote(each.removeprefix("./")) for each in links if each.startswith("./")}
    assert {"metrics.json", "predictions.csv", "figures/roc.png"} <= linked
    assert all((finished[task] / name).is_file() for name in linked)
    (beside,) = [p.text for p in page.all("p") if p.text.startswith("Beside this page")]
    assert beside == (
        "Beside this page: config.json, environment.json, history.csv, leakage.json, "
        "metrics.json, predictions.csv, split.csv; all files."
    )


def test_links_to_files_of_any_name(copy):
    for name in ("a b#c?.txt", "javascript:x", "100%25.csv"):
        (copy / name).write_text("")
    addresses = [a.attributes["href"] for a in parse(report.write(copy)).all("a")]
    assert {"./a%20b%23c%3F.txt", "./javascript%3Ax", "./100%2525.csv"} <= set(addresses)


# --- spoiled folders ---------------------------------------------------------------------------

FILES = (
    "metrics.json", "environment.json", "split.csv", "history.csv", "predictions.csv",
    "leakage.json",
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_left_out(copy, name):
    (copy / name).unlink()
    page = parse(report.write(copy))
    if name in ("metrics.json", "predictions.csv"):
        assert f"This run is not complete: {name} missing" in page.text
    elif name != "leakage.json":
        assert f"{name} is missing" in page.text


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", ["", "{", '{"accuracy": "x"}', "\0"])
def test_a_damaged_file_is_named_and_stops_nothing(copy, name, content):
    (copy / name).write_text(content, encoding="utf-8")
    shutil.rmtree(copy / "figures")
    text = parse(report.write(copy)).text
    if content != '{"accuracy": "x"}' or name in ("split.csv", "history.csv", "predictions.csv"):
        assert f"{name} is damaged and was left out" in text


def test_a_damaged_picture_is_named(copy):
    (copy / "figures" / "gradcam.png").write_bytes(b"no picture")
    page = parse(report.write(copy))
    assert "gradcam" in page.text


def test_only_config_json(tmp_path, finished):
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(finished["four"] / "config.json", folder)
    page = parse(report.write(folder))
    assert "No results" in page.text
    assert "python -m her2scoring.train --preset T3-convnext_tiny-he" in page.text


def test_no_run_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        report.write(tmp_path)


def test_metrics_of_other_predictions_are_noticed(copy):
    scores = metrics_of(copy)
    write_json(copy / "metrics.json", {**scores, "correct": scores["correct"] - 1})
    assert "metrics.json does not belong to predictions.csv" in parse(report.write(copy)).text


def test_a_foreign_note_in_config_json_stops_nothing(copy):
    edit(copy, skipped=[{"picture": "a.png"}], sources=[{"title": "x"}])
    text = parse(report.write(copy)).text
    for section in ("warnings", "settings"):
        assert f"{section}: left out, the run's files do not fit (KeyError" in text


def test_data_that_were_not_whole_are_noticed(copy):
    edit(copy, expected_images=4873)
    page = parse(report.write(copy))
    assert "The data were not whole: 977 images used, the data set has 4,873" in page.text


def test_hostile_names_are_escaped(finished, tmp_path, quick):
    folder = tmp_path / "run"
    shutil.copytree(finished["binary"], folder)
    image = '<script>alert(1)</script>"><img src=x onerror=alert(2)>.png'
    case = "</table><script>alert(3)</script> $\\frac{1}{$"
    for name in ("predictions.csv", "split.csv"):
        frame = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
        right = frame["part"] == "test"
        victims = frame.loc[right, "case"].unique()[:3]
        frame.loc[frame["case"].isin(victims), "case"] = case
        # A sure mistake, so that the table shows it.
        row = frame.index[right][0]
        frame.loc[row, "image"] = image
        if name == "predictions.csv":
            malignant = frame.loc[row, "label"] == "malignant"
            frame.loc[row, ["p_benign", "p_malignant"]] = ["1", "0"] if malignant else ["0", "1"]
        write_csv(folder / name, frame)
    nasty = "<img src=x onerror=alert(4)>"
    edit(folder, preset=nasty, command=f"python {nasty}", leaks=[nasty])
    (folder / "<b>bold.txt").write_text("x", encoding="utf-8")
    page = parse(report.write(folder))
    assert not page.all("script", "b")
    assert all(e.attributes["src"].startswith("data:") for e in page.all("img"))
    assert not any(n.startswith("on") for e in page.all() for n in e.attributes)
    for expected in (image, case, nasty, "<b>bold.txt"):
        assert expected in page.text
    edit(folder, package="a/../b")
    with pytest.raises(InputError, match=r"config\.json: damaged"):
        report.write(folder)


# --- beside the paper --------------------------------------------------------------------------


@pytest.fixture
def paper(tmp_path, monkeypatch):
    """A package whose import would fail, with printed numbers."""
    package = tmp_path / "a_printed_paper"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    def write(n_test: object) -> None:
        rows = [
            "table,row,metric,printed,unit,decimals,n_test,preset,metrics_key,select,note",
            f"T1,net,accuracy,90.00,percent,2,{n_test},P,accuracy,,first note",
            f"T1,net,precision,80.0,percent,1,{n_test},P,per_class.2+.precision,,same note",
            f"T1,net,recall,n/a,percent,1,{n_test},P,per_class.2+.recall,,same note",
            f"T1,net,epoch,19,epoch,0,{n_test},P,best_epoch,,",
            f"T2,other,accuracy,10.00,percent,2,{n_test},Q,accuracy,,not ours",
        ]
        (package / "published.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")

    return write


def published(page: Element) -> Element:
    (found,) = [s for s in page.all("section") if s.attributes["aria-labelledby"] == "published"]
    return found


def test_printed_numbers_stand_beside_ours(copy, paper):
    scores = metrics_of(copy)
    paper(scores["n"])
    edit(copy, package="a_printed_paper", preset="P")
    section = published(parse(report.write(copy)))
    assert "a_printed_paper" not in sys.modules
    rows = [[cell.text for cell in row.all("th", "td")] for row in section.all("tr")]
    accuracy = f"{100 * scores['accuracy']:.2f}"
    gap = f"{100 * scores['accuracy'] - 90:+.2f}".replace("-", "−")
    precision = 100 * scores["per_class"]["2+"]["precision"]
    recall = f"{100 * scores['per_class']['2+']['recall']:.1f}"
    best = scores["best_epoch"]
    assert rows[1:] == [
        ["T1, net"],
        ["accuracy (%)", "90.00", accuracy, gap, "first note"],
        ["precision (%)", "80.0", f"{precision:.1f}",
         f"{precision - 80:+.1f}".replace("-", "−"), "same note"],
        ["recall (%)", "n/a", recall, "–"],
        ["epoch", "19", str(best), f"{best - 19:+d}".replace("-", "−"), ""],
    ]  # fmt: skip
    assert [c.attributes["rowspan"] for c in section.all("td") if "rowspan" in c.attributes] == [
        "2"
    ]
    assert "Not comparable" not in section.text


@pytest.mark.parametrize(
    ("changes", "n_test", "reason"),
    [
        ({"preset": "P"}, 407, "the paper tested on 407 images"),
        ({"preset": "P-honest"}, None, "honest twin"),
        ({"preset": "P-changed"}, None, "settings differ"),
        ({"preset": "P", "synthetic": True}, None, "synthetic images"),
        ({"preset": "P", "expected_images": 1}, None, "the data were not whole"),
    ],
)
def test_it_says_why_numbers_are_not_comparable(copy, paper, changes, n_test, reason):
    paper(n_test or metrics_of(copy)["n"])
    edit(copy, package="a_printed_paper", **changes)
    section = published(parse(report.write(copy)))
    assert "Not comparable" in section.text
    assert reason in section.text


def test_no_section_for_presets_without_printed_numbers(copy, paper):
    paper(1)
    edit(copy, package="a_printed_paper", preset="custom")
    assert "printed numbers" not in parse(report.write(copy)).text


# --- command -----------------------------------------------------------------------------------


def test_command_writes_pages_and_names_what_is_wrong(copy, tmp_path):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "common.report", *map(str, arguments)],
            capture_output=True, text=True, timeout=60,
            cwd=Path(report.__file__).parents[2],
        )  # fmt: skip

    done = run(copy)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(copy / "report.html"), "")
    done = run(tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path}: not a run folder")


def test_importing_it_loads_no_framework():
    code = (
        "import sys, common.report, common.figures;"
        "print({'keras', 'tensorflow', 'matplotlib', 'jinja2', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()"


# --- colours -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_contrast_meets_wcag_aa(scheme):
    text = Path(report.__file__).with_name("frame.html").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", text, flags=re.DOTALL)
    assert len(blocks) == 3
    colours = {}
    for block in [blocks[0], *({"dark": blocks[1:2], "print": blocks[2:]}.get(scheme, []))]:
        colours.update(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6});", block))
    for front, back in (
        ("ink", "paper"), ("soft", "paper"), ("link", "paper"), ("ink", "faint"), ("soft", "faint"),
        ("warn", "warn-back"), ("ink", "warn-back"),
    ):  # fmt: skip
        low, high = sorted((luminance(colours[front]), luminance(colours[back])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (scheme, front, back)
    assert (luminance(colours["synthetic"]) + 0.05) / 0.05 >= 4.5  # black letters


# --- in a browser ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_horizontal_overflow(browser, finished, task, tmp_path, width):
    found = measured(browser, finished[task] / "report.html", tmp_path, width)
    assert found == {"inner": width, "scroll": width, "wide": [], "cut": [], "broken": 0}


@pytest.mark.slow
def test_screenshots_show_the_page_and_the_banner(browser, finished, tmp_path):
    orange = np.array([0xE6, 0x9F, 0x00])
    for task, banner in (("eight", True), ("binary", False)):
        for width in (1280, 500):
            target = tmp_path / f"{task}-{width}.png"
            browser(
                finished[task] / "report.html", f"--screenshot={target}",
                f"--window-size={width},1600",
            )  # fmt: skip
            with Image.open(target) as image:
                pixels = np.asarray(image.convert("RGB"))
            assert pixels.shape[1] == width
            assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20, "an empty page"
            assert ((pixels[10] == orange).all(axis=1).mean() > 0.5) == banner


@pytest.mark.slow
def test_print_holds_everything_and_the_banner_on_every_page(browser, finished, tmp_path):
    target = tmp_path / "page.pdf"
    browser(finished["eight"] / "report.html", f"--print-to-pdf={target}", "--no-pdf-header-footer")
    assert target.read_bytes().startswith(b"%PDF")
    program = shutil.which("pdftotext")
    if program is None:
        pytest.skip("no pdftotext here (poppler-utils) to read the print with")
    text = subprocess.run(
        [program, "-layout", str(target), "-"], capture_output=True, text=True, check=True
    ).stdout
    pages = text.split("\f")[:-1]
    assert len(pages) > 5
    assert all("SYNTHETIC" in re.sub(r"\s", "", page) for page in pages)
    # What is folded away on the screen is printed.
    for folded in ("bn_momentum", "SOB-", "figures/roc.png"):
        assert folded in text
