"""The site: its pages, its folder, and what stands beside printed numbers."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

import grid
import numpy as np
import pytest
import run_folder
from pages import Element, measured, parse

from common import charts, forensics, protocols, reproduce, runs, site, tables
from common.errors import InputError
from common.files import write_json
from common.metrics import roc_curve
from common.notices import FABRICATED, RESEARCH_USE, SYNTHETIC
from common.papers import PAPERS
from common.reproduce.__main__ import main as command
from common.reproduce.collect import collect
from common.reproduce.states import Place
from common.site import writing
from common.site.gather import claim

HEADINGS = ("h1", "h2", "h3")


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """Runs of a row of three trials with its twin, of BCI, and of a GAN."""
    folder = tmp_path_factory.mktemp("some") / "runs"
    items = reproduce.items(["wrn_edge"], row="T1-40X")
    items += reproduce.items(["her2scoring"], row="T3-convnext_tiny-he")
    items += reproduce.items(["her2scoring"], row="T3-convnext_tiny-ihc")
    items += reproduce.items(["gan_fusion"], row="T8-gamma0.5", twins="no")
    grid.make(folder, items)
    return folder


@pytest.fixture(scope="module")
def out(few) -> Path:
    """The site of these runs."""
    place = Place(few, fabricated=True)
    assert site.write(few.parent / "site", place) == few.parent / "site" / "index.html"
    return few.parent / "site"


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    """The site where nothing has been trained."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "site").mkdir()  # an empty folder is taken
    missing = ["--runs-dir", str(folder / "runs"), "--results", str(folder / "results")]
    assert command(["site", str(folder / "site"), *missing]) == 0
    return folder / "site"


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def pages_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.html"))


def cells(table: Element) -> list[list[str]]:
    rows = [[cell.text.strip() for cell in row.all("th", "td")] for row in table.all("tr")]
    return [row for row in rows if len(row) > 1]


# --- every page -----------------------------------------------------------------------------------


def test_there_is_a_page_for_each_paper_data_set_and_run(out, few):
    found = {file.relative_to(out).as_posix() for file in pages_of(out)}
    made = {f"runs/{run.parent.name}/{run.name}.html" for run in few.glob("*/*")}
    assert len(made) == 9
    assert found == {
        "index.html", *(f"{kind}/{paper}.html" for kind in ("papers", "forensics")
                        for paper in PAPERS),
        *(f"data/{name}.html" for name in ("bci", "breakhis", "bach")), *made,
    }  # fmt: skip


@pytest.mark.parametrize("which", ["out", "empty"])
def test_all_links_lead_somewhere(which, request):
    folder = request.getfixturevalue(which)
    trees = {file.resolve(): parse(file) for file in pages_of(folder)}
    ids = {file: {each.attributes.get("id") for each in page.all()} for file, page in trees.items()}
    reached = set()
    for file, page in trees.items():
        for link in page.all("a"):
            address = link.attributes["href"]
            if address.startswith(("https://", "http://")):
                assert link.attributes["rel"] == "noreferrer", address
                continue
            path, _, fragment = address.partition("#")
            target = (file.parent / unquote(path)).resolve() if path else file
            assert target in trees, f"{file}: {address}"
            assert not fragment or fragment in ids[target], f"{file}: {address}"
            reached.add(target)
    assert reached == set(trees)


@pytest.mark.parametrize("which", ["out", "empty"])
def test_pages_stand_alone_and_read_well(which, request, few):
    folder = request.getfixturevalue(which)
    for file in pages_of(folder):
        page = parse(file)
        assert page.all("html")[0].attributes["lang"] == "en"
        assert not page.all("script", "iframe", "object", "link", "form")
        assert all(each.attributes["src"].startswith("data:") for each in page.all("img"))
        assert all(each.attributes["alt"].strip() for each in page.all("img"))
        ids = [each.attributes["id"] for each in page.all() if "id" in each.attributes]
        assert len(set(ids)) == len(ids), file
        levels = [int(each.tag[1]) for each in page.all(*HEADINGS)]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(b - a <= 1 for a, b in itertools.pairwise(levels)), file
        for table in page.all("table"):
            assert table.all("caption")
            assert all("scope" in head.attributes for head in table.all("th"))
        text = file.read_text(encoding="utf-8")
        assert 'http-equiv="Content-Security-Policy" content="default-src \'none\'' in text
        assert not re.search(r"url\(|@import|\bsrcset|http-equiv=\"refresh", text)
        assert RESEARCH_USE in page.text
        for place in (few.parent, folder.parent, Path.home(), Path(site.__file__).parents[2]):
            assert str(place) not in text, file


