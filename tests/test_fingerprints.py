"""Fingerprints: taken when an image is first decoded, kept in the cache, taken again if need be."""

from __future__ import annotations

import hashlib
import signal

import filelock
import numpy as np
import pytest
from test_cache import build, start_build
from test_cache_index import older, store_of
from test_images import encoded, tissue, write_folder

from common import images
from common.errors import InputError
from common.images import fingerprints
from common.images.store import Store


def prints(name: str, source: np.ndarray | None = None) -> bytes:
    image = tissue(int(name[:3])) if source is None else source
    record = fingerprints.fingerprint(image)
    return record["pixels"].tobytes() + record["hashes"].tobytes()


def given(pixels: images.Pixels) -> list[bytes]:
    found = pixels.fingerprints()
    return [
        its.tobytes() + hashes.tobytes()
        for its, hashes in zip(found.pixels, found.hashes, strict=True)
    ]


def test_fingerprints_are_those_of_the_decoded_images(tmp_path, reads):
    names = write_folder(tmp_path / "data", 6)
    (tmp_path / "data" / "x.png").write_bytes((tmp_path / "data" / names[2]).read_bytes())
    asked = [names[4], "x.png", *names]
    inverted = {"transform": lambda image: 255 - image, "transform_id": "invert"}
    for options in ({}, inverted):
        pixels = build(tmp_path / "data", asked, tmp_path / "cache", **options)
        count = len(reads)
        assert given(pixels) == [prints(name) for name in (names[4], names[2], *names)]
        again = build(tmp_path / "data", asked[::-1], tmp_path / "cache", **options)
        assert given(again) == given(pixels)[::-1]
        assert given(again.renamed([str(i) for i in range(8)])) == given(again)
        assert len(reads) == count  # nothing was decoded for them
    assert (
        images.Pixels(["a"], np.zeros((1, 1, 1, 3), np.uint8), np.arange(1)).fingerprints() is None
    )
    expected = hashlib.sha256(b"(46, 70, 3)" + tissue(4).tobytes()).digest()
    assert given(again)[-1][:32] == expected


def test_an_older_cache_takes_fingerprints_when_they_are_asked_for(tmp_path, reads, capsys):
    names = write_folder(tmp_path / "data", 5)
    build(tmp_path / "data", names[:3], tmp_path / "cache")
    store = store_of(tmp_path / "cache")
    older(store.folder)
    reads.clear()
    pixels = images.cached(tmp_path / "data", names, 16, cache_dir=tmp_path / "cache")
    assert len(reads) == 2  # the new ones; what an older cache holds is not read again
    capsys.readouterr()
    assert given(pixels) == [prints(name) for name in names]
    assert len(reads) == 5
    assert "3 images are read once more, to be compared" in capsys.readouterr().err
    assert given(pixels) == [prints(name) for name in names]
    again = build(tmp_path / "data", names, tmp_path / "cache")
    assert given(again) == [prints(name) for name in names]
    assert len(reads) == 5  # they were kept


@pytest.mark.parametrize("damage", ["bit", "swap", "cut"])
def test_damaged_fingerprints_are_taken_again(tmp_path, reads, damage):
    names = write_folder(tmp_path / "data", 4)
    pixels = build(tmp_path / "data", names, tmp_path / "cache")
    file = store_of(tmp_path / "cache").fingerprints_file
    size = fingerprints.RECORD_BYTES
    data = bytearray(file.read_bytes())
    assert len(data) == 4 * size
    if damage == "bit":
        data[size + 100] ^= 4
    elif damage == "swap":
        data[:size], data[size : 2 * size] = data[size : 2 * size], data[:size]
    else:
        del data[3 * size + 5 :]
    file.write_bytes(data)
    reads.clear()
    assert given(pixels) == [prints(name) for name in names]
    assert len(reads) == (2 if damage == "swap" else 1)
    assert given(build(tmp_path / "data", names, tmp_path / "cache")) == given(pixels)
    assert len(reads) == (2 if damage == "swap" else 1)


def test_fingerprints_of_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    names = write_folder(tmp_path / "data", 3)
    pixels = build(tmp_path / "data", names, tmp_path / "cache")
    store = store_of(tmp_path / "cache")
    store.fingerprints_file.unlink()

    def closed(*arguments, **options):
        raise InputError("the image cache cannot be written")

    monkeypatch.setattr(Store, "lock", closed)
    assert given(pixels) == [prints(name) for name in names]
    assert not store.fingerprints_file.exists()


def test_fingerprints_of_a_cache_that_another_process_builds(tmp_path):
    names = write_folder(tmp_path / "data", 3)
    pixels = build(tmp_path / "data", names, tmp_path / "cache")
    store = store_of(tmp_path / "cache")
    store.fingerprints_file.unlink()
    with filelock.FileLock(store.folder / ".lock"):  # held to the end: nothing may wait for it
        assert given(pixels) == [prints(name) for name in names]
        assert not store.fingerprints_file.exists()
    assert given(pixels) == [prints(name) for name in names]
    assert store.fingerprints_file.stat().st_size == 3 * fingerprints.RECORD_BYTES


def test_fingerprints_outlive_a_rebuild_of_the_cache(tmp_path):
    names = write_folder(tmp_path / "data", 4)
    pixels = build(tmp_path / "data", names[:3], tmp_path / "cache")
    store = store_of(tmp_path / "cache")
    store.index_file.write_text("")
    build(tmp_path / "data", [names[3], names[2], names[1]], tmp_path / "cache")
    assert given(pixels) == [prints(name) for name in names[:3]]
    assert given(pixels) == [prints(name) for name in names[:3]]


def test_a_file_that_has_changed_has_no_fingerprint(tmp_path):
    names = write_folder(tmp_path / "data", 2)
    pixels = build(tmp_path / "data", names, tmp_path / "cache")
    store_of(tmp_path / "cache").fingerprints_file.unlink()
    (tmp_path / "data" / names[1]).write_bytes(encoded(tissue(9)))
    with pytest.raises(InputError, match=r"001\.png: has changed since it was read"):
        pixels.fingerprints()
    (tmp_path / "data" / names[1]).unlink()
    with pytest.raises(InputError, match=r"001\.png: does not exist"):
        pixels.fingerprints()


def test_a_killed_build_keeps_fingerprints_and_pixels_together(tmp_path, reads):
    names = write_folder(tmp_path / "data", 24)
    process = start_build(tmp_path / "data", names, tmp_path / "cache", 0.05)
    for _ in range(12):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    pixels = build(tmp_path / "data", names, tmp_path / "cache")
    count = len(reads)
    assert given(pixels) == [prints(name) for name in names]
    assert len(reads) == count
