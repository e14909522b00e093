"""Other data at the scale of the training: factors, fields, borders, and what is said of them."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
import run_folder

from common import backend, external, report, runs
from common.errors import InputError
from common.external import of_images, scale
from common.external.scale import Match
from common.files import read_json

FIELD = (40, 60)


class Model:
    """The probability of the second class is the mean red, as a fraction."""

    def predict(self, pixels, batch_size, verbose):
        red = pixels[..., 0].mean(axis=(1, 2)) / 255
        return np.stack([1 - red, red], axis=1)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "load", lambda: None)
    monkeypatch.setattr(runs, "load_model", lambda run: Model())
    monkeypatch.setattr(report, "write", lambda path: None)
    made = runs.load(run_folder.make(tmp_path / "runs", "binary", pictures=False))
    (made.path / "model.keras").touch()
    settings = {"image_size": 16, "resize_filter": "area"}
    made.note(config=made.config | settings, trained_size=[*FIELD])
    return made


def trained_at(run, *magnifications):
    """The run's training images at these magnifications, by turns."""
    file = run.path / "split.csv"
    lines = file.read_text(encoding="utf-8").splitlines()
    at = lines[0].split(",").index("magnification")
    rows = [line.split(",") for line in lines[1:]]
    for i, row in enumerate(rows):
        row[at] = magnifications[i % len(magnifications)]
    text = "\n".join([lines[0], *(",".join(row) for row in rows)]) + "\n"
    file.write_text(text, encoding="utf-8")


