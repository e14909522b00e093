"""Who owns what: leases among processes and among hosts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from common import leases
from common.errors import InputError
from common.files import write_text
from common.leases import Lease, LostError, holder

HOLD = """
import sys, time
from common.leases import Lease
lease = Lease.take(sys.argv[1])
print("has it" if lease else "has it not", flush=True)
time.sleep(60)
"""


def other(path):
    """Another process that takes a lease and keeps it; give it once it has it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "has it\n"
    return process


def elsewhere(path, *, age=0.0):
    """A lease of a process of another host, touched so many seconds ago."""
    path.write_text(json.dumps({"token": "0" * 32, "host": "another", "pid": 1, "began": 1}))
    touched = path.stat().st_mtime - age
    os.utime(path, (touched, touched))


def test_one_has_it_at_a_time(tmp_path):
    path = tmp_path / "claim.json"
    with Lease.take(path, key="what for") as lease:
        assert Lease.take(path) is None
        assert holder(path)["key"] == "what for"
        lease.check()
    assert holder(path) is None
    assert list(tmp_path.iterdir()) == []  # nothing is left


def test_a_living_process_keeps_it_and_a_killed_one_does_not(tmp_path):
    path = tmp_path / "claim.json"
    process = other(path)
    try:
        os.kill(process.pid, signal.SIGSTOP)  # asleep is not dead
        assert Lease.take(path, patience=0.0) is None
        assert holder(path)["pid"] == process.pid
    finally:
        process.kill()
        process.communicate()
    assert holder(path) is None
    with Lease.take(path) as lease:
        lease.check()


def test_a_number_that_another_process_has_now_is_not_the_owner(tmp_path):
    path = tmp_path / "claim.json"
    lease = Lease.take(path)
    owner = {**lease.owner, "began": 12}  # this process's number, begun at another time
    lease._stop.set()
    path.write_text(json.dumps(owner))
    assert holder(path) is None


def test_another_host_is_given_up_by_time_alone(tmp_path):
    path = tmp_path / "claim.json"
    elsewhere(path, age=50)
    assert Lease.take(path, patience=60) is None
    elsewhere(path, age=70)
    assert holder(path, patience=60) is None
    with Lease.take(path, patience=60):
        assert holder(path)["pid"] == os.getpid()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"token": 3}'])
def test_a_file_that_says_nothing_may_be_being_written(tmp_path, content):
    path = tmp_path / "claim.json"
    path.write_text(content)
    assert Lease.take(path, patience=60) is None
    os.utime(path, (0, 0))
    with Lease.take(path, patience=60) as lease:
        lease.check()


def test_the_owner_touches_it(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.02)
    path = tmp_path / "claim.json"
    with Lease.take(path):
        os.utime(path, (0, 0))
        until = time.monotonic() + 5
        while path.stat().st_mtime == 0 and time.monotonic() < until:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


def test_who_has_lost_it_writes_nothing_more(tmp_path, monkeypatch):
    path, file = tmp_path / "claim.json", tmp_path / "result.txt"
    lease = Lease.take(path)
    monkeypatch.setenv(leases.VARIABLE, lease.name)
    write_text(file, "mine")
    elsewhere(path)  # given up, and taken by another
    with pytest.raises(LostError, match="another has taken its place"):
        lease.check()
    with pytest.raises(InputError, match="writes nothing more"):
        write_text(file, "not mine")
    assert file.read_text() == "mine"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["claim.json", "result.txt"]
    lease.release()  # of what it has lost it leaves its hands
    assert holder(path)["host"] == "another"


def test_of_many_who_want_what_a_dead_process_had_one_gets_it(tmp_path):
    path = tmp_path / "claim.json"
    for _ in range(20):
        process = subprocess.Popen([sys.executable, "-c", ""])
        process.wait()
        mine = Lease.take(path)
        dead = {**mine.owner, "token": "d" * 32, "pid": process.pid}
        mine._stop.set()
        path.write_text(json.dumps(dead))
        got, barrier = [], threading.Barrier(8)

        def take(got=got, barrier=barrier):
            barrier.wait()
            got.append(Lease.take(path))

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        holders = [lease for lease in got if lease is not None and lease.holds()]
        assert len(holders) == 1, got
        for lease in got:
            if lease is not None:
                lease.release()
    assert list(tmp_path.iterdir()) == []
