"""The cache of decoded images: built once, whole or mended, with the images' fingerprints."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_images import encoded, tissue, write_folder

from common import images
from common.errors import InputError
from common.images import __main__ as command
from common.images.store import Store

ROOT = Path(__file__).resolve().parent.parent


def build(folder: Path, names: list[str], cache: Path, **options) -> images.Pixels:
    return images.cached(folder, names, 16, cache_dir=cache, progress=False, **options)


def expected(names: list[str]) -> np.ndarray:
    return np.stack([images.resize(tissue(int(name[:3])), 16) for name in names])


def test_cache_gives_every_image_in_the_order_asked_for(tmp_path, reads):
    names = write_folder(tmp_path / "data", 7)
    pixels = build(tmp_path / "data", names, tmp_path / "cache")
    assert len(reads) == 7
    assert pixels.shape == (7, 16, 16, 3)
    assert len(pixels) == 7
    np.testing.assert_array_equal(np.asarray(pixels), expected(names))
    np.testing.assert_array_equal(pixels[2:5], expected(names)[2:5])
    np.testing.assert_array_equal(pixels[np.array([4, 1, 1])], expected(names)[[4, 1, 1]])
    assert not pixels[3].flags.writeable
    backwards = build(tmp_path / "data", names[::-1], tmp_path / "cache")
    assert len(reads) == 7
    np.testing.assert_array_equal(backwards[:], expected(names[::-1]))
    assert backwards.row(names[6]) == 0
    assert backwards.rows([names[0], names[6]]).tolist() == [6, 0]
    with pytest.raises(InputError, match=r"absent\.png"):
        backwards.row("absent.png")


def test_equal_files_are_stored_and_decoded_once(tmp_path, reads):
    names = write_folder(tmp_path / "data", 3)
    for copy in ("x.png", "y.png"):
        (tmp_path / "data" / copy).write_bytes((tmp_path / "data" / names[1]).read_bytes())
    everything = [*names, "x.png", "y.png", names[1]]
    pixels = build(tmp_path / "data", everything, tmp_path / "cache", workers=1)
    assert len(reads) <= 4  # two equal files may be under way at once
    np.testing.assert_array_equal(pixels[:], expected([*names, names[1], names[1], names[1]]))
    (stored,) = (tmp_path / "cache").glob("*/pixels.u8")
    assert stored.stat().st_size == 3 * 16 * 16 * 3
    # Moved elsewhere, the same bytes are known again.
    (tmp_path / "data").rename(tmp_path / "moved")
    reads.clear()
    build(tmp_path / "moved", everything, tmp_path / "cache")
    assert reads == []


def test_each_size_filter_and_transform_has_its_own_cache(tmp_path):
    names = write_folder(tmp_path / "data", 2)
    where = {"cache_dir": tmp_path / "cache", "progress": False}
    plain = images.cached(tmp_path / "data", names, 16, **where)
    images.cached(tmp_path / "data", names, 12, **where)
    nearest = images.cached(tmp_path / "data", names, 16, filter="nearest", **where)
    inverted = images.cached(
        tmp_path / "data", names, 16, transform=lambda x: 255 - x, transform_id="invert", **where
    )
    assert len(list((tmp_path / "cache").iterdir())) == 4
    np.testing.assert_array_equal(nearest[0], images.resize(tissue(0), 16, "nearest"))
    assert np.abs(inverted[:].astype(int) + plain[:] - 255).max() <= 1
    with pytest.raises(ValueError, match="transform_id"):
        images.cached(tmp_path / "data", names, 16, transform=lambda x: x, **where)
    with pytest.raises(TypeError, match="float64"):
        images.cached(
            tmp_path / "data", names, 16, transform=lambda x: x / 2, transform_id="half", **where
        )


def test_a_changed_file_is_read_again(tmp_path, reads):
    names = write_folder(tmp_path / "data", 3)
    build(tmp_path / "data", names, tmp_path / "cache")
    file = tmp_path / "data" / names[1]
    status = file.stat()
    file.write_bytes(encoded(tissue(77)))
    reads.clear()
    pixels = build(tmp_path / "data", names, tmp_path / "cache")
    assert len(reads) == 1
    np.testing.assert_array_equal(pixels[1], images.resize(tissue(77), 16))
    np.testing.assert_array_equal(pixels[2], expected(names)[2])
    # Touched, but the bytes are the same: hashed again, not decoded again.
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    reads.clear()
    build(tmp_path / "data", names, tmp_path / "cache")
    assert reads == []


def test_all_bad_images_are_named_and_the_good_ones_kept(tmp_path, reads):
    names = write_folder(tmp_path / "data", 5)
    (tmp_path / "data" / names[0]).write_bytes(b"")
    (tmp_path / "data" / names[3]).write_bytes(encoded(tissue(3))[:200])
    with pytest.raises(InputError) as error:
        build(tmp_path / "data", names, tmp_path / "cache")
    assert "2 images cannot be used" in str(error.value)
    assert names[0] in str(error.value)
    assert names[3] in str(error.value)
    (stored,) = (tmp_path / "cache").glob("*/pixels.u8")
    assert stored.stat().st_size == 3 * 16 * 16 * 3
    write_folder(tmp_path / "data", 5)
    reads.clear()
    pixels = build(tmp_path / "data", names, tmp_path / "cache")
    assert len(reads) == 2
    np.testing.assert_array_equal(pixels[:], expected(names))


def damage_cut(folder: Path) -> None:
    os.truncate(folder / "pixels.u8", 1000)


def damage_bit(folder: Path) -> None:
    with (folder / "pixels.u8").open("r+b") as file:
        file.seek(900)
        byte = file.read(1)
        file.seek(900)
        file.write(bytes([byte[0] ^ 1]))


def damage_index(folder: Path) -> None:
    (folder / "index.json").write_text('{"version": 1,')


def damage_row(folder: Path) -> None:
    text = (folder / "index.json").read_text()
    (folder / "index.json").write_text(text.replace("}", "").replace("]]", "]") + "}")


def damage_missing(folder: Path) -> None:
    (folder / "pixels.u8").unlink()


@pytest.mark.parametrize(
    "damage", [damage_cut, damage_bit, damage_index, damage_row, damage_missing]
)
def test_a_damaged_cache_is_built_anew_with_a_message(tmp_path, capsys, damage):
    names = write_folder(tmp_path / "data", 4)
    build(tmp_path / "data", names, tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    damage(folder)
    pixels = images.cached(tmp_path / "data", names, 16, cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(pixels[:], expected(names))
    assert "it is built anew" in capsys.readouterr().err


def test_an_open_reader_outlives_a_rebuild(tmp_path):
    names = write_folder(tmp_path / "data", 4)
    old = build(tmp_path / "data", names, tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    (folder / "index.json").write_text("")
    build(tmp_path / "data", names, tmp_path / "cache")
    np.testing.assert_array_equal(old[:], expected(names))


SLOW_BUILD = """
import sys, time
from common import images
from common.images import build
build._COMMIT_SECONDS = 0.0
original = build.decode
def slow(data, extension):
    time.sleep(float(sys.argv[4]))
    print("decoded", flush=True)
    return original(data, extension)