def test_pictures_are_svg_that_is_well_formed(out):
    import base64
    from xml.etree import ElementTree

    count = 0
    for file in pages_of(out):
        for image in parse(file).all("img"):
            head, _, data = image.attributes["src"].partition("base64,")
            assert head == "data:image/svg+xml;"
            root = ElementTree.fromstring(base64.b64decode(data))
            assert root.attrib["width"] == image.attributes["width"]
            count += 1
    assert count > 30


# --- what the pages say ---------------------------------------------------------------------------


def test_front_page_says_claimed_literal_and_honest(out, few):
    text = parse(out / "index.html").text
    assert all(claim(paper) in text for paper in PAPERS)
    for paper in PAPERS:
        name, row, metric = protocols.protocol(paper).paper.headline
        table = tables.published(paper)
        (printed,) = table["printed"][
            (table["table"] == name) & (table["row"] == row) & (table["metric"] == metric)
        ]
        assert f"Claimed: {metric}{printed} %" in text
    assert "Rounds done3 of 24of the twins 3 of 24" in text
    assert "Rounds done2 of 12no honest twin can be made" in text


def test_tables_are_those_of_the_tables_command(out, few):
    paper = tables.load("wrn_edge", few, fabricated=True)
    notes = tables.Notes()
    expected = []
    for _, lines in tables.cells(tables.compared(paper), tables.Notes(), notes):
        other = any(line[7] for line in lines)
        expected += [(line[1:9] if other else [*line[1:7], line[8]]) for line in lines]
    page = parse(out / "papers" / "wrn_edge.html")
    found = []
    for table in page.all("table"):
        if "numbers" in table.attributes["class"]:
            found += cells(table)[1:]
    assert len(found) == len(expected) == 61
    for line, (metric, printed, ours, interval, apart, status, *second, twin) in zip(
        found, expected, strict=True
    ):
        assert line[:3] == [metric, printed, ours]
        assert line[3:6] == [interval, re.sub(r"-(?=\d)", "−", apart), status]
        assert line[6:-2] == second
        assert line[-2].split("[")[0].strip().startswith(twin.split(" [")[0])
    shown = [each.text for each in page.all("ol")[-1].all("li")]
    assert [text.strip() for text in shown] == notes.texts


@pytest.mark.parametrize("package", PAPERS)
def test_every_discrepancy_is_on_its_paper_s_page(empty, package):
    page = parse(empty / "papers" / f"{package}.html")
    for each in protocols.discrepancies(package).values():
        assert each.problem in page.text and each.resolution in page.text, each.id


@pytest.mark.parametrize("package", PAPERS)
def test_forensics_of_a_paper_has_a_page_to_which_its_own_leads(empty, package):
    verdicts = forensics.judged(forensics.of_paper(package))["verdict"]
    page = parse(empty / "forensics" / f"{package}.html")
    brief = f"{len(verdicts)} numbers: "
    assert brief in page.text and f"{(verdicts == 'impossible').sum()} impossible" in page.text
    own = parse(empty / "papers" / f"{package}.html")
    assert brief in own.text
    assert f"../forensics/{package}.html" in {a.attributes["href"] for a in own.all("a")}


def test_rows_that_a_paper_lacks_are_on_its_page(empty):
    told = {"breakhis": "12 rows have no run yet", "ernet": "4 rows have no run yet"}
    for package in PAPERS:
        page = parse(empty / "papers" / f"{package}.html")
        headings = [each.text for each in page.all("h2")]
        assert ("Rows that the paper lacks" in headings) == (package in told)
        assert told.get(package, "") in page.text
    assert (
        "--preset T2-binary-resnet50 --normalisation imagenet"
        in parse(empty / "papers" / "breakhis.html").text
    )


@pytest.mark.parametrize("package", PAPERS)
def test_quoted_tables_and_what_is_not_built_are_on_the_page(empty, package):
    page = parse(empty / "papers" / f"{package}.html")
    for table in tables.quoted(package):
        assert table.heading in page.text
        assert [list(row) for row in table.rows] in [
            [
                [cell.text.replace("–", "") for cell in row.all("th", "td")]
                for row in each.all("tr")[1:]
            ]
            for each in page.all("table")
        ]
    for each in protocols.protocol(package).not_built.values():
        assert each.says in page.text and each.why in page.text


