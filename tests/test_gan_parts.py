"""The GAN's parts that need no Keras: settings, what a step sees, scores, copies, folders."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from common import config as configuration
from common import generative, splits
from common.errors import InputError
from gan_fusion.gan import PRESETS, GanConfig, draws, folder, leaks
from gan_fusion.gan import evaluation as gan_evaluation
from gan_fusion.gan import train as gan_train
from gan_fusion.gan.config import Split

SMALL = replace(PRESETS["demo"], latent=8, batch_size=4, critic_steps=5)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# --- what each step sees -----------------------------------------------------------------------


def test_draws_depend_on_seed_and_step_alone():
    config = replace(SMALL, flips=False, critic_steps=2)
    pixels = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 3), np.uint8)
    labels = np.arange(10) % 2
    whole = draws.Draws(pixels, labels, 2, config)
    seen = [whole.batch(first) for first in (0, 2, 4)]
    again = draws.Draws(pixels, labels, 2, config).batch(4)
    for name, values in seen[2].items():
        np.testing.assert_array_equal(again[name], values)
    order = np.concatenate([each["real"][..., 0, 0, 0].ravel() for each in seen])
    assert sorted(order[:10]) == list(range(10))  # each once before any twice
    assert sorted(order[10:20]) == list(range(10))
    assert order[:10].tolist() != order[10:20].tolist()
    np.testing.assert_array_equal(
        np.concatenate([each["label"].argmax(-1).ravel() for each in seen]), order % 2
    )
    assert seen[0]["mix"].min() >= 0 and seen[0]["mix"].max() < 1
    other = draws.Draws(pixels, labels, 2, replace(config, seed=1)).batch(4)
    assert not np.array_equal(other["noise"], again["noise"])


def test_flips_give_the_four_mirror_images():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    found = [draws.variant(image, which) for which in range(4)]
    assert [each[0, 0, 0] for each in found] == [0, 3, 6, 9]
    assert [each[1, 1, 0] for each in found] == [9, 6, 3, 0]
    eight = {draws.variant(image, which).tobytes() for which in range(8)}
    assert len(eight) == 8 and image.swapaxes(0, 1).tobytes() in eight


CROPS = replace(SMALL, crop=0.5, flips=False, samples=20)


def numbered(side):
    """Three images whose pixels say where they lie: (image, row, column)."""
    where = np.stack(np.meshgrid(np.arange(3), np.arange(side), np.arange(side), indexing="ij"), -1)
    return where.astype(np.uint8)


def test_crops_are_whole_pieces_of_their_image():
    drawn = draws.Draws(numbered(64), np.array([0, 1, 1]), 2, CROPS)
    shown = [drawn.batch(first) for first in range(30)]
    real = np.concatenate([each["real"][0] for each in shown])
    np.testing.assert_array_equal(
        real - real[:, :1, :1], np.broadcast_to(numbered(32)[:1], real.shape)
    )
    labels = np.concatenate([each["label"][0].argmax(-1) for each in shown])
    np.testing.assert_array_equal(labels, real[:, 0, 0, 0] > 0)
    corners = real[:, 0, 0, 1:]
    assert corners.min() < 3 and 29 < corners.max() <= 32
    # Turned as well as mirrored, since a crop is not squeezed.
    turned = draws.Draws(numbered(64), np.zeros(3, int), 2, replace(CROPS, flips=True))
    rows = turned.batch(0)["real"][0][..., 1]
    assert any((each == each[:1]).all() for each in rows)


def test_reference_holds_as_many_crops_as_samples():
    pixels = numbered(64)
    crops = draws.reference(pixels, CROPS)
    assert crops.pixels.shape == (20, 32, 32, 3)
    np.testing.assert_array_equal(crops.pixels[:, 0, 0, 0], crops.rows)
    assert np.bincount(crops.rows).tolist() == [7, 7, 6]
    again = draws.reference(pixels, CROPS)
    np.testing.assert_array_equal(again.pixels, crops.pixels)
    whole = draws.reference(pixels[:, :32, :32], replace(CROPS, crop=1.0))
    np.testing.assert_array_equal(whole.rows, [0, 1, 2])


def test_field_is_the_whole_image_or_its_central_square():
    image = np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)
    assert gan_train.field(image, 40, whole=True) is image
    np.testing.assert_array_equal(gan_train.field(image, 40, whole=False), image[:, 10:50])
    np.testing.assert_array_equal(
        gan_train.field(image.swapaxes(0, 1), 40, whole=False), image.swapaxes(0, 1)[10:50]
    )
    with pytest.raises(InputError, match=r"60x40 px, smaller than the 41 px.*larger --crop"):
        gan_train.field(image, 41, whole=False)


def test_floor_keeps_the_crops_of_an_image_in_one_half():
    rows = np.arange(40) % 8
    # Every image has features of its own; crops of one image are nearly equal.
    own = np.random.default_rng(0).normal(size=(8, 4))
    found = gan_evaluation.floor(own[rows] + 1e-3 * numbers(40, 4), rows, seed=0)
    assert found["images"] == [20, 20]
    assert found["kid"] > 0.1
    mixed = gan_evaluation.floor(own[rows] + 1e-3 * numbers(40, 4), np.arange(40), seed=0)
    assert mixed["kid"] < found["kid"]


# --- golden draws ------------------------------------------------------------------------------


def test_draws_of_a_seed_are_what_they_always_were():
    """A killed training goes on with other code's state: what a step sees must not move."""
    config = replace(SMALL, latent=3, critic_steps=2, crop=0.6667)
    drawn = draws.Draws(numbered(48), np.array([0, 1, 1]), 2, config).batch(2)
    assert drawn["real"][..., 0, 0, :].tolist() == [
        [[2, 6, 42], [2, 7, 11], [1, 6, 11], [0, 14, 3]],
        [[1, 15, 0], [2, 38, 42], [0, 12, 14], [1, 14, 45]],
    ]
    drawn = draws.Draws(numbered(48), np.array([0, 1, 1]), 2, config).batch(4)
    assert {name: values.dtype for name, values in drawn.items()} == {
        "real": np.uint8, "label": np.float32, "noise": np.float32, "mix": np.float32,
    }  # fmt: skip
    np.testing.assert_allclose(drawn["noise"][0, 0], [0.08852872, -0.54005706, -1.8132803])
    np.testing.assert_allclose(drawn["noise"][2, 3], [-0.35926285, 0.98181486, 0.17381126])
    np.testing.assert_allclose(
        drawn["mix"][1].ravel(), [0.82739764, 0.38300842, 0.30974036, 0.11212915]
    )
    crops = draws.reference(numbered(48), replace(config, samples=5))
    assert crops.pixels[:, 0, 0].tolist() == [
        [0, 11, 6], [1, 14, 9], [2, 6, 6], [0, 5, 6], [1, 6, 2],
    ]  # fmt: skip


