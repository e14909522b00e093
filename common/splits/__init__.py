"""Which images train, validate and test: splits of an index, and what leaks between their parts.

Every function returns the index with a column `part` ("train", "validation", "test"; "" = unused).
A split depends on the seed and on the file names alone: not on the order of the rows, and not on
the folders the files lie in. `test` is a fraction of all images, `validation` a fraction of the
training images that remain after the test images were taken.

    python -m common.splits report --split-file runs/.../split.csv --data-dir D
"""

from common.splits.draw import apportion, sorted_rows
from common.splits.files import SPLIT_COLUMNS, from_file, from_fold_files, read, write
from common.splits.folds import k_folds
from common.splits.group_wise import by_group, by_patient
from common.splits.image_wise import by_counts, by_image, official
from common.splits.parts import (
    DRAWN,
    GIVEN,
    GROUPS,
    PARTS,
    UNKNOWN,
    check_disjoint,
    check_parts,
    shared_groups,
    unknown_together,
)
from common.splits.positions import by_positions

__all__ = [
    "DRAWN",
    "GIVEN",
    "GROUPS",
    "PARTS",
    "SPLIT_COLUMNS",
    "UNKNOWN",
    "apportion",
    "by_counts",
    "by_group",
    "by_image",
    "by_patient",
    "by_positions",
    "check_disjoint",
    "check_parts",
    "from_file",
    "from_fold_files",
    "k_folds",
    "official",
    "read",
    "shared_groups",
    "sorted_rows",
    "unknown_together",
    "write",
]
