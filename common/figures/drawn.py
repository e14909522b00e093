"""The kind of figure that this room gives."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class Drawn(Figure):
    """A figure that a notebook shows by itself.

    Matplotlib teaches a notebook to show figures when pyplot is imported, which nothing here does.
    """

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()
