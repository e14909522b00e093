"""The kind of figure that this room gives."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure


class Drawn(Figure):
    """A figure that a notebook shows by itself.

    Matplotlib teaches a notebook to show figures when pyplot is imported, which nothing here does;
    and IPython takes a sheet of pictures, which has no axes, for empty.
    """

    def _repr_mimebundle_(self, **_: Any) -> dict[str, bytes]:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return {"image/png": file.getvalue()}
