"""What a reader sees first: the main numbers, what they are measured on, and what to beware of."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from common import datasets, networks, predictions
from common.errors import InputError
from common.metrics import shown
from common.metrics.catalogue import CALIBRATION
from common.report.files import RunFiles
from common.report.words import interval, known, plural, score

METHODS = {
    "jackknife": "jackknife over {}s",
    "bootstrap": "bootstrap over {}s",
    "clopper-pearson": "Clopper-Pearson over {}s",
}
"""How an interval was found, by `ci_method` in metrics.json; in the braces what it is over."""


def headline(files: RunFiles) -> dict[str, Any] | None:
    """Give the main numbers.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None without metrics.json.
    """
    scores = files.metrics
    if not scores:
        return None
    support = {str(name): int(count) for name, count in scores["support"].items()}
    majority = max(support, key=lambda name: support[name])
    low, high = scores["accuracy_ci"] or (None, None)
    told = shown.of_test(scores)
    trained_on = 0 if files.split is None else int((files.split["part"] == "train").sum())
    return {
        "accuracy": scores["accuracy"],
        "correct": scores.get("correct", round(scores["accuracy"] * scores["n"])),
        "n": scores["n"],
        "balanced": scores["balanced_accuracy"],
        "balanced_ci": (scores.get("intervals") or {}).get("balanced_accuracy"),
        "low": low,
        "high": high,
        "method": METHODS[scores.get("ci_method") or "bootstrap"].format(scores["ci_unit"]),
        "unknown_because": next((each.reason for each in told if each.score.key == "accuracy"), ""),
        "half_known": shown.half_known(scores),
        "notes": shown.notes(told),
        "patients": scores.get("n_patients"),
        "majority": majority,
        "majority_share": support[majority] / scores["n"],
        "rows": _scores(scores),
        "network": networks.title(files.config),
        "split": scores.get("split") or files.config.get("split"),
        "trained_on": trained_on or None,
        "kept_epoch": files.kept_epoch,
        "epochs": files.config.get("epochs"),
    }


def _scores(scores: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Rows of the table of results: name, value, interval, meaning."""
    rows = []
    for each in shown.of_test(scores):
        # Accuracy stands above the table, calibration beside its picture.
        if each.score.line not in ("accuracy", CALIBRATION):
            undefined = each.value is None and each.reason
            meaning = f"{each.meaning}; {each.reason}" if undefined else each.meaning
            rows.append((each.score.title, score(each), interval(each), meaning))
    return rows


def dataset(files: RunFiles) -> dict[str, str]:
    """Give the data set's card, as far as it is known.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict
        `title, licence, citation, home`, all but the title perhaps empty: of synthetic images,
        which are nobody's, they are.
    """
    name, licence = files.record.dataset or "", files.record.licence or ""
    card = None
    with contextlib.suppress(InputError):
        card = datasets.get(name)
    title = name or "unknown" if card is None else card.TITLE
    if files.synthetic:  # nothing in it is the data set's but the layout
        title, licence, card = f"synthetic tissue in the layout of {title}", "", None
    if card is None:
        return {"title": title, "licence": licence, "citation": "", "home": ""}
    return {
        "title": title,
        "licence": card.LICENCE,
        "citation": card.CITATION,
        "home": card.HOME,
    }


def warnings(files: RunFiles) -> list[str]:
    """Say what a reader must know before the numbers.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    list of str
        Sentences.
    """
    return [*of_scores(files), *of_data(files)]


def of_scores(files: RunFiles) -> list[str]:
    """Say what keeps the numbers from being a finished run's own.

    Parameters
    ----------
    files : RunFiles
        Of the run.
    """
    return [each for each in (_unfinished(files), _foreign_metrics(files)) if each]


def of_data(files: RunFiles) -> list[str]:
    """Say in what the images are not those of the data set.

    Parameters
    ----------
    files : RunFiles
        Of the run.
    """
    told = [
        _own_data(files), _part_of_the_data(files), _recompressed(files), _skipped(files),
        _generated(files), _empty_classes(files),
    ]  # fmt: skip
    return [each for each in told if each]


def _unfinished(files: RunFiles) -> str:
    missing = [
        name for name in ("metrics.json", "predictions.csv") if not (files.path / name).is_file()
    ]
    if not missing:
        return ""
    return (
        f"This run is not complete: {' and '.join(missing)} missing. Start the same command again "
        "to finish it."
    )


def _own_data(files: RunFiles) -> str:
    """Own images fill no row; and whether their patients are known is no detail."""
    if not files.record.own:
        return ""
    said = "Trained on images of one’s own: this run fills no row of the paper’s tables."
    split = files.split
    if split is None or "case" not in split:
        return said
    unknown = int((split["case"] == "").sum())
    if unknown == len(split):
        return f"{said} The patients are unknown: one patient’s images may lie in all parts."
    if unknown:
        said += (
            f" The patients of {unknown:,} of {len(split):,} images are unknown: where they are "
            "counted, these are left out."
        )
    return said


def _part_of_the_data(files: RunFiles) -> str:
    if files.whole or files.synthetic:
        return ""
    return (
        f"The data were not whole: {files.record.n_images:,} images used, the data set has "
        f"{files.record.expected_images:,}. This run fills no row of the paper’s tables."
    )


def _recompressed(files: RunFiles) -> str:
    count = files.record.get("recompressed")
    if not known(count):
        return ""
    return (
        f"{plural(int(count), 'image')} {'is a JPEG copy' if count == 1 else 'are JPEG copies'}, "
        "whose pixels are not those of the data set: this is another data set, which fills no row "
        "of the paper’s tables."
    )


def _skipped(files: RunFiles) -> str:
    skipped = files.record.skipped
    if not skipped:
        return ""
    names = "; ".join(f"{each['image']}: {each['reason']}" for each in skipped)
    return (
        f"{plural(len(skipped), 'image')} could not be used and "
        f"{'was' if len(skipped) == 1 else 'were'} left out (--skip-bad), so this run "
        f"fills no row of the paper’s tables: {names}."
    )


def _generated(files: RunFiles) -> str:
    generated = files.record.facts.get("generated")
    if not generated:
        return ""
    counts = ", ".join(f"{n:,} {name}" for name, n in generated["images"].items())
    return (
        f"Images that the GAN {generated['gan']} generated were trained on as well ({counts}). "
        "None is among the images tested on."
    )


def _empty_classes(files: RunFiles) -> str:
    split = files.split
    if split is None:
        return ""
    empty = [name for name in files.classes if not (split["label"] == name).any()]
    if not empty:
        return ""
    return f"The data hold no image of {', '.join(empty)}. Every table keeps the class, empty."


def _foreign_metrics(files: RunFiles) -> str:
    if files.test is None or not files.metrics:
        return ""
    right, total = int(predictions.correct(files.test).sum()), len(files.test)
    if (files.metrics.get("correct"), files.metrics.get("n")) == (right, total):
        return ""
    return (
        f"metrics.json does not belong to predictions.csv, in which {right} of {total} test images "
        "are right: python -m common.metrics recompute RUN"
    )