def test_streams_are_apart():
    first = [draws.random(0, stream).random() for stream in range(6)]
    assert len({*first, draws.random(1, 0).random(), draws.random(0, 0, 1).random()}) == 8
    names = (draws.ORDER, draws.CRITIC, draws.GENERATOR, draws.SAMPLES, draws.HALVES, draws.CROPS)
    assert names == (0, 1, 2, 3, 4, 5)


def test_the_eight_variants_by_hand():
    image = np.array([[1, 2], [3, 4]])[..., None]
    found = [draws.variant(image, which)[..., 0].tolist() for which in range(8)]
    assert found == [
        [[1, 2], [3, 4]], [[2, 1], [4, 3]], [[3, 4], [1, 2]], [[4, 3], [2, 1]],
        [[1, 3], [2, 4]], [[3, 1], [4, 2]], [[2, 4], [1, 3]], [[4, 2], [3, 1]],
    ]  # fmt: skip
    shown = {
        (flips, crop): draws.variants(replace(SMALL, flips=flips, crop=crop))
        for flips in (False, True)
        for crop in (0.5, 1.0)
    }
    assert shown == {(False, 0.5): 1, (False, 1.0): 1, (True, 0.5): 8, (True, 1.0): 4}


def test_central_square_of_an_odd_surplus():
    image = np.arange(3 * 6 * 3).reshape(3, 6, 3)
    np.testing.assert_array_equal(draws.central_square(image), image[:, 1:4])
    np.testing.assert_array_equal(
        draws.central_square(image.swapaxes(0, 1)), image.swapaxes(0, 1)[1:4]
    )


