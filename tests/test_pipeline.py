from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import epoch_draws
import keras
import numpy as np
import pandas as pd
import pytest

from common import images, samples, stain
from common.augment import DRAWS, Augmenter
from common.errors import InputError
from common.pipeline import Batches, batches

CLASSES = ("negative", "borderline", "positive")
COUNT = 22
SHIFTS = {
    "rotation_range": 10,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "horizontal_flip": True,
}


def pixels() -> np.ndarray:
    found = np.random.default_rng(0).integers(0, 256, (COUNT, 12, 12, 3), dtype=np.uint8)
    found[:, 0, 0] = np.arange(COUNT)[:, None]  # every image says which one it is
    return found


LABELS = [CLASSES[i % 3] for i in range(COUNT)]


def make(**options) -> Batches:
    options = {"batch_size": 5, "seed": 3, **options}
    return Batches(pixels(), np.arange(COUNT), LABELS, CLASSES, **options)


def whole(found: Batches) -> tuple[np.ndarray, np.ndarray]:
    pairs = [found[i] for i in range(len(found))]
    return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])


def next_epoch(found: Batches) -> None:
    found.on_epoch_begin()
    whole(found)
    found.on_epoch_end()


def order(found: Batches) -> list[int]:
    return whole(found)[0][:, 0, 0, 0].tolist()


def test_batches_without_options_are_the_images_in_order():
    found = make()
    assert len(found) == 5
    assert [found[i][0].shape[0] for i in range(5)] == [5, 5, 5, 5, 2]
    x, y = whole(found)
    assert x.dtype == np.uint8
    assert y.dtype == np.float32
    np.testing.assert_array_equal(x, pixels())
    np.testing.assert_array_equal(y, np.eye(3)[np.arange(COUNT) % 3])
    with pytest.raises(IndexError):
        found[5]


def test_rows_choose_images_and_may_repeat():
    found = Batches(pixels(), [7, 2, 7], ["positive"] * 3, CLASSES, batch_size=2)
    assert order(found) == [7, 2, 7]


def test_shuffling_takes_every_sample_once_in_a_new_order_each_epoch():
    found = make(shuffle=True)
    first = order(found)
    assert first == order(found)
    assert sorted(first) == list(range(COUNT))
    assert first != sorted(first)
    next_epoch(found)
    second = order(found)
    assert sorted(second) == list(range(COUNT))
    assert second != first
    assert order(make(shuffle=True, seed=4)) != first
    x, y = whole(found)
    np.testing.assert_array_equal(y.argmax(1), x[:, 0, 0, 0] % 3)


def test_a_resumed_epoch_is_the_same():
    ran = make(shuffle=True, augmenter=Augmenter(**SHIFTS))
    for epoch in range(3):
        assert ran.epoch == epoch
        resumed = make(shuffle=True, augmenter=Augmenter(**SHIFTS), initial_epoch=epoch)
        for a, b in zip(whole(ran), whole(resumed), strict=True):
            np.testing.assert_array_equal(a, b)
        next_epoch(ran)


def test_draws_belong_to_the_sample_not_to_its_batch():
    reference, _ = whole(make(augmenter=Augmenter(**SHIFTS)))
    for options in ({"batch_size": 1}, {"batch_size": 22}, {"batch_size": 100}):
        found, _ = whole(make(augmenter=Augmenter(**SHIFTS), **options))
        np.testing.assert_array_equal(found, reference)
    # In any order of asking, and in another place of the epoch.
    backwards = make(augmenter=Augmenter(**SHIFTS))
    parts = [backwards[i][0] for i in reversed(range(5))]
    np.testing.assert_array_equal(np.concatenate(parts[::-1]), reference)
    shuffled = make(augmenter=Augmenter(**SHIFTS), shuffle=True)
    plain = order(make(shuffle=True))
    np.testing.assert_array_equal(whole(shuffled)[0], reference[plain])
    # More samples do not change those that were there.
    fewer = Batches(
        pixels(), np.arange(9), LABELS[:9], CLASSES,
        batch_size=5, seed=3, augmenter=Augmenter(**SHIFTS),
    )  # fmt: skip
    np.testing.assert_array_equal(whole(fewer)[0], reference[:9])


