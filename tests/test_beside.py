"""Images are decoded while a framework is loaded: the same pixels, errors and words as without."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from test_images import tissue, write_folder
from test_terminal import drawn, on_terminal, screen

from common import backend, images
from common.errors import InputError
from common.images import cache, reading

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def many(monkeypatch):
    """So few images count as many."""
    monkeypatch.setattr(cache, "_MANY", 12)


def build(folder: Path, names: list[str], where: Path, **options) -> images.Pixels:
    return images.cached(folder, names, 16, cache_dir=where, **options)


def stored(where: Path) -> int:
    (file,) = where.glob("*/pixels.u8")
    return file.stat().st_size // (16 * 16 * 3)


# --- what is done beside what ------------------------------------------------------------------


def test_both_are_done_at_once_and_loading_stays_in_this_thread():
    met = threading.Barrier(2, timeout=20)  # passed by neither alone
    threads = {}

    def work(stop):
        threads["work"] = threading.current_thread()
        met.wait()
        return "decoded"

    def load():
        threads["load"] = threading.current_thread()
        met.wait()

    before = sys.getswitchinterval()
    assert backend.beside(work, load) == "decoded"
    assert threads["load"] is threading.main_thread() is not threads["work"]
    assert sys.getswitchinterval() == before


def test_what_loading_raises_ends_the_work_and_what_the_work_raises_waits_for_loading():
    ended = []

    def until_stopped(stop):
        assert stop.wait(20)
        ended.append("work")

    def broken():
        raise ValueError("no such network")

    with pytest.raises(ValueError, match="no such network"):
        backend.beside(until_stopped, broken)
    assert ended == ["work"]

    def bad(stop):
        raise InputError("bad image")

    with pytest.raises(InputError, match="bad image"):
        backend.beside(bad, lambda: ended.append("load"))
    assert ended == ["work", "load"]


# --- the cache ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("many")
def test_the_cache_loads_beside_many_images_and_not_beside_few_or_none(tmp_path):
    names = write_folder(tmp_path / "data", 24)
    calls = []
    for count, expected in ((11, 0), (22, 0), (22, 0), (11, 0)):  # 11 more, and none
        build(
            tmp_path / "data", names[:count], tmp_path / "cache", meanwhile=lambda: calls.append(1)
        )
        assert len(calls) == expected
    pixels = build(tmp_path / "data", names, tmp_path / "new", meanwhile=lambda: calls.append(1))
    assert calls == [1]
    expected = np.stack([images.resize(tissue(int(name[:3])), 16) for name in names])
    np.testing.assert_array_equal(pixels[:], expected)


@pytest.mark.usefixtures("many")
def test_bad_images_are_told_as_ever_also_where_nothing_can_be_loaded(tmp_path, capsys):
    names = write_folder(tmp_path / "data", 20)
    (tmp_path / "data" / names[3]).write_bytes(b"")
    (tmp_path / "data" / names[7]).write_bytes(b"no image")

    def refuse():
        raise InputError("the Keras backend tensorflow cannot be imported")

    told = []
    for i, options in enumerate(({}, {"meanwhile": refuse}, {"meanwhile": lambda: None})):
        with pytest.raises(InputError) as error:
            build(tmp_path / "data", names, tmp_path / str(i), **options)
        told.append((str(error.value), capsys.readouterr().err))
        assert stored(tmp_path / str(i)) == 18
    assert told[0] == told[1] == told[2]
    assert told[0][0].startswith("2 images cannot be used:")
    # Without a bad one the cache is built: whoever needs what cannot be loaded says so.
    good = [name for name in names if name not in (names[3], names[7])]
    assert len(build(tmp_path / "data", good, tmp_path / "good", meanwhile=refuse)) == 18


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_build_whose_loading_is_ended_keeps_what_it_has_and_goes_on(tmp_path, monkeypatch, error):
    names = write_folder(tmp_path / "data", 40)
    read, seen = reading.load, threading.Event()

    def slowly(path):
        time.sleep(0.02)
        if path.endswith(names[15]):
            seen.set()
        return read(path)

    def ended():
        assert seen.wait(20)
        raise error

    monkeypatch.setattr("common.images.build.load", slowly)
    with pytest.raises(error):
        build(tmp_path / "data", names, tmp_path / "cache", meanwhile=ended)
    assert 10 <= stored(tmp_path / "cache") < 40
    assert threading.active_count() == 1
    monkeypatch.setattr("common.images.build.load", read)
    assert len(build(tmp_path / "data", names, tmp_path / "cache")) == 40  # nobody holds its lock


SLOWLY = """
import sys, time
from common import backend, errors, images
from common.images import build
load = build.load

