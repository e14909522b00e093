"""Which epoch is kept, and which files a checkpoint keeps: rules, without training."""

from __future__ import annotations

import types
import zipfile

import keras
import numpy as np
import pytest

from common import training
from common.errors import InputError
from common.training.checkpoint import Checkpoint
from common.training.fitting import _learning_rate, _Recorder

# --- the best epoch -----------------------------------------------------------------------------

BEST = {"val_accuracy": 0.8, "val_loss": 0.5}


@pytest.mark.parametrize(
    ("keep", "monitor", "accuracy", "loss", "better"),
    [
        ("best", "accuracy", 0.8, 0.5, False),  # of equals the earlier
        ("best", "accuracy", 0.8, 0.4, True),
        ("best", "accuracy", 0.8, 0.6, False),
        ("best", "accuracy", 0.9, 0.9, True),
        ("best", "accuracy", 0.7, 0.1, False),
        ("best", "loss", 0.8, 0.5, False),
        ("best", "loss", 0.9, 0.5, False),
        ("best", "loss", 0.1, 0.4, True),
        ("best", "loss", 0.9, 0.6, False),
        ("last", "accuracy", 0.7, 0.9, True),
        ("last", "loss", 0.7, 0.9, True),
    ],
)
def test_what_is_better_than_the_best_so_far(tmp_path, keep, monitor, accuracy, loss, better):
    checkpoint, row = Checkpoint(tmp_path, {}), {"val_accuracy": accuracy, "val_loss": loss}
    recorder = _Recorder(tmp_path, checkpoint, {}, 9, keep, monitor, None)
    assert recorder._is_best(row, BEST) is better
    assert recorder._is_best(row, None) is True


def test_accuracy_comes_first_unless_the_loss_is_asked_for():
    assert training.preference(BEST) == training.preference(BEST, "accuracy") == (0.8, -0.5)
    assert training.preference(BEST, "loss") == (-0.5,)


def row_of(epoch, **validation):
    return {"epoch": epoch, "loss": 0.25, "accuracy": 0.5, **validation, "learning_rate": 0.01}


@pytest.mark.parametrize(
    ("keep", "best", "row", "expected"),
    [
        (
            "best", True, row_of(2, **BEST),
            "epoch  2/10  loss 0.2500  accuracy  50.0 %  |  validation 0.5000   80.0 %"
            "  |  rate 0.01  3 s  best so far",
        ),
        (
            "best", False, row_of(10, **BEST),
            "epoch 10/10  loss 0.2500  accuracy  50.0 %  |  validation 0.5000   80.0 %"
            "  |  rate 0.01  3 s",
        ),
        ("last", True, row_of(2), "epoch  2/10  loss 0.2500  accuracy  50.0 %  |  rate 0.01  3 s"),
    ],
)  # fmt: skip
def test_the_line_of_an_epoch(tmp_path, capsys, keep, best, row, expected):
    recorder = _Recorder(tmp_path, Checkpoint(tmp_path, {}), {}, 10, keep, "accuracy", None)
    recorder._print(row, best, 3.2)
    assert capsys.readouterr().err.splitlines() == [expected]


def test_the_bar_follows_the_steps_and_goes_with_the_epoch(tmp_path):
    said = []
    bar = types.SimpleNamespace(at=said.append, end=lambda: said.append("end"))
    recorder = _Recorder(tmp_path, Checkpoint(tmp_path, {}), {}, 9, "best", "loss", None)
    recorder.bar = bar
    for batch in (0, 1):
        recorder.on_train_batch_end(batch)
    recorder.close()
    recorder.close()  # `fit` does, after the epoch's end has
    assert said == [1, 2, "end"]
    assert recorder.bar is None


def test_the_rate_of_several_optimizers_is_that_of_the_unnamed_variables():
    optimizers = [keras.optimizers.SGD(rate) for rate in (0.25, 0.5, 0.125)]
    named = {"a/.*": optimizers[0], "b/.*": optimizers[1]}
    several = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(optimizers[2], named))
    several.build([keras.Variable([0.0], name="a"), keras.Variable([0.0], name="c")])
    assert _learning_rate(several) == 0.125
    assert _learning_rate(optimizers[1]) == 0.5
    assert _learning_rate(keras.optimizers.LossScaleOptimizer(several)) == 0.125