def test_every_sample_and_epoch_has_draws_of_its_own():
    found = Batches(
        pixels(), [4] * COUNT, ["positive"] * COUNT, CLASSES,
        batch_size=5, augmenter=Augmenter(**SHIFTS),
    )  # fmt: skip
    first = whole(found)[0]
    assert len({image.tobytes() for image in first}) == COUNT
    next_epoch(found)
    assert not (whole(found)[0] == first).all((1, 2, 3)).any()


def test_operations_come_before_the_augmenter():
    table = pd.DataFrame(
        {
            "op": ["none", "flip", "rot90", "patch"],
            "args": ["", '{"axis": "v"}', '{"k": 1}', '{"box": [0, 0, 0.5, 0.5]}'],
        }
    )
    arguments = (pixels(), [3, 3, 3, 3], ["positive"] * 4, CLASSES)
    plain = Batches(*arguments, batch_size=4, samples=table)
    expected = [
        samples.apply(op, args, pixels()[3])
        for op, args in zip(table["op"], table["args"], strict=True)
    ]
    np.testing.assert_array_equal(plain[0][0], np.stack(expected))
    augmenter = Augmenter(zoom_range=(0.5, 0.5))
    augmented = Batches(*arguments, batch_size=4, samples=table, augmenter=augmenter)
    parameters = augmenter.draw(np.random.default_rng(0), (12, 12))
    np.testing.assert_array_equal(
        augmented[0][0], np.stack([augmenter.apply(image, parameters) for image in expected])
    )


def test_a_table_of_samples_becomes_batches(tmp_path):
    (tmp_path / "data").mkdir()
    names = [f"{i}.png" for i in range(6)]
    for name, image in zip(names, pixels(), strict=False):
        cv2.imwrite(str(tmp_path / "data" / name), image[..., ::-1])
    stored = images.cached(
        tmp_path / "data", names, 12, cache_dir=tmp_path / "cache", progress=False
    )
    split = pd.DataFrame(
        {"image": names, "label": ["positive"] * 4 + ["negative"] * 2, "part": "train"}
    )
    table = samples.oversample(split.iloc[::-1], seed=0)
    x, y = whole(batches(table, stored, CLASSES, batch_size=3))
    assert len(x) == 8
    for row, image, one_hot in zip(table.itertuples(), x, y, strict=True):
        original = pixels()[int(row.image[0])]
        np.testing.assert_array_equal(image, samples.apply(row.op, row.args, original))
        assert CLASSES[one_hot.argmax()] == row.label


def checksum_weights() -> np.ndarray:
    return np.random.default_rng(1).random((12, 12, 3)).astype(np.float32)


