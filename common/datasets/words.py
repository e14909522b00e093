"""What people call columns, parts and the positive class: the one list of each."""

from __future__ import annotations

import re
from collections.abc import Sequence

COLUMNS: dict[str, tuple[str, ...]] = {
    "image": (
        *("image", "filename", "file_name", "file", "filepath", "file_path", "path", "image_path"),
        *("img_path", "img", "image_name", "img_name", "image_id"),
    ),
    "case": (
        *("case", "patient", "patient_id", "patientid", "case_id", "caseid", "subject"),
        *("subject_id", "subjectid", "pid", "patient_number", "case_number", "donor"),
    ),
    "slide": ("slide", "slide_id", "slideid", "wsi", "wsi_id"),
    "folder": ("folder",),
    "magnification": ("magnification", "mag", "zoom"),
    "mpp": ("mpp", "microns_per_pixel", "microns_per_px", "um_per_pixel", "um_per_px"),
}
"""Names of columns that can hardly be anything else, in small letters, the likeliest first."""

PART_WORDS = {
    **dict.fromkeys(
        ("train", "training", "trn", "tr", "trainset", "trainingset", "trainval"), "train"
    ),
    **dict.fromkeys(
        ("validation", "valid", "val", "dev", "development", "tune", "validationset", "valset",
         "devset"), "validation",
    ),
    **dict.fromkeys(
        ("test", "testing", "tst", "ts", "te", "testset", "testingset", "eval", "evaluation",
         "heldout", "holdout"), "test",
    ),
}  # fmt: skip
"""How people call the parts, in small letters -> as they are called here."""

POSITIVE_WORDS = (
    "malignant", "positive", "cancer", "carcinoma", "tumor", "tumour", "invasive", "metastasis",
    "abnormal", "diseased", "pos", "yes", "true", "1",
)  # fmt: skip
"""Names of one of two classes that is taken for the positive one where none is given."""


def likely_positive(classes: Sequence[str]) -> str | None:
    """Which of two classes its name says is the positive one.

    Parameters
    ----------
    classes : sequence of str

    Returns
    -------
    str or None
        None unless there are two classes, and exactly one is called by one of `POSITIVE_WORDS`.
    """
    said = [name for name in classes if name.casefold() in POSITIVE_WORDS]
    return said[0] if len(classes) == 2 and len(said) == 1 else None


def part_word(text: str) -> str:
    """Part that a text says and says alone, in any case, as one word or two.

    Parameters
    ----------
    text : str
        "train", "Test set", "held-out".

    Returns
    -------
    str
        One of `common.splits.PARTS`; "" if it says none.
    """
    return PART_WORDS.get(re.sub(r"[\s_-]+", "", text.lower()), "")
