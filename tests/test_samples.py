from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from common import samples
from common.augment import Augmenter
from common.errors import InputError
from common.stain import RUIFROK, MacenkoNormalizer, StainAugmenter


def split() -> pd.DataFrame:
    rows = [(f"m{i}.png", "malignant", "train") for i in range(20)]
    rows += [(f"b{i}.png", "benign", "train") for i in range(3)]
    rows += [("x.png", "benign", "test"), ("y.png", "malignant", "validation")]
    return pd.DataFrame(rows, columns=["image", "label", "part"])


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)


def test_plain_takes_one_part_in_order():
    table = samples.plain(split())
    assert list(table.columns) == ["image", "op", "args", "label"]
    assert table.image.tolist() == split().image.tolist()[:23]
    assert set(table.op) == {"none"}
    assert samples.plain(split(), "test").image.tolist() == ["x.png"]
    with pytest.raises(InputError, match="'dev'"):
        samples.plain(split(), "dev")


def test_oversampling_raises_every_class_to_the_largest():
    table = samples.oversample(split(), seed=0)
    assert table.label.value_counts().to_dict() == {"malignant": 20, "benign": 20}
    pd.testing.assert_frame_equal(table[:23], samples.plain(split()))
    copies = table[23:]
    assert set(copies.label) == {"benign"}
    assert set(copies.op) <= {"flip", "rot90"}
    # 17 copies of 3 images by 5 operations: each image 5 or 6 times, no pair twice in 15.
    assert sorted(Counter(copies.image).values()) == [5, 6, 6]
    pairs = Counter(zip(copies.image, copies.op, copies.args, strict=True))
    assert len(pairs) == 15
    assert max(pairs.values()) == 2


def test_every_image_is_used_once_before_any_is_used_twice():
    table = samples.oversample(split(), seed=3, to=26)
    assert table.label.value_counts().to_dict() == {"malignant": 26, "benign": 26}
    copies = table[23:]
    malignant = copies[copies.label == "malignant"]
    assert len(set(malignant.image)) == 6
    benign = copies[copies.label == "benign"].image.tolist()
    for start in range(0, len(benign) - 2, 3):
        assert len(set(benign[start : start + 3])) == 3


def test_a_copy_is_never_the_image_itself():
    table = samples.oversample(split(), seed=0, to=60)
    square = picture()[:, :8]
    for op, args in table.loc[table.op != "none", ["op", "args"]].drop_duplicates().to_numpy():
        assert not np.array_equal(samples.apply(op, args, square), square)


def test_oversampling_is_decided_by_seed_and_images_alone():
    first = samples.oversample(split(), seed=0)
    pd.testing.assert_frame_equal(first, samples.oversample(split(), seed=0))
    assert not first.equals(samples.oversample(split(), seed=1))
    shuffled = split().sample(frac=1, random_state=0)
    columns = ["image", "op", "args", "label"]
    pd.testing.assert_frame_equal(
        first.sort_values(columns, ignore_index=True),
        samples.oversample(shuffled, seed=0).sort_values(columns, ignore_index=True),
    )
    # Another class does not change what is drawn for this one.
    more = pd.concat(
        [split(), pd.DataFrame([("n.png", "normal", "train")], columns=split().columns)]
    )
    again = samples.oversample(more, seed=0)
    pd.testing.assert_frame_equal(
        first[23:].reset_index(drop=True),
        again[(again.label == "benign") & (again.op != "none")].reset_index(drop=True),
    )


def test_oversampling_options():
    flips = samples.oversample(split(), operations=("flip",), seed=0)
    assert set(flips.op) == {"none", "flip"}
    # A class that has more keeps all.
    assert samples.oversample(split(), seed=0, to=5).label.value_counts()["malignant"] == 20
    # Samples are taken as they are; only unchanged images are copied.
    table = samples.plain(split())
    table.loc[table.image == "b0.png", ["op", "args"]] = "flip", '{"axis": "h"}'
    copies = samples.oversample(table, seed=0)[23:]
    assert set(copies.image) == {"b1.png", "b2.png"}
    with pytest.raises(InputError, match="choose from flip, rot90"):
        samples.oversample(split(), operations=("affine",), seed=0)


