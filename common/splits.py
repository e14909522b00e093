"""Which images train, validate and test: splits of an index, and what leaks between their parts.

Every function returns the index with a column `part` ("train", "validation", "test"; "" = unused).
A split depends on the seed and on the file names alone: not on the order of the rows, and not on
the folders the files lie in. `test` is a fraction of all images, `validation` a fraction of the
training images that remain after the test images were taken.

    python -m common.splits report --split-file runs/.../split.csv --data-dir D
"""

from __future__ import annotations

import math
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.datasets import listed
from common.errors import InputError
from common.files import write_csv, write_json

PARTS = ("train", "validation", "test")
SPLIT_COLUMNS = ("image", "case", "slide", "folder", "magnification", "label", "part")
GROUPS = ("case", "slide", "folder")

_TRIALS = 8  # random orders of the groups, of which the best balanced draw is taken


# --- by image ----------------------------------------------------------------------------------


def by_image(
    index: pd.DataFrame, *, test: float, validation: float, seed: int, stratify: bool = False
) -> pd.DataFrame:
    """Split at random over images, patients ignored, as most BreakHis papers do.

    Unstratified, the parts are those that scikit-learn's `train_test_split` makes of the sorted
    file names, called once for the test part and once more, on its training part, for validation,
    both times with `random_state=seed`. Images of one patient land on both sides: see
    `common.leakage`.

    Parameters
    ----------
    index : DataFrame
    test, validation : float
        Fractions; ceil(test * n) images are tested on, ceil(validation * n_train) validate.
        `validation=0` leaves the validation part out.
    seed : int
        Governs both draws.
    stratify : bool
        Keep the classes' shares in every part, to within one image per class.

    Raises
    ------
    InputError
        If a part comes out empty or with a single class, or a fraction is out of range.
    """
    _check_fractions(test, validation)
    order = sorted_rows(index)
    train, tested = _draw(index, order, test, seed, stratify)
    validated = np.array([], int)
    if validation:
        train, validated = _draw(index, train, validation, seed, stratify)
    return _parts(index, {"train": train, "validation": validated, "test": tested}, validation)