def seen_by_fit(found: Batches, epochs: int, initial_epoch: int = 0) -> np.ndarray:
    """What reaches the model: mean weighted sum of each batch's pixels, one row per epoch."""
    inputs = keras.Input((12, 12, 3))
    layer = keras.layers.Dense(1, use_bias=False)
    model = keras.Model(inputs, layer(keras.layers.Flatten()(inputs)))
    layer.set_weights([checksum_weights().reshape(-1, 1)])
    sums = []

    class Losses(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.reset_metrics()

        def on_train_batch_end(self, batch, logs=None):
            sums.append(logs["loss"])

    model.compile(keras.optimizers.SGD(0.0), loss=lambda y_true, y_pred: y_pred[:, 0])
    model.fit(
        found, epochs=epochs, initial_epoch=initial_epoch, shuffle=False, verbose=0,
        callbacks=[Losses()],
    )  # fmt: skip
    return np.array(sums).reshape(epochs - initial_epoch, -1)


def expected_by_fit(epochs: int, initial_epoch: int = 0) -> np.ndarray:
    rows = []
    for epoch in range(initial_epoch, epochs):
        found = make(shuffle=True, augmenter=Augmenter(**SHIFTS), initial_epoch=epoch)
        weighted = [found[i][0] * checksum_weights() for i in range(len(found))]
        rows.append([batch.sum((1, 2, 3)).mean() for batch in weighted])
    return np.array(rows)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_fit_sees_every_epochs_own_batches_whatever_the_workers(workers):
    found = make(shuffle=True, augmenter=Augmenter(**SHIFTS), workers=workers)
    np.testing.assert_allclose(seen_by_fit(found, 3), expected_by_fit(3), rtol=1e-5)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_resumed_fit_goes_on_with_the_next_epoch(workers):
    found = make(shuffle=True, augmenter=Augmenter(**SHIFTS), workers=workers, initial_epoch=2)
    np.testing.assert_allclose(seen_by_fit(found, 4, 2), expected_by_fit(4, 2), rtol=1e-5)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("batch_size", [11, 22])
def test_few_batches_are_no_special_case(batch_size, workers):
    # Keras asks for the first two batches before the first epoch, here for all of them.
    found = make(shuffle=True, batch_size=batch_size, workers=workers)
    assert seen_by_fit(found, 3).shape == (3, 22 // batch_size)
    assert found.epoch == 3


def test_draws_depend_on_seed_epoch_and_index_alone():
    # Several threads on TensorFlow: above, with `fit` itself.
    epoch_draws.check(epoch_draws.all_cases(threads=(1,)))


def test_a_second_fit_goes_on_with_the_next_epoch():
    found = make(shuffle=True, augmenter=Augmenter(**SHIFTS))
    both = np.concatenate([seen_by_fit(found, 2), seen_by_fit(found, 1)])
    np.testing.assert_allclose(both, expected_by_fit(3), rtol=1e-5)


def test_only_a_whole_pass_is_an_epoch():
    found = make(shuffle=True)
    found.on_epoch_end()
    found.on_epoch_begin()
    found[0]
    found.on_epoch_end()
    whole(found)
    found.on_epoch_end()
    assert found.epoch == 0
    next_epoch(found)
    assert found.epoch == 1


def test_predictions_come_in_the_order_of_the_samples():
    inputs = keras.Input((12, 12, 3))
    model = keras.Model(inputs, keras.layers.Flatten()(inputs)[:, :1])
    for workers in (1, 2):
        found = model.predict(make(workers=workers), verbose=0)[:, 0]
        np.testing.assert_array_equal(found, np.arange(COUNT))


def test_wrong_arguments_are_errors():
    with pytest.raises(InputError, match="4\\+ is none of the classes negative"):
        Batches(pixels(), [0], ["4+"], CLASSES, batch_size=1)
    with pytest.raises(InputError, match="no samples"):
        Batches(pixels(), [], [], CLASSES, batch_size=1)
    with pytest.raises(InputError, match="at least 1"):
        make(batch_size=0)
    with pytest.raises(ValueError, match="differ in length"):
        Batches(pixels(), [0, 1], ["positive"], CLASSES, batch_size=1)
    for rows in ([22], [-1, 0], [0, 22]):
        with pytest.raises(ValueError, match=r"0\.\.21"):
            Batches(pixels(), rows, ["positive"] * len(rows), CLASSES, batch_size=1)
    table = pd.DataFrame({"op": ["patch"], "args": ['{"box": [0, 0, 1, 1], "size": 6}']})
    found = Batches(pixels(), [0], ["positive"], CLASSES, batch_size=1, samples=table)
    with pytest.raises(InputError, match="6x6 px among images of 12x12 px"):
        found[0]
    with pytest.raises(ValueError, match="differ in length"):
        Batches(pixels(), [0, 1], ["positive"] * 2, CLASSES, batch_size=1, samples=table)


class Named(np.ndarray):
    """Pixels that know the rows of their images by name, as `images.Pixels` does."""

    def rows(self, names):
        return [int(name) for name in names]


def test_one_part_of_a_table_is_chosen_by_its_name():
    parts = ["validation", "train", "test", "fold-2", "fold-1", "spare", "other"]
    table = pd.DataFrame({"image": map(str, range(7)), "label": LABELS[:7], "part": parts})
    stored = pixels().view(Named)
    assert order(batches(table, stored, CLASSES, batch_size=2, part="test")) == [2]
    in_order = "fold-1, fold-2, other, spare, test, train, validation"
    with pytest.raises(InputError, match=f"parts {in_order}: say which, part='validation'"):
        batches(table, stored, CLASSES, batch_size=2)
    with pytest.raises(InputError, match=f"in the part 'trian'; parts are {in_order}"):
        batches(table, stored, CLASSES, batch_size=2, part="trian")
    one_part = table[table["part"] == "spare"]  # it needs no name
    assert order(batches(one_part, stored, CLASSES, batch_size=2)) == [5]
    whole_table = table.drop(columns="part")
    assert order(batches(whole_table, stored, CLASSES, batch_size=2)) == list(range(7))
    with pytest.raises(InputError, match="no column image, label"):
        batches(table[["part"]], stored, CLASSES, batch_size=2)


def test_one_thread_unless_more_are_asked_for_and_on_jax_always_one(monkeypatch):
    assert (make().workers, make(workers=3).workers) == (1, 3)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert make(workers=3).workers == 1


def test_order_and_augmentation_have_the_streams_of_their_own_that_runs_go_on_with():
    """PCG64 from (seed, epoch, stream): stream 0 orders, stream 1 augments."""
    for seed, epoch in ((3, 0), (3, 1), (8, 0)):
        uniforms, draws = (
            np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, epoch, stream))))
            for stream in (0, 1)
        )
        shuffled = make(seed=seed, shuffle=True, initial_epoch=epoch)
        assert order(shuffled) == uniforms.random(COUNT).argsort().tolist()
        augmenter = Augmenter(**SHIFTS)
        found, _ = whole(make(seed=seed, augmenter=augmenter, initial_epoch=epoch))
        for image, original, row in zip(found, pixels(), draws.random((COUNT, DRAWS)), strict=True):
            parameters = augmenter.parameters(row, original.shape)
            np.testing.assert_array_equal(image, augmenter.apply(original, parameters))


