"""A file of predictions, read: which column is what, and what is wrong with the file itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.errors import InputError, listed
from common.files import read_table
from common.predictions import SUM_TOLERANCE, predicted_classes
from common.review.finding import Finding, of_all
from common.review.names import POSITIVE, in_brief, plain, roles, spelling
from common.review.predicted import (
    Predictions,
    are_shares,
    by_number,
    class_names,
    threshold,
)
from common.review.scoring import scores_of
from common.splits.lists import part_of

if TYPE_CHECKING:
    import pandas as pd

REPAIR = "docs/review.md says how such a file looks"

MOST_CLASSES = 100

ABOUT = ("image", "case", "slide", "folder", "magnification")
"""What is told of an image besides its part and its classes."""


def read(path: str | Path, given: Mapping[str, str], positive: str | None = None) -> Predictions:
    """Read predictions.

    Parameters
    ----------
    path : path
        CSV, a line for each image.
    given : mapping of str to str
        Role of `common.review.names.ROLES` -> its column, where the user says so.
    positive : str, optional
        Positive class of two.

    Returns
    -------
    Predictions

    Raises
    ------
    InputError
        If it is no CSV table, has no line, or no column of labels, or neither predictions nor
        probabilities; if a column that was given is not there.
    """
    table = read_table(path, repair=REPAIR, foreign=True)
    if table.empty:
        raise InputError(f"{path}: no line below the header; {REPAIR}")
    for role, column in given.items():
        if column not in table:
            raise InputError(f"{path}: no column {column} for {role}; it has {in_brief(table)}")
    columns = roles(list(table), given)
    if "label" not in columns:
        raise InputError(
            f"{path}: no column of true labels among {in_brief(table)}; name it by --truth"
        )
    table = table.apply(lambda column: column.str.strip())
    return _Reading(str(path), table, columns, positive).predictions()


class _Reading:
    """The steps from a table of text to predictions."""

    def __init__(
        self, name: str, table: pd.DataFrame, columns: dict[str, str], positive: str | None
    ) -> None:
        self.name, self.table, self.columns = name, table, columns
        self.found: list[Finding] = []
        self.asked = positive
        self.label = class_names(table[columns["label"]])
        said = columns.get("predicted")
        # A column of shares under the name of the prediction is the positive class's score.
        self.share = said if said and are_shares(table[said]) else None
        self.said = None
        if said and not self.share:
            self.said = self._as_labels(class_names(table[said]))

    def _as_labels(self, said: list[str]) -> list[str]:
        """Predictions in the spelling of the labels."""
        spelled = spelling(said, self.label)
        found = [spelled.get(each, each) for each in said]
        if not set(found) & set(self.label) - {""}:
            names = [sorted(set(each) - {""}) for each in (said, self.label)]
            raise InputError(
                f"{self.name}: no prediction ({in_brief(names[0])}) is one of the labels "
                f"({in_brief(names[1])}); name the columns by --truth and --prediction"
            )
        return found

    def predictions(self) -> Predictions:
        import pandas as pd

        parts = self._parts()
        self._leave_out()
        classes, scores = self._scores()
        named = [*self.label, *(() if self.said is None else self.said)]
        extra = sorted(set(named) - set(classes) - {""}, key=by_number)
        if scores is not None and extra:
            labelled = of_all(sum(each in extra for each in named), len(named), "label")
            self._wrong(
                "labels without a probability",
                f"no column has probabilities of {listed(extra)}: {labelled}",
                "Which classes does the model know?",
            )
            scores = np.hstack([scores, np.zeros((len(scores), len(extra)))])
        classes = [*classes, *extra]
        if len(classes) > MOST_CLASSES:
            raise InputError(
                f"{self.name}: {len(classes)} classes in the column {self.columns['label']}, and "
                f"at most {MOST_CLASSES} are judged; name the column of labels by --truth"
            )
        scores, proper = self._checked(scores)
        predicted = self._predicted(classes, scores)
        strange = sorted(set(predicted) - set(self.label)) if scores is None else []
        if strange:
            self._doubt(
                "a class that no image has",
                f"{of_all(sum(p in strange for p in predicted), len(predicted), 'prediction')} are "
                f"of {listed(strange)}, which is the label of none",
                f"What is the class {listed(strange)}?",
            )
        frame = pd.DataFrame(
            {role: self._column(role) for role in (*ABOUT, "part")}, index=self.table.index
        ).assign(label=self.label, predicted=predicted)
        positive = self._positive(classes)
        return Predictions(
            self.name, frame.reset_index(drop=True), classes, scores, proper, positive,
            self.columns, parts, self.found,
        )  # fmt: skip

    def _column(self, role: str) -> pd.Series | str:
        return self.table[self.columns[role]] if role in self.columns else ""

    def _parts(self) -> pd.DataFrame | None:
        """All rows as a split, where they are of several parts."""
        import pandas as pd

        if not {"part", "image"} <= self.columns.keys():
            return None
        parts = self._column("part").map(part_of)  # type: ignore[union-attr]
        if parts[parts != ""].nunique() < 2:
            return None
        about = {role: self._column(role) for role in ABOUT}
        return pd.DataFrame({**about, "label": self.label, "part": parts}).reset_index(drop=True)

    def _wrong(self, rule: str, what: str, question: str = "", shown: str = "") -> None:
        self.found.append(Finding("wrong", "predictions", rule, what, shown, question))

    def _doubt(self, rule: str, what: str, question: str = "", shown: str = "") -> None:
        self.found.append(Finding("doubt", "predictions", rule, what, shown, question))

    def _in_percent(self) -> None:
        self.found.append(Finding("told", "predictions", "percent", "probabilities are in percent"))

    def _leave_out(self) -> None:
        """Keep the test part, and rows that have a label."""
        keep = np.ones(len(self.table), bool)
        if "part" in self.columns:
            parts = self.table[self.columns["part"]].map(part_of)
            self.table[self.columns["part"]] = parts
            if (parts == "test").any():
                keep = (parts == "test").to_numpy()
        empty = keep & (np.array(self.label) == "")
        if empty.any():
            self._doubt(
                "no label",
                f"{of_all(int(empty.sum()), int(keep.sum()))} have no true label and are left out",
                "Why do some images have no label?",
            )
        keep = keep & ~empty
        if self.said is not None:
            silent = keep & (np.array(self.said) == "")
            if silent.any():
                self._wrong(
                    "no prediction",
                    f"{of_all(int(silent.sum()), int(keep.sum()))} have no prediction",
                    "How were images without a prediction counted?",
                    listed(f"line {i + 2}" for i in np.flatnonzero(silent)),
                )
            keep = keep & ~silent
        if not keep.any():
            raise InputError(f"{self.name}: no line has both a label and a prediction; {REPAIR}")
        self.label = [each for each, kept in zip(self.label, keep, strict=True) if kept]
        if self.said is not None:
            self.said = [each for each, kept in zip(self.said, keep, strict=True) if kept]
        self.table = self.table[keep]

    def _scores(self) -> tuple[list[str], np.ndarray | None]:
        """Classes, and their probabilities if the file has any."""
        found = scores_of(
            self.table, list(self.columns.values()), self.label, self.said, self.share, self.asked
        )
        self.columns |= found.columns
        if found.percent:
            self._in_percent()
        if found.values is not None:
            return self._relabelled(found.classes), found.values
        if self.said is not None:
            if found.unclear:
                self._doubt(
                    "a probability of no class",
                    f"the column {found.unclear} is left out: nothing says of which class it is",
                    f"Of which class is {found.unclear} the probability?",
                )
            return found.classes, None
        if found.unclear:
            raise InputError(
                f"{self.name}: {found.unclear} is the probability of one of "
                f"{in_brief(found.classes)}, and nothing says of which; give --positive"
            )
        raise InputError(
            f"{self.name}: neither a column of predictions nor one of probabilities for each "
            f"class ({in_brief(found.classes)}); name the predictions by --prediction; {REPAIR}"
        )

    def _relabelled(self, named: list[str]) -> list[str]:
        """Give labels that are numbers the names that the columns have."""
        known = {*self.label, *(self.said or ())} - {""}
        if known & set(named):
            return named
        numbers = all(re.fullmatch(r"\d{1,9}", name) for name in known)
        if not numbers or max(map(int, known)) >= len(named):
            labels = sorted(known, key=by_number)
            raise InputError(
                f"{self.name}: the columns of probabilities ({in_brief(named)}) are of none of the "
                f"labels ({in_brief(labels)}); rename each to its label, prob_{labels[0]} for "
                "example, or name the labels by --truth"
            )
        place = {str(i): name for i, name in enumerate(named)}
        self.label = [place[each] for each in self.label]
        if self.said is not None:
            self.said = [place[each] for each in self.said]
        said = ", ".join(f"{number} is {name}" for number, name in place.items())
        self.found.append(
            Finding("told", "predictions", "labels are numbers",
                    f"labels are taken for places of the columns: {said}")
        )  # fmt: skip
        return named

    def _checked(self, scores: np.ndarray | None) -> tuple[np.ndarray | None, bool]:
        """Scores as shares, and whether they are distributions."""
        if scores is None:
            return None, False
        none = ~np.isfinite(scores).all(axis=1)
        if none.any():
            self._wrong(
                "no number",
                f"{of_all(int(none.sum()), len(scores), 'row')} have a probability that is no "
                "number",
                "What do probabilities that are no numbers mean?",
                self._lines(none),
            )
        usual = scores[~none]
        if len(usual) and usual.min() >= 0 and usual.max() > 1.5:
            sums = usual.sum(axis=1)
            if (np.abs(sums - 100) < 100 * SUM_TOLERANCE).mean() > 0.5:
                self._in_percent()
                scores, usual = scores / 100, usual / 100
        outside = ~none & ((scores < -SUM_TOLERANCE) | (scores > 1 + SUM_TOLERANCE)).any(axis=1)
        if outside.any():
            self._wrong(
                "no probability",
                f"{of_all(int(outside.sum()), len(scores), 'row')} have scores outside 0 to 1 "
                f"(from {usual.min():.4g} to {usual.max():.4g}): they are no probabilities",
                "Are the scores logits, or of another kind, and how does one get probabilities?",
                self._lines(outside),
            )
        sums = scores.sum(axis=1)
        off = ~none & ~outside & (np.abs(sums - 1) > SUM_TOLERANCE * 1.001)
        if off.any():
            worst = sums[off][np.abs(sums[off] - 1).argmax()]
            self._wrong(
                "probabilities do not add up",
                f"the probabilities of {of_all(int(off.sum()), len(scores), 'row')} do not add up "
                f"to 1; the farthest add up to {worst:.4g}",
                "Why do the probabilities of an image not add up to one?",
                self._lines(off),
            )
        return scores, not (none | outside | off).any()

    def _lines(self, rows: np.ndarray) -> str:
        return listed(f"line {self.table.index[i] + 2}" for i in np.flatnonzero(rows))

    def _predicted(self, classes: Sequence[str], scores: np.ndarray | None) -> list[str]:
        if scores is None:
            return list(self.said or ())
        best = np.array(classes)[predicted_classes(np.nan_to_num(scores, nan=-np.inf))]
        if self.said is None:
            return list(best)
        other = best != np.array(self.said)
        if other.any():
            rule = "prediction is not the most probable"
            what = f"the predicted class of {of_all(int(other.sum()), len(best))} is not the one "
            what += "with the largest probability"
            question = "By which rule does a probability become a predicted class?"
            if len(classes) == 2 and (cut := threshold(scores[:, 1], self.said, classes[1])):
                self._doubt(rule, f"{what}; {cut}", question)
            else:
                self._wrong(rule, what, question, self._lines(other))
        return self.said

    def _positive(self, classes: Sequence[str]) -> str | None:
        if self.asked is not None and self.asked not in classes:
            raise InputError(
                f"--positive {self.asked}: no class of {self.name}; it has {in_brief(classes)}"
            )
        if len(classes) != 2:
            return None
        likely = [name for name in classes if plain(name) in POSITIVE]
        return self.asked or (likely[0] if len(likely) == 1 else None)