def test_drawn_images_are_rounded_and_come_in_whole_batches():
    asked = []

    class Generator:
        def predict_on_batch(self, parts):
            noise, label = parts
            asked.append((noise.shape, label.shape))
            return noise[:, :1, None, None] * np.ones((1, 2, 2, 3)) + 10 * label[:, 1, None, None,
                                                                                 None]  # fmt: skip

    noise = np.array([-3, 1.4, 1.6, 254.6, 300, 2.5, 3.5], np.float32)[:, None] * np.ones((1, 3))
    one_hot = np.eye(2, dtype=np.float32)[[0, 0, 0, 0, 0, 0, 1]]
    images = draws.draw_images(Generator(), noise, one_hot, batch_size=4)
    assert images.dtype == np.uint8 and images.shape == (7, 2, 2, 3)
    assert images[:, 0, 0, 0].tolist() == [0, 1, 2, 255, 255, 2, 14]
    assert (images == images[:, :1, :1, :1]).all()
    assert asked == [((4, 3), (4, 2))] * 2
    draws.draw_images(Generator(), noise, one_hot)
    assert asked[2:] == [((50, 3), (50, 2))]


# --- scores and pictures -----------------------------------------------------------------------


class Features:
    """The pixels' own means over quarters, as features; what was kept is remembered."""

    def __init__(self):
        self.kept = []

    def __call__(self, pixels, keep=False):
        self.kept.append(keep)
        pixels = np.asarray(pixels, float)
        side = pixels.shape[1] // 2
        quarters = pixels.reshape(len(pixels), 2, side, 2, side, 3).mean((2, 4, 5))
        return quarters.reshape(len(pixels), 4)


@pytest.fixture
def judge(monkeypatch):
    """A judge of twelve images of two classes, whose pictures are kept instead of drawn."""
    real = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), np.uint8)
    run = SimpleNamespace(record={"classes": ["a", "b"]}, path=None, synthetic=True)
    made = gan_evaluation.Judge(
        replace(SMALL, seed=3),
        draws.Reference(real, np.arange(12)),
        np.repeat([0, 1], 6),
        Features(),
        run,
    )
    made.drawn = {}
    monkeypatch.setattr(
        gan_evaluation.Judge,
        "_mosaic",
        lambda self, rows, columns, name: self.drawn.update({name: (rows, columns)}),
    )
    return made


def test_scores_compare_with_the_real_images(judge):
    samples = numbers(40, 4, 4, 3) * 20 + 100
    found = judge.scores(samples)
    given = judge.features(samples)
    kid = generative.kid(judge.real, given, blocks=6, seed=3)
    precision, recall = generative.precision_recall(judge.real, given)
    assert found == {
        "fid": generative.fid(judge.real, given), "kid": kid.value, "kid_se": kid.error,
        "precision": precision, "recall": recall,
    }  # fmt: skip
    # Of the real images the features are kept, those of samples are not.
    assert judge.features.kept == [True, False, False]


def test_copies_are_found_among_mirrored_images_too(judge):
    real = judge.reference.pixels
    copied = draws.variant(real[7], 2)
    samples = np.concatenate([numbers(11, 4, 4, 3) * 9 + 128, copied[None]])
    found = judge.memorisation(samples)
    assert found["smallest_ratio"] == 0 < found["median_ratio"]
    assert set(found) == {"median_ratio", "smallest_ratio", "below_half"}
    assert judge.features.kept == [True] * 5 + [False]  # of the real, in all four positions
    rows, columns = judge.drawn["nearest.png"]
    assert columns == 10 and list(rows) == ["generated", "nearest\nreal"]
    assert len(rows["generated"]) == len(rows["nearest\nreal"]) == 10
    np.testing.assert_array_equal(rows["generated"][0], copied)
    np.testing.assert_array_equal(rows["nearest\nreal"][0], copied)
    ratios = generative.memorisation(
        np.concatenate([judge.features(draws.variant(real, which)) for which in range(4)]),
        judge.features(samples),
        np.tile(np.arange(12), 4),
    )["ratio"]
    order = np.argsort(ratios)[:10]
    np.testing.assert_array_equal(rows["generated"], samples[order])
    assert found["below_half"] == pytest.approx((ratios < 0.5).mean())


