"""The lines of a table of printed numbers, read: what is known of each, and what it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from common import papers
from common.errors import InputError
from common.files import path_argument, read_table
from common.forensics.cells import classes_of, key_of, parts_of, printed_of, range_of, whole_of
from common.forensics.rounding import Printed

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "printed": "the number as text, with the decimals that it has: 97.30, or 97.3 ± 0.4",
    "metrics_key": "what it is: accuracy, per_class.malignant.recall, f1_macro, per_class.a.tp ...",
    "unit": "percent, fraction, images (a whole number); default: images of a count, percent of a "
    "score above 1 or with a % sign, else fraction",
    "decimals": "digits after the point, where the text has fewer (1.0 printed beside 0.98)",
    "table": "where it stands; numbers of one table, system and group must agree",
    "row": "its line there",
    "metric": "its heading there; without metrics_key, what it is: Accuracy, F1-score",
    "system": "what was measured, the same in every table; default: preset; without either a row "
    "is compared within its table alone",
    "preset": "as system",
    "n_test": "images it was measured on: 407, or a range 400-420; empty: not known",
    "n_from": "whence n_test comes where the paper does not print it; n_test is then not relied on",
    "n_range": "sizes that are possible where the paper prints none: 1-3421",
    "rounds": "of how many runs it is a mean, each on n_test images",
    "averages": "folds: the rounds share n_test images out among them; default: each has them all",
    "sd": "the standard deviation printed beside it",
    "classes": "names, a number, or images of each: benign=749; malignant=1500-1624",
    "images": "name of the test set: systems with the same one were tried on the same images",
    "merges": "system of which this one merges classes, with the same predictions",
    "id": "a name for `equals`",
    "equals": "a sum over ids and numbers that it must be: n0 + n1, 0.3 * total, mean(a, b)",
    "note": "anything",
}
"""Columns that are known, each optional but the first; others are left alone."""

UNITS = ("percent", "fraction", "images")
"""Units of numbers that arithmetic can judge; of others, only what `equals` says."""

MOST_ROUNDS = 10_000
"""Of a mean."""


@dataclass(frozen=True, eq=False)
class Number:
    """A printed number, and what is known of it.

    Attributes
    ----------
    line : int
        Its position in the table, from 0.
    table, row, metric, key : str
        As in the table of numbers.
    unit : str
        ``percent``, ``fraction``, ``images``, or another, which is not judged.
    printed : Printed
    system : str
        What was measured, if it has a name in all tables.
    path : str
        The part of the key before ``per_class`` and the score: ``by_magnification.40X``.
    of_class : str
        Name of the class whose score it is, or "".
    score : str
        Last part of the key.
    n : range or None
        Sizes that its test set can have.
    taken : int or None
        A size that was taken where none is printed: used to say what does not fit, not to judge.
    rounds : int
        Of how many runs it is a mean.
    folds : bool
        Whether those share the images out among them.
    sd : Printed or None
    classes : tuple of str
        Names of all classes, as far as known.
    sizes : dict of str to range
        Images of each class, as far as known.
    n_classes : int or None
    images, merges, id, equals : str
    derived : bool
        Whether `n` was worked out from something else, and is not printed.
    """

    line: int
    table: str
    row: str
    metric: str
    key: str
    unit: str
    printed: Printed
    system: str
    path: str
    of_class: str
    score: str
    n: range | None
    taken: int | None
    rounds: int
    folds: bool
    sd: Printed | None
    classes: tuple[str, ...]
    sizes: Mapping[str, range]
    n_classes: int | None
    images: str
    merges: str
    id: str
    equals: str
    derived: bool = False

    @property
    def n_only(self) -> int | None:
        """Size of the test set, where only one is possible."""
        return self.n[0] if self.n is not None and len(self.n) == 1 else None

    @property
    def exact_count(self) -> int | None:
        """The number as a whole count of images, if it is one."""
        whole = self.unit == "images" and self.printed.value.denominator == 1
        return int(self.printed.value) if whole else None

    @property
    def measured(self) -> str:
        """What was measured, as far as its table names it: the system, else the row."""
        return self.system or self.row

    @property
    def place(self) -> str:
        """Where it stands: ``T2, ResNet50``."""
        return ", ".join(filter(None, (self.table, self.row)))

    @property
    def label(self) -> str:
        """What it is called: its heading, or ``malignant recall``."""
        words = (self.path, self.of_class, self.score.replace("_", " "))
        return self.metric or " ".join(filter(None, words)) or "number"


def read(path: str | Path) -> pd.DataFrame:
    """Read a file of printed numbers, as text.

    Parameters
    ----------
    path : path
        CSV, columns of `COLUMNS`.

    Returns
    -------
    DataFrame

    Raises
    ------
    InputError
        If it is no CSV table or lacks the numbers.
    """
    return read_table(path, ("printed",), repair="docs/forensics.md says how such a file looks")


def of_paper(package: str) -> pd.DataFrame:
    """Read all printed numbers of one of the papers: its published.csv, then its numbers.csv.

    Parameters
    ----------
    package : str
        Name of its package, which is not imported.

    Returns
    -------
    DataFrame
        As `read` gives it. numbers.csv has what is no result of a run: sizes, sums, claims.
    """
    import pandas as pd

    folder = papers.folder(package)
    tables = [read(folder / "published.csv")]
    if (folder / "numbers.csv").is_file():
        tables.append(read(folder / "numbers.csv"))
    return pd.concat(tables, ignore_index=True).fillna("")


def table_of(name: str) -> tuple[pd.DataFrame, str]:
    """Read the printed numbers that a command was given.

    Parameters
    ----------
    name : str
        A file, or the name of one of the papers.

    Returns
    -------
    table : DataFrame
        As `read` or `of_paper` gives it.
    called : str
        What messages call it.

    Raises
    ------
    InputError
        If there is no such file; as `read`.
    """
    if name in papers.PAPERS:
        return of_paper(name), name
    path = path_argument(name)
    if not path.is_file():
        raise InputError(f"{path}: no such file; {', '.join(papers.PAPERS)} are known by name")
    return read(path), str(path)


def numbers(table: pd.DataFrame, name: str = "numbers") -> list[Number]:
    """Check every line of a table of printed numbers.

    Parameters
    ----------
    table : DataFrame
        Columns of `COLUMNS`.
    name : str
        What messages call it: the file.

    Returns
    -------
    list of Number
        In the order of the table.

    Raises
    ------
    InputError
        A value is not what its column wants; names line and column.
    """
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        raise InputError(f"{name} must be a table (DataFrame), not {type(table).__name__}")
    if "printed" not in table:
        raise InputError(f"{name}: no column printed")
    text = {
        column: ["" if pd.isna(value) else str(value).strip() for value in table[column]]
        for column in COLUMNS
        if column in table
    }
    if not {"metrics_key", "metric", "equals"} & text.keys():
        raise InputError(f"{name}: no column metrics_key, which says what each number is")
    empty = [""] * len(table)
    found = []
    for i in range(len(table)):
        cells = {column: text.get(column, empty)[i] for column in COLUMNS}
        found.append(_number(i, cells, f"{name}, line {i + 2}"))
    return found


def _number(line: int, cells: Mapping[str, str], where: str) -> Number:
    key = key_of(cells)
    path, of_class, score = parts_of(key, where)
    number, sd, unit = printed_of(cells, score, where)
    if cells["averages"] not in ("", "rounds", "folds"):
        raise InputError(f"{where}, column averages: {cells['averages']!r} is not folds or rounds")
    n = range_of(cells, "n_test", where)
    taken = None
    if cells["n_from"] and n is not None:
        taken = n[0] if len(n) == 1 else None
        n = None
    named, sizes, n_classes = classes_of(cells["classes"], where)
    derived = n is None and bool(cells["n_from"] or cells["n_range"])
    if n is None:
        n = range_of(cells, "n_range", where)
    if n is None and sizes and len(sizes) == n_classes:
        ends = [sum(each[end] for each in sizes.values()) for end in (0, -1)]
        n = range(ends[0], ends[1] + 1)
    return Number(
        line=line,
        table=cells["table"],
        row=cells["row"],
        metric=cells["metric"],
        key=key,
        unit=unit,
        printed=number,
        system=cells["system"] or cells["preset"],
        path=path,
        of_class=of_class,
        score=score,
        n=n,
        taken=taken,
        rounds=whole_of(cells, "rounds", where, 1, MOST_ROUNDS) or 1,
        folds=cells["averages"] == "folds",
        sd=sd,
        classes=named,
        sizes=sizes,
        n_classes=n_classes,
        images=cells["images"],
        merges=cells["merges"],
        id=cells["id"],
        equals=cells["equals"],
        derived=derived,
    )


def share_of_class(number: Number, name: str) -> tuple[Fraction, Fraction]:
    """Least and largest share of the images that a class can have, by what is known.

    Parameters
    ----------
    number : Number
    name : str
        The class.
    """
    size = number.sizes.get(name)
    others = [each for other, each in number.sizes.items() if other != name]
    low, high = Fraction(0), Fraction(1)
    if number.n is None or not number.n:
        return low, high
    n_low, n_high = number.n[0], number.n[-1]
    if size is not None and n_high:
        low, high = Fraction(size[0], n_high), min(high, Fraction(size[-1], max(n_low, 1)))
    if others and len(others) == (number.n_classes or 0) - 1:
        low = max(low, 1 - Fraction(sum(each[-1] for each in others), max(n_low, 1)))
        high = min(high, 1 - Fraction(sum(each[0] for each in others), n_high))
    return low, high


def by_score(group: Sequence[Number], of_class: str = "") -> dict[str, Number]:
    """Give a group's scores in percent or as fractions, by their plain names.

    Parameters
    ----------
    group : sequence of Number
    of_class : str
        Those of a class; "": those of none.
    """
    return {
        {"sensitivity": "recall", "tpr": "recall", "ppv": "precision", "specificity": "tnr",
         "balanced_accuracy": "recall_macro"}.get(n.score, n.score): n
        for n in group
        if n.of_class == of_class and n.unit in ("percent", "fraction")
    }  # fmt: skip


def without_means(group: Sequence[Number]) -> list[Number]:
    """Leave out means over classes whose scores are printed: they may be of those, not exact.

    Parameters
    ----------
    group : sequence of Number
    """
    classes: dict[str, set[str]] = {}
    for number in group:
        if number.of_class:
            classes.setdefault(f"{number.score}_macro", set()).add(number.of_class)
    return [n for n in group if n.of_class or len(classes.get(n.score, ())) < 2]
