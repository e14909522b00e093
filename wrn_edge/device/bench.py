"""Measure the model on this device: python3 bench.py. Stop other programs first."""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import classifier
import errors
import numpy as np
import pixels
from sealed import Bundle, load

# Bits of `vcgencmd get_throttled`: now, and (16 higher) since the last start.
THROTTLED = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "too hot"}
SAMPLE_EVERY = 10


# --- the device's state ------------------------------------------------------------------------


def throttled_bits() -> int | None:
    """What the Raspberry Pi's firmware says; None on another machine."""
    try:
        answer = subprocess.run(
            ["vcgencmd", "get_throttled"], capture_output=True, text=True, timeout=5, check=True
        ).stdout
        return int(answer.strip().split("=")[1], 16)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def throttle_problem(before: int | None, during: list[int]) -> str:
    """Why a run does not count, from the firmware's bits; empty if nothing speaks against it.

    Parameters
    ----------
    before : int or None
        Bits before the run.
    during : list of int
        Bits at several moments of it.
    """
    problems = {
        name
        for bit, name in THROTTLED.items()
        for value in during
        # It is so now, or it came to be so since the run began.
        if value >> bit & 1 or (value >> (bit + 16) & 1 and not (before or 0) >> (bit + 16) & 1)
    }
    return ", ".join(name for name in THROTTLED.values() if name in problems)


def temperature() -> float | None:
    """Of the hottest zone, degrees Celsius."""
    zones = Path("/sys/class/thermal").glob("thermal_zone*/temp")
    values = [value for zone in zones if (value := _number(zone)) is not None]
    return max(values) / 1000 if values else None


def clock() -> float | None:
    """Of the first core, MHz."""
    value = _number(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"))
    return None if value is None else value / 1000


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None


def peak_memory() -> float:
    """Largest resident size of this process so far, MiB."""
    # ru_maxrss would count what the process that started this one had before.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def machine() -> dict[str, Any]:
    """What this device is."""
    try:
        name = Path("/proc/device-tree/model").read_text().rstrip("\0\n")
    except OSError:
        name = _cpu_name()
    return {
        "device": name, "architecture": platform.machine(), "cores": os.cpu_count(),
        "system": platform.platform(), "python": platform.python_version(),
        "numpy": np.__version__,
    }  # fmt: skip


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


# --- measuring ---------------------------------------------------------------------------------


def measure(
    bundle: Bundle, *, runs: int, warm_up: int, threads: int | None,
    runtime: str | None, kernels: str,
) -> dict[str, Any]:  # fmt: skip
    """Load the model, run it on a golden picture, and describe how long that took.

    Parameters
    ----------
    bundle : Bundle
    runs, warm_up : int
        Timed inferences, and those before them (the very first is timed too).
    threads, runtime, kernels
        See `classifier.Classifier`.
    """
    picture = sorted((bundle.folder / "golden").glob("*.png"))[0]
    before = throttled_bits()
    start = time.perf_counter()
    model = classifier.Classifier(bundle, threads=threads, runtime=runtime, kernels=kernels)
    load_ms = 1000 * (time.perf_counter() - start)
    prepare_ms = []
    for _ in range(5):
        start = time.perf_counter()
        small = pixels.resize(pixels.read(picture), bundle.image_size)
        prepare_ms.append(1000 * (time.perf_counter() - start))
    first_ms = _time(model, small)
    for _ in range(warm_up):
        model.run(small)
    times: list[float] = []
    temperatures: list[float] = []
    clocks: list[float] = []
    bits: list[int] = []
    for number in range(runs):
        if number % SAMPLE_EVERY == 0:
            _sample(temperatures, clocks, bits)
        times.append(_time(model, small))
    _sample(temperatures, clocks, bits)
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    problem = throttle_problem(before, bits)
    return {
        "machine": machine(),
        # Null: it does not count, and is to be done again.
        "finished": None if problem else time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        "run": bundle.manifest.get("run_id"),
        "model": bundle.model_id,
        "precision": bundle.manifest["model"]["precision"],
        "bytes": bundle.model.stat().st_size,
        "synthetic": bundle.synthetic,
        "runtime": model.runtime,
        "runtime_version": classifier.runtime_version(model.runtime),
        "kernels": model.family,
        "threads": model.threads,
        "runs": runs,
        "warm_up": warm_up,
        "mean_ms": float(np.mean(times)),
        "sd_ms": float(np.std(times, ddof=1)) if runs > 1 else None,
        "median_ms": float(p50),
        "p95_ms": float(p95),
        "p99_ms": float(p99),
        "first_ms": first_ms,
        "load_ms": load_ms,
        "prepare_ms": float(np.median(prepare_ms)),
        "peak_memory_mib": peak_memory(),
        "temperature_c": _range(temperatures),
        "clock_mhz": _range(clocks),
        "throttled": [f"{value:#x}" for value in sorted(set(bits))],
        "valid": not problem,
        "invalid_because": problem,
    }


def _time(model: classifier.Classifier, small: np.ndarray) -> float:
    start = time.perf_counter()
    model.run(small)
    return 1000 * (time.perf_counter() - start)


def _sample(temperatures: list[float], clocks: list[float], bits: list[int]) -> None:
    if (celsius := temperature()) is not None:
        temperatures.append(celsius)
    if (mhz := clock()) is not None:
        clocks.append(mhz)
    if (value := throttled_bits()) is not None:
        bits.append(value)


def _range(values: list[float]) -> list[float] | None:
    return [min(values), max(values)] if values else None


def start_to_answer(bundle: Bundle, flags: list[str]) -> float:
    """Seconds from the start of infer.py to its first answer, in a process of its own.

    Parameters
    ----------
    bundle : Bundle
    flags : list of str
        For infer.py.
    """
    import tempfile

    picture = sorted((bundle.folder / "golden").glob("*.png"))[0]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, str(bundle.folder / "infer.py"), str(picture),
            "--csv", f"{folder}/results.csv", *flags,
        ]  # fmt: skip
        start = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start