def slowly(path):
    time.sleep(0.04)
    return load(path)

build.load = slowly
names = [f"{i:03}.png" for i in range(300)]
errors.main(lambda: images.cached(sys.argv[1], names, 16, cache_dir=sys.argv[2], workers=2,
                                  meanwhile=MEANWHILE))
"""


@pytest.mark.parametrize(
    "meanwhile",
    ["lambda: time.sleep(30)", "lambda: None",
     pytest.param("backend.load", marks=pytest.mark.slow)],
)  # fmt: skip
def test_ctrl_c_while_images_are_decoded(tmp_path, meanwhile):
    write_folder(tmp_path / "data", 300)
    code = SLOWLY.replace("MEANWHILE", meanwhile)
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "data", tmp_path / "cache"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        said = process.stderr.readline()  # after a second
        process.send_signal(signal.SIGINT)
        said += process.stderr.read()
    assert process.returncode == 130, said
    assert re.fullmatch(
        r"image cache: \d+ of 300 images \(\d+ %\), \d+/s, \d:\d\d left\n\ninterrupted\n", said
    ), said
    assert 10 < stored(tmp_path / "cache") < 250


# --- what is said meanwhile --------------------------------------------------------------------

GREETING = "I0000 00:00:1.2 3 port.cc:153] oneDNN custom operations are on. You may see other."
SAID = f"""
import os, sys, time
from common import backend, terminal
from common.terminal import bars
bars.SHORTEST = bars.REDRAW = 0.01

def load():
    with backend.without_greetings():
        time.sleep(0.1)
        os.write(2, b"{GREETING}\\n" + b"of C++ code\\n")
        time.sleep(0.3)

def work(stop):
    with terminal.progress("decoding", total=20, unit="images") as bar:
        for i in range(20):
            time.sleep(0.03)
            bar.advance()
            if i == 9:
                bar.say("a line above")

backend.beside(work, load)
terminal.line("after")
"""


def test_a_bar_stands_while_the_error_stream_is_filtered():
    written = on_terminal(SAID, TF_CPP_MIN_LOG_LEVEL="3")
    assert len([each for each in drawn(written) if each.startswith("decoding ━")]) >= 10
    *_, last, after = screen(written)
    for once in ("a line above", "of C++ code"):
        assert written.count(once) == 1
    assert re.fullmatch(r"decoding: 20 images in 0:0\d, \d+/s", last)
    assert after == "after"
    assert "oneDNN" not in written


def test_a_log_has_the_same_lines_while_the_error_stream_is_filtered():
    done = subprocess.run(
        [sys.executable, "-c", SAID], cwd=ROOT, capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    first, *others = done.stderr.splitlines()
    assert re.fullmatch(r"decoding: \d of 20 images \(\d+ %\), \d+/s, 0:0\d left", first)
    assert sorted(others[:2]) == ["a line above", "of C++ code"]
    assert re.fullmatch(r"decoding: 20 images in 0:0\d, \d+/s", others[2])
    assert others[3:] == ["after"]


def test_nothing_is_left_open_and_streams_of_others_are_left_alone(capfd):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        with backend.without_greetings(), backend.without_greetings():
            os.write(2, f"{GREETING}\nof C++ code\n".encode())
            print("printed", file=sys.stderr)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert sorted(capfd.readouterr().err.split("\n")) == [
        "", *["of C++ code"] * 2, *["printed"] * 2
    ]  # fmt: skip
