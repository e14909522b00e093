"""Classify pictures one by one: a line of results.csv, one of the terminal, a drawing, a page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import limits
import pixels
from errors import InputError
from finding import DRAWING, Found

import results
from common import tissue

if TYPE_CHECKING:
    from classifier import Classifier
    from PIL import Image
    from serve import Page

LINK = "is a link; links are not followed"


class Session:
    """A model, a results file, and what is told of every picture.

    Parameters
    ----------
    model : Classifier
    table : Results or Nowhere
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
        table: results.Results | results.Nowhere,
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
        self.limits = limits.Limits()
        if maps:
            import heatmap  # 20 ms, and most need it not

            self._heatmap = heatmap
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
            If the file cannot be used, whatever its decoding raised; nothing is written.
        InputError
            If the results cannot be written.
        """
        try:
            row, shown = self._judge(found)
        except (pixels.ImageError, InputError):
            raise
        except limits.TooSlowError as error:
            raise pixels.ImageError(str(error)) from None
        except MemoryError:
            raise pixels.ImageError(
                "needs more memory than a picture may take here; save it smaller"
            ) from None
        except Exception as error:  # no picture ends the program
            words = results.one_line(str(error)) or type(error).__name__
            raise pixels.ImageError(f"cannot be used: {words}") from None
        self._write(found, row, shown)

    def _judge(self, found: Found) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Row of a file, and the pictures that the page shows of it."""
        start = time.perf_counter()
        if found.link:
            raise pixels.ImageError(LINK)
        with self.limits():
            picture = pixels.read(found.path)
            small = pixels.resize(picture, self.model.bundle.image_size)
            shown = {"picture": self.page.preview(picture)} if self.page else {}
            if self.maps:
                picture = self._heatmap.reduced(picture)
            else:
                del picture  # memory is short while the model runs
        measures, problem = tissue.judge(small)
        row: dict[str, Any] = {name: f"{measures[name]:.3f}" for name in ("dark", "stained")}
        if problem and self.check_tissue:
            row |= {"status": results.NOT_TISSUE, "reason": problem}
        else:
            probabilities = self.model.run(small)
            label, probability = self.model.decide(probabilities)
            row |= {"status": results.CLASSIFIED, "label": label, "reason": problem}
            row["probability"] = f"{probability:.6f}"
            for name, value in zip(self.model.bundle.classes, probabilities):
                row[f"p_{name}"] = f"{value:.6f}"
            if self.maps:
                drawing = self._heatmap.draw(self.model, picture, label, probability)
                why_not = self._save(drawing, self.maps, found)
                row["reason"] = "; ".join(filter(None, (problem, why_not)))
                if self.page:
                    shown["map"] = self.page.jpeg(drawing)
        row["ms"] = f"{1000 * (time.perf_counter() - start):.1f}"
        return row, shown

    def _save(self, drawing: Image.Image, folder: Path, found: Found) -> str:
        """Write a drawing; the reason where that cannot be: the result stands without it."""
        try:
            name = found.name + DRAWING
            self._heatmap.save(drawing, folder, name, self.model.bundle.synthetic)
        except OSError as error:
            return f"its map cannot be written ({error.strerror})"
        return ""

    def give_up(self, found: Found, reason: str) -> None:
        """Write down that a file could not be used, and why.

        Parameters
        ----------
        found : Found
        reason : str
        """
        self._write(found, {"status": results.UNUSABLE, "reason": reason}, {})

    def _write(self, found: Found, row: dict[str, Any], shown: dict[str, bytes]) -> None:
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
            self.page.show(row, shown)

    def summary(self) -> str:
        """How many pictures became what."""
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        kept = f"results in {self.table.path}" if self.table.path else "--csv FILE keeps them"
        return f"{counts}; {kept}\n{self.model.bundle.notice()}"


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
