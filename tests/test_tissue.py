"""Whether a picture can be a stained section: the rule of `common.tissue`, and of the device."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import tissue_check
from common import images, stain, tissue


@pytest.mark.parametrize("kind", tissue_check.OTHER)
def test_what_is_no_tissue_is_flagged(kind):
    for number, image in enumerate(tissue_check.OTHER[kind](np.random.default_rng(0))):
        assert tissue.judge(image)[1], f"{kind} {number}"


def test_photographs_are_flagged():
    """Those that installed packages bring, whole and in nine parts."""
    judged = [tissue.judge(image)[1] for image in tissue_check.photographs(None)]
    assert len(judged) == 30
    assert all(judged)


def _first(*colours, background=(250, 250, 250)):
    """A picture of 100 px whose first pixels have these colours; no two neighbours are equal."""
    picture = np.full((100, 3), background, np.uint8)
    picture[1::2] -= 1
    if colours:
        picture[: len(colours)] = colours
    return picture.reshape(10, 10, 3)


def _mixed(*colours):
    """Each colour and one that is hardly another, in turn."""
    return [np.add(colour, number % 2) for number, colour in enumerate(colours)]


PURPLE, PINK, NAVY, RED = (150, 60, 160), (230, 150, 190), (15, 20, 80), (200, 25, 40)
GREEN, BLACK = (60, 160, 60), (5, 2, 6)


def test_measures_of_a_picture_done_by_hand():
    picture = np.full((8, 8, 3), 255, np.uint8)
    picture[:2] = PURPLE  # a quarter
    picture[2] = (90, 150, 160)  # an eighth: red light is absorbed most
    measures, problem = tissue.judge(picture)
    assert measures["dark"] == 0.375
    assert measures["stained"] == pytest.approx(2 / 3)
    brightness = np.repeat([370 / 3, 400 / 3, 255], [16, 8, 40])
    assert measures["contrast"] == pytest.approx(brightness.std(), rel=1e-5)
    assert (measures["opaque"], measures["drawn"]) == (0, 1)
    assert problem == ""


@pytest.mark.parametrize(
    ("lamp", "level", "share"),
    [(240, 206, 0.5), (240, 207, 0.0), (255, 206, 0.5), (160, 137, 0.5), (160, 138, 0.0)],
)
def test_tissue_is_told_from_background_at_one_grey_level(lamp, level, share):
    """Mean OD 0.15: (I + 1) / (light + 1) = exp(-0.15), the light being 240 at most."""
    picture = np.full((10, 10, 3), lamp, np.uint8)
    picture[:5] = level
    measures, _ = tissue.judge(picture)
    assert measures["dark"] == share
    assert measures["stained"] == 0  # grey is no stain


def test_the_colour_of_the_lamp_changes_nothing():
    rng = np.random.default_rng(0)
    amounts = rng.gamma(1.0, 0.3, (64, 64, 2))
    section = 240 * np.exp(-amounts @ stain.RUIFROK)
    measures, problem = tissue.judge(np.rint(section).astype(np.uint8))
    assert problem == ""
    for lamp in ((1, 0.97, 0.8), (0.8, 0.9, 1), (0.75, 0.75, 0.75)):
        seen, problem = tissue.judge(np.rint(section * lamp).astype(np.uint8))
        assert problem == ""
        for name in ("dark", "stained"):
            assert seen[name] == pytest.approx(measures[name], abs=0.03)


def test_a_field_that_is_tissue_all_over_is_not_taken_for_the_light():
    rng = np.random.default_rng(0)
    dense = np.array([190, 110, 165]) + rng.normal(0, 6, (64, 64, 1))
    measures, problem = tissue.judge(np.rint(dense).astype(np.uint8))
    assert (measures["dark"], measures["stained"], problem) == (1, 1, "")


@pytest.mark.parametrize(
    ("colour", "stained", "stained_if_drawn"),
    [(PURPLE, 1, 1), (PINK, 1, 1), (NAVY, 1, 0), (RED, 0, 0), ((90, 90, 130), 1, 0),
     (GREEN, 0, 0), ((220, 180, 150), 0, 0), ((128, 128, 128), 0, 0)],
)  # fmt: skip
def test_what_has_the_colour_of_a_stain(colour, stained, stained_if_drawn):
    """A picture whose neighbours are equal is drawn: navy and grey blue are no stain there."""
    varied = tissue.judge(_first(*_mixed(*[colour] * 30)))[0]
    assert varied["drawn"] < tissue.DRAWN
    assert varied["stained"] == stained
    flat = np.full((10, 10, 3), 251, np.uint8)
    flat[:3] = colour
    drawn = tissue.judge(flat)[0]
    assert drawn["drawn"] >= tissue.DRAWN
    assert drawn["stained"] == stained_if_drawn


def test_tissue_at_its_limits():
    """Each limit is itself enough, and a pixel less is not."""
    assert tissue.judge(_first(*_mixed(*[PURPLE] * 4, *[GREEN] * 6)))[1] == ""
    assert tissue.judge(_first(*_mixed(*[PURPLE] * 3, *[GREEN] * 5)))[1] == (
        "not the colours of H&E: 38 % of its dark pixels have those of a stain"
    )
    grey = (130, 130, 130)  # no stain's colour, and foreign to none
    assert tissue.judge(_first(*_mixed(*[PURPLE] * 5, *[grey] * 15)))[1] == ""
    assert tissue.judge(_first(*_mixed(*[PURPLE] * 5, *[grey] * 13, *[GREEN] * 2)))[1] == ""
    assert tissue.judge(_first(*_mixed(*[PURPLE] * 5, *[grey] * 12, *[GREEN] * 3)))[1] != ""
    assert tissue.judge(_first(*_mixed(*[PURPLE] * 4, *[grey] * 15)))[1] == (
        "not the colours of H&E: 21 % of its dark pixels have those of a stain"
    )
    whole = np.full((20, 20, 3), 250, np.uint8)
    whole[:, ::2] = 248
    for count, words in ((2, ""), (1, "blank: 0.2 % of it is darker than background")):
        picture = whole.copy()
        picture[0, :count] = PURPLE
        assert tissue.judge(picture)[1] == words
    assert tissue.judge(_first(*_mixed(*[PURPLE] * 40, *[BLACK] * 20)))[1] == ""
    assert tissue.judge(_first(*_mixed(*[PURPLE] * 40, *[BLACK] * 21)))[1] == (
        "no light falls through 21 % of it"
    )


@pytest.mark.data
def test_real_tissue_passes(real_data):
    files = sorted((real_data / "data/breakhis_100x").rglob("*.png"))
    assert len(files) == 213
    pale = [file for file in files if file.name == "SOB_B_A-14-22549AB-100-022.png"]
    chosen = [*files[::9], *pale]
    assert not [f for f in chosen if tissue.judge(images.resize(images.read(f), 224))[1]]
