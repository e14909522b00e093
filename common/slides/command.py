"""`python -m PKG.predict --run RUN slide.svs --tiles`: a slide to table, maps and page."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import acquaintance, confidence, images, notices, runs, terminal, writers
from common.errors import InputError, many
from common.files import require_output, write_json
from common.slides import outputs, page, work
from common.slides.identity import identity, key_of, require_same
from common.slides.journal import Journal
from common.slides.mask import tissue_mask
from common.slides.reading import Slide, opened
from common.slides.scale import Field, field_of, scale_of
from common.slides.tiles import Tiles, lay

THUMBNAIL, DRAWN = 2048, 1080
"""px of the longer side: of the thumbnail on which tissue is sought, of that which is drawn on."""

_ENLARGED = 1.25  # from which on enlarging is told
_SLIDES = re.compile(r"\.(svs|svslide|ndpi|scn|mrxs|bif|vms|vmu|dcm|czi)$", re.IGNORECASE)
_FLAGS = (
    "mpp", "stride", "least_tissue", "magnification", "trained_mpp", "tile_size", "map_class"
)  # fmt: skip


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of slides to a command that predicts.

    Parameters
    ----------
    parser : ArgumentParser
        Is changed.
    """
    group = parser.add_argument_group("whole slides and large images")
    add = group.add_argument
    add("--tiles", action="store_true",
        help="take each IMAGE for a slide: read its tissue in tiles at the training scale, and "
        "write maps, a table, objects for QuPath and a page into a folder (--output DIR; by "
        "default <slide>-tiles)")  # fmt: skip
    add_scale_flags(group, size="--tile-size")
    add("--stride", type=float, metavar="SHARE",
        help="step from one tile to the next, as a share of a tile's side: 0.5 lets them overlap "
        "by half and makes four times as many; default 1")  # fmt: skip
    add("--least-tissue", type=float, metavar="SHARE",
        help="of a tile that is looked at; default 0.25")  # fmt: skip
    add("--map-class", metavar="CLASS",
        help="of the heat map; default: the positive class, or the one predicted most")  # fmt: skip
    add("--magnification", metavar="NAME",
        help="at which tiles are read, where the run was trained at several: 100X")  # fmt: skip


def add_scale_flags(group: argparse._ActionsContainer, size: str) -> None:
    """Add the flags that say a scale which is not known, of new images and of the training's.

    Parameters
    ----------
    group : ArgumentParser or group of one
        Is changed.
    size : str
        What the flag for the size of the training images is called.
    """
    add = group.add_argument
    add("--mpp", type=float, metavar="MICROMETRES",
        help="per px of the new images or slides, where no list has a column mpp; it overrules a "
        "slide's file and a data set's card")  # fmt: skip
    add("--trained-mpp", type=float, metavar="MICROMETRES",
        help="per px of the training images, where it is not known, or wrongly")  # fmt: skip
    add(size, type=size_argument, metavar="WxH",
        help="px of the training images, where the run did not note it")  # fmt: skip