def test_deterministic_kernels_unless_they_are_not_wanted(monkeypatch):
    import tensorflow as tf

    asked = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: asked.append(True))
    training.set_seed(1, deterministic=False)
    assert not asked
    training.set_seed(1)
    assert asked == [True]


# --- schedules ----------------------------------------------------------------------------------


def compiled(rate):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), loss="mse")
    return model


def test_plateau_sets_the_rate_of_each_epoch_from_the_losses_before_it():
    model = compiled(1.0)
    plateau = training.Plateau([{"val_loss": 0.5}], 0.25, 0.125)
    plateau.set_model(model)
    rates = []
    for epoch, loss in enumerate([0.75, 0.5, 0.25]):
        plateau.on_epoch_begin(epoch)
        rates.append(float(model.optimizer.learning_rate))
        plateau.on_epoch_end(epoch, {"val_loss": loss})
    assert rates == [0.25, 0.25, 0.125]
    assert plateau.losses == [0.5, 0.75, 0.5, 0.25]


def test_early_stopping_stops_the_model_at_the_epoch_that_is_one_too_many():
    model = compiled(1.0)
    stopping = training.EarlyStopping([{"val_loss": 0.5}], 2)
    stopping.set_model(model)
    for loss, stops in ((0.75, False), (0.25, False), (0.25, False), (0.375, True)):
        stopping.on_epoch_end(0, {"val_loss": loss})
        assert model.stop_training is stops


# --- the checkpoint -----------------------------------------------------------------------------


class Value:
    """What a checkpoint asks of a variable."""

    def __init__(self, array):
        self.array = np.array(array)

    @property
    def shape(self):
        return self.array.shape

    def numpy(self):
        return self.array

    def assign(self, array):
        self.array = np.array(array)


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def state(epoch):
    return f"state-{epoch:06d}.npz"


def best(folder, epoch):
    """Write a whole file of the best weights, and give its name."""
    with (folder / f"best-{epoch:06d}.keras").open("wb") as file:
        np.savez(file, weights=np.arange(9))
    return f"best-{epoch:06d}.keras"


def damage(file):
    """Change one byte of the last array's header."""
    content = bytearray(file.read_bytes())
    content[content.rindex(b"NUMPY") + 12] ^= 0xFF
    file.write_bytes(content)


@pytest.mark.parametrize("anew", [False, True])
def test_the_best_files_that_two_states_name_are_kept(tmp_path, anew):
    """Epochs 1, 3 and 4 are each the best so far; `anew`: by another process every time."""
    checkpoint = Checkpoint(tmp_path, {"model": [Value([1.0])]})
    kept = {
        1: [best(tmp_path, 1), state(1)],
        2: ["best-000001.keras", state(1), state(2)],
        3: ["best-000001.keras", "best-000003.keras", state(2), state(3)],
        4: ["best-000003.keras", "best-000004.keras", state(3), state(4)],
        5: ["best-000004.keras", state(4), state(5)],
    }
    of_epoch = {1: 1, 2: 1, 3: 3, 4: 4, 5: 4}
    for epoch, expected in kept.items():
        if anew:
            checkpoint = Checkpoint(tmp_path, {"model": [Value([1.0])]})
        file = best(tmp_path, of_epoch[epoch])
        checkpoint.save(epoch, {"best": {"file": file}}, files=[file])
        assert names(tmp_path) == expected


def test_a_state_holds_variables_and_what_was_said(tmp_path):
    model, optimizer = [Value([1.0, 2.0]), Value([[3]])], [Value(4)]
    checkpoint = Checkpoint(tmp_path, {"model": model, "optimizer": optimizer})
    assert checkpoint.newest() is None
    assert checkpoint.restore() is None
    checkpoint.save(7, {"history": [{"loss": 0.5}], "best": None})
    for value in (*model, *optimizer):
        value.assign(0 * value.array)
    expected = {"history": [{"loss": 0.5}], "best": None, "epoch": 7, "files": []}
    assert checkpoint.newest() == (tmp_path / state(7), expected)
    assert checkpoint.restore() == expected
    assert [value.array.tolist() for value in (*model, *optimizer)] == [[1, 2], [[3]], 4]