def test_discrepancies_and_curves_are_on_the_paper_s_page(out):
    page = parse(out / "papers" / "her2scoring.html")
    for each in protocols.discrepancies("her2scoring").values():
        assert each.problem in page.text and each.resolution in page.text
    (curves,) = [s for s in page.all("section") if s.attributes["aria-labelledby"] == "curves"]
    (picture,) = curves.all("img")  # the stains of one network are in one picture
    assert "T3-convnext_tiny-ihc" in picture.attributes["alt"]
    assert "T3-convnext_tiny-he" in picture.attributes["alt"]
    assert "need the run folders" not in page.text


@pytest.mark.slow
def test_magnifications_are_drawn(few, tmp_path):
    items = reproduce.items(["breakhis"], row="T2-binary-resnet50", twins="no")
    grid.make(tmp_path / "runs", items)
    page = parse(site.write(tmp_path / "site", Place(tmp_path / "runs", fabricated=True)).parent
                 / "papers" / "breakhis.html")  # fmt: skip
    (part,) = [s for s in page.all("section")
               if s.attributes["aria-labelledby"] == "magnifications"]  # fmt: skip
    alts = [image.attributes["alt"] for image in part.all("img")]
    assert [alt.split(":")[0] for alt in alts[:4]] == [
        f"Confusion matrix at {name}" for name in ("40X", "100X", "200X", "400X")
    ]
    assert alts[4].startswith("ROC curves by magnification")


def test_data_page_counts_images_and_what_parts_share(out):
    page = parse(out / "data" / "breakhis.html")
    counts, splits = page.all("table")
    assert cells(counts)[-1] == ["All", "1,995", "2,081", "2,013", "1,820", "7,909"]
    lines = {line[0].split(" T")[0]: line[1:] for line in cells(splits)[1:]}
    assert lines["wrn_edge: image"] == ["1,396", "0", "599", "82", "100.0 %", "2", "2"]
    assert lines["wrn_edge: patient"][3:5] == ["0", "0.0 %"]
    assert "No run of these images is at hand" in parse(out / "data" / "bach.html").text


def test_without_results_pages_say_which_command_makes_them(empty):
    assert "python -m common.reproduce run --data-dir DIR" in parse(empty / "index.html").text
    for paper in PAPERS:
        page = parse(empty / "papers" / f"{paper}.html")
        assert "No results yet" in page.text
        rows = {item.preset for item in reproduce.items([paper])}
        (said,) = re.findall(r"reproduce run --row (\S+) --data-dir DIR", page.text)
        assert said in rows
        codes = [code for code in page.all("code") if "--data-dir DIR" in code.text]
        assert codes  # no line of theirs ends inside a flag
        for code in codes:
            assert not re.search(r"\s-", "".join(c for c in code.children if isinstance(c, str)))
            assert {span.attributes["class"] for span in code.all("span")} == {"k"}
        assert not page.all("img")
    assert not (empty / "runs").exists()


@pytest.mark.slow
def test_results_alone_fill_the_tables(few, out, tmp_path):
    for paper in ("wrn_edge", "her2scoring"):
        collect(Place(few, fabricated=True), paper, tmp_path / "results", "reproduced by others")
    gone = Place(tmp_path / "none", fabricated=True)
    site.write(tmp_path / "site", gone, tmp_path / "results")
    page = parse(tmp_path / "site" / "papers" / "wrn_edge.html")
    before = parse(out / "papers" / "wrn_edge.html")
    numbers = [[cells(t) for t in p.all("table") if "numbers" in t.attributes["class"]]
               for p in (page, before)]  # fmt: skip
    assert numbers[0] == numbers[1]
    assert "Of 6 trainings only the scores are known: paired comparisons" in page.text
    assert "Trainings: 6 reproduced by others." in page.text
    assert "6 at hand, not collected" in before.text
    assert "Rounds done3 of 24" in parse(tmp_path / "site" / "index.html").text


# --- what never stands there ----------------------------------------------------------------------


