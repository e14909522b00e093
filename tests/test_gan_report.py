"""The page of a GAN's run, and the chain from a GAN to a classifier as the README has it."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common import figures, report
from common.errors import InputError
from common.files import write_csv, write_json
from gan_fusion.gan import evaluation
from gan_fusion.gan import generate as drawing
from gan_fusion.gan import report as gan_report

ROOT = Path(__file__).parent.parent


def point(kimg, kid, error=0.001):
    return {"kimg": kimg, "kid": kid, "kid_se": error, "fid": 20.0, "precision": 0.5, "recall": 0.4}


def metrics(points, **changes):
    found = {
        **points[-1], "points": points, "classes": ["benign"], "real_images": 90,
        "floor": {"kid": 0.002, "kid_se": 0.001, "fid": 9.0, "images": [45, 45]},
        "features": {"network": "vgg16", "weights": "imagenet", "size": 32, "resize": "linear",
                     "comparable": "not comparable with published values"},
        "generated_images": 60,
        "memorisation": {"below_half": 0.0, "median_ratio": 1.1, "smallest_ratio": 0.9},
    }  # fmt: skip
    return found | changes


def make(folder, scores=None, *, synthetic=False, name="demo"):
    """A GAN's run folder as training leaves it, with small pictures."""
    (folder / "figures").mkdir(parents=True)
    record = {
        "schema": 2, "package": "gan_fusion", "preset": name, "run_id": "0123456789",
        "config": {"dataset": "breakhis", "image_size": 32}, "dataset": "breakhis",
        "licence": "CC BY 4.0", "data": "9f", "weights": "none", "synthetic": synthetic,
        "kind": "gan", "no_classifier": "a GAN's run", "classes": ["benign"], "leaks": [],
        "sources": [], "created": "2026-11-20T08:00:00+00:00", "n_images": 3,
        "finished": "2026-11-20T09:00:00+00:00", "command": "python -m gan_fusion.train_gan",
    }  # fmt: skip
    write_json(folder / "config.json", record)
    write_csv(folder / "split.csv", pd.DataFrame({
        "image": ["a.png", "b.png", "c.png"], "label": ["benign"] * 3, "case": ["1", "2", "3"],
        "part": ["train", "train", "test"],
    }))  # fmt: skip
    pixels = np.full((2, 32, 32, 3), 200, np.uint8)
    for kimg in (2, 10, 12, 14, 16, 100):
        figures.save(figures.mosaic({"generated\nbenign": pixels}, 2),
                     folder / "figures" / f"samples-{kimg}-kimg.png", synthetic)  # fmt: skip
    figures.save(figures.mosaic({"generated\nbenign": pixels}, 2),
                 folder / "figures" / "samples.png", synthetic)  # fmt: skip
    if scores is not None:
        write_json(folder / "metrics.json", scores)
    return folder


def told(folder):
    return gan_report.verdict(report.read(folder, classifier=False))


@pytest.mark.parametrize(
    ("points", "changes", "sentences"),
    [
        ([point(2, 0.05), point(4, 0.01)], {},
         ["This GAN’s images can be told from real ones: KID 0.01 ± 0.001, two halves of the real "
          "images 0.002 ± 0.001.",
          "They came nearer to real images while it trained.",
          "No sample lies nearly on a training image."]),
        ([point(2, 0.004), point(4, 0.003)], {"memorisation": {"below_half": 0.031}},
         ["This GAN’s images by these features cannot be told from real ones: KID 0.003 ± 0.001, "
          "two halves of the real images 0.002 ± 0.001.",
          "They are as near to real images at the end as at the first evaluation.",
          "3.1\xa0% of its samples lie nearly on a training image: look at them."]),
        ([point(2, 0.02), point(4, 0.01), point(6, 0.05)], {},
         ["This GAN’s images can be told from real ones: KID 0.05 ± 0.001, two halves of the real "
          "images 0.002 ± 0.001.",
          "They went away from real images while it trained: they were nearest at 4 kimg.",
          "No sample lies nearly on a training image."]),
        ([point(2, -0.0004)], {"features": {"weights": "none"}},
         ["How good these images are was not measured: distances are taken with a network that was "
          "never trained (KID −0.0004 ± 0.001, two halves of the real images 0.002 ± 0.001)."]),
    ],
)  # fmt: skip
def test_the_finding(tmp_path, points, changes, sentences):
    assert told(make(tmp_path / "run", metrics(points, **changes))) == sentences


