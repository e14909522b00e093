"""Every notebook runs from top to bottom, and is committed without outputs."""

import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.rglob("*.ipynb"))
LESSONS = sorted((FOLDER / "course").glob("*.ipynb"))

sys.path.append(str(ROOT / "docs" / "site"))
import headers  # noqa: E402


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
        if path not in LESSONS
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


@pytest.mark.slow
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_answers_of_a_lesson_are_right(path):
    """Each question is answered as its cell's metadata say, then as nobody should."""
    notebook = nbformat.read(path, as_version=4)
    asked = [cell for cell in notebook.cells if "answer" in cell.metadata]
    assert len(asked) >= 3
    for cell in asked:
        assert cell.source == "answer = None"
        check = notebook.cells[notebook.cells.index(cell) + 1]
        assert check.metadata["jupyter"]["source_hidden"], "the solution can be read below"
        answered = f"answer = {cell.metadata['answer']}\n{check.source}\n"
        check.source = f"{check.source}\n{answered}answer = -1000.0\n{check.source}"
    NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    texts = [  # what a cell prints may come in several pieces
        "".join(o.text for o in cell.get("outputs", []) if o.output_type == "stream")
        for cell in notebook.cells
    ]
    said = [text for text in texts if "not answered" in text]
    assert said == ["not answered yet\nright\nnot yet: look again\n"] * len(asked)
    assert any(
        "image/png" in o.get("data", {}) for c in notebook.cells for o in c.get("outputs", [])
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_begin_with_the_installation(path):
    text = path.read_text(encoding="utf-8")
    assert headers.headed(text, path.relative_to(ROOT).as_posix(), headers.url()) == text


def test_buttons_are_made_of_the_one_url():
    text = NOTEBOOKS[0].read_text(encoding="utf-8")
    address = "https://github.com/somebody/histopapers"
    made = headers.headed(text, "notebooks/course/1-leakage.ipynb", address)
    shown = "somebody/histopapers/blob/main/notebooks/course/1-leakage.ipynb"
    assert f"https://colab.research.google.com/github/{shown}" in made
    assert f"https://kaggle.com/kernels/welcome?src=https://github.com/{shown}" in made
    assert re.search(r"%pip install --quiet git\+https://github.com/somebody/histopapers", made)
    assert headers.headed(made, "notebooks/course/1-leakage.ipynb", address) == made
    assert "colab" not in headers.headed(made, "notebooks/course/1-leakage.ipynb", "")