build.decode = slow
names = sys.argv[3].split(",")
pixels = images.cached(sys.argv[1], names, 16, cache_dir=sys.argv[2], workers=2)
"""


def start_build(folder: Path, names: list[str], cache: Path, pause: float) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_BUILD, str(folder), str(cache), ",".join(names), str(pause)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_build_goes_on_where_it_stopped(tmp_path, reads):
    names = write_folder(tmp_path / "data", 24)
    process = start_build(tmp_path / "data", names, tmp_path / "cache", 0.05)
    for _ in range(12):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    pixels = build(tmp_path / "data", names, tmp_path / "cache")
    assert 0 < len(reads) < 24 - 4
    np.testing.assert_array_equal(pixels[:], expected(names))
    (stored,) = (tmp_path / "cache").glob("*/pixels.u8")
    assert stored.stat().st_size == 24 * 16 * 16 * 3


def test_two_processes_build_once(tmp_path):
    names = write_folder(tmp_path / "data", 12)
    processes = [start_build(tmp_path / "data", names, tmp_path / "cache", 0.05) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert sum(output.count("decoded") for output, _ in outputs) == 12
    np.testing.assert_array_equal(
        build(tmp_path / "data", names, tmp_path / "cache")[:], expected(names)
    )


def test_a_cache_that_cannot_be_written(tmp_path):
    names = write_folder(tmp_path / "data", 2)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--cache-dir"):
        build(tmp_path / "data", names, tmp_path / "file" / "cache")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into read-only folders")
def test_a_read_only_cache_serves_what_it_holds(tmp_path):
    names = write_folder(tmp_path / "data", 3)
    build(tmp_path / "data", names[:2], tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    folder.chmod(0o555)
    try:
        np.testing.assert_array_equal(
            build(tmp_path / "data", names[:2], tmp_path / "cache")[:], expected(names[:2])
        )
        with pytest.raises(InputError, match="--cache-dir"):
            build(tmp_path / "data", names, tmp_path / "cache")
    finally:
        folder.chmod(0o755)


def test_a_whole_cache_is_read_without_its_lock(tmp_path, monkeypatch):
    names = write_folder(tmp_path / "data", 3)
    build(tmp_path / "data", names, tmp_path / "cache")

    def forbidden(*arguments):
        raise AssertionError("a reader took the lock")

    monkeypatch.setattr(Store, "lock", forbidden)
    np.testing.assert_array_equal(
        build(tmp_path / "data", names, tmp_path / "cache")[:], expected(names)
    )


def test_no_room_is_a_message_and_keeps_what_was_there(tmp_path, monkeypatch):
    names = write_folder(tmp_path / "data", 5)
    build(tmp_path / "data", names[:2], tmp_path / "cache")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match=r"No space left on device.*--cache-dir"):
        build(tmp_path / "data", names, tmp_path / "cache")
    monkeypatch.undo()
    np.testing.assert_array_equal(
        build(tmp_path / "data", names, tmp_path / "cache")[:], expected(names)
    )


def test_a_full_disk_is_a_message(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        names = write_folder(tmp_path / "data", 120)
        with pytest.raises(InputError, match="No space left on device"):
            build(tmp_path / "data", names, small)
        np.testing.assert_array_equal(
            build(tmp_path / "data", names[:5], small)[:], expected(names[:5])
        )
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_progress_and_size_are_said_on_stderr(tmp_path, capsys):
    names = write_folder(tmp_path / "data", 3)
    images.cached(tmp_path / "data", names, 16, cache_dir=tmp_path / "cache")
    output = capsys.readouterr()
    assert output.out == ""
    assert "3 images read" in output.err
    assert "images/s" in output.err
    assert str(tmp_path / "cache") in output.err


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("HISTOPAPERS_CACHE", raising=False)
    assert images.cache_folder() == tmp_path / "xdg" / "histopapers"
    monkeypatch.setenv("HISTOPAPERS_CACHE", str(tmp_path / "own"))
    assert images.cache_folder() == tmp_path / "own"
    assert images.cache_folder(tmp_path / "given") == tmp_path / "given"


def test_command_line_shows_and_clears(tmp_path):
    names = write_folder(tmp_path / "data", 3)
    build(tmp_path / "data", names, tmp_path / "cache")
    (tmp_path / "cache" / "mine.txt").write_text("not the cache's")
    (tmp_path / "cache" / "features").mkdir()
    np.save(tmp_path / "cache" / "features" / ("0" * 64), np.zeros((3, 8), np.float32))

    def command(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "common.images", "cache", *arguments],
            cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip

    shown = command("--info", "--cache-dir", str(tmp_path / "cache"))
    assert "v2-16px-area-none: 3 images" in shown.stdout
    assert "features: of 1 sets of images" in shown.stdout
    cleared = command("--clear", "--cache-dir", str(tmp_path / "cache"))
    assert (shown.returncode, cleared.returncode) == (0, 0), cleared.stderr
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["mine.txt"]
    assert command("--clear", "--info").returncode == 2


def test_clear_waits_for_no_one(tmp_path):
    names = write_folder(tmp_path / "data", 12)
    process = start_build(tmp_path / "data", names, tmp_path / "cache", 0.1)
    process.stdout.readline()
    with pytest.raises(InputError, match="is building it"):
        command._clear(tmp_path / "cache")
    process.communicate(timeout=60)
    assert process.returncode == 0


SLOWLY = """
import sys, time
from common import errors, images
from common.images import build
load = build.load