def test_one_copy_is_made_where_one_is_missing():
    rows = [("a.png", "x"), ("b.png", "x"), ("c.png", "y")]
    table = pd.DataFrame(rows, columns=["image", "label"]).assign(part="train")
    copies = samples.oversample(table, seed=0)[3:]
    assert copies[["image", "label"]].to_numpy().tolist() == [["c.png", "y"]]


def test_only_a_class_that_lacks_samples_needs_an_image_to_copy():
    rows = [("a.png", "flip", '{"axis": "h"}', "x"), ("b.png", "none", "", "y")]
    table = pd.DataFrame(rows, columns=list(samples.COLUMNS))
    pd.testing.assert_frame_equal(samples.oversample(table, seed=0), table)
    with pytest.raises(InputError, match="class 'x' has no unchanged image"):
        samples.oversample(table, seed=0, to=2)


def test_operations():
    image = picture()
    same = samples.apply("none", "", image)
    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(samples.apply("synthetic", "", image), image)
    np.testing.assert_array_equal(samples.apply("flip", '{"axis": "h"}', image), image[:, ::-1])
    np.testing.assert_array_equal(samples.apply("flip", {"axis": "v"}, image), image[::-1])
    for k in (1, 2, 3):
        np.testing.assert_array_equal(samples.apply("rot90", {"k": k}, image), np.rot90(image, k))
    parameters = {"theta": 30, "tx": 1.5, "flip_vertical": True}
    np.testing.assert_array_equal(
        samples.apply("affine", {**parameters, "fill_mode": "reflect"}, image),
        Augmenter(fill_mode="reflect").apply(image, parameters),
    )


def test_patches():
    image = np.zeros((8, 12, 3), np.uint8)
    image[4:, 6:] = 200
    quarter = samples.apply("patch", {"box": [0.5, 0.5, 1, 1]}, image)
    assert quarter.shape == image.shape
    assert (quarter == 200).all()
    assert samples.apply("patch", {"box": [0, 0, 0.5, 1], "size": 5}, image).shape == (5, 5, 3)
    whole = samples.apply("patch", {"box": [0, 0, 1, 1]}, picture())
    np.testing.assert_array_equal(whole, picture())
    with pytest.raises(InputError, match="enlarge the box"):
        samples.apply("patch", {"box": [0.5, 0.5, 0.51, 0.51]}, image)


def test_operations_by_hand():
    """Two rows of three pixels, each pixel with its own grey level."""
    image = np.repeat(np.array([[1, 2, 3], [4, 5, 6]], np.uint8)[..., None], 3, axis=2)
    for op, args, expected in (
        ("flip", {"axis": "h"}, [[3, 2, 1], [6, 5, 4]]),
        ("flip", {"axis": "v"}, [[4, 5, 6], [1, 2, 3]]),
        ("rot90", {"k": 1}, [[3, 6], [2, 5], [1, 4]]),  # counter-clockwise
        ("rot90", {"k": 2}, [[6, 5, 4], [3, 2, 1]]),
        ("rot90", {"k": 3}, [[4, 1], [5, 2], [6, 3]]),
        ("affine", {"flip_horizontal": True}, [[3, 2, 1], [6, 5, 4]]),
        ("affine", {"tx": 1}, [[2, 3, 3], [5, 6, 6]]),
        ("affine", {"tx": 1, "fill_mode": "constant"}, [[2, 3, 0], [5, 6, 0]]),
        ("affine", {"ty": -1, "fill_mode": "reflect"}, [[1, 2, 3], [1, 2, 3]]),
    ):
        assert samples.apply(op, args, image)[..., 1].tolist() == expected, (op, args)
        assert samples.apply(op, json.dumps(args), image)[..., 1].tolist() == expected


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_turn_and_the_rest_of_a_full_one_are_nothing(k):
    turned = samples.apply("rot90", {"k": k}, picture())
    np.testing.assert_array_equal(samples.apply("rot90", {"k": 4 - k}, turned), picture())


