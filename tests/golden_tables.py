"""Every kind of row as Markdown and LaTeX, pinned in golden_tables.md and golden_tables.tex.

``python tests/golden_tables.py`` writes both anew, from the runs that test_tables.py makes up. Read
the difference before it is committed.
"""

import os
import sys
from pathlib import Path

FILE = Path(__file__)
_WRITE = "HISTOPAPERS_WRITE_GOLDEN_TABLES"


def pinned(kind: str, text: str) -> str:
    """What the file of a kind says, "md" or "tex"; it says `text` where it is to be written."""
    file = FILE.with_suffix(f".{kind}")
    if os.environ.get(_WRITE):
        file.write_text(text, encoding="utf-8")
    return file.read_text(encoding="utf-8")


if __name__ == "__main__":
    import pytest

    os.environ[_WRITE] = "1"
    sys.exit(pytest.main(["-q", "-k", "whole", str(FILE.with_name("test_tables.py"))]))
