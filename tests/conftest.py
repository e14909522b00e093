"""Fixtures shared by the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with real images (`data/`) and weights (`weights/`); without it: skipped."""
    folder = os.environ.get("HISTOPAPERS_TEST_DATA")
    if not folder:
        pytest.skip("HISTOPAPERS_TEST_DATA is unset: no real images to test on")
    return Path(folder)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name archives by their kind: compressed bytes hold the time, and differ between workers."""
    return "bytes" if isinstance(val, bytes) and len(val) > 40 else None