def official(index: pd.DataFrame, *, validation: float, seed: int) -> pd.DataFrame:
    """Use the parts that the data set itself gives; validation is drawn from its training part.

    The validation images are drawn over images, stratified by label: where slides are unknown
    (BCI) neighbours of a validation image may be trained on.

    Raises
    ------
    InputError
        If the data set gives no parts.
    """
    _check_fractions(None, validation)
    unknown = index.loc[~index["official"].isin(("train", "test")), "image"]
    if len(unknown):
        raise InputError(
            f"{len(unknown)} images have no official part: {listed(list(unknown))}. BCI has "
            "official folders; BreakHis has fold files (--fold-files DIR)"
        )
    order = sorted_rows(index)
    given = index["official"].to_numpy()[order]
    train, tested = order[given == "train"], order[given == "test"]
    validated = np.array([], int)
    if validation:
        train, validated = _draw(index, train, validation, seed, stratify=True)
    return _parts(index, {"train": train, "validation": validated, "test": tested}, validation)


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

    Raises
    ------
    InputError
        If a class has fewer images than asked for, or classes and index do not fit.
    """
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
        mine = order[labels[order] == name]
        if sum(wanted.values()) > len(mine):
            numbers = " + ".join(str(wanted.get(part, 0)) for part in PARTS)
            raise InputError(
                f"class {name}: {numbers} images are asked for (train + validation + test), the "
                f"data set holds {len(mine)}"
            )
        # One stream per class, so that another class' images do not change this one's draw.
        mine = mine[_random(seed, name).permutation(len(mine))]
        start = 0
        for part in PARTS:
            rows[part].extend(mine[start : start + wanted.get(part, 0)])
            start += wanted.get(part, 0)
    validation = sum(wanted.get("validation", 0) for wanted in counts.values())
    return _parts(index, rows, validation)


# --- by patient --------------------------------------------------------------------------------


def by_group(
    index: pd.DataFrame, *, group: str = "case", test: float, validation: float, seed: int
) -> pd.DataFrame:
    """Split so that all images of a group (patient) lie in one part.

    From a random draw, groups are exchanged until no exchange brings the parts closer to the
    fractions, over all images and in every class; a class with at least two groups is trained and
    tested on, one with at least three also validated on, as far as possible, and one with a single
    group is trained on. The best of a few such draws is taken.

    Parameters
    ----------
    index : DataFrame
    group : {"case", "slide", "folder"}
    test, validation : float
        Fractions of images, reached as nearly as whole groups allow. `validation=0` leaves the
        validation part out.
    seed : int

    Warns
    -----
    UserWarning
        Of classes that have a single group, with the part it went to.

    Raises
    ------
    InputError
        If groups are unknown or too few, or a part comes out empty or with a single class.
    """
    _check_fractions(test, validation)
    _check_known(index, group, "no split by patient can be made; use --split official or image")
    order = sorted_rows(index)
    train, tested = _draw_groups(index, order, group, test, seed, left=2 if validation else 1)
    validated = np.array([], int)
    if validation:
        train, validated = _draw_groups(index, train, group, validation, seed + 1, left=1)
    split = _parts(index, {"train": train, "validation": validated, "test": tested}, validation)
    check_disjoint(split, group)
    _warn_single_groups(split, group)
    return split


by_patient = by_group


def from_fold_files(
    index: pd.DataFrame,
    fold_dir: str | os.PathLike | None,
    fold: int,
    *,
    validation: float,
    seed: int,
) -> pd.DataFrame:
    """Use a fold of the official BreakHis protocol, read from `dsfold1.txt` ... `dsfold5.txt`.

    Rows of the files read ``image|magnification|fold|train`` or ``...|test``. The five folds are
    independent 70/30 draws over slide folders, not a partition. Validation is drawn by `case` out
    of the training images.

    Parameters
    ----------
    index : DataFrame
        Of BreakHis, any magnifications.
    fold_dir : path
        Folder with the files.
    fold : int
        1 to 5.
    validation : float
        Fraction of the fold's training images.
    seed : int
        Governs the validation draw.

    Raises
    ------
    InputError
        If the file is missing or damaged, or does not name every image of the index.
    """
    from common.datasets import breakhis

    _check_fractions(None, validation)
    if fold not in (1, 2, 3, 4, 5):
        raise InputError(f"--fold {fold}: the official BreakHis folds are 1 to 5")
    if fold_dir is None:
        raise InputError(f"the official split needs --fold-files DIR. {breakhis.FOLDS}")
    path = Path(fold_dir) / f"dsfold{fold}.txt"
    if not path.is_file():
        raise InputError(f"{path}: missing. {breakhis.FOLDS}; give their folder with --fold-files")
    given: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != 4 or fields[2] != str(fold) or fields[3] not in ("train", "test"):
            raise InputError(
                f"{path}:{number}: expected image|magnification|{fold}|train or test, "
                f"found {line.strip()!r}"
            )
        if given.setdefault(_stem(fields[0]), fields[3]) != fields[3]:
            raise InputError(f"{path}:{number}: {fields[0]} is both in train and in test")
    order = sorted_rows(index)
    parts = np.array([given.get(_stem(index["image"].iloc[i]), "") for i in order])
    unlisted = order[parts == ""]
    if len(unlisted):
        names = listed(list(index["image"].iloc[unlisted]))
        raise InputError(f"{path}: does not name {len(unlisted)} of the images: {names}")
    train, tested = order[parts == "train"], order[parts == "test"]
    validated = np.array([], int)
    if validation:
        _check_known(index, "case", "no validation part can be drawn by patient")
        train, validated = _draw_groups(index, train, "case", validation, seed, left=1)
    return _parts(index, {"train": train, "validation": validated, "test": tested}, validation)


def k_folds(
    index: pd.DataFrame,
    k: int,
    *,
    seed: int,
    group: str | None = None,
    stratify: bool = False,
) -> np.ndarray:
    """Number a fold, 0 to k - 1, for every image.

    Parameters
    ----------
    index : DataFrame
        Usually the rows of one part.
    k : int
        Number of folds, at least 2.
    seed : int
    group : {"case", "slide", "folder"}, optional
        Keep each group in one fold; folds are then balanced by class and by size as far as whole
        groups allow. Without it the folds are those of scikit-learn's shuffled `KFold` over the
        sorted file names.
    stratify : bool
        Over images: the numbers of a class differ by at most one between folds.

    Returns
    -------
    ndarray
        Shape (n,), int, in the order of the rows.

    Raises
    ------
    InputError
        If there are fewer images (groups) than folds.
    """
    if k < 2:
        raise InputError(f"{k} folds: at least 2 are needed")
    order = sorted_rows(index)
    folds = np.empty(len(index), int)
    if group is not None:
        _check_known(index, group, "no folds by patient can be made")
        names, member, table = _group_table(index, order, group)
        if len(names) < k:
            raise InputError(
                f"{k} folds need at least {k} groups by {group}; there are {len(names)}"
            )
        folds[order] = _deal_groups(table, k, seed)[member]
        return folds
    if len(order) < k:
        raise InputError(f"{k} folds need at least {k} images; there are {len(order)}")
    if not stratify:
        shuffled = np.arange(len(order))
        _random(seed).shuffle(shuffled)
        for fold, rows in enumerate(np.array_split(order[shuffled], k)):
            folds[rows] = fold
        return folds
    labels = index["label"].to_numpy()[order]
    start = 0
    for name in sorted(set(labels)):
        mine = order[labels == name]
        mine = mine[_random(seed, name).permutation(len(mine))]
        # Go on where the last class stopped, so that the folds' sizes differ by at most one too.
        folds[mine] = (start + np.arange(len(mine))) % k
        start += len(mine)
    return folds


# --- reading, writing, checking ----------------------------------------------------------------


def from_file(index: pd.DataFrame, path: str | os.PathLike | None) -> pd.DataFrame:
    """Use the parts in a CSV with the columns `image` and `part`, such as a run's split.csv.

    Images are matched by their path; where no path of the file is known here (another layout), by
    file name.

    Raises
    ------
    InputError
        If the file names images that are unknown or twice, or leaves images out.
    """
    if path is None:
        raise InputError("a split from a file needs --split-file CSV, with columns image and part")
    path = Path(path)
    table = read(path)
    given = table["image"].str.replace("\\", "/", regex=False)
    known = index["image"]
    if not given.isin(set(known)).any():
        given, known = given.map(_stem), known.map(_stem)
    problems = []
    twice = sorted(set(given[given.duplicated()]))
    unknown = sorted(set(given) - set(known))
    missing = sorted(set(known) - set(given))
    if twice:
        problems.append(f"{len(twice)} images stand twice: {listed(twice)}")
    if unknown:
        problems.append(f"{len(unknown)} images are not in the data: {listed(unknown)}")
    if missing:
        problems.append(f"{len(missing)} images of the data are left out: {listed(missing)}")
    if problems:
        raise InputError(f"{path}: " + "; ".join(problems))
    split = index.copy()
    split["part"] = known.map(dict(zip(given, table["part"], strict=True))).to_numpy()
    _check_parts(split, PARTS if (split["part"] == "validation").any() else ("train", "test"))
    return split


def read(path: str | os.PathLike) -> pd.DataFrame:
    """Read a split.csv: every column as text, unknown values as "".

    Raises
    ------
    InputError
        If the file is missing or no split.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such split file")
    try:
        # As text: case numbers would become integers and the class "0" too.
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path}: no CSV table ({error})") from None
    missing = [name for name in ("image", "part") if name not in table]
    if missing:
        raise InputError(
            f"{path}: the column {' and '.join(missing)} is missing; a split has image and part"
        )
    wrong = sorted(set(table["part"]) - {*PARTS, ""})
    if wrong:
        raise InputError(
            f"{path}: unknown part {listed([repr(name) for name in wrong])}; "
            f"parts are {', '.join(PARTS)} or empty"
        )
    return table