# --- showing -----------------------------------------------------------------------------------


def published(bundle: Bundle) -> list[dict[str, str]]:
    """The paper's Table 6.

    Parameters
    ----------
    bundle : Bundle
        Holds published.csv.
    """
    with (bundle.folder / "published.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def text(found: dict[str, Any], rows: list[dict[str, str]]) -> str:
    """Show the measurements with the paper's beside them.

    Parameters
    ----------
    found : dict
        From `measure`, and `start_to_answer_s`.
    rows : list of dict
        From `published`.
    """
    here = found["machine"]

    def span(values: list[float] | None, unit: str) -> str:
        return "unknown" if values is None else f"{values[0]:.0f} to {values[1]:.0f} {unit}"

    lines = [
        f"{here['device']}, {here['architecture']}, {here['cores']} cores, Python {here['python']}",
        f"model {found['model']} {found['precision']}, {found['bytes'] / 1e6:.2f} MB"
        f"{', SYNTHETIC' if found['synthetic'] else ''}",
        f"{found['runtime']} {found['runtime_version']}, kernels {found['kernels']}, "
        f"threads {found['threads']}",
        "",
        f"{'inference, mean':<28}{found['mean_ms']:10.1f} ms   ({found['runs']} runs)",
        f"{'  median':<28}{found['median_ms']:10.1f} ms",
        f"{'  95 % are below':<28}{found['p95_ms']:10.1f} ms",
        f"{'  99 % are below':<28}{found['p99_ms']:10.1f} ms",
        f"{'first inference':<28}{found['first_ms']:10.1f} ms",
        f"{'loading the model':<28}{found['load_ms']:10.1f} ms",
        f"{'reading and resizing':<28}{found['prepare_ms']:10.1f} ms",
        f"{'program start to answer':<28}{found['start_to_answer_s']:10.2f} s",
        f"{'peak memory, all of it':<28}{found['peak_memory_mib']:10.1f} MiB",
        f"temperature {span(found['temperature_c'], 'C')}, "
        f"clock {span(found['clock_mhz'], 'MHz')}, "
        f"throttling {', '.join(found['throttled']) or 'unknown'}",
    ]
    if not found["valid"]:
        lines.append(f"INVALID: {found['invalid_because']} during the run; cool or power it better")
    lines += ["", "The paper (Table 6), average inference time per image:"]
    lines += [f"  {row['row']:<26}{row['printed']:>8} {row['unit']}" for row in rows]
    lines += ["", *(textwrap.fill(each, 88) for each in _comparison(found))]
    return "\n".join(lines)


def _comparison(found: dict[str, Any]) -> list[str]:
    name = found["machine"]["device"]
    same = "Raspberry Pi 4" in name and found["valid"]
    return [
        "May be compared: our mean with the paper's Raspberry Pi row, on a Raspberry Pi 4 that was "
        "not throttled" + (", which this is." if same else f". This is not one: {name}."),
        "May not: any other pair. The paper says neither threads nor runtime, whether reading and "
        "resizing count, nor how often it measured; its other machines are not this one.",
        "Of its memory figure it is not said what was measured; ours is the whole process, Python "
        "included.",
    ]


def main(arguments: list[str] | None = None) -> int:
    """Entry point.

    Parameters
    ----------
    arguments : list of str, optional
        Default: those of the process.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False, prog="bench.py", description=__doc__)
    parser.add_argument("--runs", type=int, default=100, metavar="N", help="default: 100")
    parser.add_argument("--warm-up", type=int, default=10, metavar="N", help="default: 10")
    parser.add_argument("--threads", type=int, metavar="N", help="default: one per core, at most 4")
    parser.add_argument("--runtime", choices=classifier.RUNTIMES, help="default: the first found")
    parser.add_argument("--kernels", choices=classifier.KERNELS, default="default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers there")
    options = parser.parse_args(arguments)
    if options.runs < 1 or options.warm_up < 0 or (options.threads or 1) < 1:
        parser.error("--runs and --threads: give at least 1, --warm-up at least 0")
    bundle = load()
    found = measure(
        bundle, runs=options.runs, warm_up=options.warm_up, threads=options.threads,
        runtime=options.runtime, kernels=options.kernels,
    )  # fmt: skip
    flags = ["--threads", str(found["threads"]), "--runtime", found["runtime"]]
    found["start_to_answer_s"] = start_to_answer(bundle, flags)
    print(text(found, published(bundle)))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0 if found["valid"] else 1


if __name__ == "__main__":
    errors.main(main)
