"""What answers at once imports nothing that takes long; `benchmarks.start_up` measures it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from common.papers import PAPERS

ROOT = Path(__file__).parent.parent
HEAVY = {
    "keras", "tensorflow", "jax", "sklearn", "scipy", "cv2", "matplotlib", "pandas", "jinja2",
}  # fmt: skip


def imported(code: str) -> set[str]:
    """Names of the packages that are imported after `code` has run in a fresh process."""
    script = (
        f"import contextlib, io, json, sys\n"
        f"with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    {code}\n"
        f"print(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_data_sets_metrics_and_tables_import_nothing_slow():
    found = imported("import common.datasets, common.metrics, common.tables")
    assert {"numpy", "common"} <= found
    assert not found & HEAVY


@pytest.mark.parametrize("paper", PAPERS)
def test_help_imports_nothing_slow(paper):
    run = f"import runpy; runpy.run_module('{paper}.train', run_name='__main__')"
    found = imported(f"sys.argv[1:] = ['--help']; {run}")
    assert {"tyro", paper} <= found
    assert not found & (HEAVY | {"numpy"})


def test_cards_of_data_sets_import_nothing_slow():
    """So that configs and help may say what a card says."""
    found = imported("import common.datasets.bach, common.datasets.bci, common.datasets.breakhis")
    assert not found & (HEAVY | {"numpy"})
