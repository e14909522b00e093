"""Whether a picture can be a stained section: the rule of `common.tissue`, and of the device."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

from common import images, tissue


def _screenshot(paper: int, ink: tuple[int, int, int]) -> np.ndarray:
    image = np.full((460, 700, 3), paper, np.uint8)
    for y in range(15, 460, 14):
        cv2.putText(image, "Dear colleague, the result of " * 4, (5, y), 0, 0.45, ink, 1)
    return image


NOT_TISSUE = {
    "white": (lambda: np.full((230, 350, 3), 255, np.uint8), "blank"),
    "grey": (lambda: np.full((230, 350, 3), 128, np.uint8), "one plain colour"),
    "pink": (lambda: np.full((230, 350, 3), (230, 150, 190), np.uint8), "one plain colour"),
    "text": (lambda: _screenshot(255, (0, 0, 0)), "not the colours"),
    "text on black": (lambda: _screenshot(20, (220, 220, 220)), "not the colours"),
    "blue text": (lambda: _screenshot(255, (0, 0, 160)), "not the colours"),
    "noise": (
        lambda: np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8),
        "not the colours",
    ),
}


@pytest.mark.parametrize("name", NOT_TISSUE)
def test_what_is_no_tissue_is_flagged(name):
    make, reason = NOT_TISSUE[name]
    assert tissue.judge(images.resize(make(), 224))[1].startswith(reason)


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_photographs_are_flagged(name):
    # Found, but not imported: that takes seconds.
    folder = Path(importlib.util.find_spec("sklearn").submodule_search_locations[0])
    photograph = images.read(folder / "datasets/images" / name)
    assert tissue.judge(images.resize(photograph, 224))[1].startswith("not the colours")


def test_tissue_measures_of_a_picture_done_by_hand():
    picture = np.full((8, 8, 3), 255, np.uint8)
    picture[:2] = (150, 90, 160)  # a quarter: green absorbs most
    picture[2] = (90, 150, 160)  # an eighth: red does
    measures, problem = tissue.judge(picture)
    assert measures["dark"] == 0.375
    assert measures["stained"] == pytest.approx(2 / 3)
    brightness = np.repeat([400 / 3, 400 / 3, 255], [16, 8, 40])
    assert measures["contrast"] == pytest.approx(brightness.std(), rel=1e-5)
    assert problem == ""


def test_tissue_is_told_from_background_at_one_grey_level():
    """Mean OD 0.15: (I + 1) / 241 = exp(-0.15) lies between 206 and 207."""
    for level, dark in ((206, 0.5), (207, 0)):
        picture = np.full((10, 10, 3), 240, np.uint8)
        picture[:5] = level
        measures, _ = tissue.judge(picture)
        assert measures["dark"] == dark
        assert measures["stained"] == 0  # grey absorbs no colour most


def _first(*colours, background=(250, 250, 250)):
    """A picture of 100 px whose first pixels have these colours."""
    picture = np.full((100, 3), background, np.uint8)
    picture[: len(colours)] = colours
    return picture.reshape(10, 10, 3)


def test_tissue_at_its_limits():
    """Each limit is itself enough, and a pixel less is not."""
    purple, blue = (150, 60, 160), (60, 60, 160)  # of the blue one red and green are equal
    assert tissue.judge(_first(*[purple] * 5))[1] == ""
    assert tissue.judge(_first(*[purple] * 4))[1] == ("blank: 4 % of it is darker than background")
    assert tissue.judge(_first(*[purple] * 4, *[blue] * 6))[1] == ""
    assert tissue.judge(_first(*[purple] * 3, *[blue] * 5))[1] == (
        "not the colours of H&E: 38 % of its dark pixels absorb green most"
    )
    even = (160, 100, 100)  # green and blue are equal
    assert tissue.judge(_first(*[even] * 50))[0]["stained"] == 0
    # A mean brightness of 100 and 108, half each, deviates by 4.
    halves = [(150, 50, 100)] * 50, [(158, 58, 108)] * 50
    measures, problem = tissue.judge(_first(*halves[0], *halves[1]))
    assert (measures["contrast"], problem) == (4, "")
    assert (
        tissue.judge(_first(*halves[0], *halves[1][:49], (157, 58, 108)))[1] == "one plain colour"
    )


@pytest.mark.data
def test_real_tissue_passes(real_data):
    files = sorted((real_data / "data/breakhis_100x").rglob("*.png"))[::5]
    flagged = [f for f in files if tissue.judge(images.resize(images.read(f), 224))[1]]
    assert len(files) == 43
    assert flagged == []
