"""The index of the image cache: its checksum, and indexes of before that had none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from test_cache import build, expected
from test_images import write_folder

from common import images
from common.images.store import Store


def store_of(cache: Path) -> Store:
    (folder,) = cache.iterdir()
    store = Store(cache, 16, "area", "none")
    assert store.folder == folder
    store.load()
    return store


def older(folder: Path) -> None:
    """Make a cache what it was before indexes had a checksum and images had fingerprints."""
    index = json.loads((folder / "index.json").read_text())
    del index["sha256"]
    (folder / "index.json").write_text(json.dumps(index, separators=(",", ":")))
    (folder / "fingerprints-1.bin").unlink()


def test_a_changed_row_number_is_noticed(tmp_path, capsys):
    names = write_folder(tmp_path / "data", 4)
    build(tmp_path / "data", names, tmp_path / "cache")
    store = store_of(tmp_path / "cache")
    index = json.loads(store.index_file.read_text())
    path = str((tmp_path / "data" / names[0]).resolve())
    assert index["files"][path][2] == 0
    index["files"][path][2] = 1  # another image's pixels, sound in themselves
    store.index_file.write_text(json.dumps(index, separators=(",", ":")))
    pixels = images.cached(tmp_path / "data", names, 16, cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(pixels[:], expected(names))
    assert "index.json is damaged; it is built anew" in capsys.readouterr().err


def test_no_changed_byte_of_an_index_passes(tmp_path):
    names = write_folder(tmp_path / "data", 2)
    build(tmp_path / "data", names, tmp_path / "cache")
    store = store_of(tmp_path / "cache")
    assert not store.unreadable
    whole = store.index_file.read_bytes()
    for position in range(len(whole)):
        for change in (1, 32):
            damaged = bytearray(whole)
            damaged[position] ^= change
            store.index_file.write_bytes(damaged)
            store.load()
            assert store.unreadable, damaged
            assert store.rows == []
    store.index_file.write_bytes(whole)
    store.load()
    assert len(store.rows) == 2


def test_an_older_cache_is_read_and_gets_a_checksum_when_it_is_added_to(tmp_path, reads):
    names = write_folder(tmp_path / "data", 4)
    build(tmp_path / "data", names[:3], tmp_path / "cache")
    store = store_of(tmp_path / "cache")
    older(store.folder)
    reads.clear()
    pixels = build(tmp_path / "data", names[:3], tmp_path / "cache")
    np.testing.assert_array_equal(pixels[:], expected(names[:3]))
    assert reads == []
    assert "sha256" not in json.loads(store.index_file.read_text())
    build(tmp_path / "data", names, tmp_path / "cache")
    assert len(reads) == 1
    assert "sha256" in json.loads(store.index_file.read_text())
