"""What Slurm is asked, and what its answers mean, without one."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time

import pytest

from common import leases, reproduce
from common.errors import InputError
from common.reproduce import executors, runner
from common.reproduce.commands import Options
from common.reproduce.executor import GONE
from common.reproduce.show import Board
from common.reproduce.slurm import executor, flags, node, queue, settings
from common.reproduce.slurm.settings import Settings


def given(*arguments):
    parser = argparse.ArgumentParser()
    flags(parser)
    return settings(parser.parse_args(arguments))


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("90:01", 91), ("12:00:00", 720), ("0:00:30", 1), ("2-0", 2880), ("1-12:30", 2190),
     ("1-0:0:1", 1441)],
)  # fmt: skip
def test_time_limits_as_sbatch_takes_them(text, minutes):
    assert Settings(time=text, warning=10).minutes == minutes


def test_flags_go_before_the_file(tmp_path):
    file = tmp_path / "cluster.toml"
    file.write_text(
        'time = "1-0"\npartition = "gpu"\ngpus = 1\nsetup = ["module load cuda"]\n'
        "[sbatch]\nconstraint = 'a100'\nexclusive = true\n"
    )
    more = "--slurm-cpus 4 --slurm-memory 8G --slurm-sbatch constraint=h100 nice=10"
    found = given("--slurm-file", str(file), "--slurm-partition", "long", *more.split())
    assert found.partition == "long"
    asked = found.parameters()
    assert asked["time"] == 1440
    assert asked["gpus_per_node"] == 1
    assert asked["setup"][-1] == "module load cuda"
    assert "--cpus-per-task=4" in asked["srun_args"]
    assert asked["additional_parameters"] == {
        "requeue": True, "constraint": "h100", "exclusive": True, "nice": "10", "mem": "8G",
    }  # fmt: skip


def test_what_decides_a_result_is_passed_on(monkeypatch):
    monkeypatch.setenv("HISTOPAPERS_CACHE", "/a folder")
    monkeypatch.setenv("SECRET", "1")
    lines = Settings(time="60").parameters()["setup"]
    assert "export HISTOPAPERS_CACHE='/a folder'" in lines
    assert not any("SECRET" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "give the time limit"),
        ("--slurm-time soon", "--slurm-time soon: must be minutes"),
        ("--slurm-time 0", "must be a minute or more"),
        ("--slurm-time 1 --slurm-warning 60", "no time is left to work in"),
        ("--slurm-time 60 --slurm-gpus 0", "--slurm-gpus 0: must be a whole number"),
        ("--slurm-time 60 --slurm-memory much", "--slurm-memory much: must be a size"),
        ("--slurm-time 60 --slurm-sbatch signal=INT@9", "signal: is set by this command"),
        ("--slurm-time 60 --slurm-sbatch A=b", "no parameter of sbatch"),
    ],
)
def test_wrong_flags(text, says):
    with pytest.raises(InputError, match=says):
        given(*text.split())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("time = ", "not a TOML file"),
        ("tiem = 4", "cluster.toml: tiem: none of time, partition"),
        ("time = '60'\ngpus = 'two'", "cluster.toml: --slurm-gpus two: must be"),
        ("time = '60'\nsetup = 'module'", "setup must be a list of lines"),
        ("time = '60'\nsbatch = 3", "sbatch must be a table"),
        ("time = '60'\n[sbatch]\nnice = [1]", "no parameter of sbatch"),
        ("time = '60'\npartition = \"a\\nb\"", "must be a word"),
        ("time = [1]", "must be minutes"),
    ],
)
def test_wrong_files(text, says, tmp_path):
    file = tmp_path / "cluster.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=says):
        given("--slurm-file", str(file))


def test_the_queue_as_squeue_says_it():
    said = "17_0|RUNNING|None\n17_3|PENDING|launch failed requeued held\n18|TIMEOUT|TimeLimit\n\n"
    assert queue.parsed(said + "19|PENDING|Resources\n20|PENDING|PartitionTimeLimit\n") == {
        "17_0": ("RUNNING", ""),
        "17_3": (queue.HELD, "launch failed requeued held"),
        "18": ("TIMEOUT", ""),
        "19": ("PENDING", ""),
        "20": ("PENDING", "PartitionTimeLimit"),
    }


SQUEUE = 'cat "$0.said"'
SBATCH = """
if [ -f "$0.refuses" ]; then echo "sbatch: error: invalid partition specified: no" >&2; exit 1; fi
if [ -f "$0.interrupts" ]; then kill -INT $PPID; fi
echo "Submitted batch job 7"
"""


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Slurm's commands, which say what their files say."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    folder = tmp_path / "bin"
    folder.mkdir()
    texts = {"squeue": SQUEUE, "sbatch": SBATCH, "scancel": 'echo "$@" >> "$0.said"'}
    for name in executor.NEEDED:
        (folder / name).write_text(f"#!/bin/bash\n{texts.get(name, '')}\n")
        (folder / name).chmod(0o755)
    (folder / "squeue.said").write_text("")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for name in ("LOOK", "ASK", "SETTLES"):
        monkeypatch.setattr(executor, name, 0.0)
    return folder


@pytest.fixture
def job(tmp_path):
    from common.reproduce.job import Job

    for name in ("logs", "claims", "failed"):
        (tmp_path / name).mkdir()
    paths = [tmp_path / name / "a" for name in ("claims", "logs", "failed")]
    made = Job("p/a", [["-c", "print(1)"]], *paths)
    made.write(tmp_path / "jobs" / "a.json")
    return tmp_path / "jobs" / "a.json"


def slurm(folder):
    return executor.Slurm(Settings(time="60"), folder / "slurm")


@pytest.mark.parametrize(
    ("state", "code"),
    [("NODE_FAIL", GONE), ("PREEMPTED", GONE), ("TIMEOUT", GONE), ("OUT_OF_MEMORY", -9),
     ("FAILED", -9), ("CANCELLED", -9)],
)  # fmt: skip
def test_a_job_that_leaves_without_a_word(state, code, commands, job, tmp_path):
    there = slurm(tmp_path)
    (commands / "squeue.said").write_text("7|RUNNING|None\n")
    there.start("p/a", job)
    assert {**there.ended(), **there.ended()} == {}
    (commands / "squeue.said").write_text(f"7|{state}|None\n")
    assert {**there.ended(), **there.ended()} == {"p/a": code}
    if code != GONE:
        assert f"Slurm job 7 ended: {state}" in (tmp_path / "logs" / "a").read_text()


def test_a_job_ends_as_its_note_says_and_that_of_another_says_nothing(commands, job, tmp_path):
    there = slurm(tmp_path)
    there.start("p/a", job)
    (commands / "squeue.said").write_text("7|RUNNING|None\n")
    node.note(job).write_text('{"job": "6", "code": 1}')
    assert there.ended() == {}
    node.note(job).write_text('{"job": "7", "code": 0}')
    assert there.ended() == {"p/a": 0}
    assert there.free() == executor.AT_ONCE


def test_a_job_in_the_queue_is_not_submitted_again(commands, job, tmp_path):
    first = slurm(tmp_path)
    first.start("p/a", job)
    first.ended()
    (commands / "squeue.said").write_text("7|PENDING|Priority\n")
    (commands / "sbatch.refuses").touch()
    second = slurm(tmp_path)
    assert second.knows("p/a", job)
    assert second.ended() == {}
    second.stop()
    assert "--state=PENDING 7" in (commands / "scancel.said").read_text()
    ticket = executor._ticket(job)
    ticket.write_text('{"job": "7", "runner": {"machine": "other", "pid": 1, "began": 1}}')
    third = slurm(tmp_path)
    third.start("p/a", job)
    (commands / "scancel.said").unlink()
    third.stop()  # it waits for another's, and leaves it alone
    assert third.ended()
    assert not (commands / "scancel.said").exists()


def test_a_job_that_slurm_holds_is_taken_out(commands, job, tmp_path):
    there = slurm(tmp_path)
    there.start("p/a", job)
    (commands / "squeue.said").write_text("7|PENDING|launch failed requeued held\n")
    assert {**there.ended(), **there.ended()} == {"p/a": -9}
    assert "7" in (commands / "scancel.said").read_text().split()


def test_ctrl_c_while_jobs_are_submitted_leaves_none_that_nobody_knows(commands, job, tmp_path):
    (commands / "sbatch.interrupts").touch()
    there = slurm(tmp_path)
    there.start("p/a", job)
    with pytest.raises(KeyboardInterrupt):
        there.ended()
    there.stop()
    assert "--state=PENDING 7" in (commands / "scancel.said").read_text()


def test_why_a_job_waits_is_said_once(commands, job, tmp_path, capsys):
    (commands / "squeue.said").write_text("7|PENDING|PartitionTimeLimit\n")
    there = slurm(tmp_path)
    there.start("p/a", job)
    assert {**there.ended(), **there.ended()} == {}
    assert capsys.readouterr().err == "Slurm lets job 7 wait: PartitionTimeLimit\n"


def test_slurms_own_words_when_it_refuses(commands, job, tmp_path):
    (commands / "sbatch.refuses").touch()
    there = slurm(tmp_path)
    there.start("p/a", job)
    with pytest.raises(InputError, match="sbatch refuses the jobs: invalid partition specified"):
        there.ended()


def test_a_job_is_told_of_when_it_is_submitted(sketch, commands, tmp_path, capsys, monkeypatch):
    (item,) = reproduce.items(["sketch"], row="T1-broken")[:1]
    monkeypatch.setattr(runner, "LOOK", 0.1)
    (commands / "sbatch.refuses").touch()
    work = runner.Runner([item], sketch, Options(), slurm(tmp_path), Board(sketch))
    with pytest.raises(InputError, match="sbatch refuses the jobs"):
        work.run()
    assert item.key not in capsys.readouterr().err
    (commands / "sbatch.refuses").unlink()
    (commands / "squeue.said").write_text("7|PENDING|None\n")
    work._wait({item.key: item})
    assert f"{item.key} is submitted\n" in capsys.readouterr().err


def test_without_slurm_or_submitit(tmp_path, monkeypatch, commands):
    chosen = argparse.Namespace(
        executor="slurm", jobs=None, slurm_file=None, slurm_time="60", slurm_sbatch=None
    )
    assert executors.make(chosen, tmp_path).free() == executor.AT_ONCE
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"pip install 'histopapers\[slurm\]'"):
        executors.make(chosen, tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="there is no sbatch on the PATH"):
        executors.make(chosen, tmp_path)


def test_cores_of_a_job(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 5})
    monkeypatch.setenv("SLURM_JOB_ID", "3")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "2")
    assert node.cores() == (2, 5)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    assert node.cores() == ()  # it sees what it was given


def test_an_heir_replaces_the_one_that_was_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.05)
    told = []
    old = leases.Lease.take(tmp_path / "claim", heir="slurm 7")
    old.on_loss = lambda: told.append(True)
    assert leases.Lease.take(tmp_path / "claim") is None
    assert leases.Lease.take(tmp_path / "claim", heir="slurm 8") is None
    with leases.Lease.take(tmp_path / "claim", heir="slurm 7") as new:
        assert new.replaced
        until = time.monotonic() + 5
        while not told and time.monotonic() < until:
            time.sleep(0.01)
        assert told == [True]
        assert old.lost
        assert not old.holds()
        old.release()  # is not its own any more
        assert new.holds()


def test_a_disk_that_does_not_answer_takes_no_lease_away(tmp_path, monkeypatch):
    lease = leases.Lease.take(tmp_path / "claim")
    (tmp_path / "claim").write_text("")  # as half of a file, seen on a network disk
    assert not lease._taken()
    (tmp_path / "claim").unlink()
    assert lease._taken()
    lease.release()


def test_a_deaf_child_ends_by_sigint_alone():
    command = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(20)"]
    child = subprocess.Popen(
        [sys.executable, "-m", "common.reproduce.child", "--parent", str(os.getpid()), "--deaf",
         "--", *command],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert child.stdout.readline() == b"1\n"
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        child.send_signal(number)
    time.sleep(0.1)
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    assert child.wait(10) == -signal.SIGINT
    child.stdout.close()
