"""What is the papers' own: heads, losses, optimizer, schedules, samples, cleaning."""

import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest

import breakhis.config
import breakhis.data
import breakhis.model
import her2scoring.config
import her2scoring.data
import her2scoring.model
from common.errors import InputError

HER2 = dataclasses.replace(her2scoring.config.PRESETS["demo"], image_size=32)
BREAKHIS = dataclasses.replace(breakhis.config.PRESETS["demo"], image_size=32)


# --- her2scoring -------------------------------------------------------------------------------


def test_her2scoring_head_is_the_papers():
    config = dataclasses.replace(HER2, head_units=(512, 256), dropout=0.5)
    model = her2scoring.model.build_model(config)
    names = [layer.name for layer in model.layers][-7:]
    assert names == [
        "pool", "dense_1", "dropout_1", "dense_2", "dropout_2", "logits", "probabilities",
    ]  # fmt: skip
    assert model.get_layer("dense_1").kernel.shape == (1280, 512)
    assert model.get_layer("dense_2").kernel.shape == (512, 256)
    assert model.get_layer("logits").kernel.shape == (256, 4)
    assert model.get_layer("dropout_1").rate == 0.5
    assert all(layer.trainable for layer in model.layers)
    # Raw pixels in, float32 probabilities out.
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    output = keras.ops.convert_to_numpy(model(pixels))
    assert output.dtype == np.float32
    np.testing.assert_allclose(output.sum(axis=1), 1, atol=1e-6)


def test_class_weights_make_every_class_count_the_same():
    split = pd.DataFrame(
        {"label": ["0"] * 2 + ["1+"] * 6 + ["3+"] * 8 + ["0"], "part": ["train"] * 16 + ["test"]}
    )
    config = dataclasses.replace(HER2, class_weights="balanced")
    weights = her2scoring.data.class_weights(split, config, ("0", "1+", "2+", "3+"))
    np.testing.assert_allclose(weights, [16 / 8, 16 / 24, 0, 16 / 32])
    assert her2scoring.data.class_weights(split, HER2, ("0", "1+", "2+", "3+")) is None


def test_weighted_crossentropy_by_hand():
    target = np.eye(3, dtype="float32")[[0, 2]]
    p = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], "float32")
    plain = her2scoring.model.crossentropy(None)(target, p)
    assert float(plain) == pytest.approx(-(np.log(0.5) + np.log(0.8)) / 2, rel=1e-6)
    weighted = her2scoring.model.crossentropy(np.array([2.0, 1.0, 0.5]))(target, p)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(weighted), [-2 * np.log(0.5), -0.5 * np.log(0.8)], rtol=1e-6
    )


def test_patches_without_tissue_are_left_out():
    index = pd.DataFrame({"image": ["glass", "half", "tissue"]})
    pixels = np.full((3, 10, 10, 3), 245, np.uint8)
    pixels[1, :5] = (180, 90, 160)
    pixels[2] = (180, 90, 160)
    kept = her2scoring.data.keep_tissue(index, pixels, 0.2)
    assert kept.image.tolist() == ["half", "tissue"]
    assert her2scoring.data.keep_tissue(index, pixels, 0.0) is index
    with pytest.raises(InputError, match="--min-tissue"):
        her2scoring.data.keep_tissue(index[:1], pixels[:1], 0.2)


# --- breakhis ----------------------------------------------------------------------------------


def test_weight_decay_is_pytorchs():
    """Three steps against torch.optim.Adam's published update rule, in float64."""
    rng = np.random.default_rng(1)
    start, gradients = rng.normal(size=5), rng.normal(size=(3, 5))
    rate, decay, epsilon, betas = 0.1, 0.05, 1e-8, (0.9, 0.999)

    w, m, v = start.copy(), np.zeros(5), np.zeros(5)
    for step, gradient in enumerate(gradients, start=1):
        g = gradient + decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        w -= rate * (m / (1 - betas[0] ** step)) / (np.sqrt(v / (1 - betas[1] ** step)) + epsilon)

    variable = keras.Variable(start, dtype="float32")
    optimizer = breakhis.model.AdamL2(rate, l2=decay, epsilon=epsilon)
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(variable.value), w, rtol=1e-4)
    again = breakhis.model.AdamL2.from_config(optimizer.get_config())
    assert again.l2 == decay


@pytest.fixture
def split():
    """An unbalanced split: 60 DC, 20 A and 8 PT images, a quarter of each for validation."""
    rows = [
        {"image": f"{name}{i}.png", "label": name, "part": part}
        for name, count in (("DC", 60), ("A", 20), ("PT", 8))
        for i in range(count)
        for part in [("validation" if i % 4 == 0 else "train")]
    ]
    rows += [{"image": f"t{i}.png", "label": "DC", "part": "test"} for i in range(5)]
    return pd.DataFrame(rows)


def test_oversampling_after_the_validation_draw_copies_training_images_only(split):
    config = dataclasses.replace(BREAKHIS, classes=8, oversample="after")
    table, again = breakhis.data.make_samples(split, config)
    train, validation = (table[table.part == part] for part in ("train", "validation"))
    assert train.label.value_counts().to_dict() == {"DC": 45, "A": 45, "PT": 45}
    assert len(validation) == 22
    assert (validation.op == "none").all()
    assert not set(train.image) & set(validation.image)
    pd.testing.assert_frame_equal(again, split)


def test_oversampling_before_it_leaks_copies_as_the_paper_does(split):
    config = dataclasses.replace(BREAKHIS, classes=8, oversample="before", validation=0.25)
    table, again = breakhis.data.make_samples(split, config)
    assert table.label.value_counts().to_dict() == {"DC": 60, "A": 60, "PT": 60}
    train, validation = (table[table.part == part] for part in ("train", "validation"))
    assert len(validation) == 45
    assert set(train.image) & set(validation.image)
    # The split says where each original went, and the test part is untouched.
    originals = table[table.op == "none"].set_index("image").part
    kept = again[again.part != "test"].set_index("image").part
    pd.testing.assert_series_equal(
        originals.sort_index(), kept.sort_index(), check_names=False, check_dtype=False
    )
    assert (again.part == "test").sum() == 5


@pytest.mark.parametrize("source", ["train", "train+validation"])
def test_statistics_see_no_test_image(split, source):
    config = dataclasses.replace(BREAKHIS, statistics_from=source)
    chosen = breakhis.data.statistics_images(split, config)
    assert len(chosen) == (66 if source == "train" else 88)
    assert not set(chosen) & set(split.image[split.part == "test"])


def test_leaks_are_named():
    rows = breakhis.config.PRESETS
    assert any("B08" in text for text in breakhis.config.leaks(rows["T2-binary-resnet50"]))
    oversampled = breakhis.config.leaks(rows["T2-8class-vgg19-oversampled"])
    assert any("B05" in text for text in oversampled)
    for row in breakhis.config.HONEST.values():
        assert breakhis.config.leaks(rows[row]) == []