def test_trained_epochs_and_their_history(tmp_path):
    assert (training.trained(tmp_path), training.trained_epochs(tmp_path)) == ([], 0)
    (tmp_path / "checkpoint").mkdir()
    checkpoint = Checkpoint(tmp_path / "checkpoint", {"model": [Value([1.0])]})
    checkpoint.save(2, {"history": [{"loss": 0.5}, {"loss": 0.25}]})
    assert training.trained(tmp_path) == [{"loss": 0.5}, {"loss": 0.25}]
    assert training.trained_epochs(tmp_path) == 2
    checkpoint.save(3, {})
    assert (training.trained(tmp_path), training.trained_epochs(tmp_path)) == ([], 3)


@pytest.mark.parametrize("file", [state(2), "best-000002.keras"])
@pytest.mark.parametrize("how", [damage, lambda file: file.unlink()], ids=["damaged", "gone"])
def test_what_is_damaged_gives_way_to_the_state_before(tmp_path, capsys, file, how):
    checkpoint = Checkpoint(tmp_path, {"model": [Value([1.0])]})
    for epoch in (1, 2):
        checkpoint.save(epoch, {}, files=[best(tmp_path, epoch)])
    how(tmp_path / file)
    assert checkpoint.newest()[1]["epoch"] == 1
    said = capsys.readouterr().err
    if (tmp_path / state(2)).exists():
        assert f"{state(2)}: damaged, or a file beside it; using the state before it" in said
    else:
        assert said == ""
    damage(tmp_path / state(1))
    assert checkpoint.newest() is None
    assert f"{state(1)}: damaged, or a file beside it; starting anew" in capsys.readouterr().err


@pytest.mark.parametrize("gone", [1, 2])
def test_a_state_needs_all_files_that_it_names(tmp_path, gone):
    checkpoint = Checkpoint(tmp_path, {"model": [Value([1.0])]})
    checkpoint.save(2, {}, files=[best(tmp_path, 1), best(tmp_path, 2)])
    assert checkpoint.newest()[1]["epoch"] == 2
    (tmp_path / f"best-{gone:06d}.keras").unlink()
    assert checkpoint.newest() is None


def test_an_array_that_claims_more_than_it_holds_is_not_read(tmp_path, capsys):
    Checkpoint(tmp_path, {}).save(1, {})
    with (
        zipfile.ZipFile(tmp_path / state(1), "a") as archive,
        archive.open("model/0.npy", "w") as member,
    ):
        header = {"descr": "<f4", "fortran_order": False, "shape": (2**40,)}
        np.lib.format.write_array_header_1_0(member, header)
    assert Checkpoint(tmp_path, {"model": [Value([1.0])]}).newest() is None
    assert f"{state(1)}: damaged" in capsys.readouterr().err


def test_an_array_may_be_larger_than_a_plain_zip_archive_can_hold(tmp_path, monkeypatch):
    """2 GiB; here the limit is lowered, since no test writes so much."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 4096)
    value = Value(np.arange(1024.0))
    checkpoint = Checkpoint(tmp_path, {"model": [value]})
    checkpoint.save(1, {})
    value.assign(np.zeros(1024))
    assert checkpoint.restore()["epoch"] == 1
    np.testing.assert_array_equal(value.array, np.arange(1024))


@pytest.mark.parametrize(
    "other",
    [
        {"model": [Value([1.0])]},
        {"model": [Value([1.0]), Value([2.0, 3.0]), Value(4)]},
        {"model": [Value([1.0]), Value([2.0])]},
        {"another": [Value([1.0]), Value([2.0, 3.0])]},
    ],
    ids=["fewer", "more", "another shape", "another group"],
)
def test_the_state_of_another_model_is_refused(tmp_path, other):
    Checkpoint(tmp_path, {"model": [Value([1.0]), Value([2.0, 3.0])]}).save(1, {})
    with pytest.raises(InputError, match="state of another model"):
        Checkpoint(tmp_path, other).restore()