def slowly(path):
    time.sleep(0.04)
    return load(path)

build.load = slowly
names = [f"{i:03}.png" for i in range(100)]
errors.main(lambda: images.cached(sys.argv[1], names, 16, cache_dir=sys.argv[2], workers=2))
"""


def test_ctrl_c_ends_a_build_with_what_it_has(tmp_path):
    write_folder(tmp_path / "data", 100)
    with subprocess.Popen(
        [sys.executable, "-c", SLOWLY, tmp_path / "data", tmp_path / "cache"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A parent that ignores Ctrl-C, as a test runner in the background may, hands that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        said = process.stderr.readline()  # after a second
        process.send_signal(signal.SIGINT)
        said += process.stderr.read()
    assert process.returncode == 130, said
    progress, *end = said.split("\n", 1)
    assert re.fullmatch(r"image cache: \d+ of 100 images \(\d+ %\), \d+/s, 0:0\d left", progress)
    assert end == ["\ninterrupted\n"]
    (stored,) = (tmp_path / "cache").glob("*/pixels.u8")
    assert 10 < stored.stat().st_size // (16 * 16 * 3) < 100


def test_an_interrupted_build_keeps_what_it_has(tmp_path, monkeypatch, reads):
    names = write_folder(tmp_path / "data", 10)
    original = Store.append
    count = 0

    def interrupt(self, *arguments):
        nonlocal count
        count += 1
        if count == 5:
            raise KeyboardInterrupt
        original(self, *arguments)

    monkeypatch.setattr(Store, "append", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "data", names, tmp_path / "cache", workers=1)
    monkeypatch.setattr(Store, "append", original)
    reads.clear()
    start = time.monotonic()
    build(tmp_path / "data", names, tmp_path / "cache")
    assert len(reads) == 6
    assert time.monotonic() - start < 30
