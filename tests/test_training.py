"""Fitting: what is written, which epoch is kept, and exact resume."""

import types

import keras
import numpy as np
import pandas as pd
import pytest

from common import runs, training
from common.errors import InputError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 8)).astype("float32")
Y = keras.utils.to_categorical((X[:, 0] + 0.5 * X[:, 1] > 0).astype(int), 2)


class Data(keras.utils.PyDataset):
    """Batches whose order depends on the epoch, as `common.pipeline.Batches` has it."""

    def __init__(self, rows=slice(None), epoch=None, noise=None):
        super().__init__()
        self.x, self.y, self.epoch, self.noise = X[rows], Y[rows], epoch, noise

    def __len__(self):
        return len(self.x) // 8

    def __getitem__(self, i):
        order = np.arange(len(self.x))
        if self.epoch is not None:
            order = np.random.default_rng(self.epoch).permutation(order)
        order = order[8 * i : 8 * i + 8]
        # In the labels: some kernels let ReLU turn NaN into 0.
        return self.x[order], self.y[order] if self.noise is None else self.y[order] * self.noise

    def on_epoch_end(self):
        if self.epoch is not None:
            self.epoch += 1


def build(rate=0.01):
    training.set_seed(3)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(16, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(2, "softmax"),
        ]
    )
    schedule = keras.optimizers.schedules.CosineDecay(rate, 48)
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def train(folder, epochs=6, **options):
    model = build()
    data = Data(slice(0, 48), training.trained_epochs(folder))
    fitted = training.fit(model, data, Data(slice(48, 64)), folder, epochs, **options)
    return model.predict(X, verbose=0), fitted.history


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that nothing stopped: its folder, predictions and history."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, *train(folder)


def test_loss_falls_and_files_are_written(whole):
    folder, predictions, history = whole
    assert tuple(history.columns) == training.HISTORY
    assert history.epoch.tolist() == [1, 2, 3, 4, 5, 6]
    assert history.loss.iloc[-1] < 0.8 * history.loss.iloc[0]
    # Cosine from 0.01 over 48 steps, 6 a piece; the rate is the one at the start of each epoch.
    expected = 0.01 * 0.5 * (1 + np.cos(np.pi * np.arange(6) / 8))
    np.testing.assert_allclose(history.learning_rate, expected, rtol=1e-5)
    loaded = keras.saving.load_model(folder / "model.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), predictions)
    np.testing.assert_allclose(pd.read_csv(folder / "history.csv"), history, rtol=1e-8)


def test_the_kept_weights_are_those_of_the_best_epoch(whole):
    _, predictions, history = whole
    best = history.sort_values(
        ["val_accuracy", "val_loss", "epoch"], ascending=[False, True, True], kind="stable"
    ).iloc[0]
    right = (predictions[48:].argmax(1) == Y[48:].argmax(1)).mean()
    assert right == pytest.approx(best.val_accuracy)
    p = np.clip((predictions[48:] * Y[48:]).sum(1), 1e-7, 1)
    assert -np.log(p).mean() == pytest.approx(best.val_loss, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "kept"), [({}, 4), ({"monitor": "loss"}, 6), ({"keep": "last"}, 6)]
)
def test_the_kept_epoch_is_said_and_noted(whole, tmp_path, options, kept):
    """`model.keras` is of the epoch that config.json names, whatever chose it."""
    record = {"package": "x", "preset": "x", "config": {}, "data": "", "weights": "none"}
    with runs.open_run(tmp_path, record | {"synthetic": True}) as run:
        model = build()
        fitted = training.fit(model, Data(slice(0, 48), 0), Data(slice(48, 64)), run, 6, **options)
    assert fitted.kept_epoch == kept == runs.load(run.path).record.kept_epoch
    row = fitted.history.iloc[kept - 1]
    # By hand from the history that is printed: epochs 3 and 4 have the highest accuracy, and 4 the
    # lower loss; the loss falls to the end.
    if not options:
        best = whole[2][whole[2].val_accuracy == whole[2].val_accuracy.max()]
        assert kept == best.val_loss.idxmin() + 1 and len(best) > 1
    loaded = keras.saving.load_model(run.path / "model.keras")
    p = np.clip((loaded.predict(X[48:], verbose=0) * Y[48:]).sum(1), 1e-7, 1)
    assert -np.log(p).mean() == pytest.approx(row.val_loss, rel=1e-5)


