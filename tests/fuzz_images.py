"""Feed damaged images to `common.images.read` and hold what it accepts against Pillow.

    python tests/fuzz_images.py --count 10000

Every case is a small PNG, JPEG or TIFF with one to three mutations: flipped bits, truncation (with
and without a new end marker), bytes cut out, inserted or repeated, chunks swapped, repeated or
dropped, lengths that lie, header fields edited (the PNG checksums made right again, or not), two
files spliced. A case depends on its number alone, so a failure can be looked at again:
``--first N --count 1 --keep FOLDER``.

What must hold of every case:

- `read` ends within `TIME_LIMIT`, returns an image or raises `InputError` that begins with the
  file's name, and never ends the process;
- an image that is accepted is the image of these bytes: Pillow and OpenCV, either of which `read`
  builds on, both decode them to the same size and pixels (within `JPEG_TOLERANCE` grey levels where
  the file is a JPEG or a TIFF of JPEG, as decoders round differently), Pillow without complaint and
  as 8-bit RGB (or RGBA that is opaque everywhere);
- or the mutation did not touch what decides the pixels: they are exactly those of the file before
  it was mutated.

JPEG and most TIFFs hold no checksum. Damage to their pixels that leaves a file every part of which
is well-formed decodes to other pixels in every reader; such cases are counted on their own, as
"other pixels".
"""

from __future__ import annotations

import argparse
import collections
import io
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from image_mutations import mutant, originals
from PIL import Image

from common import images
from common.errors import InputError

TIME_LIMIT = 5.0  # seconds per case; they take milliseconds
JPEG_TOLERANCE = 3
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif"}


# --- the judge ---------------------------------------------------------------------------------


def pillow(data: bytes) -> np.ndarray | str:
    """RGB pixels as Pillow decodes them; why not, where it does not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=list(SUFFIXES)) as image:
                image.load()
                if image.mode == "RGBA" and np.asarray(image)[..., 3].min() == 255:
                    return np.asarray(image)[..., :3]
                return np.asarray(image) if image.mode == "RGB" else f"mode {image.mode}"
    except Exception as error:  # any complaint of the other reader is an answer
        return f"{type(error).__name__}: {error}"


def opencv(data: bytes) -> np.ndarray | str:
    """RGB pixels as OpenCV decodes them."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        return f"error: {error}"
    return "no image" if image is None else image


def judge(path: Path, data: bytes, original: bytes) -> tuple[str, str]:
    """Read a case: ("refused" | "same pixels" | "other pixels" | "WRONG", reason)."""
    path.write_bytes(data)
    start = time.monotonic()
    try:
        image = images.read(path)
    except InputError as error:
        if time.monotonic() - start > TIME_LIMIT:
            return "WRONG", f"took {time.monotonic() - start:.1f} s"
        text = str(error)
        if not text.startswith(f"{path}: ") or "\n" in text:
            return "WRONG", f"the message does not name the file: {text}"
        return "refused", text.removeprefix(f"{path}: ")
    except Exception as error:
        return "WRONG", f"{type(error).__name__}: {error}"
    if time.monotonic() - start > TIME_LIMIT:
        return "WRONG", f"took {time.monotonic() - start:.1f} s"
    before = decoded(original)
    if image.shape == before.shape and np.array_equal(image, before):
        return "same pixels", ""
    tolerance = JPEG_TOLERANCE if b"\xff\xd8\xff" in data else 0
    for reader in (pillow, opencv):
        other = reader(data)
        if isinstance(other, str):
            return "WRONG", f"accepted, but {reader.__name__} says {other}"
        if other.shape != image.shape or image.dtype != np.uint8:
            return "WRONG", f"{image.shape} {image.dtype}, but {reader.__name__} says {other.shape}"
        apart = int(np.abs(image.astype(int) - other).max())
        if apart > tolerance:
            return "WRONG", f"accepted, but the pixels of {reader.__name__} differ by {apart}"
    return "other pixels", ""


def decoded(original: bytes) -> np.ndarray:
    """Pixels of a whole file, as `read` gives them."""
    if original not in _DECODED:
        kind = next(kind for kind, data in originals() if data == original)
        with tempfile.NamedTemporaryFile(suffix=SUFFIXES[kind]) as file:
            file.write(original)
            file.flush()
            _DECODED[original] = images.read(file.name)
    return _DECODED[original]


_DECODED: dict[bytes, np.ndarray] = {}


# --- many cases, in a process of their own ------------------------------------------------------


def _work(first: int, count: int, folder: str, sender) -> None:
    with open(os.devnull, "wb") as null:  # noqa: PTH123 - a descriptor is needed
        os.dup2(null.fileno(), 2)  # the decoders' own complaints
    files = originals()
    for number in range(first, first + count):
        kind, data, original, done = mutant(number, files)
        sender.send((number, kind, done, None, None))
        path = Path(folder) / f"{number}{SUFFIXES[kind]}"
        outcome, reason = judge(path, data, original)
        if outcome != "WRONG":
            path.unlink()
        sender.send((number, kind, done, outcome, reason))


def run(first: int, count: int, folder: Path) -> Iterator[tuple[int, str, str, str, str]]:
    """Judge cases in another process, which a crash or a hang ends without ending this one.

    Yields
    ------
    number, format, what was done, outcome, reason
    """
    context = multiprocessing.get_context("spawn")
    done, last = first, first + count
    while done < last:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(done, last - done, str(folder), sender))
        process.start()
        sender.close()
        current, limit = (done, "", ""), 60.0  # the first answer includes importing everything
        try:
            while done < last:
                if not receiver.poll(limit):
                    process.kill()
                    yield (*current, "WRONG", f"no answer within {TIME_LIMIT} s")
                    done = current[0] + 1
                    break
                number, kind, what, outcome, reason = receiver.recv()
                current, limit = (number, kind, what), 2 * TIME_LIMIT
                if outcome is not None:
                    done = number + 1
                    yield number, kind, what, outcome, reason
        except EOFError:
            process.join()
            yield (*current, "WRONG", f"the process ended with {process.exitcode}")
            done = current[0] + 1
        process.join()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="how many cases")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--keep", type=Path, help="folder to leave the wrongly treated files in")
    parser.add_argument("--reasons", action="store_true", help="count the reasons for refusals too")
    flags = parser.parse_args(arguments)
    began = time.monotonic()
    outcomes: collections.Counter = collections.Counter()
    reasons: collections.Counter = collections.Counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = flags.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for number, kind, done, outcome, reason in run(flags.first, flags.count, folder):
            outcomes[kind, outcome] += 1
            if outcome == "refused":
                reasons[kind, reason.split(";")[0].split("(")[0].strip()] += 1
            if outcome == "WRONG":
                print(f"case {number} ({kind}, {done}): {reason}", flush=True)
    columns = ("refused", "same pixels", "other pixels", "WRONG")
    print(f"{'':8}" + "".join(f"{name:>14}" for name in columns))
    for kind in SUFFIXES:
        print(f"{kind:8}" + "".join(f"{outcomes[kind, name]:14d}" for name in columns))
    if flags.reasons:
        for (kind, reason), count in sorted(reasons.items(), key=lambda item: -item[1]):
            print(f"{count:6d}  {kind:5} {reason}")
    wrong = sum(outcomes[kind, "WRONG"] for kind in SUFFIXES)
    print(
        f"{'PASS' if not wrong else 'MISS'}: {flags.count} cases from {flags.first} in "
        f"{time.monotonic() - began:.0f} s, {wrong} treated wrongly"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