@pytest.mark.slow
def test_fabricated_runs_are_shown_when_asked_and_marked_on_every_page(out, few, tmp_path):
    assert all(FABRICATED in parse(file).text for file in pages_of(out))
    site.write(tmp_path / "site", Place(few))
    assert not (tmp_path / "site" / "runs").exists()
    assert all(FABRICATED not in parse(file).text for file in pages_of(tmp_path / "site"))
    assert "Rounds done0 of 24" in parse(tmp_path / "site" / "index.html").text


def test_synthetic_runs_have_pages_and_no_number_beside_a_printed_one(few, tmp_path, capsys):
    folder = run_folder.make(tmp_path / "runs", "binary", synthetic=True, pictures=False)
    shutil.copytree(few / "wrn_edge", tmp_path / "runs" / "wrn_edge")
    assert command(["site", str(tmp_path / "site"), "--demo",
                    "--runs-dir", str(tmp_path / "runs")]) == 0  # fmt: skip
    assert capsys.readouterr().out.strip() == str(tmp_path / "site" / "index.html")
    files = pages_of(tmp_path / "site")
    assert len(files) == 1 + 2 * len(PAPERS) + 3 + 1
    assert all(SYNTHETIC in parse(file).text for file in files)
    page = parse(tmp_path / "site" / "papers" / "breakhis.html")
    for table in page.all("table"):
        if "numbers" in table.attributes["class"]:
            assert cells(table)[0] == ["Number", "Printed", "Notes"]
    assert "Synthetic runs fill no row" in page.text
    assert "run --demo --paper breakhis --row T2-binary-resnet50" in page.text
    run = parse(tmp_path / "site" / "runs" / "breakhis" / f"{folder.name}.html")
    accuracy = json.loads((folder / "metrics.json").read_text())["accuracy"]
    assert f"{100 * accuracy:.2f} %" in run.text
    assert "printed numbers" not in run.text
    assert f"{100 * accuracy:.2f}" not in page.text


def test_places_of_a_machine_are_in_no_page(few, tmp_path):
    folder = shutil.copytree(next((few / "her2scoring").iterdir()), tmp_path / "runs/her2scoring/a")
    place = str(tmp_path)
    run = runs.load(folder)
    run.note(command=f"python -m her2scoring.train --data-dir {place}/data --cache-dir='{place}'")
    site.write(tmp_path / "site", Place(tmp_path / "runs", fabricated=True))
    text = (tmp_path / "site" / "runs" / "her2scoring" / "a.html").read_text()
    assert place not in text
    assert "her2scoring.train --data-dir DIR --cache-dir=DIR" in text


# --- the folder -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_same_runs_give_the_same_bytes(out, few, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "ALONE", 10**6)
    site.write(tmp_path / "elsewhere", Place(few, fabricated=True))
    assert bytes_of(tmp_path / "elsewhere") == bytes_of(out)


@pytest.mark.slow
def test_a_rerun_renews_and_drops_pages_of_runs_that_are_gone(few, out, tmp_path):
    runs_dir = shutil.copytree(few, tmp_path / "runs")
    target = shutil.copytree(out, tmp_path / "site")
    shutil.rmtree(runs_dir / "wrn_edge")
    site.write(target, Place(runs_dir, fabricated=True))
    assert not (target / "runs" / "wrn_edge").exists()
    assert (target / "runs" / "her2scoring").exists()
    assert "Rounds done0 of 24" in parse(target / "index.html").text
    assert sorted(each.name for each in tmp_path.iterdir()) == ["runs", "site"]


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_is_interrupted_leaves_the_earlier_site(few, out, tmp_path, monkeypatch, error):
    target = shutil.copytree(out, tmp_path / "site")
    before = bytes_of(target)
    many = iter(range(100))

    def stop(task):
        if next(many) == 3:
            raise error
        return writing.Made()

    monkeypatch.setattr(writing, "write_page", stop)
    with pytest.raises(error):
        site.write(target, Place(few, fabricated=True))
    with pytest.raises(error):
        many = iter(range(100))
        site.write(tmp_path / "new", Place(few, fabricated=True))
    assert bytes_of(target) == before
    assert [each.name for each in tmp_path.iterdir()] == ["site"]


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years")
    (tmp_path / "file").write_text("")
    (tmp_path / "foreign").mkdir()
    write_json(tmp_path / "foreign" / "site.json", {"site": "another"})
    for name, words in (("full", "something else"), ("file", "is no folder"),
                        ("foreign", "something else")):  # fmt: skip
        before = bytes_of(tmp_path)
        with pytest.raises(InputError, match=words):
            site.write(tmp_path / name, Place(tmp_path / "none"))
        assert bytes_of(tmp_path) == before


