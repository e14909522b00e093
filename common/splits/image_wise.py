"""Splits that draw images and ignore patients: at random, by printed numbers, official parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from common.datasets import listed
from common.errors import InputError, many
from common.splits.arguments import require_table, whole
from common.splits.draw import draw, random_state, sorted_rows
from common.splits.parts import PARTS, check_fractions, with_parts

if TYPE_CHECKING:
    import pandas as pd


def by_image(
    index: pd.DataFrame, *, test: float, validation: float, seed: int, stratify: bool = False
) -> pd.DataFrame:
    """Split at random over images, patients ignored, as most BreakHis papers do.

    Unstratified, the parts are those that scikit-learn's `train_test_split` makes of the sorted
    file names, called once for the test part and once more, on its training part, for validation,
    both times with `random_state=seed`. Images of one patient land on both sides: see
    `splits.leakage`.

    Parameters
    ----------
    index : DataFrame
        Of a data set's images.
    test, validation : float
        Fractions; ceil(test * n) images are tested on, ceil(validation * n_train) validate.
        `validation=0` leaves the validation part out.
    seed : int
        Governs both draws.
    stratify : bool
        Keep the classes' shares in every part, to within one image per class.

    Returns
    -------
    DataFrame
        The index with the column `part`.

    Raises
    ------
    InputError
        If a part comes out empty or with a single class, or a fraction is out of range.
    """
    check_fractions(np.nan if test is None else test, validation)
    require_table(index, "label")
    order = sorted_rows(index)
    train, tested = draw(index, order, test, seed, stratify)
    validated = np.array([], int)
    if validation:
        train, validated = draw(index, train, validation, seed, stratify)
    return with_parts(index, {"train": train, "validation": validated, "test": tested}, validation)


def official(index: pd.DataFrame, *, validation: float, seed: int) -> pd.DataFrame:
    """Use the parts that the data set itself gives; validation is drawn from its training part.

    The validation images are drawn over images, stratified by label: where slides are unknown
    (BCI) neighbours of a validation image may be trained on.

    Parameters
    ----------
    index : DataFrame
        Whose column `official` says "train" or "test".
    validation : float
        Fraction of the training images; 0 leaves the validation part out.
    seed : int
        Governs the validation draw.

    Returns
    -------
    DataFrame
        The index with the column `part`.

    Raises
    ------
    InputError
        If the data set gives no parts.
    """
    check_fractions(None, validation)
    require_table(index, "image", "label", "official")
    unknown = index.loc[~index["official"].isin(("train", "test")), "image"]
    if len(unknown):
        raise InputError(
            f"{many(len(unknown), 'image has', 'images have')} no official part: "
            f"{listed(list(unknown))}. BCI has "
            "official folders; BreakHis has fold files (--fold-files DIR)"
        )
    order = sorted_rows(index)
    given = index["official"].to_numpy()[order]
    train, tested = order[given == "train"], order[given == "test"]
    validated = np.array([], int)
    if validation:
        train, validated = draw(index, train, validation, seed, stratify=True)
    return with_parts(index, {"train": train, "validation": validated, "test": tested}, validation)


def by_counts(
    index: pd.DataFrame, counts: Mapping[str, Mapping[str, int]], seed: int
) -> pd.DataFrame:
    """Draw printed numbers of images per class and part, patients ignored.

    Parameters
    ----------
    index : DataFrame
    counts : mapping
        Class -> part -> number of images. Images beyond these numbers get part "".
    seed : int
        Each class has its own stream of random numbers.

    Returns
    -------
    DataFrame
        The index with the column `part`.

    Raises
    ------
    InputError
        If a class has fewer images than asked for, or classes and index do not fit.
    """
    require_table(index, "label")
    if not isinstance(counts, Mapping) or not all(isinstance(n, Mapping) for n in counts.values()):
        raise InputError("counts must map each class to its numbers of images by part")
    unlisted = sorted(set(index["label"]) - set(counts))
    if unlisted:
        raise InputError(f"counts name no numbers for the classes {', '.join(unlisted)}")
    order = sorted_rows(index)
    labels = index["label"].to_numpy()
    rows: dict[str, list[int]] = {part: [] for part in PARTS}
    for name, wanted in counts.items():
        unknown = sorted(set(wanted) - set(PARTS))
        if unknown:
            raise InputError(f"counts of {name}: unknown part {', '.join(unknown)}")
        for part, number in wanted.items():
            whole(number, 0, f"counts of {name}, {part},")
        mine = order[labels[order] == name]
        if sum(wanted.values()) > len(mine):
            numbers = " + ".join(str(wanted.get(part, 0)) for part in PARTS)
            raise InputError(
                f"class {name}: {numbers} images are asked for (train + validation + test), the "
                f"data set holds {len(mine)}"
            )
        # One stream per class, so that another class' images do not change this one's draw.
        mine = mine[random_state(seed, name).permutation(len(mine))]
        start = 0
        for part in PARTS:
            rows[part].extend(mine[start : start + wanted.get(part, 0)])
            start += wanted.get(part, 0)
    validation = sum(wanted.get("validation", 0) for wanted in counts.values())
    return with_parts(index, rows, validation)