def test_pictures_show_sixteen_of_each_class(judge):
    samples = np.zeros((40, 2, 2, 3), np.uint8)
    samples[:, 0, 0, 0] = np.arange(40)
    judge.draw_samples(samples, np.arange(40) % 2, "samples.png")
    rows, columns = judge.drawn["samples.png"]
    assert columns == 8 and list(rows) == ["generated\na", "generated\nb"]
    assert rows["generated\nb"][:, 0, 0, 0].tolist() == list(range(1, 33, 2))
    judge.draw_real()
    rows, columns = judge.drawn["real.png"]
    assert columns == 8 and list(rows) == ["real\na", "real\nb"]
    np.testing.assert_array_equal(rows["real\nb"], judge.reference.pixels[6:])


def test_floor_by_hand():
    rows = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 0])
    real = numbers(10, 3)
    found = gan_evaluation.floor(real, rows, seed=3)
    order = np.argsort(draws.random(3, draws.HALVES).random(9), kind="stable")
    first, second = (real[np.isin(rows, half)] for half in (order[::2], order[1::2]))
    kid = generative.kid(first, second, blocks=2, seed=3)
    assert found == {
        "fid": generative.fid(first, second), "kid": kid.value, "kid_se": kid.error,
        "images": [len(first), len(second)],
    }  # fmt: skip
    assert sum(found["images"]) == 10


def test_blocks_and_ratio():
    assert [gan_evaluation.blocks(images) for images in (4, 5, 19, 20, 400)] == [2, 2, 9, 10, 10]
    assert gan_evaluation.ratio(1, 4) == 0.25
    assert gan_evaluation.ratio(1, 0.5) == 2
    assert gan_evaluation.ratio(1, 0) is None and gan_evaluation.ratio(1, -1) is None


def test_curves_leave_out_what_was_not_measured():
    history = [{"kimg": 1, "distance": 0.5}, {"kimg": 2, "distance": 0.25, "r1": 3}]
    points = [{"kimg": 2, "kid": 0.1, "kid_se": 0.01, "fid": 7}]
    panels = gan_evaluation._panels(history, points, {"kid": 0.02, "fid": 1})
    assert {label: list(named) for label, named in panels.items()} == {
        "Loss": ["critic: real - generated"],
        "Penalty": ["R1"],
        "KID": ["generated, with standard error", "two halves of the real images"],
        "FID": ["generated", "two halves of the real images"],
    }
    x, y = panels["Loss"]["critic: real - generated"]
    assert (x.tolist(), y.tolist()) == ([1, 2], [0.5, 0.25])
    assert [each.tolist() for each in panels["KID"]["generated, with standard error"]] == [
        [2], [0.1], [0.01],
    ]  # fmt: skip
    assert panels["FID"]["two halves of the real images"][1] == 1
    without = gan_evaluation._panels(history[:1], points, {"kid": 0.02, "fid": 1})
    assert "Penalty" not in without


def test_summary_tells_every_score():
    point = {"kimg": 4, "kid": 0.0123, "kid_se": 0.0045, "fid": 6.7, "precision": 0.25,
             "recall": 0.75}  # fmt: skip
    metrics = {
        "points": [point, {**point, "kimg": 8, "kid": 0.0062}],
        "floor": {"kid": 0.001, "kid_se": 0.0002, "fid": 1.5, "images": [10, 11]},
        "kid_last_over_first": 0.504, "generated_images": 24, "real_images": 21,
        "features": {"network": "vgg16", "weights": "0123456789abcdef", "size": 32,
                     "resize": "OpenCV linear", "comparable": "not comparable"},
        "memorisation": {"below_half": 0.125, "median_ratio": 1.25, "smallest_ratio": 0.5},
    }  # fmt: skip
    lines = gan_evaluation.summary(metrics).splitlines()
    assert lines[1].split() == ["4", "0.0123", "0.0045", "6.7", "0.25", "0.75"]
    assert lines[2].split()[:2] == ["8", "0.0062"]
    assert lines[3].split()[:4] == ["floor", "0.001", "0.0002", "1.5"] and "10 and 11" in lines[3]
    assert lines[4] == "last KID / first KID: 0.50"
    assert "24 generated against 21 real images; features of vgg16 (0123456789), 32 px" in lines[5]
    assert "12.5 % of the samples" in lines[6] and "median ratio 1.25, smallest 0.50" in lines[6]
    none = gan_evaluation.summary({**metrics, "kid_last_over_first": None})
    assert "last KID / first KID: none, the first is not above 0" in none


