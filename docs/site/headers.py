"""What every notebook begins with: buttons that open it elsewhere, and the installation.

python docs/site/headers.py writes both anew, from setup.cfg; without a `url` there, no buttons.
"""

from __future__ import annotations

import configparser
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]

INSTALL = """\
# Colab and Kaggle do not have the package yet.{until}
import importlib.util

if importlib.util.find_spec("common") is None:
    %pip install --quiet {package}"""

UNTIL = """ Until it is on PyPI, put the wheel there
# that `make dist` makes in a clone, and its name in the place of `histopapers`."""


def main() -> int:
    """Write the first cells of all notebooks anew.

    Returns
    -------
    int
        Exit code.
    """
    address = url()
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        after = headed(before, path.relative_to(ROOT).as_posix(), address)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(path.relative_to(ROOT))
    return 0


def url() -> str:
    """Give the address of the repository.

    Returns
    -------
    str
        The one `url` in setup.cfg; "" while there is none.
    """
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup["metadata"].get("url", "").rstrip("/")


def headed(text: str, path: str, address: str) -> str:
    """Give a notebook its first cells.

    Parameters
    ----------
    text : str
        The notebook.
    path : str
        Its place in the repository.
    address : str
        Of the repository, on GitHub; "" for none.

    Returns
    -------
    str
        The same notebook where it has them already.
    """
    notebook = nbformat.reads(text, as_version=4)
    cells = [cell for cell in notebook.cells if cell.id not in ("open-elsewhere", "install")]
    package = f"git+{address}" if address else "histopapers"
    first = next(i for i, cell in enumerate(cells) if cell.cell_type == "code")
    text = INSTALL.format(package=package, until="" if address else UNTIL)
    install = nbformat.v4.new_code_cell(text, id="install")
    cells.insert(first, install)
    if address:
        cells.insert(1, nbformat.v4.new_markdown_cell(_buttons(path, address), id="open-elsewhere"))
    notebook.cells = cells
    return nbformat.writes(notebook) + "\n"


def _buttons(path: str, address: str) -> str:
    place = address.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{place}/blob/main/{path}"
    kaggle = f"https://kaggle.com/kernels/welcome?src={address}/blob/main/{path}"
    return (
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab}) "
        f"[![Open in Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)]({kaggle})"
    )


if __name__ == "__main__":
    sys.exit(main())
