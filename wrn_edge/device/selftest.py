"""Check that this bundle is whole and computes here what it computed where it was made.

python3 selftest.py; exit code 0 if all is well, 1 if not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import classifier
import errors
import numpy as np
import pixels
import sealed

from common import tissue

ROUNDING = 1e-6  # exp() of another processor differs in the last bit


def check(
    folder: Path, *, runtime: str | None, kernels: str, threads: int | None
) -> Iterator[tuple[str, str, bool]]:
    """Go through all checks.

    Parameters
    ----------
    folder : Path
        The bundle.
    runtime, kernels, threads
        See `classifier.Classifier`.

    Yields
    ------
    what : str
        What was checked: files, pixels, tissue, outputs. If a file is damaged, nothing follows.
    found : str
        In words.
    well : bool
    """
    manifest = sealed.read_manifest(folder)
    names = list(manifest["files"])
    damaged = sealed.damaged_files(folder, manifest, names)
    found = "; ".join(f"{name} {problem}" for name, problem in damaged.items())
    yield "files", found or f"{len(names)} as bundled", not damaged
    if damaged:
        return

    bundle = sealed.load(folder)
    expected = json.loads((bundle.folder / "golden/expected.json").read_text(encoding="utf-8"))
    shrunk = {
        each["file"]: pixels.resize(
            pixels.read(bundle.folder / "golden" / each["file"]), bundle.image_size
        )
        for each in expected["pictures"]
    }
    different = [
        each["file"]
        for each in expected["pictures"]
        if hashlib.sha256(shrunk[each["file"]].tobytes()).hexdigest() != each["pixels_sha256"]
    ]
    yield (
        "pixels",
        f"other than in training: {', '.join(different)}" if different
        else f"{len(shrunk)} pictures decoded and resized as in training, bit by bit",
        not different,
    )  # fmt: skip
    judged = [
        each["file"]
        for each in expected["pictures"]
        if bool(tissue.judge(shrunk[each["file"]])[1]) == each["tissue"]
    ]
    yield (
        "tissue",
        f"judged otherwise: {', '.join(judged)}" if judged
        else f"{len(shrunk)} pictures judged as where the bundle was made",
        not judged,
    )  # fmt: skip

    model = classifier.Classifier(bundle, threads=threads, runtime=runtime, kernels=kernels)
    answered = [each for each in expected["pictures"] if "outputs" in each]
    outputs = [model.run(shrunk[each["file"]]) for each in answered]
    yield _compare(model, expected["tolerance"], answered, outputs)


def _compare(
    model: classifier.Classifier,
    tolerance: float,
    pictures: list[dict[str, Any]],
    outputs: list[np.ndarray],
) -> tuple[str, str, bool]:
    """Compare with the same kernels' outputs if they were recorded, else with all others'."""
    known = model.family in pictures[0]["outputs"]
    families = [model.family] if known else list(pictures[0]["outputs"])
    drift, labels = 0.0, True
    for each, output in zip(pictures, outputs):
        for family in families:
            difference = float(np.abs(output - each["outputs"][family]).max())
            # A value that is not a number must not pass as small.
            drift = max(drift, difference) if np.isfinite(difference) else float("inf")
        labels &= known is False or model.decide(output)[0] == each["label"][model.family]
    allowed = ROUNDING if known and model.bundle.exact else tolerance
    where = f"{model.runtime} {classifier.runtime_version(model.runtime)}, {model.family} kernels"
    how = "bit by bit" if drift == 0 else f"to {drift:.1e}"
    against = "the same kernels" if known else f"other kernels ({', '.join(families)})"
    found = f"{len(pictures)} pictures, {where}: probabilities equal {how} to those of {against}"
    ok = drift <= allowed and labels
    if not ok:
        found += f"; allowed {allowed:.1e}{'' if labels else ', and a label differs'}"
    return "outputs", found, ok


def main(arguments: list[str] | None = None) -> int:
    """Entry point.

    Parameters
    ----------
    arguments : list of str, optional
        Default: those of the process.
    """
    parser = argparse.ArgumentParser(
        allow_abbrev=False, prog="selftest.py", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--runtime", choices=classifier.RUNTIMES, help="default: the first found")
    parser.add_argument("--kernels", choices=classifier.KERNELS, default="default")
    parser.add_argument("--threads", type=int, metavar="N", help="default: one per core, at most 4")
    options = parser.parse_args(arguments)
    ok = True
    for name, found, well in check(
        sealed.FOLDER,
        runtime=options.runtime,
        kernels=options.kernels,
        threads=options.threads,
    ):
        print(f"{name:<8} {'ok  ' if well else 'FAIL'}  {found}", flush=True)
        ok &= well
    print("passed" if ok else "FAILED: copy the whole bundle again, or do not use it here")
    return 0 if ok else 1


if __name__ == "__main__":
    errors.main(main)
