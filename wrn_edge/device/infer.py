"""Classify pictures of tissue: python3 infer.py IMAGE|FOLDER, --watch FOLDER, or --camera.

Every picture becomes a line of results.csv: label and probability, or why there is none.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import classifier
import errors
import pixels
import results
from errors import InputError
from notices import RESEARCH_USE

if TYPE_CHECKING:
    from camera import Camera
    from serve import Page

LINK = "is a link; links are not followed"
RETRY_SECONDS = (1.0, 3.0, 9.0)
_SUFFIXES = tuple(pixels.FORMATS)
_HIDDEN = (".", "$", "System Volume Information")
DRAWING = "-cam.png"  # ends the names of our own drawings, which may lie among the pictures


# --- finding pictures --------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A file that was found: where it is, what it is called, and its state."""

    path: str
    name: str
    bytes: int
    mtime_ns: int
    link: bool


def pictures(folder: Path) -> Iterator[Found]:
    """Pictures in a folder and the folders in it, in the order of their names.

    Links are found, but never followed. Hidden files (such as macOS leaves on drives) and our own
    drawings are not found.
    """
    yield from _scan(str(folder), "")


def _scan(folder: str, prefix: str) -> Iterator[Found]:
    try:
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        print(f"{folder}: cannot be read ({error.strerror})", file=sys.stderr)
        return
    for entry in inside:
        if entry.name.startswith(_HIDDEN) or entry.name.endswith(DRAWING):
            continue
        try:
            link = entry.is_symlink()
            if not link and entry.is_dir(follow_symlinks=False):
                yield from _scan(entry.path, f"{prefix}{entry.name}/")
            elif link or entry.name.lower().endswith(_SUFFIXES):
                status = entry.stat(follow_symlinks=False)
                yield Found(
                    entry.path, prefix + entry.name, status.st_size, status.st_mtime_ns, link
                )
        except OSError:
            continue  # gone since the folder was read


# --- classifying them --------------------------------------------------------------------------