@pytest.mark.parametrize("axis", ["h", "v"])
def test_two_flips_are_nothing(axis):
    once = samples.apply("flip", {"axis": axis}, picture())
    assert (once != picture()).any()
    np.testing.assert_array_equal(samples.apply("flip", {"axis": axis}, once), picture())


def test_what_changes_nothing_gives_the_image_itself():
    image = picture()
    for op in ("none", "synthetic"):
        assert samples.operation(op, "") is None
        assert samples.operation(op, "{}") is None
        assert samples.apply(op, {}, image) is image


def test_a_patch_by_hand():
    # 4 x 8: the box is 1/8 to 5/8 of the width, 1/4 to 3/4 of the height
    image = np.repeat(np.arange(32, dtype=np.uint8).reshape(4, 8)[..., None], 3, axis=2)
    box = {"box": [0.125, 0.25, 0.625, 0.75]}
    part = np.array([[9, 10, 11, 12], [17, 18, 19, 20]])
    # shrunk to one pixel: their mean
    shrunk = samples.apply("patch", {**box, "size": 1}, image)
    assert shrunk.shape == (1, 1, 3)
    assert shrunk[0, 0, 0] in (14, 15)  # 14.5
    # of its own size it is cut out as it is
    square = {"box": [0.125, 0.25, 0.375, 0.75], "size": 2}
    assert samples.apply("patch", square, image)[..., 2].tolist() == part[:, :2].tolist()
    # enlarged to the image's size: linear, where the area filter would repeat pixels
    enlarged = samples.apply("patch", box, image)[..., 0]
    assert enlarged.shape == (4, 8)
    assert enlarged[0].tolist() == [9, 9, 10, 10, 11, 11, 12, 12]
    assert enlarged[:, 0].tolist() == [9, 11, 15, 17]
    # one side enlarged is enlarged
    tall = samples.apply("patch", {"box": [0, 0, 1, 0.5], "size": 4}, image)[..., 0]
    assert tall[:, 0].tolist() in ([0, 2, 6, 8], [1, 3, 7, 9])  # from columns 0 and 1: plus 0.5
    wide = samples.apply("patch", {"box": [0, 0, 0.25, 1], "size": 4}, 4 * image)[..., 0]
    assert wide[0].tolist() == [0, 1, 3, 4]


def test_a_patch_is_shrunk_by_area_and_enlarged_linearly():
    """A dark line between bright ones: the area filter sees all, the linear one two at most."""
    third = np.array([255, 0, 255] * 4, np.uint8)  # means of three are 170, the middle is 0
    image = np.broadcast_to(third[:, None], (12, 12, 3)).copy()  # along a row
    whole = {"box": [0, 0, 1, 1], "size": 4}
    assert samples.apply("patch", whole, image)[..., 0].tolist() == [[170] * 4] * 4
    turned = image.transpose(1, 0, 2).copy()
    assert samples.apply("patch", whole, turned)[..., 0].tolist() == [[170] * 4] * 4
    # as high as before is not enlarged
    part = {"box": [0, 0, 1, 1 / 3], "size": 4}
    assert samples.apply("patch", part, image)[..., 0].tolist() == [[170] * 4] * 4
    part = {"box": [0, 0, 1 / 3, 1], "size": 4}
    assert samples.apply("patch", part, turned)[..., 0].tolist() == [[170] * 4] * 4
    # higher or wider is, and then the middle is taken of three
    part = {"box": [0, 0, 1, 1 / 6], "size": 4}
    assert samples.apply("patch", part, image)[..., 0].tolist() == [[0] * 4] * 4
    part = {"box": [0, 0, 1 / 6, 1], "size": 4}
    assert samples.apply("patch", part, turned)[..., 0].tolist() == [[0] * 4] * 4