def test_synthetic_images_and_no_metrics(tmp_path):
    scores = metrics([point(2, 0.05)])
    assert told(make(tmp_path / "a", scores, synthetic=True))[-1] == (
        "It learnt from synthetic images, so this says nothing about tissue."
    )
    assert told(make(tmp_path / "b")) is None


def test_the_page(tmp_path):
    folder = make(tmp_path / "run", metrics([point(2, 0.05), point(4, 0.01)]), synthetic=True)
    assert gan_report.main([str(folder)]) == 0
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "<title>SYNTHETIC gan_fusion: demo</title>" in text
    assert "This GAN’s images can be told from real ones" in text
    assert "CC BY 4.0" not in text  # synthetic tissue is nobody's
    rows = re.findall(r'<tr><th scope="row">(\d+)</th><td class="n">(.*?)</td>', text)
    assert rows == [("2", "0.05 ± 0.001"), ("4", "0.01 ± 0.001")]
    shown = re.findall(r"<figcaption>After (\d+) thousand real images shown", text)
    assert shown == ["2", "12", "14", "100"]  # by number, the first and the last among them
    assert text.count("SYNTHETIC") == 3  # title, banner, footer
    assert 'href="./metrics.json"' in text


def test_a_page_of_a_run_that_lacks_its_files(tmp_path):
    folder = make(tmp_path / "run")
    text = gan_report.write(folder).read_text(encoding="utf-8")
    assert "This run is not complete" in text and "no scores" in text
    (folder / "metrics.json").write_text('{"points": []}')
    assert "left out" in gan_report.write(folder).read_text(encoding="utf-8")


def test_each_kind_of_run_has_its_command(tmp_path):
    folder = make(tmp_path / "run", metrics([point(2, 0.05)]))
    with pytest.raises(InputError, match="a GAN's run"):
        report.write(folder)
    record = json.loads((folder / "config.json").read_text())
    del record["kind"], record["no_classifier"]
    write_json(folder / "config.json", record)
    with pytest.raises(InputError, match=r"a classifier's run; python -m common\.report"):
        gan_report.write(folder)


def test_curves_have_no_gaps(monkeypatch):
    """A penalty that is taken at every eighth step is missing in some rows."""
    drawn = {}
    monkeypatch.setattr(figures, "save", lambda figure, *rest: drawn.update(figure=figure))
    history = [
        {"kimg": k / 10, "distance": 1.0, "generator": 0.5, **({} if k % 3 else {"r1": float(k)})}
        for k in range(1, 13)
    ]
    judge = object.__new__(evaluation.Judge)
    judge.floor = {"kid": 0.1, "fid": 3.0}
    judge.run = type("Run", (), {"path": Path(), "synthetic": False})()
    judge.draw_curves(history, [point(0.6, 0.4), point(1.2, 0.3)])
    penalty = drawn["figure"].axes[1].lines[0]
    assert penalty.get_xdata() == pytest.approx([0.3, 0.6, 0.9, 1.2])
    assert penalty.get_ydata() == pytest.approx([3, 6, 9, 12])


def test_the_newest_gan_is_drawn_with(tmp_path):
    with pytest.raises(InputError, match="no finished run of a GAN"):
        drawing.newest(tmp_path)
    for name, finished in (("a", "10"), ("b", "12"), ("c", "11")):
        folder = make(tmp_path / "gan_fusion" / name, metrics([point(2, 0.05)]))
        record = json.loads((folder / "config.json").read_text())
        write_json(folder / "config.json", {**record, "finished": f"2026-11-20T{finished}:00:00"})
    assert drawing.newest(tmp_path) == tmp_path / "gan_fusion" / "b"


@pytest.mark.slow
def test_the_chain_runs_as_the_readme_has_it(tmp_path):
    """Copied from the page: the GAN, its images, the classifier that trains on them as well."""
    readme = (ROOT / "gan_fusion" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)
    (block,) = [each for each in blocks if "--gan-images" in each and "--demo" in each]
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "HISTOPAPERS_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    commands = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert [words[2].rpartition(".")[2] for words in commands] == ["train_gan", "generate", "train"]
    for words in commands:
        done = subprocess.run(
            [sys.executable, *words[1:]], cwd=tmp_path, env=environment, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    pages = sorted((tmp_path / "runs" / "gan_fusion").glob("SYNTHETIC-*/report.html"))
    assert len(pages) == 2
    texts = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert "Images that the GAN demo-changed generated were trained on as well" in texts
    assert "A generative network (GAN)" in texts
