"""The paper's tables with our runs beside them: python -m her2scoring.tables.

python -m her2scoring.tables           every printed number
python -m her2scoring.tables merged    networks of four classes, scored on three (H12)
"""

from __future__ import annotations

from collections.abc import Sequence

from common import errors, tables
from her2scoring import merged


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m her2scoring.tables``.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.
    """
    views = {"merged": ("networks of four classes, scored on three (H12)", _merged)}
    return tables.main("her2scoring", arguments, views)


def _merged(paper: tables.Paper) -> str:
    return "\n".join(merged.lines(paper))


if __name__ == "__main__":
    errors.main(main)
