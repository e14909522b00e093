"""The model card as Markdown with the metadata of Hugging Face before it."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from common import networks, notices, tables
from common.card import answers, markdown
from common.card.answers import FILL
from common.card.public import public
from common.checklists import CHECKLISTS, checklist
from common.errors import InputError
from common.metrics import shown
from common.metrics.intervals import LEVEL
from common.report import summary
from common.report.files import RunFiles
from common.report.verdict import weak_parts
from common.report.words import percent, plural, score

_CREATIVE = re.compile(r"CC BY(-NC)?(-ND|-SA)? (\d\.\d)")


def card(files: RunFiles) -> str:
    """Write a run's model card.

    Parameters
    ----------
    files : RunFiles
        Of a finished run of a classifier.

    Returns
    -------
    str
        README.md of a model on Hugging Face.
    """
    damaged = tuple(each.partition(":")[0] for each in files.damaged)  # whose reasons name rows
    files = dataclasses.replace(files, record=public(files.record), damaged=damaged)
    data = summary.dataset(files)
    synthetic = [f"**{notices.SYNTHETIC_MODEL}**", ""] if files.synthetic else []
    parts = [
        _metadata(files, data),
        f"# {markdown.text(_title(files))}",
        "",
        *synthetic,
        f"**{notices.RESEARCH_USE}**",
        "",
        _introduction(files, data),
        "",
        *_use(files),
        *_data(files, data),
        *_scores(files),
        *_flattering(files),
        *_checklists(files),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _title(files: RunFiles) -> str:
    return f"{files.record.package}: {answers.preset(files)}"


def _metadata(files: RunFiles, data: dict[str, str]) -> str:
    """Give the YAML block; values are written as JSON, which is YAML."""
    tags = ["histopathology", "breast-cancer", "keras", "research-use-only"]
    lines: list[tuple[str, Any]] = [
        *([] if files.synthetic else _licence(data)),
        ("library_name", "keras"),
        ("pipeline_tag", "image-classification"),
        ("tags", tags + ["synthetic"] * files.synthetic),
        ("metrics", ["accuracy"]),
    ]
    scores = files.metrics
    # A number from generated images is no result: no list of models shows it.
    if scores and not files.synthetic:
        # Letters, digits and -._ alone are accepted there.
        kind = re.sub(r"[^\w.-]+", "-", files.record.dataset or "unknown", flags=re.ASCII)
        dataset = {"name": data["title"], "type": kind, "split": "test"}
        values = [
            {"type": "accuracy", "name": "Accuracy", "value": scores["accuracy"]},
            {"type": "balanced_accuracy", "name": "Balanced accuracy",
             "value": scores.get("balanced_accuracy")},
        ]  # fmt: skip
        result = {
            "task": {"type": "image-classification"},
            "dataset": dataset,
            "metrics": [each for each in values if each["value"] is not None],
        }
        lines.append(("model-index", [{"name": _title(files), "results": [result]}]))
    written = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in lines]
    return "\n".join(["---", *written, "---", ""])


def _licence(data: dict[str, str]) -> list[tuple[str, str]]:
    """Give the licence of the data as Hugging Face spells it: weights are made of the data."""
    found = _CREATIVE.search(data["licence"])
    if found:
        return [
            ("license", f"cc-by{(found[1] or '').lower()}{(found[2] or '').lower()}-{found[3]}")
        ]
    link = [("license_link", data["home"])] if data["home"] else []
    return [("license", "other"), ("license_name", "that-of-the-data"), *link]


def _introduction(files: RunFiles, data: dict[str, str]) -> str:
    name = networks.title(files.config)
    network = f"`{name}`" if name else "A network"
    classes = ", ".join(map(markdown.code, files.classes))
    return (
        f"{network}, trained on {data['title']}; it gives a probability for each of the classes "
        f"{classes}. Input: RGB pixels as a file has them, one byte a colour; scaling is a "
        "layer of the model. `example.py` beside this file shows the use."
    )


def _fills_a_row(files: RunFiles) -> bool:
    """Whether it is of a preset as it stands, of which the paper prints scores, on all images."""
    record = files.record
    if files.synthetic or tables.missing_images(record):
        return False
    try:
        return record.preset in set(tables.published_text(record.package)["preset"])
    except InputError:
        return False


def _use(files: RunFiles) -> list[str]:
    row = "to reproduce a published row, " if _fills_a_row(files) else ""
    return [
        "## Intended use",
        "",
        f"For research on methods: {row}to compare networks and splits, to "
        "teach. Not for diagnosis, for no decision about a patient, and not for images of another "
        "kind than those it was trained on: another stain, scanner, magnification or organ.",
        "",
        f"Users and setting that were meant: {FILL}",
        "",
    ]


def _data(files: RunFiles, data: dict[str, str]) -> list[str]:
    rows = (("Data set", "title"), ("Licence", "licence"), ("To cite", "citation"),
            ("Home", "home"))  # fmt: skip
    told = [f"- {name}: {data[key]}" for name, key in rows if data[key]]
    told += [f"- {part} part: {said}" for part, said in answers.parts(files).items()]
    told += [f"- {markdown.text(each)}" for each in summary.of_data(files)]
    if left_out := files.record.get("left_out"):
        told.append(f"- {plural(left_out, 'image')} could not be used and left out")
    if not files.synthetic:
        told += ["", "The weights are made of these images: whoever gives them away has to ask "
                 "their licence."]  # fmt: skip
    return ["## Data", "", *told, ""]


def _scores(files: RunFiles) -> list[str]:
    scores = files.metrics
    if not scores:
        return ["## Scores", "", "There are none: the run has no metrics.json.", ""]
    head = summary.headline(files)
    assert head is not None  # there are scores
    low, high = head["low"], head["high"]
    bounds = "without an interval" if low is None else (
        f"{100 * LEVEL:g} % interval {percent(low)} to {percent(high)} ({head['method']})"
    )  # fmt: skip
    patients = scores.get("n_patients")
    who = f" of {plural(patients, 'patient')}" if patients else ", patients unknown"
    half = shown.half_known(scores)
    tested = plural(scores["n"], "test image") + ("" if half else who)
    names = [markdown.name(name) for name in files.classes]
    matrix = zip(names, scores["confusion_matrix"], strict=False)
    each_class = [
        (name, shown.of_class(scores, known))
        for name, known in zip(names, files.classes, strict=True)
    ]
    columns = [found.score.title for found in each_class[0][1]]
    return [
        "## Scores",
        "",
        *[f"**{notices.SYNTHETIC}**\n"] * files.synthetic,
        f"On {tested}, split {answers.facts(files).get('split', 'unknown')}: accuracy "
        f"**{percent(scores['accuracy'])}** ({head['correct']} of {scores['n']}), {bounds}."
        + (f" {half}." if half else ""),
        "",
        *markdown.table(("score", "value", "interval", "what it is"), head["rows"]),
        "Of each class:",
        "",
        *markdown.table(
            ("class", *columns), ((name, *(score(s) for s in told)) for name, told in each_class)
        ),
        "How often each class (lines) was called what (columns):",
        "",
        *markdown.table(("", *names), ((name, *map(str, row)) for name, row in matrix)),
    ]


def _flattering(files: RunFiles) -> list[str]:
    told = [*summary.of_scores(files), *files.record.leaks, *files.damaged]
    if files.split is not None and "case" in files.split:
        told += [f"The {each}" for each in weak_parts(files.split)]
    nothing = ["Nothing that the run noticed: no patient, slide or image in two parts, as far as "
               "they are known."]  # fmt: skip
    lines = [f"- {markdown.text(each)}" for each in told] or nothing
    return ["## What may flatter these scores", "", *lines, ""]


def _checklists(files: RunFiles) -> list[str]:
    own, facts = answers.answers(files), answers.facts(files)
    out: list[str] = []
    for name in CHECKLISTS:
        listed = checklist(name)
        rows = []
        for item in listed.items:
            told = answers.answer(item, own[name], facts)
            rows.append((item.number, item.title, told or f"{FILL} {item.ask}"))
        out += [f"## {listed.title}", "", f"{listed.source}. doi {listed.doi}", ""]
        out += markdown.table(("item", "what", "here"), rows)
    return out


__all__ = ["FILL", "card"]
