"""Classify pictures of tissue: python3 infer.py IMAGE|FOLDER, --watch FOLDER, or --camera.

Every picture becomes a line of results.csv: label and probability, or why there is none.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import classifier
import errors
import sealed
from errors import InputError
from finding import first_folder, given
from session import Session, classify_all
from watching import watch

import results
from common.notices import RESEARCH_USE

if TYPE_CHECKING:
    from camera import Camera


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Default: those of the process.
    """
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="infer.py",
        description=f"Classify pictures of tissue. {RESEARCH_USE}",
        epilog="Exit codes: 0 all pictures classified or flagged, 1 some could not be used, "
        "2 an error, 130 stopped.",
    )
    parser.add_argument("image", nargs="*", type=_path, help="image files or folders")
    parser.add_argument("--watch", type=_path, metavar="FOLDER", help="classify what arrives there")
    parser.add_argument(
        "--camera", action="store_true", help="take pictures with the camera and classify them"
    )
    parser.add_argument(
        "--camera-command", metavar="COMMAND",
        help="takes one picture into the file that stands for {}; default: rpicam-still, "
        "libcamera-still or fswebcam, whichever is installed",
    )  # fmt: skip
    parser.add_argument(
        "--captures", type=_path, default=Path("captures"), metavar="FOLDER",
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
        "--csv", type=_path, metavar="FILE",
        help="the results (default: results.csv in the folder of pictures; of single files nothing "
        "is kept)",
    )  # fmt: skip
    parser.add_argument(
        "--cam", type=_path, metavar="FOLDER", help="also draw class activation maps there"
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


def _path(text: str) -> Path:
    return Path(text).expanduser()


def csv_path(options: argparse.Namespace) -> Path | None:
    """Where the results go: into the folder of pictures, unless another place was named.

    Parameters
    ----------
    options : Namespace
        From `parse`.

    Returns
    -------
    Path or None
        None for single files: nothing is written beside them unasked.
    """
    if options.csv:
        return options.csv
    if options.camera:
        return options.captures / "results.csv"
    folder = options.watch or first_folder(options.image)
    return folder / "results.csv" if folder else None


def photograph(session: Session, camera: Camera, every: float, shots: int | None) -> None:
    """Take and classify pictures; one that fails stops nothing, three in a row are an error.

    Parameters
    ----------
    session : Session
    camera : Camera
    every : float
        Seconds between two pictures.
    shots : int or None
        How many; None: until the program is stopped.

    Raises
    ------
    InputError
        If three pictures in a row could not be taken.
    """
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
    """Entry point.

    Parameters
    ----------
    arguments : list of str, optional
        Default: those of the process.
    """
    options = parse(arguments)
    for path in options.image:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    model = classifier.Classifier(sealed.load(), threads=options.threads, runtime=options.runtime)
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
    path = csv_path(options)
    table = results.Results(path, model.bundle.classes) if path else results.Nowhere()
    if page and isinstance(table, results.Results):
        page.restore(table)
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