def write(split: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write split.csv."""
    write_csv(path, split[list(SPLIT_COLUMNS)])


def check_disjoint(split: pd.DataFrame, group: str = "case") -> None:
    """Make sure that no group (patient) has images in two parts.

    Raises
    ------
    InputError
        Naming the groups that do, or that groups are unknown.
    """
    used = split[split["part"] != ""]
    _check_known(used, group, "whether the parts share patients cannot be checked")
    shared = shared_groups(used, group)
    if shared:
        names = [f"{name} ({', '.join(parts)})" for name, parts in shared.items()]
        raise InputError(f"{len(shared)} {group}s lie in more than one part: {listed(names, 10)}")


def shared_groups(split: pd.DataFrame, group: str) -> dict[str, tuple[str, ...]]:
    """Groups in more than one part, with these parts in their usual order."""
    parts = split[split[group] != ""].groupby(group)["part"].unique()
    return {
        name: tuple(part for part in PARTS if part in found)
        for name, found in parts.items()
        if len(found) > 1
    }


def _check_fractions(test: float | None, validation: float) -> None:
    if test is not None and not 0 < test < 1:
        raise InputError(f"the test part must be a fraction between 0 and 1, not {test}")
    if not 0 <= validation < 1:
        raise InputError(
            f"the validation part must be a fraction from 0 to below 1, not {validation}"
        )


def _check_known(index: pd.DataFrame, group: str, consequence: str) -> None:
    if group not in index:
        raise InputError(f"unknown group {group!r}; groups are {', '.join(GROUPS)}")
    unknown = int((index[group] == "").sum())
    if unknown:
        raise InputError(
            f"the {group} of {unknown} of {len(index)} images is unknown: {consequence}"
        )


def _check_parts(split: pd.DataFrame, parts: Sequence[str]) -> None:
    for part in parts:
        labels = split.loc[split["part"] == part, "label"]
        if labels.empty:
            raise InputError(
                f"the {part} part of this split is empty ({len(split)} images in all); "
                "give more images, or other fractions"
            )
        if labels.nunique() == 1:
            raise InputError(
                f"the {part} part of this split has images of one class only "
                f"({labels.iloc[0]}, {len(labels)} images); give more images or another split seed"
            )


def _parts(index: pd.DataFrame, rows: Mapping[str, Any], validation: float) -> pd.DataFrame:
    """Write the parts into a copy of the index and check them."""
    part = np.full(len(index), "", dtype=object)
    for name, chosen in rows.items():
        part[np.asarray(chosen, int)] = name
    split = index.copy()
    split["part"] = part
    _check_parts(split, PARTS if validation else ("train", "test"))
    return split


# --- drawing -----------------------------------------------------------------------------------


def _stem(image: str) -> str:
    """File name without folder and suffix, in one case: what stays the same between copies."""
    return Path(re.split(r"[/\\]", image)[-1]).stem.casefold()


def sorted_rows(index: pd.DataFrame) -> np.ndarray:
    """Row numbers in the order of the file names; shape (n,), int."""
    if not len(index):
        raise InputError("there are no images to split")
    images = list(index["image"])
    return np.array(sorted(range(len(images)), key=lambda i: (_stem(images[i]), images[i])))


def apportion(total: int, shares: np.ndarray) -> np.ndarray:
    """Whole numbers in proportion to `shares` that add up to `total` (largest remainders)."""
    exact = shares * (total / shares.sum())
    counts = np.floor(exact).astype(int)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return counts


def _random(seed: int, name: str = "") -> np.random.RandomState:
    """Random numbers that belong to a seed and, where classes are drawn apart, to a name.

    RandomState, because NumPy keeps its stream the same in all versions.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"the split seed must be from 0 to {2**32 - 1}, not {seed}")
    return np.random.RandomState([seed, *name.encode()] if name else seed)