def test_metrics_that_cannot_be_read(tmp_path):
    run = SimpleNamespace(path=tmp_path)
    for content in (None, "{"):
        if content:
            (tmp_path / "metrics.json").write_text(content)
        with pytest.raises(InputError, match=r"metrics.json: (no such file|damaged).*--fresh"):
            gan_evaluation.read_metrics(run)
    (tmp_path / "metrics.json").write_text('{"kid": 1}')
    assert gan_evaluation.read_metrics(run) == {"kid": 1}


# --- what may be asked for ---------------------------------------------------------------------


def test_chosen_classes_are_in_the_data_sets_order():
    known = ("Normal", "Benign", "InSitu", "Invasive")
    assert gan_train.chosen_classes(GanConfig(labels=()), known) == known
    asked = GanConfig(labels=("Invasive", "Normal"))
    assert gan_train.chosen_classes(asked, known) == ("Normal", "Invasive")
    with pytest.raises(InputError, match=r"--labels stroma: breakhis has the classes Normal, B"):
        gan_train.chosen_classes(GanConfig(labels=("stroma", "Normal")), known)


def test_apportion_adds_up():
    assert splits.apportion(10, np.array([1, 1, 1])).tolist() == [4, 3, 3]
    assert splits.apportion(1000, np.array([99, 114])).tolist() == [465, 535]


# --- presets -----------------------------------------------------------------------------------


def test_presets_are_the_rows_of_tables_8_and_9():
    rows = {name: c for name, c in PRESETS.items() if name.startswith(("T8", "T9"))}
    assert len(rows) == 3 * 11
    own = {name: rows.pop(name) for name in list(rows) if name.endswith("as-printed")}
    assert {config.train_on for config in own.values()} == {"all"}
    assert len(rows) == 2 * 11
    printed = {name: c for name, c in rows.items() if not name.endswith("honest")}
    assert sorted(c.gamma for n, c in printed.items() if n[:2] == "T8") == [
        0.5, 1.0, 1.5, 1.55, 2.0, 5.0, 6.55,
    ]  # fmt: skip
    assert [(c.batch_size, c.kimg) for n, c in printed.items() if n[:2] == "T9"] == [
        (16, 620), (32, 600), (64, 644), (128, 690),
    ]  # fmt: skip
    assert {(c.image_size, c.learning_rate, c.labels) for c in printed.values()} == {
        (512, 0.0025, ("benign",))
    }
    for name, config in PRESETS.items():
        configuration.check(config)
        assert configuration.preset_name(config, PRESETS, name) == name
        assert any("patients" in leak for leak in leaks(config)) is (
            config.split in ("counts", "partition")
        )
    assert "GAN sees" in leaks(GanConfig(train_on="all"))[0]


def test_a_class_without_training_images():
    split = pd.DataFrame(
        {
            "image": list("abcdefghij"),
            "label": ["x"] * 9 + ["y"],
            "part": ["train"] * 8 + ["test"] * 2,
        }
    )
    assert gan_train.training_images(split, ("x",)).image.tolist() == list("abcdefgh")
    with pytest.raises(InputError, match="no image of class y"):
        gan_train.training_images(split, ("x", "y"))
    with pytest.raises(InputError, match="holds 7 images of x"):
        gan_train.training_images(split[1:], ("x",))


def test_leaks_of_a_gan():
    bach = {split: leaks(GanConfig(dataset="bach", split=split)) for split in get_args(Split)}
    assert {split: len(found) for split, found in bach.items()} == {
        "counts": 1, "image": 1, "patient": 0, "partition": 1, "file": 1,
    }  # fmt: skip
    assert bach["counts"] == bach["image"] != bach["partition"]
    assert "patients that are known, which are not all" in bach["partition"][0]
    assert leaks(GanConfig(split="patient")) == [] == leaks(GanConfig(split="file"))
    for split in ("counts", "image"):
        assert ["image-wise split" in leak for leak in leaks(GanConfig(split=split))] == [True]
    everything = leaks(GanConfig(train_on="all", split="patient"))
    assert everything == ["the GAN sees validation and test images (G15)"]


# --- a folder of generated images --------------------------------------------------------------


