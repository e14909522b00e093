"""The wheel works outside the source tree, and imports stay light."""

import configparser
import os
import subprocess
import sys
from pathlib import Path

import extras
import pytest

ROOT = Path(__file__).parent.parent


def python(code, **options):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, **options
    )


@pytest.mark.slow
def test_the_wheel_works_elsewhere(tmp_path):
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, ROOT],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("histopapers-*.whl")
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel],
        check=True,
    )
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


def test_every_extra_is_tried_with_a_command():
    assert set(extras.COMMANDS) == set(extras.extras())


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
    version = setup["metadata"]["version"]
    assert f"version: {version}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