def test_a_patch_of_a_tall_or_a_wide_image_is_enlarged_linearly():
    tall = np.repeat(np.arange(0, 240, 30, dtype=np.uint8)[:, None, None], 4, axis=1).repeat(3, 2)
    half = samples.apply("patch", {"box": [0, 0, 1, 0.5]}, tall)[:, 0, 0]
    # rows 0, 30, 60, 90 at -0.25, 0.25, 0.75 ...
    expected = [0, 7.5, 22.5, 37.5, 52.5, 67.5, 82.5, 90]
    assert np.abs(half - np.array(expected)).max() <= 0.5
    wide = tall.transpose(1, 0, 2).copy()
    half = samples.apply("patch", {"box": [0, 0, 0.5, 1]}, wide)[0, :, 0]
    assert np.abs(half - np.array(expected)).max() <= 0.5


def test_a_box_is_rounded_to_pixels():
    image = np.repeat(np.arange(10, dtype=np.uint8).reshape(1, 10)[..., None], 3, axis=2)
    image = np.repeat(image, 10, axis=0)
    cut = samples.apply("patch", {"box": [0.24, 0, 0.46, 0.3], "size": 3}, image)
    assert cut[..., 0].tolist() == [[2, 3, 4]] * 3  # 2.4 and 4.6
    whole = samples.apply("patch", {"box": [0, 0, 1, 1], "size": 10}, image)
    np.testing.assert_array_equal(whole, image)
    for box in ([0.51, 0, 0.54, 1], [0, 0.51, 1, 0.54]):
        with pytest.raises(InputError, match="10x10 image is empty"):
            samples.apply("patch", {"box": box}, image)


def stained() -> np.ndarray:
    """Two stains in random amounts, RGB uint8 (24, 32, 3)."""
    amounts = np.random.default_rng(1).gamma(2, 0.4, (24, 32, 2))
    return (255 * np.exp(-amounts @ RUIFROK)).round().astype(np.uint8)


def test_stain_is_drawn_from_its_seed():
    image = stained()
    args = {"seed": 7, "sigma_alpha": 0.2, "sigma_beta": 0.1}
    augmenter = StainAugmenter(sigma_alpha=0.2, sigma_beta=0.1)
    drawn = augmenter.draw(np.random.default_rng(7))
    expected = augmenter.apply(image, drawn)
    assert (expected != image).any()
    for _ in range(2):
        np.testing.assert_array_equal(samples.apply("stain", args, image), expected)
    other = samples.apply("stain", {**args, "seed": 8}, image)
    assert (other != expected).any()
    still = {"seed": 7, "sigma_alpha": 0, "sigma_beta": 0, "stains": "macenko"}
    np.testing.assert_array_equal(samples.apply("stain", still, image), image)