def test_memory_is_kept_from_the_first_batch_of_every_epoch(monkeypatch):
    kept = []
    monkeypatch.setattr("common.pipeline.memory.keep_freed", lambda: kept.append(True))
    found = make()
    for epoch in (1, 2):
        whole(found)
        assert len(kept) == epoch


@pytest.mark.parametrize("name", ["images", "augment", "samples"])
def test_the_pieces_need_no_framework(name):
    root = Path(__file__).resolve().parent.parent
    script = (
        f"import sys, common.{name}; print({{'keras', 'tensorflow', 'jax'}} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


def test_stains_are_drawn_before_the_transform_and_by_the_sample_alone():
    random = np.random.default_rng(0)
    pixels = random.integers(90, 250, (7, 8, 8, 3)).astype(np.uint8)
    labels = ["a", "b"] * 3 + ["a"]

    def given(size, **settings):
        made = Batches(pixels, np.arange(7), labels, ["a", "b"], batch_size=size, seed=3,
                                **settings)  # fmt: skip
        return np.concatenate([made[i][0] for i in range(len(made))]), made

    found, made = given(2, stain_augmentation=0.2)
    assert (found == given(7, stain_augmentation=0.2)[0]).all()
    augmenter = stain.StainAugmenter(sigma_alpha=0.2, sigma_beta=0.2)
    drawn = np.random.Generator(np.random.PCG64(np.random.SeedSequence((3, 0, 2)))).random((7, 4))
    for image, one, numbers in zip(found, pixels, drawn, strict=True):
        parameters = {"alpha": (0.8 + 0.4 * numbers[:2]).tolist(),
                      "beta": (-0.2 + 0.4 * numbers[2:]).tolist()}  # fmt: skip
        np.testing.assert_array_equal(image, augmenter.apply(one, parameters))
    assert (found != pixels).any(axis=(1, 2, 3)).all()
    # Another epoch draws others; flips stay those that there are without it.
    made.start(1)
    assert (made[0][0] != found[:2]).any()
    flips = Augmenter(horizontal_flip=True)
    mirrored = given(7, augmenter=flips)[0]
    both = given(7, augmenter=flips, stain_augmentation=0.2)[0]
    turned = (mirrored != pixels).any(axis=(1, 2, 3))
    assert turned.any() and not turned.all()
    np.testing.assert_array_equal(both[turned], found[turned, :, ::-1])
    np.testing.assert_array_equal(both[~turned], found[~turned])