RECORD = {
    "package": "x", "preset": "x", "config": {}, "data": "", "weights": "none", "synthetic": True
}  # fmt: skip


def test_one_training_tells_what_shorter_ones_would_have_kept(whole, tmp_path):
    """Stopped on its way, too; nothing else changes, and what was kept is told whole."""
    folder, predictions, _ = whole
    lengths = (2, 3, 5, 6, 9)
    for epochs in (2, 4, 6):
        model = build()
        data = Data(slice(0, 48), training.trained_epochs(tmp_path))
        fitted = training.fit(model, data, Data(slice(48, 64)), tmp_path, epochs, lengths=lengths)
    np.testing.assert_array_equal(model.predict(X, verbose=0), predictions)
    assert (tmp_path / "history.csv").read_bytes() == (folder / "history.csv").read_bytes()
    assert set(fitted.lengths) == set(lengths)
    for length in (2, 3, 5):
        direct = build()
        own = training.fit(
            direct, Data(slice(0, 48), 0), Data(slice(48, 64)), tmp_path / str(length), length
        )
        kept, weights = fitted.lengths[length]
        assert kept == own.kept_epoch
        loaded = keras.saving.load_model(weights).predict(X, verbose=0)
        np.testing.assert_array_equal(loaded, direct.predict(X, verbose=0))
    # As long as the training, and longer than it was: what it kept itself.
    assert fitted.lengths[6] == fitted.lengths[9]
    assert fitted.lengths[6][0] == fitted.kept_epoch
    assert len({kept for kept, _ in fitted.lengths.values()}) > 1
    asked = training.fit(build(), data, Data(slice(48, 64)), folder, 6, lengths=lengths)
    assert set(asked.lengths) == {6, 9}  # begun without them


def test_second_images_choose_an_epoch_of_their_own_and_change_nothing(whole, tmp_path):
    """Stopped on its way, too; what another run adopts is what a training of its own gives."""
    _, predictions, history = whole
    others = slice(0, 32)
    with runs.open_run(tmp_path / "own", RECORD) as own:
        direct = training.fit(build(), Data(slice(0, 48), 0), Data(others), own, 6)
    with runs.open_run(tmp_path / "both", RECORD) as both:
        for epochs in (2, 5, 6):
            model = build()
            data = Data(slice(0, 48), training.trained_epochs(both.path))
            fitted = training.fit(
                model, data, Data(slice(48, 64)), both, epochs, second=Data(others)
            )
    np.testing.assert_array_equal(model.predict(X, verbose=0), predictions)
    pd.testing.assert_frame_equal(fitted.history, history)
    assert both.record["second_epoch"] == direct.kept_epoch != fitted.kept_epoch
    with runs.open_run(tmp_path / "adopts", RECORD) as run:
        model = build()
        adopted = training.adopt(model, run, both)
    assert adopted.kept_epoch == direct.kept_epoch == runs.load(run.path).record.kept_epoch
    ours, theirs = (
        keras.saving.load_model(each.path / "model.keras").predict(X, verbose=0)
        for each in (run, own)
    )
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(model.predict(X, verbose=0), theirs)
    assert (run.path / "history.csv").read_bytes() == (own.path / "history.csv").read_bytes()
    model = build()
    assert training.adopt(model, run, own) is None  # which had no second images
    for name in ("second.csv", "second.keras"):
        content = (both.path / name).read_bytes()
        (both.path / name).unlink()
        assert training.adopt(model, run, both) is None
        (both.path / name).write_bytes(content)


def test_a_step_is_traced_once(tmp_path):
    """Of a metric that is named alone the variables are made in it, and it is traced again."""
    updated = []

    class Counted(keras.optimizers.Adam):
        def update_step(self, gradient, variable, learning_rate):
            updated.append(variable.name)
            super().update_step(gradient, variable, learning_rate)

    model = build()
    model.compile(Counted(0.01), loss="categorical_crossentropy", metrics=[training.accuracy()])
    training.fit(model, Data(slice(0, 48), 0), Data(slice(48, 64)), tmp_path, 1)
    assert len(updated) == len(model.trainable_variables)


