"""Outputs of a training: what TensorBoard, MLflow and Weights & Biases get, and when."""

import sys
import types

import pytest
from test_training import Data, build

from common import loggers, runs, training
from common.errors import InputError

ROWS = [{"epoch": e, "loss": 1.0 / e, "val_accuracy": 0.5 + e / 10} for e in (1, 2, 3)]


def run_in(folder, log, synthetic=False):
    record = runs.Record("breakhis", {"epochs": 3}, synthetic, run_id="0123456789")
    path = folder / "breakhis" / "T2-binary-0123456789"
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text("{}")
    return runs.Run(path, record, log=log)


def events(folder):
    """Tag -> steps and values, of all event files of a folder."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, pytest.approx(e.value)) for e in found.Scalars(tag)]
            for tag in found.Tags()["scalars"]}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_has_the_history_once_also_after_a_kill(tmp_path):
    run = run_in(tmp_path, "tensorboard")
    with loggers.following(run, []) as tell:
        tell(ROWS[0])
        tell(ROWS[1])
    with loggers.following(run, ROWS[:2]) as tell:  # the same run goes on
        tell(ROWS[2])
    folder = tmp_path / "tensorboard" / "breakhis" / run.path.name
    found = events(folder)
    assert set(found) == {"loss", "val_accuracy"}
    assert [(row["epoch"], row["loss"]) for row in ROWS] == found["loss"]
    assert len(list(folder.iterdir())) == 1
    assert [path.name for path in run.path.iterdir()] == ["config.json"]  # nothing of the run's


def test_steps_that_are_no_whole_numbers_count_in_thousandths(tmp_path):
    told = []
    fake = types.SimpleNamespace(
        wants_earlier=True, tell=lambda *row: told.append(row), close=lambda: told.append("end")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(loggers._FOLLOWERS, "tensorboard", lambda run, goes_on: fake)
        with loggers.following(run_in(tmp_path, "tensorboard"), [{"kimg": 0.016, "d": 1}], "kimg"):
            pass
    assert told == [(16, {"d": 1.0}), "end"]


def test_what_fails_is_said_and_changes_no_training(tmp_path, monkeypatch, capsys):
    class Failing:
        wants_earlier = True
        fails = ""

        def __init__(self, run, goes_on):
            self.at("begin")

        def at(self, place):
            if place == self.fails:
                raise ConnectionError("no network\nand a trace")

        def tell(self, step, values):
            self.at("tell")

        def close(self):
            self.at("close")

    monkeypatch.setitem(loggers._FOLLOWERS, "wandb", Failing)
    monkeypatch.setattr(loggers, "require", lambda logger: None)
    monkeypatch.setattr(runs.Run, "note", lambda self, **facts: None)
    warning = "warning: --log wandb: ConnectionError: no network; the training goes on"
    for place in ("begin", "close"):
        Failing.fails = place
        with loggers.following(run_in(tmp_path, "wandb"), ROWS[:1]) as tell:
            tell(ROWS[1])
        assert capsys.readouterr().err.count(warning) == 1
    expected = training.fit(build(), Data(), None, tmp_path / "none", 1, keep="last").history
    Failing.fails = "tell"
    run = run_in(tmp_path, "wandb")
    assert training.fit(build(), Data(), None, run, 1, keep="last").history.equals(expected)
    assert capsys.readouterr().err.count(warning) == 1


def test_a_program_that_is_not_there_is_refused_before_the_training(monkeypatch):
    loggers.require(None)
    with pytest.raises(InputError, match="one of tensorboard, mlflow, wandb"):
        loggers.require("neptune")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install histopapers\[mlflow\]"):
        loggers.require("mlflow")


def test_mlflow_goes_on_with_the_run_of_the_same_id(tmp_path, monkeypatch):
    calls, kept = [], []

    def note(name):
        return lambda *args, **kwargs: calls.append((name, args, kwargs))

    fake = types.ModuleType("mlflow")
    for name in ("start_run", "set_tags", "log_params", "log_metrics", "end_run"):
        setattr(fake, name, note(name))
    fake.set_experiment = lambda name: types.SimpleNamespace(experiment_id=name)
    fake.search_runs = lambda **asked: kept
    fake.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    with loggers.following(run_in(tmp_path, "mlflow", synthetic=True), []) as tell:
        tell(ROWS[0])
    names = [name for name, *_ in calls]
    assert names == ["start_run", "set_tags", "log_params", "log_metrics", "end_run"]
    assert "SYNTHETIC" in calls[1][1][0]["notice"]
    assert calls[3][1:] == (({"loss": 1.0, "val_accuracy": 0.6},), {"step": 1})
    calls.clear()
    kept.append(types.SimpleNamespace(info=types.SimpleNamespace(run_id="r")))
    with loggers.following(run_in(tmp_path, "mlflow"), ROWS[:1]) as tell:
        tell(ROWS[1])
    assert [name for name, *_ in calls] == ["start_run", "log_metrics", "end_run"]
    assert calls[0][2] == {"run_id": "r"} and calls[1][2] == {"step": 2}


@pytest.mark.parametrize("resumed", [False, True])
def test_wandb_gets_the_rows_of_before_unless_it_has_them(resumed, tmp_path, monkeypatch):
    told, asked = [], {}
    fake = types.ModuleType("wandb")
    fake.__spec__ = types.SimpleNamespace()

    def init(**options):
        asked.update(options)
        return types.SimpleNamespace(
            resumed=resumed, log=lambda values, step: told.append(step), finish=lambda: None
        )

    fake.init = init
    monkeypatch.setitem(sys.modules, "wandb", fake)
    with loggers.following(run_in(tmp_path, "wandb"), ROWS[:2]) as tell:
        tell(ROWS[2])
    assert told == ([3] if resumed else [1, 2, 3])
    assert asked["id"] == "breakhis-0123456789" and asked["resume"] == "allow"
