"""Classify pictures one by one: a line of results.csv, one of the terminal, a drawing, a page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pixels
import results
from finding import DRAWING, Found

if TYPE_CHECKING:
    import numpy as np
    from classifier import Classifier
    from PIL import Image
    from serve import Page

LINK = "is a link; links are not followed"


class Session:
    """A model, a results file, and what is told of every picture.

    Parameters
    ----------
    model : Classifier
    table : Results
    maps : Path, optional
        Folder for pictures of the class activation maps.
    check_tissue : bool
        Flag what is not tissue instead of classifying it.
    page : Page, optional
        Shows the results.
    """

    def __init__(
        self,
        model: Classifier,
        table: results.Results,
        *,
        maps: Path | None = None,
        check_tissue: bool = True,
        page: Page | None = None,
    ):
        self.model = model
        self.table = table
        self.maps = maps
        self.check_tissue = check_tissue
        self.page = page
        self.counts = dict.fromkeys((results.CLASSIFIED, results.NOT_TISSUE, results.UNUSABLE), 0)

    def done(self, found: Found) -> bool:
        """Whether the file, as it is now, stands in the results of this model.

        Parameters
        ----------
        found : Found
        """
        key = (found.name, found.bytes, found.mtime_ns, self.model.bundle.model_id)
        return key in self.table

    def classify(self, found: Found) -> None:
        """Classify one file and write its line.

        Parameters
        ----------
        found : Found

        Raises
        ------
        pixels.ImageError
            If the file cannot be read; nothing is written.
        InputError
            If the results cannot be written.
        """
        start = time.perf_counter()
        row: dict[str, Any] = {"status": results.CLASSIFIED}
        if found.link:
            raise pixels.ImageError(LINK)
        whole = pixels.read(found.path)
        small = pixels.resize(whole, self.model.bundle.image_size)
        picture = whole if self.maps or self.page else None
        del whole  # memory is short while the model runs
        measures, problem = pixels.tissue(small)
        row |= {name: f"{measures[name]:.3f}" for name in ("dark", "stained")}
        overlay = None
        if problem and self.check_tissue:
            row |= {"status": results.NOT_TISSUE, "reason": problem}
        else:
            probabilities = self.model.run(small)
            label, probability = self.model.decide(probabilities)
            row |= {"label": label, "probability": f"{probability:.6f}", "reason": problem}
            for name, value in zip(self.model.bundle.classes, probabilities):
                row[f"p_{name}"] = f"{value:.6f}"
            if self.maps and picture is not None:
                import heatmap

                overlay = heatmap.draw(self.model, picture, label, probability)
                name = found.name + DRAWING
                heatmap.save(overlay, self.maps, name, self.model.bundle.synthetic)
        row["ms"] = f"{1000 * (time.perf_counter() - start):.1f}"
        self._write(found, row, picture, overlay)

    def give_up(self, found: Found, reason: str) -> None:
        """Write down that a file could not be used, and why.

        Parameters
        ----------
        found : Found
        reason : str
        """
        self._write(found, {"status": results.UNUSABLE, "reason": reason})

    def _write(
        self,
        found: Found,
        row: dict[str, Any],
        picture: np.ndarray | None = None,
        overlay: Image.Image | None = None,
    ) -> None:
        row |= {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "image": found.name,
            "bytes": found.bytes,
            "mtime_ns": found.mtime_ns,
            "model": self.model.bundle.model_id,
        }
        self.table.add(row)
        self.counts[row["status"]] += 1
        print(line(row), flush=True)
        if self.page:
            self.page.show(row, picture, overlay)

    def summary(self) -> str:
        """How many pictures became what."""
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        return f"{counts}; results in {self.table.path}\n{self.model.bundle.notice()}"


def line(row: dict[str, Any]) -> str:
    """One result as the terminal shows it.

    Parameters
    ----------
    row : dict
        As in results.csv.
    """
    name = results.one_line(row["image"])
    if row["status"] == results.CLASSIFIED:
        doubt = f"  ({row['reason']})" if row["reason"] else ""
        return f"{name}  {row['label']}  {100 * float(row['probability']):.1f} %{doubt}"
    return f"{name}  {row['status'].upper()}: {row['reason']}"


def classify_all(session: Session, files: Iterator[Found], again: bool) -> int:
    """Classify files one after another; those that cannot be used are noted and stop nothing.

    Parameters
    ----------
    session : Session
    files : iterator of Found
    again : bool
        Also those that have a result.

    Returns
    -------
    int
        How many were passed over because they have one.
    """
    skipped = 0
    for found in files:
        if not again and session.done(found):
            skipped += 1
            continue
        try:
            session.classify(found)
        except pixels.ImageError as error:
            session.give_up(found, str(error))
    return skipped
