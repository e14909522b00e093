"""Mutate small model files and send them through the one door; it loads them or says why not.

    python tests/fuzz_models.py --count 2000 --seed 1

A case takes a whole `.keras` or `.weights.h5` file and makes one to three changes: bits, cuts and
repeats of the archive, of its config's text and of its HDF5 bytes (the checksums of the archive
made right again), values of the config replaced by what they must not be. A case depends on seed
and number alone: ``--first N --count 1`` repeats it.

What must hold of every case: a model or an `InputError` that begins with the file's name, within
`TIME_LIMIT` seconds and `MEMORY_LIMIT` bytes; a process that dies counts as a failure too.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import random
import resource
import sys
import tempfile
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

from common.errors import InputError

TIME_LIMIT = 20.0
MEMORY_LIMIT = 400 * 2**20
WRONG: tuple[Any, ...] = (
    None, True, -1, 0, 1, 10**9, 2**63, 10**30, 1e308, float("nan"), float("inf"), "", "x", "relu",
    "../../etc/passwd", "float16", "\ud800", [], [[]], [None], [10**9] * 3, {}, {"class_name": "x"},
    {"class_name": "Lambda", "config": {}}, {"class_name": "Dense", "config": {"units": 10**9}},
    {"class_name": "__numpy__", "config": {"value": [1], "dtype": "U1000000000"}},
    {"class_name": "system", "module": "os", "config": "true", "registered_name": "histopapers>x"},
)  # fmt: skip


def originals(folder: Path) -> list[Path]:
    """Whole files: a small network with a layer of ours, as a model and as weights."""
    import keras

    from common.normalise import InputScaling

    layers = keras.layers
    image = keras.Input((8, 8, 3), name="image")
    x = InputScaling("torch", name="input_scaling")(image)
    x = trunk = layers.Conv2D(4, 3, padding="same", name="conv")(x)
    x = layers.Add()([layers.ReLU()(layers.BatchNormalization(name="bn")(x)), trunk])
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    x = layers.Softmax()(layers.Dense(2, name="logits")(x))
    model = keras.Model(image, x, name="small")
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    return [folder / "model.keras", folder / "model.weights.h5"]


def parts(file: Path) -> dict[str, bytes]:
    """Members of an archive; of another file its bytes, under its name."""
    if file.suffix != ".keras":
        return {file.name: file.read_bytes()}
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """The bytes of an archive with these members, checksums right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def scrambled(data: bytes, rng: random.Random) -> bytes:
    """Bytes with one change: bits, a number, a cut, a repeat, a swap."""
    work = bytearray(data)
    if not work:
        return b"\0"
    at = rng.randrange(len(work))
    match rng.randrange(6):
        case 0:
            for _ in range(rng.randint(1, 8)):
                work[rng.randrange(len(work))] ^= 1 << rng.randrange(8)
        case 1:
            del work[at:]
        case 2:
            del work[at : at + rng.randint(1, 64)]
        case 3:
            work[at:at] = work[at : at + rng.randint(1, 256)]
        case 4:  # a length or an address that lies
            value = rng.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1, len(work)])
            width = rng.choice([1, 2, 4, 8])
            work[at : at + width] = (value % 256**width).to_bytes(width, "little")
        case _:
            other = rng.randrange(len(work))
            work[at : at + 8], work[other : other + 8] = work[other : other + 8], work[at : at + 8]
    return bytes(work)


def replaced(text: bytes, rng: random.Random) -> bytes:
    """A JSON text with one value replaced, removed, repeated or wrapped."""
    try:
        whole = json.loads(text)
    except ValueError:
        return scrambled(text, rng)
    places: list[tuple[Any, Any]] = []
    waiting = [whole]
    while waiting:
        item = waiting.pop()
        keys: Any = item if isinstance(item, dict) else range(len(item))
        for key in keys:
            places.append((item, key))
            if isinstance(item[key], (dict, list)) and item[key]:
                waiting.append(item[key])
    if not places:
        return scrambled(text, rng)
    item, key = rng.choice(places)
    match rng.randrange(8):
        case 0:
            del item[key]
        case 1 if isinstance(item, list):
            item[key:key] = [item[key]] * rng.choice([1, 1000])
        case 2:
            for _ in range(rng.choice([1, 50, 500])):
                item[key] = rng.choice([[item[key]], {"config": item[key]}])
        case 3:
            other, place = rng.choice(places)
            if (other, place) != (item, key) and not isinstance(other[place], (dict, list)):
                item[key] = other[place]
        case _:
            item[key] = rng.choice(WRONG)
    return json.dumps(whole).encode("utf-8", "replace")


def mutant(whole: Path, rng: random.Random) -> bytes:
    """Bytes of a damaged file."""
    members = parts(whole)
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(list(members))
        if name.endswith(".json") and rng.random() < 0.9:
            members[name] = replaced(members[name], rng)
        else:
            members[name] = scrambled(members[name], rng)
    if whole.suffix != ".keras":
        return members[whole.name]
    if rng.random() < 0.2:
        members[rng.choice(["x", "../x", "config.json/", "assets/a"])] = members.pop(
            rng.choice(list(members))
        )
    data = packed(members, rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    return scrambled(data, rng) if rng.random() < 0.2 else data


def judge(file: Path) -> str:
    """Load a file as the commands do; what happened, "loaded" or "refused" where it is right."""
    import keras

    from common import models

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if file.suffix == ".keras":
                models.load(file)
            else:
                models.load_weights(keras.models.clone_model(_small(file)), file)
    except InputError as error:
        right = str(error).startswith(f"{file}: ") and "\n" not in str(error)
        return "refused" if right else f"wrong words: {error}"
    except Exception as error:  # what must not happen
        return f"{type(error).__name__}: {error}"
    return "loaded"


def _small(file: Path) -> Any:
    import keras

    return keras.saving.load_model(file.with_name("whole.keras"), compile=False)


def run(count: int, seed: int, folder: Path, first: int = 0) -> collections.Counter[str]:
    """Try cases; what happened to how many, failures under ``case N: ...``."""
    import keras

    wholes = originals(folder)
    (folder / "whole.keras").write_bytes(wholes[0].read_bytes())
    result: collections.Counter[str] = collections.Counter()
    for whole in wholes:
        if (said := judge(whole)) != "loaded":
            result[f"{whole.name}: {said}"] += 1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(first, first + count):
        rng = random.Random(f"{seed}/{number}")
        whole = wholes[number % 3 == 2]
        file = folder / f"case{''.join(whole.suffixes)}"
        file.write_bytes(mutant(whole, rng))
        start = time.perf_counter()
        said = judge(file)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if seconds > TIME_LIMIT:
            said = f"took {seconds:.0f} s, {said}"
        if (peak - before) * 1024 > MEMORY_LIMIT:
            said = f"took {(peak - before) // 1024} MiB, {said}"
        before = peak
        result[said if said in ("loaded", "refused") else f"case {number}: {said}"] += 1
        if number % 50 == 0:
            keras.backend.clear_session()
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = run(flags.count, flags.seed, Path(folder), flags.first)
    failed = {said: n for said, n in result.items() if said not in ("loaded", "refused")}
    for said in failed:
        print(said)
    print(
        f"seed {flags.seed}: {result['refused']} refused, {result['loaded']} loaded, "
        f"{len(failed)} failed"
    )
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
