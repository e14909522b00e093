"""The wheel works outside the source tree, and imports stay light."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import extra_commands
import extras
import pytest
import yaml

from common import papers, protocols

ROOT = Path(__file__).parent.parent


def python(code, **options):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, **options
    )


def pip(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pip", *map(str, arguments), "--quiet"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def wheel(tmp_path):
    built = pip("wheel", "--no-deps", "-w", tmp_path, ROOT)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("histopapers-*.whl")
    return wheel


@pytest.mark.slow
def test_the_wheel_works_elsewhere(wheel, tmp_path):
    site = tmp_path / "site"
    assert pip("install", "--no-deps", "--target", site, wheel).returncode == 0
    assert not (site / "tests").exists()
    assert (site / "common" / "report" / "page.html").is_file()
    # -P and a foreign folder: nothing of the source tree is in reach.
    environment = {**os.environ, "PYTHONPATH": str(site)}
    assert (site / "wrn_edge" / "device" / "infer.py").is_file()
    rows = {
        "her2scoring": "T3-convnext_tiny-he",
        "breakhis": "T2-binary-resnet50",
        "ernet": "T1-ernet50",
        "gan_fusion": "T11-fusion-trad-gan",
        "wrn_edge": "T1-200X-aug",
    }
    for paper, row in rows.items():
        for module, arguments in (("train", ["--help"]), ("tables", [])):
            done = subprocess.run(
                [sys.executable, "-P", "-m", f"{paper}.{module}", *arguments],
                capture_output=True, text=True, cwd=tmp_path, env=environment, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert row in done.stdout
    where = python(
        "import common; print(common.__file__)", cwd=tmp_path, env=environment
    ).stdout.strip()
    assert where == str(site / "common" / "__init__.py")


@pytest.mark.slow
def test_extras_of_the_wheel_work_each_by_itself(wheel, tmp_path):
    """`make extras` tries all of them, each in an environment that is empty."""
    if pip("download", "--no-deps", "-d", tmp_path, "iniconfig").returncode:
        pytest.skip("no package index is reached")
    command = [sys.executable, extras.__file__, wheel, "--on", tmp_path / "base", *extras.LIGHT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" s  ok\n") == 1 + len(extras.LIGHT)  # and what they share


def test_what_extras_share_is_made_once_and_goes(monkeypatch, tmp_path, capsys):
    made, tried = [], []
    monkeypatch.setattr(extras, "base", lambda wheel, folder: made.append(folder))

    def one(wheel, extra, on):
        assert on is None or on.is_dir()
        tried.append((extra, on))
        if extra == "docs":
            raise extras.CommandError("no such package")

    monkeypatch.setattr(extras, "tried", one)
    assert extras.main(["some.whl", "--on", str(tmp_path), "", "jax"]) == 0
    assert made == [tmp_path] and tried == [("", tmp_path), ("jax", tmp_path)]
    tried.clear()
    assert extras.main(["some.whl", "--empty", "docs", "jax"]) == 1
    assert len(made) == 1 and tried == [("docs", None), ("jax", None)]
    assert re.search(
        r"^docs +\d+ s +\d+ processor s  no such package$", capsys.readouterr().out, re.M
    )
    tried.clear()
    assert extras.main(["some.whl"]) == 1
    assert [extra for extra, _ in tried] == extras.extras()
    assert {on for _, on in tried} == {made[1]} and not made[1].exists()


def test_every_extra_is_tried_with_a_command():
    wanted = set(extras.extras()) - {"", *extras.RESOLVED}
    assert wanted <= {name.replace("_", "-") for name in dir(extra_commands)}
    assert set(extras.LIGHT) <= set(extras.extras())


@pytest.mark.parametrize("module", ["datasets", "metrics", "tables", "splits", "runs", "config"])
def test_rooms_without_a_framework_import_none(module):
    done = python(
        f"import sys, common.{module}\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'sklearn', 'scipy', 'matplotlib', 'cv2', 'tyro'}\n"
        "print(sorted(heavy & set(sys.modules)))",
        cwd=ROOT,
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_one_version():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    newest = re.findall(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)[0]
    assert {setup["metadata"]["version"], cited["version"], newest[0]} == {cited["version"]}
    assert newest[1] in ("unreleased", cited["date-released"])
    assert cited["license"] == setup["metadata"]["license"]


def test_every_paper_can_be_cited():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["references"]
    assert [each["title"] for each in cited] == [
        protocols.protocol(p).paper.title for p in papers.PAPERS
    ]
    for paper, each in zip(papers.PAPERS, cited, strict=True):
        known = protocols.protocol(paper).paper
        names = [f"{each['given-names']} {each['family-names']}" for each in each["authors"]]
        told = (tuple(names), each["year"], each.get("doi", ""))
        assert told == (known.authors, known.year, known.doi)
        printed = "{journal} {volume}({issue}), {start}-{end}"
        assert "volume" not in each or printed.format_map(each) == known.venue
