"""docs/own-data.md is true: its commands are run, in their order, on a folder as it describes."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from common.datasets import breakhis, synthetic

ROOT = Path(__file__).parent.parent
GUIDE = ROOT / "docs" / "own-data.md"


def commands():
    blocks = re.findall(r"^```console\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Synthetic tissue as the guide's folder and lists."""
    root = tmp_path_factory.mktemp("guide")
    slides = synthetic.breakhis(root / "slides", patients=20, images_per_patient=2,
                                magnifications=("100X",), size=(100, 100))  # fmt: skip
    lines, others, numbers = [], [], {"benign": 0, "malignant": 0}
    for row in breakhis.index(slides).itertuples():
        numbers[row.label] += 1
        image = f"photos/{row.label}/{numbers[row.label]:03}.png"
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        (slides / row.image).rename(root / image)
        lines.append(f"{image},{row.label},{row.case}\n")
        theirs = {"benign": "normal", "malignant": "tumour"}[row.label]
        others.append(f"{image},{theirs},{row.case}\n")
    head = "image,label,patient\n"
    (root / "photos.csv").write_text(head + "".join(lines), encoding="utf-8")
    (root / "elsewhere.csv").write_text(head + "".join(others[::3]), encoding="utf-8")
    return root


@pytest.mark.slow
def test_the_commands_of_the_guide_do_what_it_says(place):
    said = commands()
    assert len(said) == 9
    for command in said:
        words = shlex.split(command.replace("--epochs 12", "--epochs 1"))
        assert words[:2] == ["python", "-m"]
        done = subprocess.run([sys.executable, *words[1:]], cwd=place, capture_output=True,
                              text=True, check=False)  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    (run,) = [file.parent for file in place.glob("runs/wrn_edge/*/external")]
    assert (place / "answers.csv").is_file() and list((place / "maps").glob("*.png"))
    for name in ("elsewhere", "elsewhere-at-scale", "elsewhere-adapted"):
        assert (run / "external" / name / "metrics.json").is_file()
    adapted = json.loads((run / "external" / "elsewhere-adapted" / "adapted.json").read_text())
    ways = {way["name"] for way in adapted["ways"]} | set(adapted["failed"])
    assert ways == {"as it is", "threshold", "temperature", "batchnorm", "stain"}
    assert 'id="elsewhere"' in (run / "report.html").read_text(encoding="utf-8")
    assert list(run.glob("*bundle/README.md")) and (run / "export" / "model-int8.tflite").is_file()