def _draw(
    index: pd.DataFrame, rows: np.ndarray, fraction: float, seed: int, stratify: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a fraction of rows; returns the others and the drawn ones."""
    drawn = min(math.ceil(fraction * len(rows)), len(rows))
    if not stratify:
        shuffled = rows[_random(seed).permutation(len(rows))]
        return shuffled[drawn:], shuffled[:drawn]
    labels = index["label"].to_numpy()[rows]
    names, sizes = np.unique(labels, return_counts=True)
    per_class = apportion(drawn, sizes)
    taken = np.zeros(len(rows), bool)
    for name, n in zip(names, per_class, strict=True):
        mine = np.flatnonzero(labels == name)
        taken[mine[_random(seed, str(name)).permutation(len(mine))[:n]]] = True
    return rows[~taken], rows[taken]


def _group_table(
    index: pd.DataFrame, rows: np.ndarray, group: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Names of the groups (G,), the group of each row (n,), images per group and class (G, K)."""
    names, member = np.unique(index[group].to_numpy()[rows].astype(str), return_inverse=True)
    labels, kind = np.unique(index["label"].to_numpy()[rows].astype(str), return_inverse=True)
    table = np.zeros((len(names), len(labels)), int)
    np.add.at(table, (member, kind), 1)
    return names, member, table


def _draw_groups(
    index: pd.DataFrame, rows: np.ndarray, group: str, fraction: float, seed: int, *, left: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw whole groups with about a fraction of the images; returns the other and the drawn rows.

    At least `left` groups of each class stay behind, where it has that many besides a drawn one.
    """
    names, member, table = _group_table(index, rows, group)
    if len(names) < left + 1:
        raise InputError(
            f"a split by {group} into this many parts needs at least {left + 1} groups; "
            f"there are {len(names)}"
        )
    has = (table > 0).astype(int)
    groups, target = has.sum(axis=0), fraction * table.sum(axis=0)
    # A class with one group is trained on; one with two is drawn from once.
    stay = np.minimum(left, np.maximum(groups - 1, 1))

    def cost(drawn: np.ndarray, n: np.ndarray) -> np.ndarray:
        """How bad draws are; of images and groups per class, both (..., K)."""
        faults = (4 * (groups - n < 1) + 2 * ((n < 1) & (groups > 1)) + (groups - n < stay)).sum(
            axis=-1
        )
        # Too many or too few images: over all, twice, lest no class makes up for another whose
        # few large groups miss the target; and in each class.
        distance = 2 * np.abs((drawn - target).sum(axis=-1)) + np.abs(drawn - target).sum(axis=-1)
        return faults * 4 * table.sum() + distance

    best, chosen = np.inf, np.zeros(len(names), bool)
    random = _random(seed)
    for _ in range(_TRIALS):
        order = random.permutation(len(names))
        taken = np.zeros(len(names), bool)
        taken[order[np.cumsum(table[order].sum(axis=1)) <= target.sum()]] = True
        now = float(cost(taken @ table, taken @ has))
        while True:
            # Every exchange of a drawn for another group, and every move of a single one.
            inside, outside = (
                np.append(np.flatnonzero(taken), -1),
                np.append(np.flatnonzero(~taken), -1),
            )
            change, change_has = (
                np.vstack([of, np.zeros((1, of.shape[1]), int)]) for of in (table, has)
            )
            costs = cost(
                taken @ table - change[inside][:, None] + change[outside][None],
                taken @ has - change_has[inside][:, None] + change_has[outside][None],
            )
            i, o = np.unravel_index(np.argmin(costs), costs.shape)
            if costs[i, o] >= now:
                break
            now = float(costs[i, o])
            for g, value in ((inside[i], False), (outside[o], True)):
                if g >= 0:
                    taken[g] = value
        if now < best:
            best, chosen = now, taken
    drawn_rows = chosen[member]
    return rows[~drawn_rows], rows[drawn_rows]


def _deal_groups(table: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Fold of each group (G,), so that the folds' images per class are as equal as possible."""
    # A class counts as much as another, whatever its size; all images together count four times.
    shares = np.column_stack([table / table.sum(axis=0), 2 * table.sum(axis=1) / table.sum()])
    squares = (shares**2).sum(axis=1)
    products = shares @ shares.T
    random = _random(seed)
    best, chosen = np.inf, np.zeros(len(table), int)
    for _ in range(_TRIALS):
        fold = np.empty(len(table), int)
        fold[random.permutation(len(table))] = np.arange(len(table)) % k
        load = np.stack([shares[fold == f].sum(axis=0) for f in range(k)])
        while True:
            # The sum of the squared loads is least where they are equal. What a move of group g
            # to fold f adds to it, and what an exchange of g and h does.
            own = (shares * load[fold]).sum(axis=1)
            to = shares @ load.T
            move = 2 * (to - own[:, None] + squares[:, None])
            move[np.arange(len(table)), fold] = 0
            step = shares @ (load[fold]).T  # group g with the load of the fold of h
            apart = squares[:, None] + squares[None] - 2 * products
            swap = 2 * (step.T - own[:, None] - own[None] + step) + 2 * apart
            swap[fold[:, None] == fold[None]] = 0
            if min(move.min(), swap.min()) > -1e-9:
                break
            if move.min() <= swap.min():
                g, f = np.unravel_index(np.argmin(move), move.shape)
                fold[g] = f
            else:
                g, h = np.unravel_index(np.argmin(swap), swap.shape)
                fold[g], fold[h] = fold[h], fold[g]
            load = np.stack([shares[fold == f].sum(axis=0) for f in range(k)])
        if (load**2).sum() < best:
            best, chosen = float((load**2).sum()), fold
    return chosen


def _warn_single_groups(split: pd.DataFrame, group: str) -> None:
    """Warn of classes whose images all come from one group."""
    single = []
    for name, rows in split.groupby("label"):
        if rows[group].nunique() == 1:
            single.append(f"{name} ({group} {rows[group].iloc[0]}: {rows['part'].iloc[0]})")
    if single:
        warnings.warn(
            f"{len(single)} classes have a single {group}, so they are in one part only: "
            + ", ".join(single),
            stacklevel=3,
        )


# --- command -----------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m common.splits`."""
    import argparse

    from common import leakage
    from common.datasets import DATA_VARIABLE

    parser = argparse.ArgumentParser(
        prog="python -m common.splits", description=__doc__.split("\n")[0]
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "report", help="what the parts of a split share: patients, slides, duplicate images"
    )
    command.add_argument("--split-file", required=True, help="a run's split.csv")
    command.add_argument(
        "--data-dir",
        default=os.environ.get(DATA_VARIABLE) or None,
        help=f"folder of the images (default: ${DATA_VARIABLE}); without it only names count",
    )
    command.add_argument("--json", metavar="FILE", help="write the whole report here")
    command.add_argument("--picture", metavar="FILE", help="write a PNG of the worst pairs here")
    options = parser.parse_args(arguments)

    if options.picture and not options.data_dir:
        raise InputError("--picture needs the images: give --data-dir")
    split = read(options.split_file)
    if options.data_dir:
        print(f"comparing {len(split)} images ...", file=sys.stderr)
    found = leakage.report(split, options.data_dir)
    print(leakage.text(found))
    if options.json:
        write_json(options.json, found)
    if options.picture:
        picture = leakage.picture(found, options.data_dir)
        if picture is None:
            print("no picture: no pair of duplicates lies across parts")
        else:
            from common import figures

            figures.save(picture, options.picture, synthetic=bool(found["synthetic"]))
    return 0


if __name__ == "__main__":
    from common import errors

    errors.main(main)
