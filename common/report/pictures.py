"""Pictures on the page: drawn for it, or found in the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from common import figures
from common.charts import Chart
from common.report.files import RunFiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CSS_DPI = 96
"""CSS pixels are 1/96 inch."""

Picture = dict[str, str | int]
"""`uri`, `alt`, `width` and `height` in CSS pixels, as the template shows them."""


def draw(files: RunFiles, name: str, figure: Figure | Chart, alt: str) -> Picture:
    """Save a figure into the run folder; a chart of a light page is in that page alone.

    Parameters
    ----------
    files : RunFiles
        Of the run.
    name : str
        Of the file in `figures/`, without its ending.
    figure : Figure or Chart
        From `files.charts`.
    alt : str
        What it shows, for readers who do not see it.

    Returns
    -------
    dict
        As the template shows it.

    Raises
    ------
    WriteError
        If it cannot be written.
    """
    if isinstance(figure, Chart):
        return embedded(figure, alt)
    path = files.path / "figures" / f"{name}.png"
    figures.save(figure, path, synthetic=files.synthetic, description=alt)
    return embed(path, alt)


def found(files: RunFiles, name: str, what: str) -> Picture | None:
    """Give a picture that the run has drawn; its own description is the alternative text.

    Parameters
    ----------
    files : RunFiles
        Of the run.
    name : str
        Of the file in `figures/`, without its ending.
    what : str
        Alternative text of a picture that describes itself in no way.

    Returns
    -------
    dict or None
        As the template shows it; None if the run has no such picture, or the page is light.
    """
    path = files.path / "figures" / f"{name}.png"
    return embed(path, what) if path.is_file() and not files.light else None


def embedded(chart: Chart, alt: str) -> Picture:
    """Give a chart as a picture.

    Parameters
    ----------
    chart : Chart
    alt : str
        What it shows, for readers who do not see it.

    Returns
    -------
    dict
        As the template shows it.
    """
    return {"uri": chart.uri, "alt": alt, "width": chart.width, "height": chart.height}


def embed(path: Path, alt: str) -> Picture:
    """Give a picture's file as a picture.

    Parameters
    ----------
    path : Path
        A PNG.
    alt : str
        What it shows, if it does not say it itself.

    Returns
    -------
    dict
        As the template shows it.
    """
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as image:
        width, height = image.size
        alt = str(image.info.get("Description") or alt)
    scale = CSS_DPI / figures.DPI
    return {
        "uri": figures.data_uri(path),
        "alt": alt,
        "width": round(width * scale),
        "height": round(height * scale),
    }
