"""What a slide's tiles become: a table, objects for QuPath, maps."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common import figures, predictions
from common.files import as_bytes, atomic_path, write_sheet
from common.slides.reading import Slide
from common.slides.structure import Image
from common.slides.tiles import Tiles

_CHUNK = 2000  # features that are put into words at once


def table(tiles: Tiles, probabilities: NDArray[np.float32], classes: Sequence[str]) -> pd.DataFrame:
    """Put together what is known of each tile.

    Parameters
    ----------
    tiles : Tiles
    probabilities : float array (N, classes)
    classes : sequence of str

    Returns
    -------
    DataFrame
        x, y, width, height (px of the full size), tissue, predicted, probability, p_<class>...
    """
    x, y = np.rint(tiles.x).astype(np.int64), np.rint(tiles.y).astype(np.int64)
    best = predictions.predicted_classes(probabilities)
    return pd.DataFrame(
        {
            "x": x,
            "y": y,
            "width": np.rint(tiles.x + tiles.width).astype(np.int64) - x,
            "height": np.rint(tiles.y + tiles.height).astype(np.int64) - y,
            "tissue": tiles.tissue,
            "predicted": [classes[each] for each in best],
            "probability": probabilities.max(axis=1),
            **{predictions.column(name): probabilities[:, i] for i, name in enumerate(classes)},
        }
    )


def write_table(path: Path, found: pd.DataFrame) -> None:
    """Write `table` as CSV, whole or not at all.

    Parameters
    ----------
    path : Path
    found : DataFrame
    """
    write_sheet(path, found)


def write_geojson(path: Path, found: pd.DataFrame, classes: Sequence[str]) -> None:
    """Write tiles as GeoJSON that QuPath opens (File, Import objects from file), version 0.4 on.

    Each is an object of QuPath's type "tile" with a class, its colour and its probabilities as
    measurements, which QuPath's measurement maps show.

    Parameters
    ----------
    path : Path
    found : DataFrame
        What `table` gives.
    classes : sequence of str
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(b'{"type": "FeatureCollection", "features": [\n')
        first = True
        for start in range(0, len(found), _CHUNK):
            lines = [json.dumps(each) for each in _features(found[start : start + _CHUNK], classes)]
            file.write(b"" if first else b",\n")
            file.write(as_bytes(",\n".join(lines)))
            first = False
        file.write(b"\n]}\n")


def _features(found: pd.DataFrame, classes: Sequence[str]) -> Iterator[dict[str, object]]:
    colours = {name: list(figures.colour_of(number)) for number, name in enumerate(classes)}
    for row in found.to_dict("records"):
        x, y, width, height = (int(row[name]) for name in ("x", "y", "width", "height"))
        corners = [[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]]
        name = str(row["predicted"])
        yield {
            "type": "Feature",
            # The same tile has the same id, so that importing twice can be seen.
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"histopapers tile {x} {y} {width} {height}")),
            "geometry": {"type": "Polygon", "coordinates": [corners]},
            "properties": {
                "objectType": "tile",
                "classification": {"name": name, "color": colours[name]},
                "measurements": {
                    "tissue": _short(row["tissue"]),
                    **{f"p {each}": _short(row[predictions.column(each)]) for each in classes},
                },
            },
        }


def _short(value: object) -> float:
    return float(f"{value:.6g}")


# --- maps --------------------------------------------------------------------------------------


def spread(
    tiles: Tiles, slide: Slide, values: NDArray[np.floating], shape: tuple[int, int]
) -> NDArray[np.floating]:
    """Spread values of tiles over a thumbnail; where tiles overlap, their mean.

    Parameters
    ----------
    tiles : Tiles
    slide : Slide
    values : float array (N,) or (N, K)
    shape : (int, int)
        Height and width of the thumbnail.

    Returns
    -------
    float array (H, W) or (H, W, K)
        NaN where there is no tile.
    """
    across, down = shape[1] / slide.width, shape[0] / slide.height
    sums = np.zeros((*shape, *values.shape[1:]), np.float32)
    count = np.zeros(shape, np.float32)
    left, right = _edges(tiles.x, tiles.width, across, shape[1])
    top, bottom = _edges(tiles.y, tiles.height, down, shape[0])
    for number in range(len(tiles)):
        place = slice(top[number], bottom[number]), slice(left[number], right[number])
        sums[place] += values[number]
        count[place] += 1
    with np.errstate(invalid="ignore"):
        return sums / (count[..., None] if values.ndim > 1 else count)


def _edges(
    starts: NDArray[np.float64], side: float, scale: float, length: int
) -> tuple[list[int], list[int]]:
    begin = np.minimum(np.rint(starts * scale).astype(int), length - 1)
    end = np.maximum(np.rint((starts + side) * scale).astype(int), begin + 1)
    return begin.tolist(), end.clip(max=length).tolist()


def write_maps(
    folder: Path,
    tiles: Tiles,
    slide: Slide,
    thumbnail: Image,
    probabilities: NDArray[np.float32],
    classes: Sequence[str],
    shown: str,
    microns: float,
    synthetic: bool,
) -> tuple[Path, Path]:
    """Draw the heat map of one class, and the map of the predicted classes.

    Parameters
    ----------
    folder : Path
    tiles : Tiles
    slide : Slide
    thumbnail : uint8 array (H, W, 3)
        Of the whole slide.
    probabilities : float array (N, classes)
    classes : sequence of str
    shown : str
        The class of the heat map.
    microns : float
        Micrometres per px of the thumbnail.
    synthetic : bool
        Whether the pictures must say so.

    Returns
    -------
    heat, classes : Path
        The files.
    """
    shape = thumbnail.shape[:2]
    name = slide.path.name
    heat = spread(tiles, slide, probabilities[:, list(classes).index(shown)], shape)
    drawn = figures.heat_map(
        thumbnail, heat, f"{shown}, {name}", f"Predicted probability of {shown}", microns
    )
    first = figures.save(drawn, folder / "heatmap.png", synthetic=synthetic)
    mean = spread(tiles, slide, probabilities, shape)
    best = np.where(np.isfinite(mean[..., 0]), np.nan_to_num(mean).argmax(axis=2), -1)
    drawn = figures.class_map(thumbnail, best, classes, f"Predicted class, {name}", microns)
    return first, figures.save(drawn, folder / "classes.png", synthetic=synthetic)
