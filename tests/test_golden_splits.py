"""Golden splits: which image goes where, for a seed, is fixed for good.

A run names its split by a seed. Were a draw to change, a run that was killed would go on with
another split, and the rows of a table would mix two. So every value here was drawn once and stays;
a new way to split gets a new line, the old ones are never drawn again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from common import splits

# Images of each case and class; case 05 has two classes, class z a single case.
CASES = (
    ("01", "x", 4), ("02", "x", 7), ("03", "x", 3), ("04", "x", 6), ("05", "x", 2), ("05", "y", 5),
    ("06", "y", 8), ("07", "y", 3), ("08", "y", 4), ("09", "y", 6), ("10", "y", 9), ("11", "x", 5),
    ("12", "y", 2), ("13", "x", 5), ("14", "z", 3), ("15", "y", 8),
)  # fmt: skip
LETTERS = {"train": "t", "validation": "v", "test": "e", "": "-"}
COUNTS = {
    "x": {"train": 15, "validation": 5, "test": 7},
    "y": {"train": 21, "test": 9},
    "z": {"train": 2, "validation": 1},
}


def fixed_index() -> pd.DataFrame:
    """Eighty images whose names are in another order than the rows."""
    rows = [
        {"case": case, "slide": f"{case}{'AB'[i % 2]}", "label": label}
        for case, label, n in CASES
        for i in range(n)
    ]
    index = pd.DataFrame(rows)
    number = np.arange(len(index))
    index.insert(0, "image", [f"d/{29 * i % 80:02d}-{i % 5}.png" for i in number])
    index["folder"] = index["slide"]
    index["magnification"] = "40X"
    index["official"] = np.where(number % 4 == 1, "test", "train")
    assert len(index) == 80
    assert index["image"].is_unique
    return index


def even_index() -> pd.DataFrame:
    """Twenty cases of two images of either class: every draw is as good, the seed alone decides."""
    index = pd.DataFrame({"case": [f"{i // 4:02}" for i in range(80)]})
    index.insert(0, "image", [f"{i:02}.png" for i in range(80)])
    index["label"] = ["x", "y"] * 40
    return index


def write_fold(index: pd.DataFrame, folder) -> None:
    tested = index["case"].isin(["02", "07", "10", "13"])
    lines = [
        f"{name.rpartition('/')[2]}|40|3|{'test' if test else 'train'}"
        for name, test in zip(index["image"], tested, strict=True)
    ]
    (folder / "dsfold3.txt").write_text("\n".join(lines))


def fold_files(seed: int, validation: float = 0.2) -> Callable:
    def draw(index: pd.DataFrame, folder) -> pd.DataFrame:
        write_fold(index, folder)
        return splits.from_fold_files(index, folder, 3, validation=validation, seed=seed)

    return draw


def image(seed: int, validation: float = 0.25, stratify: bool = False) -> Callable:
    return lambda index, _: splits.by_image(
        index, test=0.3, validation=validation, seed=seed, stratify=stratify
    )


def group(seed: int, validation: float = 0.25, **options: str) -> Callable:
    return lambda index, _: splits.by_group(
        index, test=0.3, validation=validation, seed=seed, **options
    )


def official(seed: int, validation: float = 0.1) -> Callable:
    return lambda index, _: splits.official(index, validation=validation, seed=seed)


def counts(seed: int) -> Callable:
    return lambda index, _: splits.by_counts(index, COUNTS, seed)


def folds(seed: int, k: int = 5, **options) -> Callable:
    return lambda index, _: splits.k_folds(index, k, seed=seed, **options)


def even(draw: Callable) -> Callable:
    return lambda _, folder: draw(even_index(), folder)


def eight(draw: Callable) -> Callable:
    """Classes have to come in one order, which a set of names has not."""
    return lambda _, folder: draw(
        even_index().assign(label=[f"c{i * i % 17 % 8}" for i in range(80)]), folder
    )


DRAWS = {
    "by_image 0": image(0),
    "by_image 42": image(42),
    "by_image 42, no validation": image(42, 0),
    "by_image 0, stratified": image(0, stratify=True),
    "by_image 42, stratified": image(42, stratify=True),
    "official 0": official(0),
    "official 7": official(7),
    "official 7, no validation": official(7, 0),
    "by_counts 0": counts(0),
    "by_counts 1": counts(1),
    "by_group 0": group(0),
    "by_group 1": group(1),
    "by_group 2": group(2),
    "by_group 42": group(42),
    "by_group 42, no validation": group(42, 0),
    "by_group 0, slide": group(0, group="slide"),
    "by_group 5, folder": group(5, group="folder"),
    "from_fold_files 0": fold_files(0),
    "from_fold_files 3": fold_files(3),
    "from_fold_files 3, no validation": fold_files(3, 0),
    "k_folds 0": folds(0),
    "k_folds 42": folds(42, k=3),
    "k_folds 0, stratified": folds(0, stratify=True),
    "k_folds 42, stratified": folds(42, k=3, stratify=True),
    "k_folds 0, case": folds(0, group="case"),
    "k_folds 1, case": folds(1, group="case"),
    "k_folds 42, slide": folds(42, k=3, group="slide"),
    "by_group 0, even": even(group(0)),
    "by_group 1, even": even(group(1)),
    "by_group 1, even, no validation": even(group(1, 0)),
    "k_folds 0, even": even(folds(0, group="case")),
    "k_folds 1, even": even(folds(1, group="case")),
    "k_folds 0, eight classes, stratified": eight(folds(0, k=7, stratify=True)),
}  # fmt: skip

GOLDEN = {
    "by_image 0":
        "ttvetttteteevtvttteettvetveevetteeettttveevttvvetttvetttvtetvtettettetevttetttet",
    "by_image 42":
        "evttttvvttttevteettttetttevtevetttteeetteteetvvtteevetvtvttetevetevtttetttvtteet",
    "by_image 42, no validation":
        "etttttttttttetteettttetttettetetttteeetteteettttteetettttttetetetettttetttttteet",
    "by_image 0, stratified":
        "tteeeteevvettetteevevttttetttvtvtvtteeeeettetttteetttevtetttvvtvtttttettveetvttv",
    "by_image 42, stratified":
        "tvettetevttteteevvteeteevtvvtevettetvtttevttttetetvtetettettvteeetvttttettettttv",
    "official 0":
        "tetttettvetttetttettvetttetttetttettvevtvetttetttetttetttetttetttetttetttetttetv",
    "official 7":
        "tetttetttetttetttetttetttetttetttetttetttetttevttetttetttetttetttetvvetttettvevv",
    "official 7, no validation":
        "tetttetttetttetttetttetttetttetttetttetttetttetttetttetttetttetttetttetttetttett",
    "by_counts 0":
        "-vttt-tteetvetvvtt-tttet-teete-e--ttttttteet----tt--ttt-tteetv-e-eet-tvtttt-et--",
    "by_counts 1":
        "vte-ttttvt-ttvt-eevteteeett-t----tttt-ettt-tetet-tte-e-tte-teee-tvtt-ttvt-t--tt-",
    "by_group 0":
        "ttttttttttttttvvvvvvttttttttttttttteeetttttttttteeeeeeeeeeeeeeeeeeeeetttvvvvvvvv",
    "by_group 1":
        "ttttttttttteeevvvvvveeeeeeevvvvvvvvttttttttttttteeeeeeeeettttttteeeeettttttttttt",
    "by_group 2":
        "vvvveeeeeeeeeettttttvvvvvvveeeeeeeevvveeeetttttttttttttttttttteetttttttttttttttt",
    "by_group 42":
        "ttttttttttttttvvvvvvttttttteeeeeeeettttttteeeeeettttttttteeeeetteeeeetttvvvvvvvv",
    "by_group 42, no validation":
        "ttttttttttttttttttttttttttteeeeeeeettttttteeeeeettttttttteeeeetteeeeettttttttttt",
    "by_group 0, slide":
        "tttteeeeeeetvttttttttvtvtvteeeeeeeetetttttttttttvtvtvtvtvtvtvttvevevetetetetetet",
    "by_group 5, folder":
        "vtvteeeeeeetvtetetettttttttvevevevetttttttttttttetetetetevtvtvttttttttetveveveve",
    "from_fold_files 0":
        "tttteeeeeeetttttttttttttttttttttttteeettttvvvvvveeeeeeeeevvvvvtteeeeettttttttttt",
    "from_fold_files 3":
        "tttteeeeeeetttttttttttttttttttttttteeevvvvtttttteeeeeeeeevvvvvvveeeeettttttttttt",
    "from_fold_files 3, no validation":
        "tttteeeeeeetttttttttttttttttttttttteeetttttttttteeeeeeeeettttttteeeeettttttttttt",
    "k_folds 0":
        "33414422040122134310333013004142001112120034442122240142320214143032020334034113",
    "k_folds 42":
        "02111122121102100102201110020201222000020200111120010112212020101022220212111002",
    "k_folds 0, stratified":
        "40140003122413234112241222301114302413240042321041441404333011323040224330313020",
    "k_folds 42, stratified":
        "21112110102102100100221102102222100111201001102102110222022210122100010202021200",
    "k_folds 0, case":
        "33331111111333000000444444422222222111444411111133333333322222004444422200000000",
    "k_folds 1, case":
        "33331111111333444444222222200000000111222211111133333333300000442222200044444444",
    "k_folds 42, slide":
        "02020101010111222222111111111111111222121200000022222222220202201010101000000000",
    "by_group 0, even":
        "tttteeeettttttttvvvvttttttttvvvveeeevvvveeeetttttttttttttttttttttttteeeeeeeeeeee",
    "by_group 1, even":
        "tttttttteeeeeeeetttttttteeeevvvvvvvvtttteeeetttttttttttteeeetttteeeevvvvtttttttt",
    "by_group 1, even, no validation":
        "tttttttteeeeeeeetttttttteeeetttttttttttteeeetttttttttttteeeetttteeeetttttttttttt",
    "k_folds 0, even":
        "22221111444411113333000011113333333322224444000044442222111133334444000000002222",
    "k_folds 1, even":
        "11114444444400001111444422223333111144443333333322220000000000001111222233332222",
    "k_folds 0, eight classes, stratified":
        "64535125321454611653545144500300062163605114332233235240102066610442422013106526",
}  # fmt: skip


def letters(drawn: pd.DataFrame | np.ndarray) -> str:
    """One letter or digit an image, in the order of the rows."""
    if isinstance(drawn, np.ndarray):
        return "".join(map(str, drawn))
    return "".join(LETTERS[part] for part in drawn["part"])


@pytest.mark.parametrize("draw", DRAWS)
def test_a_seed_always_gives_the_same_parts(draw, tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "1 class has a single")
        drawn = DRAWS[draw](fixed_index(), tmp_path)
    assert letters(drawn) == GOLDEN[draw]


def test_every_draw_has_a_value_and_they_differ():
    assert GOLDEN.keys() == DRAWS.keys()
    assert len(set(GOLDEN.values())) == len(GOLDEN)
