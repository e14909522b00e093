"""Another process fills the cache while this one loads: the same pixels, errors and words."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from test_images import tissue, write_folder

from common import images
from common.errors import InputError
from common.images import apart
from common.images.store import Store

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def many(monkeypatch):
    """So few images count as many, and it is not asked where the error stream leads."""
    monkeypatch.setattr(apart, "MANY", 12)
    monkeypatch.setattr(apart, "_can_start", lambda: True)


@pytest.mark.usefixtures("many")
def test_another_process_decodes_many_images_and_not_few_or_none(tmp_path, reads, capfd):
    names = write_folder(tmp_path / "data", 24)
    threads = []

    def build(count: int, cache: str) -> images.Pixels:
        return images.cached(
            tmp_path / "data", names[:count], 16, cache_dir=tmp_path / cache,
            meanwhile=lambda: threads.append(threading.current_thread()),
        )  # fmt: skip

    for count in (11, 22, 22):  # 11 more, and none
        build(count, "few")
    assert (len(reads), threads) == (22, [])
    capfd.readouterr()
    pixels = build(24, "many")
    assert (len(reads), threads) == (22, [threading.main_thread()])
    expected = np.stack([images.resize(tissue(int(name[:3])), 16) for name in names])
    np.testing.assert_array_equal(pixels[:], expected)
    said = capfd.readouterr().err
    assert re.fullmatch(r"image cache: 24 images read in .* it now holds 24 images.*\n", said)


@pytest.mark.usefixtures("many")
def test_bad_images_are_told_as_ever_also_where_nothing_can_be_loaded(tmp_path, capfd):
    names = write_folder(tmp_path / "data", 20)
    (tmp_path / "data" / names[3]).write_bytes(b"")
    (tmp_path / "data" / names[7]).write_bytes(b"no image")

    def refuse():
        raise InputError("the Keras backend tensorflow cannot be imported")

    told = []
    for i, options in enumerate(({}, {"meanwhile": refuse})):
        with pytest.raises(InputError) as error:
            images.cached(tmp_path / "data", names, 16, cache_dir=tmp_path / str(i), **options)
        skipping = images.cached(
            tmp_path / "data", names, 16, cache_dir=tmp_path / f"{i}s", skip_bad=True, **options
        )
        assert len(skipping) == 18
        said = capfd.readouterr().err
        told.append((str(error.value), said.replace(str(tmp_path / f"{i}s"), "")))
    assert told[0] == told[1]
    assert told[0][0].startswith("2 images cannot be used:")


@pytest.mark.usefixtures("many")
def test_what_else_loading_raises_ends_the_other_process(tmp_path):
    names = write_folder(tmp_path / "data", 20)

    def broken():
        raise RuntimeError("no such thing")

    with pytest.raises(RuntimeError, match="no such thing"):
        images.cached(tmp_path / "data", names, 16, cache_dir=tmp_path / "c", meanwhile=broken)
    assert len(images.cached(tmp_path / "data", names, 16, cache_dir=tmp_path / "c")) == 20


def test_a_stream_of_others_is_no_place_for_another_process(capsys):
    assert not apart._can_start()


COMMAND = """
import sys, time
from pathlib import Path
from common import errors, images

def load():
    print("loading", flush=True)
    time.sleep(60)

names = sorted(path.name for path in Path(sys.argv[1]).iterdir())
errors.main(lambda: images.cached(sys.argv[1], names, 16, cache_dir=sys.argv[2], meanwhile=load))
"""


@pytest.mark.parametrize(
    ("how", "group"), [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGKILL, False)]
)
def test_the_other_process_ends_with_its_caller(tmp_path, how, group):
    names = write_folder(tmp_path / "data", apart.MANY)
    with (
        Store(tmp_path / "cache", 16, "area", "none").lock(False),  # so that it cannot finish
        subprocess.Popen(
            [sys.executable, "-c", COMMAND, tmp_path / "data", tmp_path / "cache"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
            # A parent that ignores Ctrl-C, as a test runner in the background may, hands that down.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as process,
    ):  # fmt: skip
        assert process.stdout.readline() == "loading\n"
        assert process.stderr.readline().startswith("image cache: waiting for another process")
        if group:
            os.killpg(process.pid, how)  # as a terminal does
        else:
            process.send_signal(how)
        said = process.stderr.read()  # it ends when both have ended
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    assert said == ("\ninterrupted\n" if how == signal.SIGINT else "")
    pixels = images.cached(tmp_path / "data", names, 16, cache_dir=tmp_path / "cache")
    assert len(pixels) == len(names)
