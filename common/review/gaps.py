"""Which items of the checklists files show, and which have to be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.checklists import CHECKLISTS, Checklist, Item, checklist, seen
from common.review.finding import many
from common.review.judged import Judged
from common.review.numbers import Printed
from common.review.parts import Split
from common.review.predicted import Predictions


@dataclass(frozen=True)
class Gaps:
    """A checklist beside the files.

    Attributes
    ----------
    checklist : Checklist
    items : list of (Item, str or None)
        Each item, and where files show it; None: it has to be asked.
    """

    checklist: Checklist
    items: list[tuple[Item, str | None]]

    @property
    def seen(self) -> int:
        """How many items files show."""
        return sum(shown is not None for _, shown in self.items)


def facts(
    printed: Printed | None,
    split: Split | None,
    predictions: Predictions | None,
    judged: Judged | None,
) -> dict[str, str]:
    """Say what the files show, by the facts of `common.checklists.FACTS`.

    Parameters
    ----------
    printed : Printed, optional
    split : Split, optional
    predictions : Predictions, optional
    judged : Judged, optional

    Returns
    -------
    dict of str to str
    """
    found: dict[str, str] = {}
    if printed is not None and printed.numbers:
        found["scores"] = many(len(printed.numbers), "printed number")
        if any(number.of_class for number in printed.numbers):
            found["scores of each class"] = "printed scores of classes"
        sizes = [number for number in printed.numbers if number.sizes]
        if sizes:
            found["images of each class"] = "printed with the numbers"
    if split is not None:
        parts = split.report["parts"]
        told = ", ".join(f"{part} {n}" for part, n in parts.items() if n)
        found["split"] = f"a split of {split.report['images']} images ({told})"
        if parts["test"]:
            found["test part"] = f"{many(parts['test'], 'test image')} in the split"
        cases = split.report["groups"]["case"]
        if not cases["unknown"]:
            how = "case numbers read off file names" if split.by_name else "patients in the split"
            found["patients of the split"] = f"{cases['groups']} {how}"
    if predictions is not None and judged is not None:
        n = len(predictions.frame)
        found["labels and predictions"] = many(n, "prediction")
        found.setdefault("test part", f"{many(n, 'prediction')}")
        found["scores"] = "recomputed from the predictions"
        found["scores of each class"] = "recomputed from the predictions"
        sizes_of = ", ".join(f"{k} {v}" for k, v in judged.metrics["support"].items())
        found["images of each class"] = sizes_of
        if predictions.proper:
            found["probabilities"] = "probabilities for each class"
        if judged.patients:
            found["patients tested"] = many(judged.metrics["n_patients"], "test patient")
            if judged.metrics["accuracy_ci"]:
                found["intervals over patients"] = "recomputed, over patients"
    return found


def gaps(known: Mapping[str, str]) -> list[Gaps]:
    """Put every checklist beside what the files show.

    Parameters
    ----------
    known : mapping of str to str
        From `facts`.

    Returns
    -------
    list of Gaps
    """
    lists = [checklist(name) for name in CHECKLISTS]
    return [Gaps(each, [(item, seen(item, known)) for item in each.items]) for each in lists]