def size_argument(text: str) -> tuple[int, int]:
    """Height and width from what a command line says.

    Parameters
    ----------
    text : str
        WIDTHxHEIGHT, such as 700x460.
    """
    try:
        width, height = map(int, text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: give WIDTHxHEIGHT, such as 700x460") from None
    return height, width


def hint(problems: Sequence[str]) -> list[str]:
    """Say how slides are read, to whom wanted to classify them whole.

    Parameters
    ----------
    problems : sequence of str
        What is wrong with images, each with its file's name first.
    """
    slides = [text for text in problems if _SLIDES.search(text.partition(": ")[0])]
    return ["a whole slide is read in parts with --tiles"] if slides else []


def require_tiles(flags: argparse.Namespace) -> None:
    """Refuse flags of slides without --tiles, and those that say nothing with it.

    Parameters
    ----------
    flags : Namespace

    Raises
    ------
    InputError
        Naming the flag.
    """
    given = [name for name in _FLAGS if getattr(flags, name) is not None]
    if given and not flags.tiles:
        raise InputError(f"--{given[0].replace('_', '-')}: is for slides, with --tiles")
    for name, value in (("gradcam", flags.gradcam), ("skip-bad", flags.skip_bad),
                        ("images", flags.listing)):  # fmt: skip
        if flags.tiles and value:
            raise InputError(f"--{name}: is for images, not with --tiles")
    if flags.stride is not None and not 0.05 <= flags.stride <= 10:
        raise InputError(f"--stride {flags.stride:g}: from 0.05 to 10 of a tile's side")
    if flags.least_tissue is not None and not 0 <= flags.least_tissue <= 1:
        raise InputError(f"--least-tissue {flags.least_tissue:g}: a share, from 0 to 1")


def predict(run: runs.Run, flags: argparse.Namespace, normalise: work.Normalise) -> int:
    """Predict slides tile by tile, and write what was found.

    Parameters
    ----------
    run : Run
    flags : Namespace
        As the command took them.
    normalise : callable
        The run's stain normalisation.

    Returns
    -------
    int
        0.

    Raises
    ------
    InputError
        Naming what is wrong with a slide or a flag.
    """
    slides: Sequence[Path] = flags.images
    if not slides:
        raise InputError("no slide is named: give its file, or several")
    for path in slides:
        if not path.is_file():
            what = (
                "is a folder; give the slides' files: of a DICOM series one, of a MIRAX slide the "
                ".mrxs beside its folder"
                if path.is_dir()
                else "no such file"
            )
            raise InputError(f"{path}: {what}")
    folders = _folders(slides, flags.output)
    for folder in folders:
        require_output(folder, "--output", folder=True)
    shown = flags.map_class
    if shown is not None and shown not in (run.record.classes or []):
        raise InputError(f"--map-class {shown}: the run has {', '.join(run.record.classes or [])}")
    field = field_of(
        run, magnification=flags.magnification, mpp=flags.trained_mpp, size=flags.tile_size
    )
    terminal.line(acquaintance.introduction(run))
    loaded: list[Any] = []

    def load_model() -> Any:
        if not loaded:
            from common import backend

            backend.load()
            loaded.append(runs.load_model(run))
        return loaded[0]

    marks: dict[str, Path] = {}
    for path, folder in zip(slides, folders, strict=True):
        with opened(path) as slide:
            same = marks.setdefault(slide.mark, path) if slide.mark else path
            if same == path:
                _one(run, slide, folder, field, flags, normalise, load_model)
            else:
                terminal.line(f"{path}: is of the slide {same}, and left out", always=True)
    return 0


def _folders(slides: Sequence[Path], output: Path | None) -> list[Path]:
    """Where each slide's results go; two slides of one name are told apart by a number."""
    if len(slides) == 1 and output is not None:
        return [output]
    found: list[Path] = []
    for path in slides:
        name, number = f"{path.stem}-tiles", 1
        while (folder := (output or Path()) / name) in found:
            number += 1
            name = f"{path.stem}-{number}-tiles"
        found.append(folder)
    return found


def _one(
    run: runs.Run,
    slide: Slide,
    folder: Path,
    field: Field,
    flags: argparse.Namespace,
    normalise: work.Normalise,
    load_model: Callable[[], Any],
) -> None:
    """One slide: thumbnail, tissue, tiles, predictions, files."""
    scale = scale_of(slide, flags.mpp)
    stride = 1.0 if flags.stride is None else flags.stride
    least = 0.25 if flags.least_tissue is None else flags.least_tissue
    thumbnail = _thumbnail(slide)
    mask = tissue_mask(thumbnail, any_stain=run.config.get("stain") == "ihc")
    tiles = lay(slide, scale, field, mask, stride=stride, least=least)
    warnings = _of_scale(slide, scale, field, flags.mpp)
    for text in warnings:
        terminal.line(f"warning: {text}", always=True)
    terminal.line(
        f"{slide.path.name}: {slide.width}x{slide.height} px at {scale[0]:.4g} micrometres; "
        f"{len(tiles)} of {tiles.looked_at} tiles have tissue, {field.width}x{field.height} px at "
        f"{field.mpp:.4g} micrometres each"
    )
    key = key_of(run, slide, scale, tiles, field)
    with writers.alone(folder, "another command is writing there; wait, or give another --output"):
        require_same(folder, slide)
        journal = Journal(folder, key)
        found = work.predict(run, slide, tiles, field, normalise, journal, load_model)
        facts = _write(
            run, slide, folder, field, flags, scale, tiles, thumbnail, mask, found, warnings
        )
        journal.remove()
    for text in facts["warnings"][len(warnings) :]:
        terminal.line(f"warning: {text}", always=True)
    _tell(run, folder, facts)


def _thumbnail(slide: Slide) -> np.ndarray:
    factor = min(1.0, THUMBNAIL / max(slide.width, slide.height))
    size = max(1, round(slide.height * factor)), max(1, round(slide.width * factor))
    return slide.region((0, 0, slide.width, slide.height), size, progress=True)


def _of_scale(
    slide: Slide, scale: tuple[float, float], field: Field, said: float | None
) -> list[str]:
    """What is odd about the scales."""
    texts = []
    if said is not None and slide.mpp is not None and abs(said / slide.mpp[0] - 1) > 0.05:
        texts.append(
            f"--mpp {said:g} is taken, though the file says {slide.mpp[0]:.4g} micrometres per px"
        )
    times = max(scale) / field.mpp
    if times > _ENLARGED:
        texts.append(
            f"the slide has {max(scale):.3g} micrometres per px, coarser than the {field.mpp:.3g} "
            f"of the training images: its tiles are enlarged {times:.1f} times and show less "
            "detail than the network knows"
        )
    return texts


def _write(
    run: runs.Run,
    slide: Slide,
    folder: Path,
    field: Field,
    flags: argparse.Namespace,
    scale: tuple[float, float],
    tiles: Tiles,
    thumbnail: np.ndarray,
    mask: np.ndarray,
    found: work.Found,
    warnings: Sequence[str],
) -> dict[str, Any]:
    from common import figures

    classes = list(run.record.classes or [])
    kept = confidence.read(run.path)
    probabilities = kept.calibrated(found.probabilities).astype(np.float32)
    table = outputs.table(tiles, probabilities, classes)
    table = table.assign(**kept.columns(found.probabilities, classes))
    left_open = int((table["abstain"] == "yes").sum()) if kept.abstains else None
    rows = page.shares(table, classes)
    shown = flags.map_class or run.record.positive
    shown = shown or max(rows, key=lambda row: row["tiles"])["name"]
    synthetic = run.synthetic or slide.synthetic
    factor = min(1.0, DRAWN / max(thumbnail.shape))
    shape = tuple(max(1, round(side * factor)) for side in thumbnail.shape[:2])
    small = images.resize(thumbnail, shape)
    area = scale[0] * scale[1] * 1e-6 * slide.width * slide.height
    facts = {
        "slide": slide.path.name,
        **identity(slide),
        "kind": slide.kind,
        "width": slide.width,
        "height": slide.height,
        "origin": list(slide.origin),
        "mpp": list(scale),
        "mpp_said_by": "the file" if flags.mpp is None else "--mpp",
        "run": run.path.name,
        "package": run.record.package,
        "synthetic": synthetic,
        "tile": {"width": field.width, "height": field.height, "mpp": field.mpp},
        "tile_px": [tiles.width, tiles.height],
        "stride": 1.0 if flags.stride is None else flags.stride,
        "least_tissue": 0.25 if flags.least_tissue is None else flags.least_tissue,
        "stain": "none" if run.record.get("stain_normalizer") is None else "as in training",
        "temperature": kept.temperature,
        "confidence": str(kept),
        "abstains_below": kept.below,
        "abstains": left_open,
        "looked_at": tiles.looked_at,
        "tiles": len(tiles),
        "tissue_mm2": float(mask.mean() * area),
        "slide_mm2": area,
        "classes": rows,
        "heatmap": shown,
        "unlike": len({row for each in found.odd.values() for row in each}),
        "warnings": [
            *page.warnings_of(found.odd, len(tiles), warnings),
            *page.left_open(kept, left_open, len(tiles)),
        ],
        "notice": notices.RESEARCH_USE,
    }
    outputs.write_table(folder / "tiles.csv", table)
    outputs.write_geojson(folder / "tiles.geojson", table, classes)
    heat, map = outputs.write_maps(
        folder, tiles, slide, small, probabilities, classes, shown,
        scale[0] * slide.width / small.shape[1], synthetic,
    )  # fmt: skip
    pale = figures.examples([page.pale_outside(thumbnail, mask)], [slide.path.name], columns=1)
    seen = figures.save(pale, folder / "tissue.png", synthetic=synthetic)
    write_json(folder / "slide.json", facts)
    page.write(
        folder, run, facts, {"heat": heat, "map": map, "tissue": seen}, _command(run, slide, flags)
    )
    return facts


def _command(run: runs.Run, slide: Slide, flags: argparse.Namespace) -> str:
    """What makes this page again, with OUT for its folder: moved or made again it is the same."""
    words = ["python", "-m", f"{run.record.package}.predict", "--run", str(flags.run)]
    words += [str(slide.path), "--tiles"]
    for name in _FLAGS:
        value = getattr(flags, name)
        if name == "tile_size" and value is not None:
            value = f"{value[1]}x{value[0]}"
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join([*words, "--output", "OUT"])


def _tell(run: runs.Run, folder: Path, facts: dict[str, Any]) -> None:
    """What a user reads at the end."""
    if run.synthetic:
        print(notices.SYNTHETIC_MODEL)
    width = max(len(row["name"]) for row in facts["classes"])
    for row in facts["classes"]:
        print(f"{row['name']:<{width}}  {many(row['tiles'], 'tile')}, {100 * row['share']:.1f} %")
    terminal.line(facts["confidence"])
    print(f"page    {terminal.plain(folder / 'index.html')}")
    print(f"QuPath  {terminal.plain(folder / 'tiles.geojson')}")
    print(f"{notices.RESEARCH_USE} Data set: {run.record.dataset}, {run.record.licence}.")
