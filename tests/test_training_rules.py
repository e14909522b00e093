"""Which epoch is kept, and which files a checkpoint keeps: rules, without training."""

from __future__ import annotations

import numpy as np
import pytest

from common import training
from common.errors import InputError
from common.training.checkpoint import Checkpoint
from common.training.fitting import _Recorder

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
