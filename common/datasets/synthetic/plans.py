"""What synthetic data sets hold, image by image, before anything is drawn."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

BREAKHIS_FOLDERS = {
    "A": "benign/SOB/adenosis",
    "F": "benign/SOB/fibroadenoma",
    "PT": "benign/SOB/phyllodes_tumor",
    "TA": "benign/SOB/tubular_adenoma",
    "DC": "malignant/SOB/ductal_carcinoma",
    "LC": "malignant/SOB/lobular_carcinoma",
    "MC": "malignant/SOB/mucinous_carcinoma",
    "PC": "malignant/SOB/papillary_carcinoma",
}
BCI_SCORES = ("0", "1+", "2+", "3+")
BACH_PREFIX = {"Normal": "n", "Benign": "b", "InSitu": "is", "Invasive": "iv"}

SIGNAL_FOLDER = "synthetic_signal"
BCI_TEST = 0.25
"""Share of each score's slides in BCI's test part."""

# Many patients rather than many images of each: networks that start from random weights would
# otherwise learn the patients' stains. Small fields, at which nuclei survive the resize.
DEMO_TISSUE: dict[str, dict[str, Any]] = {
    "bci": {"slides": 48, "patches_per_slide": 8, "size": 256},
    "breakhis": {
        "patients": 96,
        "images_per_patient": 8,
        "magnifications": ("100X",),
        "size": (256, 256),
    },
    "bach": {"per_class": 96, "size": (256, 256)},
}
"""What `demo` asks each layout for."""


def breakhis_plan(
    patients: int, images_per_patient: int, magnifications: Sequence[str]
) -> list[tuple]:
    """List the images of `layouts.breakhis`.

    Parameters
    ----------
    patients, images_per_patient : int
    magnifications : sequence of str
        In the order of the card.

    Returns
    -------
    list of tuple
        Path, slide, its patient and number there, type, magnification, number of each.
    """
    plan: list[tuple] = []
    for patient in range(patients):
        kind = list(BREAKHIS_FOLDERS)[patient % len(BREAKHIS_FOLDERS)]
        side = "B" if BREAKHIS_FOLDERS[kind].startswith("benign") else "M"
        case = 90001 + patient
        for number in range(images_per_patient):
            second = number % 2 if patient % 3 == 0 else 0
            letters = ("AB", "CD")[second] if patient % 3 == 0 else ""
            slide = f"14-{case}{letters}"
            for magnification in magnifications:
                name = f"SOB_{side}_{kind}-{slide}-{magnification[:-1]}-{number + 1:03d}.png"
                path = (
                    f"BreaKHis_v1/histology_slides/breast/{BREAKHIS_FOLDERS[kind]}/"
                    f"SOB_{side}_{kind}_{slide}/{magnification}/{name}"
                )
                plan.append((path, slide, (patient, second), kind, magnification, number))
    return plan


def bci_plan(slides: int, patches_per_slide: int, test_fraction: float) -> list[tuple]:
    """List the pairs of `layouts.bci`.

    Parameters
    ----------
    slides, patches_per_slide : int
    test_fraction : float

    Returns
    -------
    list of tuple
        Name, mask, slide, score, number of each.
    """
    plan: list[tuple] = []
    for slide in range(slides):
        score = BCI_SCORES[slide % len(BCI_SCORES)]
        mates = range(slide % len(BCI_SCORES), slides, len(BCI_SCORES))
        held_out = round(test_fraction * len(mates))
        if test_fraction > 0.0 and len(mates) > 1:
            held_out = max(held_out, 1)
        part = "test" if mates.index(slide) >= len(mates) - held_out else "train"
        for patch in range(patches_per_slide):
            number = 90000 + slide * patches_per_slide + patch
            name = f"{part}/{number}_{part}_{score}.png"
            plan.append((name, f"{SIGNAL_FOLDER}/mask_{number}.png", slide, score, patch))
    return plan


def bach_plan(per_class: int) -> list[tuple]:
    """List the images of `layouts.bach`.

    Parameters
    ----------
    per_class : int

    Returns
    -------
    list of tuple
        Path, slide, label, number of each.
    """
    plan: list[tuple] = []
    for offset, (label, prefix) in enumerate(BACH_PREFIX.items()):
        for number in range(per_class):
            path = f"Photos/{label}/{prefix}{901 + number}.tif"
            plan.append((path, 4 * (number // 2) + offset, label, number))
    return plan


def _demo_names(dataset: str) -> list[str]:
    """Name the demo's images without drawing them."""
    tissue = DEMO_TISSUE[dataset]
    if dataset == "breakhis":
        plan = breakhis_plan(
            tissue["patients"], tissue["images_per_patient"], tissue["magnifications"]
        )
    elif dataset == "bach":
        plan = bach_plan(tissue["per_class"])
    else:
        plan = bci_plan(tissue["slides"], tissue["patches_per_slide"], BCI_TEST)
        return [f"BCI_dataset/{stain}/{job[0]}" for stain in ("HE", "IHC") for job in plan]
    return [job[0] for job in plan]


def demo_index(dataset: str, load: Callable[[Path], pd.DataFrame]) -> pd.DataFrame | None:
    """Give the index that a demo's images will have, before they are drawn.

    Parameters
    ----------
    dataset : {"breakhis", "bci", "bach"}
    load : callable
        Indexes a folder by names.

    Returns
    -------
    DataFrame or None
        None if `load` refuses them.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in _demo_names(dataset):
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        try:
            return load(Path(folder))
        except InputError:  # the same is refused once they are drawn, and names their folder
            return None
