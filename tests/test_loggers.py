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


class Kept:
    """A program that writes down what it is told."""

    last = -1

    def __init__(self, run, goes_on):
        self.told = Kept.told = []

    def tell(self, step, values):
        self.told.append((step, values))

    def close(self, whole):
        self.told.append("whole" if whole else "killed")


def test_thousands_are_counted_in_ones_whole_or_not(tmp_path, monkeypatch):
    monkeypatch.setitem(loggers._FOLLOWERS, "tensorboard", Kept)
    rows = [{"kimg": k, "d": 1} for k in (0.016, 1, 1.5, 2.0)]
    with loggers.following(run_in(tmp_path, "tensorboard"), rows, "kimg", times=1000) as tell:
        tell({"kimg": 2.016, "d": 2})
    assert [each[0] for each in Kept.told[:-1]] == [16, 1000, 1500, 2000, 2016]
    assert Kept.told[-2:] == [(2016, {"d": 2.0}), "whole"]


def test_a_step_is_told_once(tmp_path, monkeypatch):
    """A killed process may have told more than its checkpoint knows, or less."""
    monkeypatch.setitem(loggers._FOLLOWERS, "tensorboard", Kept)
    for last, expected in ((0, [1, 2, 3]), (1, [2, 3]), (2, [3]), (3, [])):
        monkeypatch.setattr(Kept, "last", last)
        with loggers.following(run_in(tmp_path, "tensorboard"), ROWS[:1]) as tell:
            for row in ROWS[1:]:
                tell(row)
        assert [each[0] for each in Kept.told[:-1]] == expected


def test_an_interrupted_training_is_not_whole(tmp_path, monkeypatch):
    monkeypatch.setitem(loggers._FOLLOWERS, "tensorboard", Kept)
    with (
        pytest.raises(KeyboardInterrupt),
        loggers.following(run_in(tmp_path, "tensorboard"), []) as tell,
    ):
        tell(ROWS[0])
        raise KeyboardInterrupt
    assert Kept.told[-1] == "killed"


def test_the_last_row_is_told_where_nothing_is_left_to_train(tmp_path, monkeypatch):
    run = run_in(tmp_path, None)
    monkeypatch.setattr(runs.Run, "note", lambda self, **facts: None)
    training.fit(build(), Data(), None, run, 2, keep="last")
    monkeypatch.setitem(loggers._FOLLOWERS, "tensorboard", Kept)
    training.fit(build(), Data(), None, run_in(tmp_path, "tensorboard"), 2, keep="last")
    assert [each[0] for each in Kept.told[:-1]] == [1, 2]


def test_what_fails_is_said_and_changes_no_training(tmp_path, monkeypatch, capsys):
    class Failing:
        last = -1
        fails = ""

        def __init__(self, run, goes_on):
            self.at("begin")

        def at(self, place):
            if place == self.fails:
                raise ConnectionError("no network\nand a trace")

        def tell(self, step, values):
            self.at("tell")

        def close(self, whole):
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
    with pytest.raises(InputError, match=r"pip install 'histopapers\[mlflow\]'"):
        loggers.require("mlflow")


@pytest.mark.parametrize("status", ["RUNNING", "KILLED", "FINISHED"])
@pytest.mark.parametrize("goes_on", [False, True])
def test_mlflow_goes_on_with_the_run_of_the_same_id(status, goes_on, tmp_path, monkeypatch):
    """As `make extras` does with MLflow itself."""
    calls, kept = [], []

    def note(name):
        return lambda *args, **kwargs: calls.append((name, args, kwargs))

    fake = types.ModuleType("mlflow")
    for name in ("start_run", "set_tags", "log_params", "log_metrics", "end_run"):
        setattr(fake, name, note(name))
    fake.set_experiment = lambda name: types.SimpleNamespace(experiment_id=name)
    fake.search_runs = lambda **asked: kept
    history = {"loss": [1, 2], "kid": [2], "fid": []}
    client = types.SimpleNamespace(get_metric_history=lambda run_id, name: [
        types.SimpleNamespace(step=step) for step in history[name]
    ])  # fmt: skip
    fake.MlflowClient = lambda: client
    fake.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    with loggers.following(run_in(tmp_path, "mlflow", synthetic=True), []) as tell:
        tell(ROWS[0])
    names = [name for name, *_ in calls]
    assert names == ["start_run", "set_tags", "log_params", "log_metrics", "end_run"]
    assert "SYNTHETIC" in calls[1][1][0]["notice"]
    assert calls[3][1:] == (({"loss": 1.0, "val_accuracy": 0.6},), {"step": 1})
    assert calls[4][1] == ("FINISHED",)
    calls.clear()
    info = types.SimpleNamespace(run_id="r", status=status)
    kept.append(
        types.SimpleNamespace(info=info, data=types.SimpleNamespace(metrics=dict.fromkeys(history)))
    )
    with loggers.following(run_in(tmp_path, "mlflow"), ROWS[:1] if goes_on else []) as tell:
        tell(ROWS[1])
        tell(ROWS[2])
    steps = [kwargs["step"] for name, _, kwargs in calls if name == "log_metrics"]
    same = goes_on or status != "FINISHED"  # `--fresh` after a whole one is a run of its own
    assert calls[0][2] == ({"run_id": "r"} if same else {"run_name": "T2-binary-0123456789"})
    assert steps == ([3] if same else [2, 3])


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("offline", [False, True])
def test_wandb_gets_the_rows_of_before_unless_it_has_them(resumed, offline, tmp_path, monkeypatch):
    told, asked = [], {}
    fake = types.ModuleType("wandb")
    fake.__spec__ = types.SimpleNamespace()
    here = tmp_path / "wandb"
    named = [here / f"offline-run-{day}-breakhis-0123456789" for day in (1, 2)]
    other = here / "offline-run-1-breakhis-0123456780"
    for folder in (*named, other):
        (folder / "files").mkdir(parents=True)

    def init(**options):
        asked.update(options)
        return types.SimpleNamespace(
            resumed=resumed, offline=offline, dir=str(named[1] / "files"), step=2,
            log=lambda values, step: told.append(step),
            finish=lambda exit_code: told.append(f"exit {exit_code}"),
        )  # fmt: skip

    fake.init = init
    monkeypatch.setitem(sys.modules, "wandb", fake)
    with loggers.following(run_in(tmp_path, "wandb"), ROWS[:2]) as tell:
        tell(ROWS[2])
    assert told == [*([2, 3] if resumed else [1, 2, 3]), "exit 0"]
    assert asked["id"] == "breakhis-0123456789" and asked["resume"] == "allow"
    # What would be synced twice goes; runs of others, and what the server has, stay.
    assert set(here.iterdir()) == {named[1], other} | (set() if offline else {named[0]})
