"""Every notebook runs from top to bottom, and is committed without outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.rglob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_have_no_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        assert not cell.get("outputs"), cell.source[:60]
        assert cell.get("execution_count") is None


@pytest.mark.parametrize(
    "path",
    [
        # One notebook in the default suite, all of them in CI.
        pytest.param(path, marks=[] if path.stem == "her2scoring" else [pytest.mark.slow])
        for path in NOTEBOOKS
    ],
    ids=lambda path: path.stem,
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_notebooks_run(path):
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()  # an error in a cell is an error here
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert pictures
    assert not [o for o in outputs if o.output_type == "error"]
    # `make docs` shows what was executed here.
    executed = ROOT / "build" / "notebooks" / path.relative_to(FOLDER)
    executed.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, executed)
