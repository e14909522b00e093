"""The processes that decode: the same pixels, fingerprints and refusals as without them."""

import numpy as np
import pytest
from PIL import Image

from common import images
from common.errors import InputError
from common.images import decoders
from common.images.header import ImageError

pytest.importorskip("kornia_rs")

COUNT = 24


@pytest.fixture
def folder(tmp_path):
    """PNGs of every filter and packing, one with an opaque alpha channel, and a JPEG."""
    rng = np.random.default_rng(0)
    names = []
    for number in range(COUNT):
        image = rng.integers(0, 256, (9, 11, 3), np.uint8).repeat(8, 0).repeat(7, 1)
        image += rng.integers(0, 3, image.shape, np.uint8)
        picture = Image.fromarray(image[: 60 + number])
        if number == 3:
            picture.putalpha(255)
        ending = "jpg" if number == 5 else "png"
        names.append(f"{number}.{ending}")
        picture.save(tmp_path / names[-1], compress_level=number % 10)
    return tmp_path, names


def cached(folder, names, where, **arguments):
    return images.cached(
        folder, names, 32, cache_dir=folder / where, workers=2, progress=False, **arguments
    )


def test_processes_give_the_same_pixels_and_fingerprints(folder, monkeypatch):
    folder, names = folder
    plain = cached(folder, names, "plain")
    used = []
    monkeypatch.setattr(decoders, "ENOUGH", COUNT - 1)
    reduce = decoders.Decoders.reduce
    monkeypatch.setattr(
        decoders.Decoders, "reduce", lambda *given: used.append(1) or reduce(*given)
    )
    # Here nothing must be decoded: the processes answer all.
    monkeypatch.setattr(decoders, "reduce", None)
    found = cached(folder, names, "found")
    assert len(used) == COUNT
    np.testing.assert_array_equal(found[np.arange(COUNT)], plain[np.arange(COUNT)])
    for name in ("pixels", "hashes"):
        ours, theirs = (getattr(each.fingerprints(), name) for each in (found, plain))
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_refused_is_refused_by_processes_too(folder, monkeypatch):
    folder, names = folder
    data = (folder / "7.png").read_bytes()
    (folder / "7.png").write_bytes(data[:-30])
    (folder / "8.png").write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    Image.new("L", (20, 20)).save(folder / "9.png")
    with pytest.raises(InputError) as plain:
        cached(folder, names, "plain")
    monkeypatch.setattr(decoders, "ENOUGH", COUNT - 1)
    with pytest.raises(InputError) as found:
        cached(folder, names, "found")
    assert str(found.value) == str(plain.value) and "9.png" in str(plain.value)


def test_a_process_that_dies_is_done_without(folder):
    folder, _ = folder
    data = (folder / "0.png").read_bytes()
    with decoders.Decoders(1, 32, "area") as few:
        before = few.reduce(data, ".png")
        few._processes[0].kill()
        few._processes[0].wait()
        for _ in range(2):
            image, mark = few.reduce(data, ".png")
            np.testing.assert_array_equal(image, before[0])
            assert mark == before[1]
        with pytest.raises(ImageError, match="not an image"):
            few.reduce(b"no picture", ".png")


def test_few_images_and_other_formats_are_not_worth_a_process():
    many = [f"{i}.png" for i in range(decoders.ENOUGH)]
    assert decoders.worth_it(many, 2)
    assert not decoders.worth_it(many, 1)
    assert not decoders.worth_it([*many[1:], "a.jpg"], 2)
