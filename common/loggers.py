"""A training's history for TensorBoard, MLflow or Weights & Biases: outputs, and never state.

What they get are the rows of history.csv, as they are written; the first rows, too, when a killed
run goes on. A run's name and its results do not know of them, and one that fails stops no training.

>>> from common import loggers
>>> loggers.LOGGERS
('tensorboard', 'mlflow', 'wandb')
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from common import terminal
from common.errors import InputError, first_line
from common.notices import RESEARCH_USE, SYNTHETIC

if TYPE_CHECKING:
    from common.runs import Run

LOGGERS = ("tensorboard", "mlflow", "wandb")
"""Programs that a history can be given to; each is an extra of its name."""

Logger = Literal["tensorboard", "mlflow", "wandb"]

Row = Mapping[str, float]

_PROJECT = "histopapers"
_LONGEST = 250  # characters of a setting that MLflow takes


def require(logger: str | None) -> None:
    """Refuse a program that is not there, before a training begins.

    Parameters
    ----------
    logger : str or None
        One of `LOGGERS`; None asks for nothing.

    Raises
    ------
    InputError
        If it is none of them, or not installed.
    """
    if logger is None:
        return
    if logger not in LOGGERS:
        raise InputError(f"--log {logger}: one of {', '.join(LOGGERS)}")
    if importlib.util.find_spec(logger) is None:
        raise InputError(f"--log {logger}: not installed; pip install 'histopapers[{logger}]'")


@contextlib.contextmanager
def following(
    run: Run | None, history: Sequence[Row], step: str = "epoch", times: int = 1
) -> Iterator[Callable[[Row], None]]:
    """Give rows of a history on to the program that `run.log` names while the block runs.

    Parameters
    ----------
    run : Run or None
        With `log`; without it, or None, nothing is given on.
    history : sequence of mapping
        Rows of before, of a run that goes on; those that the program has are not told again.
    step : str
        Column that counts, upwards.
    times : int
        What makes whole numbers of it, for all rows: 1000 where it counts thousands.

    Yields
    ------
    callable
        Takes the next row.
    """
    follower: _Follower | None = None

    def tell(row: Row) -> None:
        if follower is not None and (now := round(times * row[step])) > follower.last:
            values = {name: float(value) for name, value in row.items() if name != step}
            follower.tell(now, values)

    def harmless(row: Row) -> None:
        with _harmless(str(run and run.log)):
            tell(row)

    if run is not None and run.log is not None:
        made = run.log
        with _harmless(made):
            require(made)
            follower = _FOLLOWERS[made](run, bool(history))
            for row in history:
                tell(row)
    whole = False
    try:
        yield harmless
        whole = True
    finally:
        if follower is not None:
            with _harmless(str(run and run.log)):
                follower.close(whole)


@contextlib.contextmanager
def _harmless(logger: str) -> Iterator[None]:
    """Say what a program raised, and go on."""
    try:
        yield
    except Exception as error:  # networks, accounts, full disks of others: no reason to stop
        said = terminal.plain(first_line(error))
        terminal.line(f"warning: --log {logger}: {said}; the training goes on", always=True)


class _Follower(ABC):
    """One program, opened for one run."""

    last = -1
    """The last step that it has already."""

    @abstractmethod
    def tell(self, step: int, values: dict[str, float]) -> None: ...

    @abstractmethod
    def close(self, whole: bool) -> None: ...


class _TensorBoard(_Follower):
    """Event files in a folder beside the runs: RUNS/tensorboard/PACKAGE/RUN, written anew."""

    def __init__(self, run: Run, goes_on: bool):
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.event, self.summary = event_pb2.Event, summary_pb2.Summary
        folder = run.path.parents[1] / "tensorboard" / run.record.package / run.path.name
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        self.writer = EventFileWriter(str(folder))
        terminal.line(f"tensorboard --logdir {run.path.parents[1] / 'tensorboard'}")

    def tell(self, step: int, values: dict[str, float]) -> None:
        told = [self.summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        event = self.event(wall_time=time.time(), step=step, summary=self.summary(value=told))
        self.writer.add_event(event)
        self.writer.flush()

    def close(self, whole: bool) -> None:
        self.writer.close()


class _MLflow(_Follower):
    """A run in the experiment of its package; the one that has its id goes on.

    Also one that was killed before its first checkpoint: it says RUNNING, and has rows maybe.
    """

    def __init__(self, run: Run, goes_on: bool):
        import mlflow

        self.mlflow = mlflow
        experiment = mlflow.set_experiment(f"{_PROJECT}.{run.record.package}")
        tag = f"{_PROJECT}.run_id"
        found = mlflow.search_runs(
            experiment_ids=[experiment.experiment_id],
            filter_string=f"tags.`{tag}` = '{run.record.run_id}'",
            max_results=1,
            output_format="list",
        )
        if found and (goes_on or found[0].info.status != "FINISHED"):
            known, client = found[0].info.run_id, mlflow.MlflowClient()
            told = [client.get_metric_history(known, name) for name in found[0].data.metrics]
            self.last = max((row.step for rows in told for row in rows), default=-1)
            mlflow.start_run(run_id=known)
            return
        mlflow.start_run(run_name=run.path.name)
        mlflow.set_tags({tag: run.record.run_id, **_words(run)})
        mlflow.log_params({name: str(v)[:_LONGEST] for name, v in run.config.items()})

    def tell(self, step: int, values: dict[str, float]) -> None:
        self.mlflow.log_metrics(values, step=step)

    def close(self, whole: bool) -> None:
        self.mlflow.end_run("FINISHED" if whole else "KILLED")


class _Wandb(_Follower):
    """A run of the project histopapers, by its own id, so that it goes on as the same.

    Without network nothing is there to go on from: it is written anew, from its first row, and what
    a killed process wrote of it goes, so that `wandb sync` sends each row once.
    """

    def __init__(self, run: Run, goes_on: bool):
        import wandb

        name = f"{run.record.package}-{run.record.run_id}"
        self.run: Any = wandb.init(
            project=_PROJECT,
            group=run.record.package,
            id=name,
            name=run.path.name,
            config={**run.config, **_words(run)},
            dir=str(run.path.parents[1]),
            resume="allow" if goes_on else None,
        )
        if self.run.resumed:
            self.last = self.run.step - 1
        if self.run.offline:
            mine = Path(self.run.dir).parent
            for old in mine.parent.glob(f"offline-run-*-{name}"):
                if old != mine:
                    shutil.rmtree(old)

    def tell(self, step: int, values: dict[str, float]) -> None:
        self.run.log(values, step=step)

    def close(self, whole: bool) -> None:
        self.run.finish(exit_code=0 if whole else 1)


def _words(run: Run) -> dict[str, str]:
    return {"notice": SYNTHETIC if run.synthetic else RESEARCH_USE}


_FOLLOWERS: dict[str, Callable[[Any, bool], _Follower]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "wandb": _Wandb,
}

__all__ = ["LOGGERS", "Logger", "following", "require"]
