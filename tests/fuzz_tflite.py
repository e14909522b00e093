"""Mutate small .tflite files and run them, each in a process of its own.

    python tests/fuzz_tflite.py --count 400 --seed 1

What must hold of every case: `common.export.run` gives probabilities or raises an `InputError`, and
the process neither dies of a signal nor takes longer than `TIME_LIMIT` seconds.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import resource
import signal
import sys

import numpy as np
from fuzz_models import scrambled

from benchmarks import export_matrix as matrix
from common import backend, export
from common.errors import InputError

TIME_LIMIT = 10
SIZE = 32


def originals() -> list[bytes]:
    """Whole files of a small network, float32 and int8."""
    model = matrix.models()["user: one branch"]()
    images = matrix.pictures(8, SIZE, 1)
    return [export.with_tensorflow(model, precision, images) for precision in ("float32", "int8")]


def judge(content: bytes) -> str:
    """What became of a process that runs a file."""
    child = os.fork()
    if not child:
        signal.alarm(TIME_LIMIT)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        code = 3
        try:
            export.run(content, np.zeros((1, SIZE, SIZE, 3), np.uint8))
            code = 0
        except InputError:
            code = 1
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return f"died of signal {os.WTERMSIG(status)}"
    return {0: "ran", 1: "refused"}.get(os.WEXITSTATUS(status), "another exception")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    backend.load()
    wholes = originals()
    found = collections.Counter(judge(whole) for whole in wholes)
    if found != {"ran": len(wholes)}:
        print(f"the whole files: {dict(found)}")
        return 1
    found.clear()
    for number in range(flags.count):
        rng = random.Random(f"{flags.seed}/{number}")
        content = wholes[number % len(wholes)]
        for _ in range(rng.randint(1, 3)):
            content = scrambled(content, rng)
        said = judge(content)
        found[said] += 1
        if said not in ("ran", "refused"):
            print(f"case {number}: {said}")
    failed = flags.count - found["ran"] - found["refused"]
    print(f"seed {flags.seed}: {found['refused']} refused, {found['ran']} ran, {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
