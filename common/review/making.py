"""A whole review: every file that is given, alone and beside the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import InputError
from common.review import agreement, gaps, judged, numbers, parts, pictures, reading, together
from common.review.finding import LEVELS, TOPICS, Finding
from common.review.gaps import Gaps
from common.review.judged import Judged
from common.review.names import told_by_names
from common.review.numbers import Printed
from common.review.parts import Split
from common.review.paths import match
from common.review.pictures import Looked
from common.review.predicted import Predictions

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Review:
    """What a review found.

    Attributes
    ----------
    printed : Printed or None
    split : Split or None
    predictions : Predictions or None
    judged : Judged or None
        Scores of the predictions.
    looked : Looked or None
    gaps : list of Gaps
    found : list of Finding
        All, the surest first.
    """

    printed: Printed | None = None
    split: Split | None = None
    predictions: Predictions | None = None
    judged: Judged | None = None
    looked: Looked | None = None
    gaps: list[Gaps] = field(default_factory=list)
    found: list[Finding] = field(default_factory=list)

    @property
    def wrong(self) -> list[Finding]:
        """What cannot be right."""
        return [each for each in self.found if each.level == "wrong"]

    @property
    def questions(self) -> list[str]:
        """What to ask the authors, each once."""
        return list(dict.fromkeys(each.question for each in self.found if each.question))

    @property
    def synthetic(self) -> bool:
        """Whether anything of it was made from generated images, by images or by names."""
        names = [each.name for each in (self.split, self.predictions) if each is not None]
        looked = self.looked is not None and self.looked.synthetic
        return looked or any("SYNTHETIC" in name for name in names)

    def table(self) -> pd.DataFrame:
        """Every finding as a line: level, topic, rule, what, shown, question."""
        import pandas as pd

        columns = ["level", "topic", "rule", "what", "shown", "question"]
        rows = [[getattr(each, column) for column in columns] for each in self.found]
        return pd.DataFrame(rows, columns=columns)


def review(
    *,
    printed: str | None = None,
    split: str | Path | None = None,
    predictions: str | Path | None = None,
    images: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    positive: str | None = None,
    system: str | None = None,
) -> Review:
    """Review what there is of a study.

    Parameters
    ----------
    printed : str, optional
        File of printed numbers, or the name of one of the papers.
    split : path, optional
        File with the part of each image.
    predictions : path, optional
        File with a line for each tested image.
    images : path, optional
        Folder with the images.
    columns : mapping of str to str, optional
        Of the predictions: ``label``, ``predicted``, ``case`` or ``image`` -> its column.
    positive : str, optional
        Positive class of two.
    system : str, optional
        Which of the printed systems the predictions are of.

    Returns
    -------
    Review

    Raises
    ------
    InputError
        If nothing is given, or a file cannot be read.
    """
    if printed is None and split is None and predictions is None and images is None:
        raise InputError(
            "nothing to review: give --numbers, --split, --predictions or --images, or several"
        )
    made = Review()
    if printed is not None:
        made.printed = numbers.read(printed)
        made.found += made.printed.found
    if split is not None:
        splits = parts.read(split)
        made.split = splits[0]
        for each in splits:
            for finding in each.found:
                what = finding.what if len(splits) == 1 else f"{each.name}: {finding.what}"
                made.found.append(replace(finding, what=what))
        made.found += together.beside_names(made.split.frame, "the split")
    if predictions is not None:
        given = reading.read(predictions, columns or {}, positive)
        given.frame, _ = told_by_names(given.frame)
        if made.split is not None:
            made.split = max(splits, key=lambda each: together.tested(given, each))
            given.frame = _with_cases(given.frame, made.split.frame)
        elif given.parts is not None:
            own = parts.looked_at(given.name, *told_by_names(given.parts))
            # What else such a file lacks of a split says nothing about the study.
            made.found += [each for each in own.found if each.level == "wrong"]
        made.predictions, made.judged = given, judged.judge(given)
        made.found += given.found + made.judged.found
        made.found += together.beside_names(given.frame, "the predictions")
        if made.split is not None:
            made.found += together.beside_split(given, made.split)
        if made.printed is not None:
            made.found += agreement.beside_numbers(given, made.judged, made.printed.numbers, system)
    if images is not None:
        made.looked = pictures.look(Path(images), _named_images(made))
        made.found += made.looked.found
    made.gaps = gaps.gaps(gaps.facts(made.printed, made.split, made.predictions, made.judged))
    order = {level: i for i, level in enumerate(LEVELS)}
    topics = {topic: i for i, topic in enumerate(TOPICS)}
    made.found = list(dict.fromkeys(made.found))
    made.found.sort(key=lambda each: (order[each.level], topics[each.topic]))
    return made


def _with_cases(frame: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Predictions with the patients that only the split tells."""
    if (frame["case"] != "").any() or (frame["image"] == "").all():
        return frame
    told = split.loc[split["case"] != "", ["image", "case"]].drop_duplicates()
    told = told[~told["image"].duplicated(keep=False)]  # of two patients: of none
    known = dict(zip(told["image"], told["case"], strict=True))
    names = match(frame["image"], split["image"]).names
    return frame.assign(case=[known.get(names.get(each, ""), "") for each in frame["image"]])


def _named_images(made: Review) -> pd.DataFrame | None:
    """Images that the files name, with parts, labels and patients; None if they name none."""
    import pandas as pd

    frames = []
    if made.split is not None:
        used = made.split.frame
        frames.append(used[used["part"] != ""])
    if made.predictions is not None:
        frame = made.predictions.frame.assign(part="test")
        if frames:
            same = match(frame["image"], frames[0]["image"])
            frame = frame[~frame["image"].isin({*same.names, *same.unclear})]
        frames.append(frame[frame["image"] != ""])
    frames = [frame[["image", "part", "label", "case"]] for frame in frames if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else None
