"""Padding around an image: whole rows and columns, and black beside what was rotated."""

from __future__ import annotations

import numpy as np
import pytest

from common.stain import padding
from common.stain.padding import content

SIDES = {
    "top": np.s_[0], "bottom": np.s_[-1], "left": np.s_[:, 0], "right": np.s_[:, -1],
    "two": np.s_[:2],
}  # fmt: skip


def picture(height=6, width=7):
    """Different pixels; one is black and one white, in the middle."""
    values = 20 + np.arange(3 * height * width) % 200
    image = values.astype(np.uint8).reshape(height, width, 3)
    image[2, 3], image[3, 4] = 0, 255
    return image


def same(found, expected):
    whole, grid = found
    assert whole.tolist() == expected.tolist()
    assert grid.tolist() == expected.tolist()


@pytest.mark.parametrize(
    "corner", [(9, 0, 0), (0, 0, 9), (255, 255, 254), (255, 255, 255), (8, 255, 8)]
)
def test_an_image_without_padding_is_itself(corner):
    """Also where a corner is white, or only almost black."""
    for place in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        image = picture()
        image[place] = corner
        whole, grid = content(image, 1)
        assert whole is image and grid.tolist() == image.tolist()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("level", [0, 8, 255])
def test_black_and_white_sides_are_cut_off(side, level):
    image = picture()
    image[SIDES[side]] = level
    rest = {"top": image[1:], "bottom": image[:-1], "left": image[:, 1:], "right": image[:, :-1]}
    same(content(image, 1), rest.get(side, image[2:]))


@pytest.mark.parametrize("side", SIDES)
def test_sides_that_are_almost_black_or_white_stay(side):
    for almost in ((9, 0, 0), (0, 0, 9), (254, 255, 255), (255, 255, 254)):
        image = picture()
        image[SIDES[side]] = almost
        same(content(image, 1), image)


def test_sides_behind_sides():
    """Black left of what is below white rows: each is seen once the other is gone."""
    image = picture(9, 9)
    image[:, :2] = 0
    image[:2] = 255
    image[-1, 2:] = 0
    image[-2, 2:] = 255
    same(content(image, 1), image[2:-2, 2:])
    crossed = picture(9, 9)
    crossed[4, :] = 0
    same(content(crossed, 1), crossed)  # inside, a line is no padding


@pytest.mark.parametrize("place", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
@pytest.mark.parametrize("level", [0, 8])
def test_where_a_corner_is_black_every_black_pixel_is_out(place, level):
    image = picture()
    image[place], image[4, 4], image[4, 5] = level, (8, 8, 8), (8, 8, 9)
    pixels = image[(image > 8).any(axis=-1)]
    assert len(pixels) == image.size // 3 - 3
    same(content(image, 1), pixels[:, None])
    framed = np.zeros((9, 9, 3), np.uint8)
    framed[1:7, 1:8] = image
    same(content(framed, 1), pixels[:, None])


def test_a_corner_that_is_dark_in_one_channel_is_not_black():
    image = picture()
    image[0, 0] = 0, 200, 200
    framed = np.zeros((7, 7, 3), np.uint8)
    framed[1:] = image
    same(content(framed, 1), image)


def test_a_tall_image_keeps_its_rows():
    image = picture(12, 5)
    framed = np.zeros((14, 5, 3), np.uint8)
    framed[:12] = image
    same(content(framed, 1), image)


def test_nothing_but_padding_is_taken_as_it_is():
    for level in (0, 255):
        image = np.full((4, 5, 3), level, np.uint8)
        whole, grid = content(image, 1)
        assert whole is image and grid.tolist() == image.tolist()
    one = np.zeros((4, 5, 3), np.uint8)
    one[2, 3] = 100
    same(content(one, 1), one[2:3, 3:4])


def test_the_grid_is_that_of_the_whole_image(monkeypatch):
    """What is left begins at a sample; where none is left of it, at its own first line."""
    asked = []
    monkeypatch.setattr(padding, "grid_stride", lambda *given: asked.append(given) or given[-1])
    monkeypatch.setattr(padding, "sample", lambda image, stride: image[::stride, ::stride])
    image = picture(13, 14)
    for cut, start in ((1, 3), (3, 3), (4, 6)):
        for sides, rest in (
            (np.s_[:cut], image[start:]), (np.s_[:, :cut], image[:, start:]),
        ):  # fmt: skip
            padded = image.copy()
            padded[sides] = 0
            whole, grid = content(padded, 3)
            assert whole.tolist() == rest.tolist()
            assert grid.tolist() == rest[::3, ::3].tolist()
    assert set(asked) == {(13, 14, 3)}
    few = np.zeros_like(image)
    few[7:9, 4:13] = image[7:9, 4:13]
    assert content(few, 3)[0].tolist() == few[7:9, 4:13].tolist()
    # Beside every sample only: what is left is black, and is taken as it is.
    black = np.zeros((6, 6, 3), np.uint8)
    black[1, 5] = black[4, 1] = 100
    assert content(black, 3)[0].tolist() == black[3:5, 3:6].tolist()