def test_stain_normalised_copy():
    image, target = stained(), (stained() // 2 + 100).astype(np.uint8)
    normalizer = MacenkoNormalizer(white_level=255).fit(target)
    args = json.dumps({"normalizer": normalizer.state()})
    expected = normalizer.transform(image)
    assert (expected != image).any()
    np.testing.assert_array_equal(samples.apply("stain", args, image), expected)
    blank = np.full_like(image, 255)
    np.testing.assert_array_equal(samples.apply("stain", args, blank), blank)


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("blur", ""),
        ("stain", ""),
        ("stain", '{"target": "a.png"}'),
        ("stain", '{"seed": 1.5}'),
        ("stain", '{"seed": 1, "sigma": 0.2}'),
        ("stain", '{"seed": 1, "sigma_alpha": 2}'),
        ("stain", '{"normalizer": {"method": "macenko"}}'),
        ("stain", '{"normalizer": "macenko"}'),
        ("none", '{"k": 1}'),
        ("flip", ""),
        ("flip", '{"axis": "d"}'),
        ("flip", "axis=h"),
        ("flip", "[1]"),
        ("rot90", '{"k": 4}'),
        ("patch", '{"box": [0, 0, 2, 1]}'),
        ("patch", '{"box": [0, 0, 1]}'),
        ("patch", '{"size": 3}'),
        ("patch", '{"box": [-0.1, 0, 1, 1]}'),
        ("patch", '{"box": [0, -0.1, 1, 1]}'),
        ("patch", '{"box": [0, 0, 1, 1.1]}'),
        ("patch", '{"box": [0.5, 0, 0.5, 1]}'),
        ("patch", '{"box": [0, 0.5, 1, 0.5]}'),
        ("patch", '{"box": [0, 0, 1, 1], "side": 3}'),
        ("synthetic", '{"k": 1}'),
        ("rot90", '{"k": 0}'),
        ("flip", '{"axis": "h", "k": 1}'),
        ("stain", '{"seed": -1}'),
        ("affine", '{"angle": 3}'),
        ("affine", '{"theta": 3, "fill_mode": "odd"}'),
    ],
)
def test_what_cannot_be_applied_is_named(tmp_path, op, args):
    with pytest.raises(InputError, match=op):
        samples.apply(op, args, picture())
    table = pd.DataFrame([("a.png", op, args, "x")], columns=list(samples.COLUMNS))
    samples.to_csv(tmp_path / "samples.csv", table)
    with pytest.raises(InputError, match=r"samples\.csv"):
        samples.from_csv(tmp_path / "samples.csv")


@pytest.mark.parametrize(
    ("op", "args", "message"),
    [
        ("blur", '{"seed": 1}', "operation 'blur' is unknown; known: none, synthetic, flip, rot90"),
        ("none", "[]", "no JSON object"),
        ("none", '{"k": 1}', "needs no arguments"),
        ("flip", "{}", "needs axis"),
        ("affine", '{"angle": 3}', "knows flip_horizontal, flip_vertical, shear, theta, tx, ty"),
        ("stain", '{"seed": 1.5}', "needs a seed, a whole number"),
        ("stain", '{"seed": -1}', "needs a seed, a whole number"),
        ("stain", '{"sigma_alpha": 0.2}', "needs a seed, a whole number"),
        ("stain", '{"seed": 1, "sigma": 0.2}', "knows seed, background, sigma_alpha, sigma_beta"),
    ],
)
def test_the_message_says_what_is_needed(op, args, message):
    with pytest.raises(InputError, match=message):
        samples.operation(op, args)


def test_all_that_an_operation_knows_it_takes():
    affine = {
        "theta": 0, "tx": 0, "ty": 0, "shear": 0, "zx": 1, "zy": 1, "flip_horizontal": False,
        "flip_vertical": True, "fill_mode": "wrap",
    }  # fmt: skip
    np.testing.assert_array_equal(samples.apply("affine", affine, picture()), picture()[::-1])
    drawn = {"seed": 0, "sigma_alpha": 0, "sigma_beta": 0, "stains": "macenko", "background": True}
    np.testing.assert_array_equal(samples.apply("stain", drawn, stained()), stained())


def test_csv_round_trip(tmp_path):
    table = samples.oversample(split(), seed=0)
    table.loc[0, ["image", "label"]] = "Großer, Ordner/a.png", "NA"
    table.loc[1, ["op", "args"]] = "patch", json.dumps({"box": [0, 0, 0.5, 0.5]})
    samples.to_csv(tmp_path / "samples.csv", table)
    pd.testing.assert_frame_equal(samples.from_csv(tmp_path / "samples.csv"), table)


def test_files_that_are_no_samples_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        samples.from_csv(tmp_path / "samples.csv")
    (tmp_path / "samples.csv").write_text("image,op\na.png,none\n")
    with pytest.raises(InputError, match="no column args, label"):
        samples.from_csv(tmp_path / "samples.csv")
    (tmp_path / "samples.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"samples\.csv"):
        samples.from_csv(tmp_path / "samples.csv")