# --- charts ---------------------------------------------------------------------------------------


def test_charts_take_what_is_odd():
    import pandas as pd

    nasty = 'a<b & \x07 "c"'
    one = pd.DataFrame({"epoch": [1], "loss": [0.5], "accuracy": [np.nan]})
    curve, _ = roc_curve(np.array([True, False, True]), np.array([0.9, 0.9, 0.1])), None
    table = pd.DataFrame({"case": [nasty] * 40, "label": ["x"] * 40, "n": 3, "accuracy": 1 / 3})
    drawn = [
        charts.learning_curves(one, 1),
        charts.progress({nasty: ([1.0], [0.5]), "b": ([1.0, 2.0], [0.5, 0.5])}, nasty),
        charts.confusion_matrix([[0, 0], [3, 4]], [nasty, "y" * 80], nasty),
        charts.roc({nasty: (curve[0], curve[1], 0.5)}),
        charts.per_case(table, ["y", "x"]),
        charts.reliability({"n": [0, 4], "accuracy": [np.nan, 1.0], "confidence": [0, 0.9]}, 0.1),
        charts.risk_coverage([0.5, 1.0], [0.0, 0.25], (0.5, 0.0)),
        charts.risk_coverage([1.0], [0.0]),
        charts.rows([charts.Row(nasty, 100.0)]),
    ]
    from xml.etree import ElementTree

    for chart in drawn:
        root = ElementTree.fromstring(chart.svg)
        assert (root.attrib["width"], root.attrib["height"]) == (
            f"{chart.width}",
            f"{chart.height}",
        )
        assert "nan" not in chart.svg and "inf" not in chart.svg


# --- in a browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole_site(whole_grid):
    place = Place(whole_grid, fabricated=True)
    return site.write(whole_grid.parent / "site", place).parent


def kinds(folder: Path) -> list[Path]:
    """Pages of each kind."""
    runs_of = [sorted((folder / "runs" / paper).iterdir())[0] for paper in PAPERS]
    gan = next(file for file in (folder / "runs" / "gan_fusion").iterdir() if "T8" in file.name)
    return [folder / "index.html", *sorted((folder / "papers").iterdir()),
            *sorted((folder / "data").iterdir()), *runs_of, gan]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
def test_pages_fit_phones_and_screens(browser, whole_site, tmp_path, width):
    for file in kinds(whole_site):
        found = measured(browser, file, tmp_path, width)
        assert found == {"inner": width, "scroll": width, "wide": [], "cut": [], "broken": 0}, file


@pytest.mark.slow
def test_pages_of_the_empty_site_fit(browser, empty, tmp_path):
    for file in pages_of(empty):
        found = measured(browser, file, tmp_path, 360)
        assert found == {"inner": 360, "scroll": 360, "wide": [], "cut": [], "broken": 0}, file


@pytest.mark.slow
def test_print_holds_what_is_folded_and_the_banner_on_every_page(browser, whole_site, tmp_path):
    target = tmp_path / "page.pdf"
    browser(whole_site / "papers" / "wrn_edge.html", f"--print-to-pdf={target}",
            "--no-pdf-header-footer")  # fmt: skip
    program = shutil.which("pdftotext")
    if program is None:
        pytest.skip("no pdftotext here (poppler-utils) to read the print with")
    text = subprocess.run([program, "-layout", str(target), "-"], capture_output=True, text=True,
                          check=True).stdout  # fmt: skip
    pages = text.split("\f")[:-1]
    assert len(pages) > 5
    assert all("FABRICATED" in re.sub(r"\s", "", page) for page in pages)
    assert "T1-400X-aug-honest" in text


@pytest.mark.slow
def test_the_whole_site_has_all_pages_and_valid_links(whole_site, whole_grid):
    files = {file.resolve() for file in pages_of(whole_site)}
    assert len(files) == 1 + 2 * len(PAPERS) + 3 + len(list(whole_grid.glob("*/*/config.json")))
    for file in files:
        for address in re.findall(r'<a href="([^"#]+)', file.read_text(encoding="utf-8")):
            if not address.startswith("http"):
                assert (file.parent / unquote(address)).resolve() in files, f"{file}: {address}"
