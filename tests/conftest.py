"""Fixtures shared by the tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import zlib
from collections import Counter
from pathlib import Path

import pytest

EXECUTORS = {"test_reproduce": "local", "test_slurm": "slurm", "test_ray": "ray"}
"""Files of tests -> the executor that they try."""


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with real images (`data/`) and weights (`weights/`); without it: skipped."""
    folder = os.environ.get("HISTOPAPERS_TEST_DATA")
    if not folder:
        pytest.skip("HISTOPAPERS_TEST_DATA is unset: no real images to test on")
    return Path(folder)


@pytest.fixture(scope="session")
def whole_grid(tmp_path_factory) -> Path:
    """Folder with a fabricated run for every training of the plan; takes 20 s."""
    import grid

    folder = tmp_path_factory.mktemp("grid") / "runs"
    grid.make(folder)
    return folder


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Open a page in Chromium with flags; give its standard output."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium or google-chrome here to look at the page with")
    profile = tmp_path_factory.mktemp("profile")

    def run(page: Path, *flags: str) -> str:
        return subprocess.run(
            [
                program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync", "--hide-scrollbars", f"--user-data-dir={profile}", *flags,
                page.as_uri(),
            ],
            capture_output=True, text=True, timeout=120, check=True,
        ).stdout  # fmt: skip

    return run


@pytest.fixture
def sketch(tmp_path, monkeypatch):
    """Place of the runs of a paper that trains in no time (`tests.sketch`)."""
    from tests.sketch import placed

    yield from placed(tmp_path, monkeypatch)


@pytest.fixture
def reads(monkeypatch) -> list[int]:
    """CRC-32 of the files that the image cache has decoded, one after another."""
    from common.images import build

    decoded = []
    original = build.decode

    def record(data, extension):
        decoded.append(zlib.crc32(data))
        return original(data, extension)

    monkeypatch.setattr(build, "decode", record)
    return decoded


def pytest_configure() -> None:
    """Tests that were started in the background press Ctrl-C, too: there it would not be heard."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter) -> None:
    """Say how long the trials of each executor took."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for each in reports:
            name = Path(getattr(each, "nodeid", "").partition("::")[0]).stem
            if name in EXECUTORS:
                seconds[EXECUTORS[name]] += getattr(each, "duration", 0)
    if seconds:
        words = ", ".join(f"{name} {taken:.0f} s" for name, taken in seconds.items())
        terminalreporter.write_line(f"executors: {words}")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name archives by their kind: compressed bytes hold the time, and differ between workers."""
    return "bytes" if isinstance(val, bytes) and len(val) > 40 else None