class Session:
    """A model, a results file, and what is told of every picture.

    Parameters
    ----------
    model : classifier.Classifier
    table : results.Results
    maps : Path, optional
        Folder for pictures of the class activation maps.
    check_tissue : bool
        Flag what is not tissue instead of classifying it.
    page : serve.Page, optional
        Shows the results.
    """

    def __init__(
        self,
        model: classifier.Classifier,
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
        """Whether the file, as it is now, stands in the results of this model."""
        key = (found.name, found.bytes, found.mtime_ns, self.model.bundle.model_id)
        return key in self.table

    def classify(self, found: Found) -> None:
        """Classify one file and write its line.

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
        picture = pixels.read(found.path)
        small = pixels.resize(picture, self.model.bundle.image_size)
        if not self.maps and not self.page:
            picture = None  # memory is short while the model runs
        measures, problem = pixels.tissue(small)
        row |= {name: f"{measures[name]:.3f}" for name in ("dark", "stained")}
        overlay = None
        if problem and self.check_tissue:
            row |= {"status": results.NOT_TISSUE, "reason": problem}
        else:
            probabilities = self.model.run(small)
            label, probability = self.model.decide(probabilities)
            row |= {"label": label, "probability": f"{probability:.6f}", "reason": problem}
            for name, value in zip(self.model.bundle.classes, probabilities, strict=True):
                row[f"p_{name}"] = f"{value:.6f}"
            if self.maps:
                import heatmap

                overlay = heatmap.draw(self.model, picture, label, probability)
                name = found.name + DRAWING
                heatmap.save(overlay, self.maps, name, self.model.bundle.synthetic)
        row["ms"] = f"{1000 * (time.perf_counter() - start):.1f}"
        self._write(found, row, picture, overlay)

    def give_up(self, found: Found, reason: str) -> None:
        """Write down that a file could not be used, and why."""
        self._write(found, {"status": results.UNUSABLE, "reason": reason})

    def _write(self, found: Found, row: dict, picture: Any = None, overlay: Any = None) -> None:
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
    """One result as the terminal shows it."""
    name = results.one_line(row["image"])
    if row["status"] == results.CLASSIFIED:
        doubt = f"  ({row['reason']})" if row["reason"] else ""
        return f"{name}  {row['label']}  {100 * float(row['probability']):.1f} %{doubt}"
    return f"{name}  {row['status'].upper()}: {row['reason']}"


def classify_all(session: Session, files: Iterator[Found], again: bool) -> int:
    """Classify files one after another; those that cannot be used are noted and stop nothing."""
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


# --- watching a folder -------------------------------------------------------------------------


class Watcher:
    """Classifies pictures as they arrive in a folder.

    A file is begun when its size and time have not changed between two looks. If it then proves
    incomplete it is tried again after 1, 3 and 9 seconds before it is given up; a later change of
    the file starts anew. The folder may vanish and come back, as a USB drive does.
    """

    def __init__(self, session: Session, folder: Path):
        self.session = session
        self.folder = folder
        self._seen: dict[str, tuple[Found, float, int]] = {}  # file, not before, tries
        self._missing = False

    def look(self, now: float) -> bool:
        """Go through the folder once; say whether anything was written."""
        if not self.folder.is_dir():
            if not self._missing:
                print(f"waiting for {self.folder}", file=sys.stderr, flush=True)
            self._missing = True
            return False
        self._missing = False
        before, self._seen = self._seen, {}
        wrote = False
        for found in pictures(self.folder):
            if self.session.done(found):
                continue
            known, not_before, tries = before.get(found.name, (None, now, 0))
            if known != found:  # new, or still being copied
                self._seen[found.name] = (found, now, 0)
            elif now < not_before:
                self._seen[found.name] = (found, not_before, tries)
            else:
                wrote = self._try(found, now, tries) or wrote
        return wrote

    def _try(self, found: Found, now: float, tries: int) -> bool:
        try:
            self.session.classify(found)
        except pixels.ImageError as error:
            if error.incomplete and tries < len(RETRY_SECONDS):
                self._seen[found.name] = (found, now + RETRY_SECONDS[tries], tries + 1)
                return False
            self.session.give_up(found, str(error))
        return True


# --- command line ------------------------------------------------------------------------------


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="infer.py",
        description=f"Classify pictures of tissue. {RESEARCH_USE}",
        epilog="Exit codes: 0 all pictures classified or flagged, 1 some could not be used, "
        "2 an error, 130 stopped.",
    )
    parser.add_argument("image", nargs="*", type=Path, help="image files or folders")
    parser.add_argument("--watch", type=Path, metavar="FOLDER", help="classify what arrives there")
    parser.add_argument(
        "--camera", action="store_true", help="take pictures with the camera and classify them"
    )
    parser.add_argument(
        "--camera-command", metavar="COMMAND",
        help="takes one picture into the file that stands for {}; default: rpicam-still, "
        "libcamera-still or fswebcam, whichever is installed",
    )  # fmt: skip
    parser.add_argument(
        "--captures", type=Path, default=Path("captures"), metavar="FOLDER",
        help="where the camera's pictures are kept (default: captures)",
    )  # fmt: skip
    parser.add_argument(
        "--shots", type=int, metavar="N", help="stop after N pictures of the camera"
    )
    parser.add_argument(
        "--every", type=float, default=1.0, metavar="S",
        help="seconds between looks into the folder, or between the camera's pictures (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--csv", type=Path, metavar="FILE",
        help="the results (default: results.csv in the folder of pictures)",
    )  # fmt: skip
    parser.add_argument(
        "--cam", type=Path, metavar="FOLDER", help="also draw class activation maps there"
    )
    parser.add_argument("--again", action="store_true", help="classify what has a result already")
    parser.add_argument(
        "--any-picture", action="store_true", help="classify also what does not look like tissue"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="default: one per core, at most 4")
    parser.add_argument("--runtime", choices=classifier.RUNTIMES, help="default: the first found")
    parser.add_argument("--serve", action="store_true", help="show results on a local page")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address of the page (default: this device only)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port of the page (default: 8000)")
    options = parser.parse_args(arguments)
    sources = (bool(options.image), options.watch is not None, options.camera)
    if sum(sources) != 1:
        parser.error("give images or folders, or --watch FOLDER, or --camera")
    for name in ("threads", "shots"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name}: give at least 1")
    if not options.every > 0:
        parser.error("--every: give more than 0 seconds")
    return options


def given(paths: list[Path]) -> Iterator[Found]:
    """Files named on the command line; of a folder, the pictures in it.

    Names are below the first folder, or beside the first file, where the results lie too.
    """
    base = folder_of(paths[0])
    for path in paths:
        name = os.path.relpath(path, base)
        if path.is_dir():
            yield from _scan(str(path), "" if name == "." else f"{name}/")
        else:
            status = path.stat()
            yield Found(str(path), name, status.st_size, status.st_mtime_ns, link=False)


def folder_of(path: Path) -> Path:
    """The folder itself, or the one that a file lies in."""
    return path if path.is_dir() else path.parent


def csv_path(options: argparse.Namespace) -> Path:
    """Where the results go: beside the pictures, unless another place was named."""
    if options.csv:
        return options.csv
    if options.camera:
        return options.captures / "results.csv"
    return (options.watch or folder_of(options.image[0])) / "results.csv"


def watch(session: Session, folder: Path, every: float) -> None:
    """Classify what arrives in a folder, until the program is stopped."""
    watcher = Watcher(session, folder)
    while True:
        watcher.look(time.monotonic())
        time.sleep(every)


def photograph(session: Session, camera: Camera, every: float, shots: int | None) -> None:
    """Take and classify pictures; one that fails stops nothing, three in a row are an error."""
    from camera import CameraError

    failures = taken = 0
    while shots is None or taken < shots:
        begun = time.monotonic()
        try:
            path = camera.shoot()
        except CameraError as error:
            failures += 1
            if failures == 3:
                raise InputError(f"the camera failed three times in a row: {error}") from None
            print(f"camera: {error}", file=sys.stderr, flush=True)
        else:
            failures, taken = 0, taken + 1
            classify_all(session, given([path]), again=True)
        if shots is None or taken < shots:
            time.sleep(max(0.0, every - (time.monotonic() - begun)))


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    options = parse(arguments)
    for path in options.image:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    model = classifier.Classifier(
        classifier.load(), threads=options.threads, runtime=options.runtime
    )
    if options.cam and not model.gives_maps:
        raise InputError("--cam: this model gives no class activation maps; leave the flag out")
    camera = None
    if options.camera:
        from camera import Camera

        camera = Camera(options.captures, options.camera_command)
    while options.watch and not options.watch.is_dir() and not options.csv:
        print(f"waiting for {options.watch}", file=sys.stderr, flush=True)
        time.sleep(options.every)
    page = None
    if options.serve:
        import serve

        page = serve.Page(model.bundle)
    table = results.Results(csv_path(options), model.bundle.classes)
    session = Session(
        model, table, maps=options.cam, check_tissue=not options.any_picture, page=page
    )
    if page:
        print(f"page at {page.start(options.host, options.port)}", flush=True)
    try:
        if options.watch:
            watch(session, options.watch, options.every)
        elif camera:
            photograph(session, camera, options.every, options.shots)
        else:
            skipped = classify_all(session, given(options.image), options.again)
            if skipped:
                print(f"{skipped} have a result already (--again classifies them once more)")
    finally:
        print(session.summary(), flush=True)
        table.close()
    if page:
        page.wait()  # a folder is done; its results can be looked at until the program is stopped
    return 1 if session.counts[results.UNUSABLE] else 0


if __name__ == "__main__":
    errors.main(main)