def test_a_folder_is_claimed_once_for_one_purpose(tmp_path):
    wanted = {"seed": 0, "counts": {"a": 2}}
    first = folder.claim(tmp_path, wanted)
    assert first == {**wanted, "finished": None}
    assert json.loads((tmp_path / folder.GENERATION).read_text()) == first
    (tmp_path / ".lock").touch()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / ".part-x.png").touch()
    (tmp_path / "images" / "a-000000.png").touch()
    assert folder.claim(tmp_path, wanted) == first
    assert [file.name for file in (tmp_path / "images").iterdir()] == ["a-000000.png"]
    with pytest.raises(InputError, match=r"generated otherwise \(a, counts, size differ\)"):
        folder.claim(tmp_path, {"size": 32, "seed": 0, "counts": {"a": 3}, "a": 1})
    (tmp_path / folder.GENERATION).write_text(json.dumps({**wanted, "finished": "now"}))
    assert folder.claim(tmp_path, wanted)["finished"] == "now"
    for damaged in ("{", "[]", '{"seed": 0}'):
        (tmp_path / folder.GENERATION).write_text(damaged)
        with pytest.raises(InputError, match=r"generation.json: damaged; delete the folder"):
            folder.claim(tmp_path, wanted)


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / "photo.png").touch()
    with pytest.raises(InputError, match=r"holds other files \(photo.png\)"):
        folder.claim(tmp_path, {})
    assert not (tmp_path / folder.GENERATION).exists()


@pytest.fixture
def written(tmp_path):
    """A folder of two images of each of two classes, finished."""
    folder.write_index(tmp_path, ["a", "b"], 2, seed=7)
    (tmp_path / "images").mkdir()
    for number, name in enumerate(pd.read_csv(tmp_path / "index.csv").image):
        (tmp_path / name).write_bytes(bytes([number]))
    record = {"training_hash": "0", "dataset": "breakhis", "finished": "now", "run_id": "12"}
    (tmp_path / folder.GENERATION).write_text(json.dumps(record))
    return tmp_path


def test_a_written_folder_is_read_back(written):
    assert (written / "index.csv").read_text() == (
        "image,label,patient,synthetic,seed\n"
        "images/a-000000.png,a,,true,7\nimages/a-000001.png,a,,true,7\n"
        "images/b-000000.png,b,,true,7\nimages/b-000001.png,b,,true,7\n"
    )
    made = folder.read(written)
    assert (made.gan, len(made.table)) == ("custom", 4)
    assert made.describe() == {
        "gan": "custom", "gan_run_id": "12", "training_hash": "0", "images": {"a": 2, "b": 2},
        "sha256": made.sha256,
    }  # fmt: skip
    # Other pixels, or another label for the same, are another content.
    (written / "images" / "a-000001.png").write_bytes(b"other")
    changed = folder.read(written)
    relabelled = replace(changed, table=changed.table.assign(label="b"))
    assert len({made.sha256, changed.sha256, relabelled.sha256}) == 3


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("index.csv", "a-000001.png,a,", "a-000001.png,a,22549", "no patient; this file lists"),
        ("index.csv", "b-000000.png,b,,true", "b-000000.png,b,,false", "synthetic=true"),
        ("index.csv", "a-000001", "a-000000", "images/a-000000.png stands twice"),
        ("index.csv", "synthetic,seed", "synthetic,grain", "no column seed"),
        ("index.csv", "a-000001", "c-000001", "1 image is missing: images/c-000001.png"),
        ("generation.json", '"finished": "now"', '"finished": null', "did not finish; run"),
        ("generation.json", '"dataset"', '"data"', "generation.json: damaged"),
        ("generation.json", "{", "[{", "generation.json: damaged"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(file, old, new, words, written):
    text = (written / file).read_text()
    assert old in text
    (written / file).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=words):
        folder.read(written)


def test_a_folder_without_its_files_is_refused(written, tmp_path):
    header = (written / "index.csv").read_text().splitlines()[0]
    (written / "index.csv").write_text(header + "\n")
    with pytest.raises(InputError, match=r"index\.csv: lists no image"):
        folder.read(written)
    (written / "index.csv").unlink()
    with pytest.raises(InputError, match=r"index\.csv: no such file"):
        folder.read(written)
    (written / folder.GENERATION).unlink()
    with pytest.raises(InputError, match=r"generation\.json: missing, so the generation did not"):
        folder.read(written)
    with pytest.raises(InputError, match="nowhere: no such folder"):
        folder.read(tmp_path / "nowhere")