def test_the_metric_is_the_one_that_its_name_stands_for(whole, tmp_path):
    model = build()
    model.compile(model.optimizer, loss="categorical_crossentropy", metrics=[training.accuracy()])
    fitted = training.fit(model, Data(slice(0, 48), 0), Data(slice(48, 64)), tmp_path, 6)
    pd.testing.assert_frame_equal(fitted.history, whole[2])
    np.testing.assert_array_equal(model.predict(X, verbose=0), whole[1])


def test_last_epoch_is_kept_on_request(tmp_path):
    predictions, history = train(tmp_path, epochs=3, keep="last")
    p = np.clip((predictions[48:] * Y[48:]).sum(1), 1e-7, 1)
    assert -np.log(p).mean() == pytest.approx(history.val_loss.iloc[-1], rel=1e-5)


def test_a_stopped_training_goes_on_exactly(whole, tmp_path):
    folder, expected, history = whole
    train(tmp_path, epochs=2)
    train(tmp_path, epochs=5)
    again, resumed = train(tmp_path, epochs=6)
    np.testing.assert_array_equal(again, expected)
    pd.testing.assert_frame_equal(resumed, history)
    written = [(each / "history.csv").read_bytes() for each in (folder, tmp_path)]
    assert written[0] == written[1]


def test_a_damaged_checkpoint_gives_way_to_the_one_before(whole, tmp_path, capsys):
    _, expected, _ = whole
    train(tmp_path, epochs=4)
    newest = sorted((tmp_path / "checkpoint").glob("state-*.npz"))[-1]
    newest.write_bytes(newest.read_bytes()[:-2000])
    assert training.trained_epochs(tmp_path) == 3
    again, _ = train(tmp_path)
    np.testing.assert_array_equal(again, expected)
    assert f"{newest}: damaged" in capsys.readouterr().err


def test_one_changed_byte_in_a_checkpoint_is_seen(tmp_path):
    train(tmp_path, epochs=2)
    newest = sorted((tmp_path / "checkpoint").glob("state-*.npz"))[-1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 0xFF
    newest.write_bytes(data)
    assert training.trained_epochs(tmp_path) == 1


def test_only_two_generations_and_the_best_models_they_name_are_kept(whole):
    names = sorted(file.name for file in (whole[0] / "checkpoint").iterdir())
    assert [name for name in names if name.startswith("state")] == [
        "state-000005.npz",
        "state-000006.npz",
    ]
    assert 1 <= len([name for name in names if name.startswith("best")]) <= 2
    assert not [name for name in names if name.startswith(".part")]


def test_another_models_checkpoint_is_refused(tmp_path):
    train(tmp_path, epochs=1)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2, "softmax")])
    model.compile(loss="categorical_crossentropy", metrics=["accuracy"])
    with pytest.raises(InputError, match="--fresh"):
        training.fit(model, Data(), Data(), tmp_path, 2)


def test_nan_stops_with_the_last_good_state_kept(whole, tmp_path):
    train(tmp_path, epochs=2)
    model = build()
    broken = Data(slice(0, 48), 2, noise=np.nan)
    with pytest.raises(InputError, match="epoch 3; the state after epoch 2 is kept"):
        training.fit(model, broken, Data(slice(48, 64)), tmp_path, 6)
    assert training.trained_epochs(tmp_path) == 2
    again, _ = train(tmp_path)
    np.testing.assert_array_equal(again, whole[1])


def test_best_needs_validation_images(tmp_path):
    with pytest.raises(InputError, match="--select-on last"):
        training.fit(build(), Data(), None, tmp_path, 1)


def test_without_validation_the_last_epoch_is_kept(tmp_path):
    history = training.fit(build(), Data(), None, tmp_path, 2, keep="last").history
    assert tuple(history.columns) == ("epoch", "loss", "accuracy", "learning_rate")
    assert (tmp_path / "model.keras").is_file()


