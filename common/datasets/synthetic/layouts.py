"""Write synthetic data sets in the layouts of BreakHis, BCI and BACH."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from common import terminal
from common.backend import cores
from common.datasets.bach import MICRONS as BACH_MICRONS
from common.datasets.bci import MICRONS as BCI_MICRONS
from common.datasets.breakhis import MICRONS as BREAKHIS_MICRONS
from common.datasets.synthetic import files
from common.datasets.synthetic.plans import (
    BCI_SCORES,
    BCI_TEST,
    DEMO_TISSUE,
    bach_plan,
    bci_plan,
    breakhis_plan,
)
from common.errors import InputError
from common.files import write_csv

# px per micrometre, as the cards say of the real images.
BREAKHIS_SCALE = {name: 1 / microns for name, microns in BREAKHIS_MICRONS.items()}
BCI_SCALE = 1 / BCI_MICRONS[""]
BACH_SCALE = 1 / BACH_MICRONS[""]

SLIDES_CSV = "synthetic_slides.csv"
SIGNAL_CSV = "synthetic_signal.csv"
_SIGNAL_SIZE = 64  # px of the longer side of a signal mask


def breakhis(
    data_dir: str | os.PathLike,
    *,
    patients: int = 24,
    images_per_patient: int = 8,
    magnifications: Sequence[str] = ("40X", "100X", "200X", "400X"),
    size: tuple[int, int] = (460, 700),
    seed: int = 0,
    workers: int | None = None,
) -> Path:
    """Write synthetic tissue in the layout of BreakHis.

    The eight types take turns over the patients and differ in architecture as in the textbook (see
    `scenes`). Every third patient has two slides (AB, CD), stained apart, so that grouping by
    case and by slide differ.

    Parameters
    ----------
    data_dir : path
        Folder to fill: new, empty, or left by the same call.
    patients : int
        Cases 90001, 90002, ...; 24 give three per type.
    images_per_patient : int
        Images per patient and magnification.
    magnifications : sequence of str
        The scale changes with the magnification, the tissue does not: 400X shows a tenth of the
        width of 40X.
    size : (int, int)
        Height and width in px. A smaller picture shows a smaller field at the same scale.
    seed : int
        Another seed gives another set of patients.
    workers : int, optional
        Threads; as many as cores by default. They change no byte.

    Returns
    -------
    Path
        `data_dir`; beside the images it holds `synthetic_slides.csv` (image, slide).

    Raises
    ------
    InputError
        If a number is out of range, or the folder holds anything else.
    """
    _require("patients", patients, 1, 9999)
    _require("seed", seed, 0, 2**32 - 1)
    _require("images_per_patient", images_per_patient, 1, 999)
    unknown = [name for name in magnifications if name not in BREAKHIS_SCALE]
    if unknown or not magnifications:
        raise InputError(f"magnifications are some of {', '.join(BREAKHIS_SCALE)}")
    size = _size(size)
    magnifications = [name for name in BREAKHIS_SCALE if name in magnifications]
    root = Path(data_dir)
    plan = breakhis_plan(patients, images_per_patient, magnifications)

    def write(job: tuple) -> None:
        from common.datasets.synthetic import scenes

        path, _, slide, kind, magnification, number = job
        if (root / path).exists():
            return
        scale = BREAKHIS_SCALE[magnification]
        rngs = _generators(seed, "breakhis", slide, (number, round(scale * 100)))
        files.write_png(root / path, scenes.picture(scenes.BREAKHIS[kind], size, scale, *rngs))

    parameters = {
        "dataset": "breakhis", "patients": patients, "images_per_patient": images_per_patient,
        "magnifications": magnifications, "size": list(size), "seed": seed,
    }  # fmt: skip
    with files.folder(root, "BreakHis", parameters) as missing:
        if missing:
            _all(write, plan, workers)
            _write_slides(root, {job[0]: job[1] for job in plan})
    return root


def bci(
    data_dir: str | os.PathLike,
    *,
    slides: int = 24,
    patches_per_slide: int = 16,
    test_fraction: float = BCI_TEST,
    size: int = 1024,
    seed: int = 0,
    workers: int | None = None,
) -> Path:
    """Write synthetic tissue in the layout of BCI: H&E and HER2 twins of the same nuclei.

    The four scores take turns over the slides. No slide is in both parts; of each score's slides
    the last ones are the test part. On the IHC twin the membranes stain as the ASCO/CAP guideline
    describes each score. On the H&E twin the grade of the tumour rises with the score, from small
    tubules of small even nuclei (0) to solid sheets of large pleomorphic ones (3+); see
    `scenes.her2_carcinoma`. Stain, light and collagen vary from slide to slide independently of the
    score, so the mean colour of an image tells the score only in part.

    Parameters
    ----------
    data_dir : path
        Folder to fill: new, empty, or left by the same call.
    slides : int
        At least 4, so that each score has one; 8 give each score a slide in both parts.
    patches_per_slide : int
        Pairs per slide.
    test_fraction : float
        Share of each score's slides that make up the test part, in [0, 1).
    size : int
        Height and width in px. A smaller picture shows a smaller field at the same scale: at 256 px
        a nucleus still has 6 px or more after resizing to 96 px.
    seed : int
        Another seed gives another set of slides.
    workers : int, optional
        Threads; as many as cores by default. They change no byte.

    Returns
    -------
    Path
        `data_dir`; beside the images it holds `synthetic_slides.csv` (image, slide) and
        `synthetic_signal.csv` (image, mask): paths of small PNG masks, 255 where the tumour lies
        (H&E and IHC twins share one).

    Raises
    ------
    InputError
        If a number is out of range, or the folder holds anything else.
    """
    _require("slides", slides, len(BCI_SCORES), 9999)
    _require("seed", seed, 0, 2**32 - 1)
    _require("patches_per_slide", patches_per_slide, 1, 9999)
    if not 0.0 <= test_fraction < 1.0:
        raise InputError(f"test_fraction={test_fraction}: at least 0 and less than 1")
    square = _size((size, size))
    root = Path(data_dir)
    plan = bci_plan(slides, patches_per_slide, test_fraction)

    def write(job: tuple) -> None:
        from common.datasets.synthetic import scenes

        name, mask, slide, score, patch = job
        targets = [root / "BCI_dataset" / stain / name for stain in ("HE", "IHC")] + [root / mask]
        if all(target.exists() for target in targets):
            return
        rngs = _generators(seed, "bci", (slide,), (patch,))
        twins = scenes.her2_pair(score, square, BCI_SCALE, *rngs)
        for target, image in zip(targets, (*twins[:2], _small(twins[2])), strict=True):
            files.write_png(target, image)

    parameters = {
        "dataset": "bci", "slides": slides, "patches_per_slide": patches_per_slide,
        "test_fraction": test_fraction, "size": square[0], "seed": seed,
    }  # fmt: skip
    with files.folder(root, "BCI", parameters) as missing:
        if missing:
            _all(write, plan, workers)
            images = {f"BCI_dataset/{s}/{job[0]}": job for s in ("HE", "IHC") for job in plan}
            _write_slides(root, {path: f"S{90001 + job[2]}" for path, job in images.items()})
            signal = {"image": list(images), "mask": [job[1] for job in images.values()]}
            write_csv(root / SIGNAL_CSV, pd.DataFrame(signal))
    return root


def bach(
    data_dir: str | os.PathLike,
    *,
    per_class: int = 12,
    size: tuple[int, int] = (1536, 2048),
    seed: int = 0,
    workers: int | None = None,
) -> Path:
    """Write synthetic tissue in the layout of BACH.

    Normal lobules and fat; benign patterns (adenosis, fibroadenoma, tubular adenoma); carcinoma in
    situ (solid, cribriform or comedo, inside an intact boundary); invasive carcinoma (ductal,
    lobular). Two images come from each slide.

    Parameters
    ----------
    data_dir : path
        Folder to fill: new, empty, or left by the same call.
    per_class : int
        Images per class, numbered from 901, 99 at most; 12 are 24 slides in all.
    size : (int, int)
        Height and width in px. A smaller picture shows a smaller field at the same scale.
    seed : int
        Another seed gives another set of slides.
    workers : int, optional
        Threads; as many as cores by default. They change no byte.

    Returns
    -------
    Path
        `data_dir`; beside the images it holds `synthetic_slides.csv` (image, slide).

    Raises
    ------
    InputError
        If a number is out of range, or the folder holds anything else.
    """
    _require("per_class", per_class, 1, 99)
    _require("seed", seed, 0, 2**32 - 1)
    size = _size(size)
    root = Path(data_dir)
    plan = bach_plan(per_class)

    def write(job: tuple) -> None:
        from common.datasets.synthetic import scenes

        path, slide, label, number = job
        if (root / path).exists():
            return
        rngs = _generators(seed, "bach", (slide,), (number,))
        files.write_tiff(root / path, scenes.picture(scenes.BACH[label], size, BACH_SCALE, *rngs))

    parameters = {"dataset": "bach", "per_class": per_class, "size": list(size), "seed": seed}
    with files.folder(root, "BACH", parameters) as missing:
        if missing:
            _all(write, plan, workers)
            _write_slides(root, {job[0]: f"S{90001 + job[1]}" for job in plan})
            labels = {"file": [Path(job[0]).name for job in plan], "label": [j[2] for j in plan]}
            truth = pd.DataFrame(labels).to_csv(index=False, header=False, lineterminator="\n")
            files.write_text(root / "Photos" / "microscopy_ground_truth.csv", truth)
    return root


# --- shared ------------------------------------------------------------------------------------


def demo(runs_dir: str | os.PathLike, dataset: str) -> Path:
    """Write the demo's tissue, or find it written.

    Parameters
    ----------
    runs_dir : path
        The runs folder; the tissue lies in its ``demo-data/<dataset>``.
    dataset : {"breakhis", "bci", "bach"}
        Which layout, with `DEMO_TISSUE`'s numbers.

    Returns
    -------
    Path
        The data folder.
    """
    writers: dict[str, Callable[..., Path]] = {"breakhis": breakhis, "bci": bci, "bach": bach}
    return writers[dataset](Path(runs_dir) / "demo-data" / dataset, **DEMO_TISSUE[dataset])


def _generators(
    seed: int, dataset: str, slide: tuple[int, ...], number: tuple[int, ...]
) -> tuple[np.random.Generator, np.random.Generator]:
    """Random numbers of the slide (the same for all its images) and of the image."""
    name = zlib.crc32(dataset.encode())
    return (
        np.random.default_rng(np.random.SeedSequence((seed, name, *slide))),
        np.random.default_rng(np.random.SeedSequence((seed, name, *slide, *number, 1))),
    )


def _all(write: Callable[[tuple], None], plan: Sequence[tuple], workers: int | None) -> None:
    """Write every image; the first error stops the rest."""
    with (
        terminal.progress("drawing synthetic tissue", len(plan), "images") as bar,
        ThreadPoolExecutor(workers or cores()) as pool,
    ):
        futures = [pool.submit(write, job) for job in plan]
        try:
            for future in bar.over(futures):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_slides(root: Path, slides: dict[str, str]) -> None:
    table = pd.DataFrame({"image": list(slides), "slide": list(slides.values())})
    write_csv(root / SLIDES_CSV, table.sort_values("image"))


def _small(mask: np.ndarray) -> np.ndarray:
    """Shrink a bool mask to uint8 0 or 255, by majority."""
    import cv2

    factor = min(1.0, _SIGNAL_SIZE / max(mask.shape))
    size = (max(1, round(mask.shape[1] * factor)), max(1, round(mask.shape[0] * factor)))
    shrunk = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
    return (shrunk > 127).astype(np.uint8) * 255


def _require(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InputError(f"{name}={value}: from {low} to {high}")


def _size(size: tuple[int, int]) -> tuple[int, int]:
    height, width = (int(extent) for extent in size)
    if min(height, width) < 16 or max(height, width) > 8192:
        raise InputError(f"size={size}: height and width from 16 to 8192 px")
    return height, width