def site(folder, rows, head="image,label"):
    """A list; each image is 80x120, its left half without red, its right half with all."""
    folder.mkdir(exist_ok=True)
    picture = np.zeros((80, 120, 3), np.uint8)
    picture[:, 60:, 2] = 255  # OpenCV's order
    for row in rows:
        cv2.imwrite(str(folder / re.split("[,;]", row)[0]), picture)
    (folder / "list.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return folder / "list.csv"


def matching(factor, field=FIELD):
    return Match(field, {"a": factor}, None, "")


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_an_image_like_those_of_the_training_stays_as_it_is():
    image = noise(*FIELD)
    (found,) = matching(1.0).fields("a", image)
    np.testing.assert_array_equal(found, image)
    assert matching(1.0).share("a", image) == 1


def test_what_is_made_smaller_is_averaged():
    board = np.indices((80, 120)).sum(axis=0) % 2 * 255
    (found,) = matching(0.5).fields("a", np.repeat(board[..., None], 3, axis=2).astype(np.uint8))
    assert found.shape == (*FIELD, 3) and set(np.unique(found)) <= {127, 128}


def test_fields_cover_a_larger_image_from_edge_to_edge():
    image = noise(40, 150)  # two and a half fields
    found = matching(1.0).fields("a", image)
    assert len(found) == 3
    for field, start in zip(found, (0, 45, 90), strict=True):
        np.testing.assert_array_equal(field, image[:, start : start + 60])
    # A tenth of a field is left out, half on each side; a little more is a second field.
    (one,) = matching(1.0).fields("a", image[:, :66])
    np.testing.assert_array_equal(one, image[:, 3:63])
    assert len(matching(1.0).fields("a", image[:, :67])) == 2
    assert len(matching(1.0).fields("a", np.tile(image, (3, 1, 1)))) == 9
    # Twice as large at the training's scale: each field is half as many px of it.
    assert len(matching(2.0).fields("a", image[:, :60])) == 4


def test_less_than_a_field_is_mirrored():
    image = noise(40, 30)
    (found,) = matching(1.0).fields("a", image)
    np.testing.assert_array_equal(found[:, 15:45], image)
    np.testing.assert_array_equal(found[:, :15], image[:, 15:0:-1])
    assert matching(1.0).share("a", image) == 0.5
    (found,) = matching(0.5).fields("a", noise(40, 60))
    assert found.shape == (*FIELD, 3) and matching(0.5).share("a", noise(40, 60)) == 0.25
    assert len(matching(0.5).fields("a", noise(32, 32))) == 1
    with pytest.raises(InputError, match="a: is 16x15 px at the training's scale, and 16 are the"):
        matching(0.5).fields("a", noise(30, 32))


def factors(run, source, **given):
    return list(external.match(run, of_images(run, source, {}), **given).factors.values())


def test_the_scale_is_taken_from_list_flag_or_magnification(run, tmp_path):
    trained_at(run, "100X")  # 0.625 by the card
    rows = ["a.png,benign,0.3125", "b.png,malignant,1,25", "c.png,benign,"]
    listed = site(tmp_path / "a", [row.replace(",", ";", 2) for row in rows], "image;label;mpp")
    with pytest.raises(InputError, match=r"1 of 3 images of list.csv lie is not known \(c.png\)"):
        factors(run, listed)
    assert factors(run, listed, mpp=0.625) == [0.5, 2.0, 1.0]
    assert factors(run, listed, mpp=0.625, trained_mpp=1.25) == [0.25, 1.0, 0.5]
    with pytest.raises(InputError, match=r"--mpp 0.01: from 0.02 to 20 micrometres per px"):
        factors(run, listed, mpp=0.01)
    with pytest.raises(InputError, match=r"c.png is to be made 20 times larger, and 16 times is"):
        factors(run, listed, mpp=12.5)
    trained_at(run, "40X", "100X")
    with pytest.raises(InputError, match=r"was trained at several scales .*--trained-mpp"):
        factors(run, listed, mpp=1)
    run.note(dataset="lab", own={"root": "", "mpp": [1.25, 1.25]})
    assert factors(run, listed, mpp=0.625) == [0.25, 1.0, 0.5]
    run.note(own={"root": "", "mpp": [0.625, 1.25]})  # no one scale
    with pytest.raises(InputError, match=r"training images of .* is not known; say it with --tr"):
        factors(run, listed, mpp=0.625)


def test_magnifications_alone_are_compared_as_they_are_named(run, tmp_path):
    trained_at(run, "200X")
    run.note(dataset="lab", own={"root": ""})
    rows = ["a.png,benign,100", "b.png,malignant,400X"]
    listed = site(tmp_path / "a", rows, "image,label,magnification")
    assert factors(run, listed) == [2.0, 0.5]
    objective = site(tmp_path / "b", ["a.png,benign,20X"], "image,label,magnification")
    with pytest.raises(InputError, match="200X and 20X can hardly be named in one way"):
        factors(run, objective)
    unknown = site(tmp_path / "c", ["a.png,benign"])
    with pytest.raises(InputError, match="say both with --mpp and --trained-mpp"):
        factors(run, unknown)


def test_the_size_of_the_training_images_is_asked_for(run, tmp_path):
    trained_at(run, "100X")
    run.note(trained_size=None, synthetic=True)
    others = of_images(run, site(tmp_path / "a", ["a.png,benign,1"], "image,label,mpp"), {})
    with pytest.raises(InputError, match="not known; say it with --trained-size WIDTHxHEIGHT"):
        external.match(run, others)
    assert external.match(run, others, trained_size=(16, 70)).field == (16, 70)


def test_probabilities_are_the_mean_over_fields_and_it_is_said(run, tmp_path, capsys):
    trained_at(run, "100X")
    source = site(tmp_path / "a", ["a.png,benign", "b.png,malignant"])
    command = ["--run", str(run.path), "--images", str(source)]
    for flags, message in (
        (["--match-scale"], "say it with --mpp MICROMETRES per px, or in a column mpp"),
        (["--mpp", "1"], "--mpp: is for --match-scale"),
        (["--trained-size", "30x30"], "--trained-size: is for --match-scale"),
        (["--match-scale", "--mpp", "1", "--trained-size", "20x15"], "20x15: from 16 to 8192 px"),
    ):
        with pytest.raises(InputError, match=message):
            external.main("breakhis", [*command, *flags])
    folder = run.path / "external" / "list-at-scale"
    assert external.main("breakhis", [*command, "--match-scale", "--mpp", "0.625"]) == 0
    found = read_json(folder / "external.json")
    matched = found["scale"]["matched"]
    assert matched["fields"] == 8 and matched["mirrored"] == 0 and matched["factors"] == [1, 1]
    assert "cut into fields of 60x40 px" in matched["words"] and "4 an image" in matched["words"]
    assert found["scale"]["words"] == matched["words"] in capsys.readouterr().out
    judged = (folder / "predictions.csv").read_text(encoding="utf-8")
    assert judged.count(",0.5,0.5") == 2
    assert external.main("breakhis", [*command, "--match-scale", "--mpp", "0.3125"]) == 0
    assert external.main("breakhis", [*command, "--match-scale", "--mpp", "0.15625"]) == 0
    found = read_json(folder / "external.json")
    assert "2 images of 2 show less than a field (down to 25\xa0% of it)" in found["scale"]["words"]
    assert scale.FURTHEST == 16
