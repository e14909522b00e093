"""A network trained on synthetic tissue finds the tumour of a synthetic slide that it never saw."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
import run_folder

pytest.importorskip("tiffslide")

from common import classification, images, metrics, runs
from common.datasets.synthetic import scenes
from common.errors import InputError
from common.slides import drawing, opened

SIZE = 64
MPP = 2 * drawing.MPP  # the demo's: of a slide, the second level


def fields(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Drawn images of both classes, each of a slide of its own."""
    pixels, labels = [], []
    for label, kinds in enumerate((drawing.BENIGN, drawing.MALIGNANT)):
        for number in range(count):
            rngs = (np.random.default_rng((part, label, number)) for part in (9, 7))
            scene = scenes.BREAKHIS[kinds[number % len(kinds)]]
            image = scenes.picture(scene, (256, 256), 1 / MPP, *rngs)
            pixels.append(images.resize(image, SIZE))
            labels.append(label)
    pixels = np.stack(pixels)
    turned = [pixels, pixels[:, ::-1], pixels[:, :, ::-1], pixels.transpose(0, 2, 1, 3)]
    return np.concatenate(turned), np.tile(labels, 4)


def trained():
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 128, -1)(inputs)
    for filters in (16, 32, 64, 64):
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.8)(x)
        x = keras.layers.MaxPooling2D(2)(keras.layers.ReLU()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(*fields(200), batch_size=32, epochs=6, verbose=0)
    return model


@pytest.mark.slow
def test_the_map_finds_the_tumour_that_was_drawn(tmp_path):
    path = run_folder.make(tmp_path, "binary", synthetic=True, pictures=False)
    run = runs.load(path)
    config = {**run.config, "image_size": SIZE, "resize_filter": "area"}
    run.note(config=config, trained_size=[256, 256])
    trained().save(path / "model.keras")
    slide = tmp_path / "slide.tif"
    mask = drawing.draw_slide(slide, side=4096, seed=3)
    truth = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)
    flags = [
        "--run",
        str(path),
        str(slide),
        "--tiles",
        "--trained-mpp",
        str(MPP),
        "--stride",
        "0.5",
    ]
    assert classification.main("breakhis", [*flags, "--output", str(tmp_path / "out")]) == 0
    tiles = pd.read_csv(tmp_path / "out" / "tiles.csv")
    step = drawing.TRUTH
    share = [
        (truth[y // step : (y + tall) // step, x // step : (x + wide) // step] == 255).mean()
        for x, y, wide, tall in tiles[["x", "y", "width", "height"]].to_numpy()
    ]
    tumour = np.array(share) > 0.5
    assert tumour.sum() > 30
    assert metrics.auc(tumour, tiles["p_malignant"].to_numpy()) > 0.75
    assert "SYNTHETIC" in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_a_drawn_slide_is_what_it_says(tmp_path):
    truth = drawing.draw_slide(tmp_path / "a.tif", side=1000, seed=5, fields=4)
    drawing.draw_slide(tmp_path / "b.tif", side=1000, seed=5, fields=4)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    mask = cv2.imread(str(truth), cv2.IMREAD_GRAYSCALE)
    assert mask.shape == (63, 63) and set(np.unique(mask)) == {0, 128, 255}
    with opened(tmp_path / "a.tif") as slide:
        assert slide.synthetic and (slide.width, slide.height) == (1000, 1000)
        assert slide.mpp == pytest.approx((drawing.MPP, drawing.MPP), rel=1e-6)
        image = slide.region((0, 0, 1000, 1000), (63, 63))
    # Glass where the mask says so, and nowhere else.
    assert image[mask == 0].mean() > 225 and image[mask > 0].mean() < 215
    with pytest.raises(InputError, match="side 100: from 512"):
        drawing.draw_slide(tmp_path / "c.tif", side=100)
    with pytest.raises(InputError, match=r"name it \.tif"):
        drawing.draw_slide(tmp_path / "c.svs")