def test_what_is_seen_of_every_epoch(tmp_path, monkeypatch, capsys):
    """A line with its seconds, a bar of its steps, its row of history.csv, its number."""
    clock = iter([1000.0, 1003.0, 1100.0, 1141.0])
    monkeypatch.setattr(
        training.fitting, "time", types.SimpleNamespace(monotonic=lambda: next(clock))
    )
    bars, steps, begun, written = [], [], [], []

    def progress(*arguments, **options):
        bars.append((*arguments, options))
        return types.SimpleNamespace(at=steps.append, end=lambda: steps.append("end"))

    class Started(Data):
        def start(self, epoch):
            begun.append(epoch)

    class Watched(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch:
                written.extend(pd.read_csv(tmp_path / "history.csv").epoch)

    monkeypatch.setattr(training.fitting.terminal, "progress", progress)
    train = Started(slice(0, 16))
    training.fit(build(), train, None, tmp_path, 2, keep="last", callbacks=[Watched()])
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if "accuracy" in line]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    assert lines[0].endswith("rate 0.01  3 s")
    assert lines[1].endswith("  41 s")
    assert said.out == ""
    assert bars == [(f"epoch {i} of 2", 2, "steps", {"transient": True}) for i in (1, 2)]
    assert steps == [1, 2, "end"] * 2
    assert (begun, written) == ([0, 1], [1])


def test_second_images_choose_in_any_folder(tmp_path):
    data = Data(slice(0, 16))
    training.fit(build(), data, data, tmp_path, 1, second=Data(slice(16, 32)))
    assert all((tmp_path / name).is_file() for name in training.fitting.SECOND)


# --- schedules ---------------------------------------------------------------------------------


def test_plateau_halves_after_two_epochs_without_gain():
    plateau = training.Plateau([], 8e-4, 1e-4)
    assert plateau.rate([]) == 8e-4
    assert plateau.rate([3, 2, 2.5]) == 8e-4
    assert plateau.rate([3, 2, 2.5, 2.1]) == 4e-4
    assert plateau.rate([3, 2, 2.5, 2.1, 1.9, 2, 2]) == 2e-4
    assert plateau.rate([3, 3, 3]) == 4e-4  # an equal loss is no gain
    assert plateau.rate([3, 3, 3, 3]) == 4e-4  # counted anew after each halving
    assert plateau.rate([3, 3, 3, 3, 3]) == 2e-4
    assert plateau.rate([1] * 20) == 1e-4  # never below the end


def test_early_stopping_counts_epochs_without_gain():
    assert not training.exhausted([], 2)
    assert not training.exhausted([3, 2, 2.5], 2)
    assert training.exhausted([3, 2, 2.5, 2.1], 2)
    assert training.exhausted([3, 2, 2.5, 2], 2)  # an equal loss is no gain
    assert not training.exhausted([3, 2, 2.5, 1.9], 2)


def test_schedules_take_up_where_a_killed_run_was(whole):
    history = training.trained(whole[0])
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    losses = [row["val_loss"] for row in history]
    assert training.Plateau(history, 1, 0).losses == losses
    assert training.EarlyStopping(history, 1).losses == losses


# --- checkpoints -------------------------------------------------------------------------------


def test_a_save_reads_no_state_back_and_holds_one_array_at_a_time(tmp_path, monkeypatch):
    """VGG19's state is 1.7 GB: a copy of all of it, or a reading, every epoch would be felt."""
    import tracemalloc

    variables = [keras.Variable(np.full((512, 512), i, "float32")) for i in range(16)]  # 16 MiB
    checkpoint = training.Checkpoint(tmp_path, {"model": variables})
    monkeypatch.setattr(np, "load", lambda *args, **options: pytest.fail("read back"))
    tracemalloc.start()
    for epoch in (1, 2, 3):
        (tmp_path / f"best-{epoch:06d}.keras").write_bytes(b"")
        checkpoint.save(epoch, {}, files=[f"best-{epoch:06d}.keras"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    monkeypatch.undo()
    assert peak < 6 * 2**20
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "best-000002.keras", "best-000003.keras", "state-000002.npz", "state-000003.npz",
    ]  # fmt: skip
    for variable in variables:
        variable.assign(variable * 0)
    (tmp_path / "best-000003.keras").unlink()  # so that the state before it is the newest whole one
    for file in ("best-000002.keras",):
        np.savez(tmp_path / "x.npz", a=[1])
        (tmp_path / "x.npz").rename(tmp_path / file)
    assert training.Checkpoint(tmp_path, {"model": variables}).restore()["epoch"] == 2
    assert [float(variable[0, 0]) for variable in variables] == list(range(16))
