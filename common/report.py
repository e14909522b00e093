"""One page about one run, from the files of its folder alone: python -m common.report RUN.

The page, `report.html`, holds its pictures and its style in itself: it can be mailed, printed and
opened years later. It needs no model, no images, no network and no JavaScript. What a run lacks is
left out, or said to be missing; a damaged file is named and stops nothing.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from common import datasets, errors, figures, metrics, notices, predictions, runs, tables
from common.errors import InputError, WriteError
from common.files import write_text
from common.splits import PARTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WRONG_SHOWN = 20
DAMAGE = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError)
"""What reading a damaged or foreign file may raise (JSON, CSV and `InputError` are ValueErrors)."""


def write(run_path: str | Path) -> Path:
    """Write `report.html`, and the figures it shows, into a run folder.

    Parameters
    ----------
    run_path : path
        The run folder; only `config.json` must be there.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the folder is no run folder.
    """
    import jinja2

    run = runs.load_classifier(run_path)
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=_percent, number=_number, count=_count, size=_size, value=_value
    )
    source = importlib.resources.files("common").joinpath("report.html").read_text("utf-8")
    target = run.path / "report.html"
    write_text(target, environment.from_string(source).render(_Page(run).context()))
    return target


# --- how numbers look --------------------------------------------------------------------------


def _known(value: Any) -> bool:
    return isinstance(value, (int, float)) and value == value


def _percent(value: Any, decimals: int = 2) -> str:
    return f"{100 * value:.{decimals}f}\xa0%" if _known(value) else "–"


def _number(value: Any, decimals: int = 3) -> str:
    return f"{value:.{decimals}f}".replace("-", "−") if _known(value) else "–"


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "–"


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000 or unit == "MB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return ""


def _value(value: Any) -> str:
    """Write a setting as a person would: no quotes around names, no brackets around lists."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_value, value)) or "none"
    return str(value)


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _duration(seconds: Any) -> str:
    if not _known(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min"
        if hours
        else f"{minutes} min {rest} s"
        if minutes
        else f"{rest} s"
    )


# --- the page ----------------------------------------------------------------------------------


class _Page:
    """Reads a run folder part by part; each method gives what one section of the page shows."""

    def __init__(self, run: runs.Run) -> None:
        self.run = run
        self.record = run.record
        self.damaged: list[str] = []
        self.classes = [str(name) for name in self.record.get("classes") or []]
        self.metrics = self._json("metrics.json")
        self.environment = self._json("environment.json")
        self.split = self._read("split.csv", self._read_split)
        self.history = self._read("history.csv", self._read_history)
        self.predictions = self._read(
            "predictions.csv", lambda path: predictions.read(path, self.classes or None)
        )
        if not self.classes and self.predictions is not None:
            self.classes = predictions.classes_of(self.predictions)
        self.test = None
        if self.predictions is not None:
            test = predictions.of_part(self.predictions)
            self.test = test if len(test) else None

    # reading

    def _read(self, name: str, reader: Callable[[Path], Any]) -> Any:
        """Give what `reader` makes of a file; None if it is missing or damaged, which is noted."""
        path = self.run.path / name
        if not path.is_file():
            return None
        try:
            return reader(path)
        except DAMAGE as error:
            reason = str(error).replace(f"{path}: ", "").replace(str(path), name)
            self.damaged.append(f"{name} is damaged and was left out: {reason}")
            return None

    def _json(self, name: str) -> dict[str, Any]:
        def reader(path: Path) -> dict[str, Any]:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise ValueError("not a JSON object")
            return content

        return self._read(name, reader) or {}

    @staticmethod
    def _read_split(path: Path) -> pd.DataFrame:
        # As text: case numbers and the class "0" are names.
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        if not {"image", "label", "part"} <= set(frame.columns):
            raise ValueError("no columns image, label and part")
        return frame

    @staticmethod
    def _read_history(path: Path) -> pd.DataFrame:
        frame = pd.read_csv(path).apply(pd.to_numeric, errors="coerce")
        if frame.empty or not {"epoch", "loss", "accuracy"} <= set(frame.columns):
            raise ValueError("no epochs in it")
        return frame

    def _part(self, name: str, make: Callable[[], Any]) -> Any:
        """Give a section's content; None if what it is made of does not fit together."""
        try:
            return make()
        except WriteError:  # a page without its pictures is no page
            raise
        except DAMAGE as error:
            self.damaged.append(
                f"{name}: left out, the run's files do not fit ({type(error).__name__}: {error})"
            )
            return None

    def context(self) -> dict[str, Any]:
        """Everything the template shows."""
        sections = {
            "headline": self._headline,
            "data": self._data,
            "leakage": self._leakage,
            "curves": self._curves,
            "confusion": self._confusion,
            "roc": self._roc,
            "calibration": self._calibration,
            "per_class": self._per_class,
            "per_case": self._per_case,
            "magnifications": self._magnifications,
            "roc_by_magnification": self._roc_by_magnification,
            "wrong": self._wrong,
            "published": self._published,
            "settings": self._settings,
            "examples": lambda: self._picture("examples", "Example images of the training part"),
            "mistakes": lambda: self._picture("mistakes", "Wrongly classified test images"),
            "gradcam": lambda: self._picture("gradcam", "Grad-CAM of test images"),
        }
        content = {name: self._part(name, make) for name, make in sections.items()}
        record = self.record
        return {
            **content,
            "title": f"{record['package']}: {record.get('preset', self.run.path.name)}",
            "package": record["package"],
            "preset": record.get("preset") or self.run.path.name,
            "folder": self.run.path.name,
            "run_id": record.get("run_id"),
            "synthetic": bool(record["synthetic"]),
            "leaks": [str(leak) for leak in record.get("leaks") or []],
            "dataset": self._dataset(),
            "classes": self.classes,
            "warnings": self._warnings(),
            "damaged": self.damaged,
            "metrics": self.metrics,
            "environment": self._environment(),
            "environment_known": bool(self.environment),
            "command": record.get("command") or self.environment.get("command"),
            "files": self._files(),
            "research_use": notices.RESEARCH_USE,
            "synthetic_notice": notices.SYNTHETIC,
        }

    # pictures

    def _draw(self, name: str, figure: Figure, alt: str) -> dict[str, Any]:
        """Save a figure into the run folder and give it as the template shows it."""
        path = self.run.path / "figures" / f"{name}.png"
        figures.save(figure, path, synthetic=bool(self.record["synthetic"]), description=alt)
        return self._embed(path, alt)

    def _picture(self, name: str, what: str) -> dict[str, Any] | None:
        """Give a picture that the run has drawn; its own description is the alternative text."""
        path = self.run.path / "figures" / f"{name}.png"
        return self._embed(path, what) if path.is_file() else None

    @staticmethod
    def _embed(path: Path, alt: str) -> dict[str, Any]:
        from PIL import Image

        with Image.open(path, formats=["PNG"]) as image:
            width, height = image.size
            alt = str(image.info.get("Description") or alt)
        # CSS pixels are 1/96 inch.
        scale = 96 / figures.DPI
        return {
            "uri": figures.data_uri(path),
            "alt": alt,
            "width": round(width * scale),
            "height": round(height * scale),
        }

    # sections

    def _dataset(self) -> dict[str, Any]:
        """Give the data set's card as far as it is known."""
        name = str(self.record.get("dataset") or "")
        card: dict[str, Any] = {
            "name": name,
            "title": name or "unknown",
            "citation": "",
            "home": "",
        }
        card["licence"] = str(self.record.get("licence") or "")
        try:
            module = datasets.get(name)
            card.update(
                title=module.TITLE,
                licence=module.LICENCE,
                citation=module.CITATION,
                home=module.HOME,
            )
        except (InputError, AttributeError, ImportError):
            pass
        return card

    def _warnings(self) -> list[str]:
        """Say what a reader must know before the numbers."""
        found = []
        missing = [
            name
            for name in ("metrics.json", "predictions.csv")
            if not (self.run.path / name).is_file()
        ]
        if missing:
            found.append(
                f"This run is not complete: {' and '.join(missing)} missing. Start the same "
                "command again to finish it."
            )
        images, expected = self.record.get("n_images"), self.record.get("expected_images")
        whole = not (_known(images) and _known(expected)) or images == expected
        if not whole and not self.record["synthetic"]:
            found.append(
                f"The data were not whole: {images:,} images used, the data set has "
                f"{expected:,}. This run fills no row of the paper’s tables."
            )
        skipped = self.record.get("skipped") or []
        if skipped:
            names = "; ".join(f"{each['image']}: {each['reason']}" for each in skipped)
            found.append(
                f"{_plural(len(skipped), 'image')} could not be used and "
                f"{'was' if len(skipped) == 1 else 'were'} left out (--skip-bad), so this run "
                f"fills no row of the paper’s tables: {names}."
            )
        generated = self.record.get("generated")
        if generated:
            counts = ", ".join(f"{n:,} {name}" for name, n in generated["images"].items())
            found.append(
                f"Images that the GAN {generated['gan']} generated were trained on as well "
                f"({counts}). None is among the images tested on."
            )
        split = self.split
        if split is not None:
            empty = [name for name in self.classes if not (split["label"] == name).any()]
            if empty:
                found.append(
                    f"The data hold no image of {', '.join(empty)}. Every table keeps the class, "
                    "empty."
                )
        if self.test is not None and self.metrics:
            right, total = int(self._correct().sum()), len(self.test)
            if (self.metrics.get("correct"), self.metrics.get("n")) != (right, total):
                found.append(
                    f"metrics.json does not belong to predictions.csv, in which {right} of "
                    f"{total} test images are right: python -m common.metrics recompute RUN"
                )
        return found

    def _chosen(self) -> np.ndarray:
        return predictions.predicted_classes(predictions.probabilities(self.test, self.classes))

    def _correct(self) -> np.ndarray:
        return predictions.correct(self.test)

    def _headline(self) -> dict[str, Any] | None:
        scores = self.metrics
        if not scores:
            return None
        support = {str(name): int(count) for name, count in scores["support"].items()}
        majority = max(support, key=lambda name: support[name])
        method = {
            "bootstrap": f"bootstrap over {scores['ci_unit']}s",
            "clopper-pearson": f"Clopper-Pearson over {scores['ci_unit']}s",
        }[scores.get("ci_method", "bootstrap")]
        low, high = scores["accuracy_ci"]
        correct = scores.get("correct", round(scores["accuracy"] * scores["n"]))
        config = self.record["config"]
        counts = {}
        if self.split is not None:
            counts = self.split["part"].value_counts().to_dict()
        intervals = scores.get("intervals") or {}
        positive = scores.get("positive_class")
        macro = "mean over the classes"
        pooled = "pooled over classes, probabilities above 0.5 only"
        rows = [("Balanced accuracy", _percent(scores["balanced_accuracy"]),
                 intervals.get("balanced_accuracy"), "mean recall of the classes")]  # fmt: skip
        if _known(scores.get("patient_recognition_rate")):
            what = f"mean over {scores['n_patients']} patients of the share of their images right"
            rate = _percent(scores["patient_recognition_rate"])
            rows.append(("Patient recognition rate", rate, None, what))
        if positive and _known(scores.get("specificity")):
            recall = scores["per_class"][positive]["recall"]
            rows += [
                ("Sensitivity", _percent(recall),
                 intervals.get(f"per_class.{positive}.recall"), f"recall of {positive}"),
                ("Specificity", _percent(scores["specificity"]), None, "recall of the other class"),
            ]  # fmt: skip
        rows += [
            (title, _percent(scores[key]), intervals.get(key), what)
            for title, key, what in (
                ("Macro precision", "precision_macro", macro),
                ("Macro recall", "recall_macro", macro),
                ("Macro F1", "f1_macro", macro),
                ("Precision above 0.5", "precision_micro_at_half", pooled),
                ("Recall above 0.5", "recall_micro_at_half", pooled),
            )
        ]
        area = scores.get("auc_kind", "") + (f", {positive}" if positive else "")
        rows += [
            ("Cohen’s kappa", _number(scores["kappa"]), None, "agreement beyond chance"),
            ("Matthews correlation", _number(scores["mcc"]), None, "of labels and predictions"),
            ("Area under the ROC curve", _number(scores["auc"], 4), None, area),
        ]
        return {
            "accuracy": scores["accuracy"],
            "correct": correct,
            "n": scores["n"],
            "balanced": scores["balanced_accuracy"],
            "balanced_ci": intervals.get("balanced_accuracy"),
            "low": low,
            "high": high,
            "method": method,
            "unit": scores["ci_unit"],
            "patients": scores.get("n_patients"),
            "majority": majority,
            "majority_share": support[majority] / scores["n"],
            "rows": rows,
            "network": config.get("network"),
            "split": scores.get("split") or config.get("split"),
            "trained_on": int(counts.get("train", 0)) or None,
            "best_epoch": scores.get("best_epoch"),
            "epochs": config.get("epochs"),
        }

    def _data(self) -> dict[str, Any] | None:
        """Count images and patients of every class in every part."""
        split = self.split
        if split is None:
            return None
        known = bool((split["case"] != "").all()) if "case" in split else False
        parts = [part for part in PARTS if (split["part"] == part).any()]
        extra = [name for name in split["label"].unique() if name not in self.classes]

        def row(chosen: pd.DataFrame) -> list[dict[str, Any]]:
            cells = []
            for part in [*parts, None]:
                rows = chosen[chosen["part"].isin(parts if part is None else [part])]
                patients = int(rows["case"].nunique()) if known else None
                cells.append({"images": len(rows), "patients": patients})
            return cells

        rows = [(name, row(split[split["label"] == name])) for name in [*self.classes, *extra]]
        lone = [
            (name, next(p for p, cell in zip(parts, cells, strict=False) if cell["patients"]))
            for name, cells in rows
            if known and cells[-1]["patients"] == 1
        ]
        shared = 0
        if known:
            used = split[split["part"].isin(parts)]
            shared = int((used.groupby("case")["part"].nunique() > 1).sum())
        return {
            "parts": parts,
            "rows": rows,
            "total": row(split),
            "known": known,
            "lone": lone,
            "shared": shared,
            "images": int(split["part"].isin(parts).sum()),
            "expected": self.record.get("expected_images"),
            "split": self.metrics.get("split") or self.record["config"].get("split"),
        }

    def _leakage(self) -> dict[str, Any] | None:
        found = self._json("leakage.json")
        picture = self._picture("leakage", "Pairs of nearly identical images in different parts")
        if not found and picture is None:
            return None
        rows = []
        for group, noun in (("case", "Patients"), ("slide", "Slides"), ("folder", "Folders")):
            pairs = ((found.get("groups") or {}).get(group) or {}).get("pairs") or {}
            for name, pair in pairs.items():
                first, second = name.split("-")
                # Patients are always told; slides and folders only where there is something to say.
                if group == "case" or pair["groups"]:
                    rows.append((f"{noun} in both {first} and {second}", pair["groups"],
                                 pair["images"], pair["share"], second))  # fmt: skip
        for kind, what in (("exact", "an exact copy"), ("near", "an exact or near copy")):
            twins = found.get(kind)
            if twins:
                rows.append((f"Test images with {what} in training", None, twins["test_images"],
                             twins["share"], "test"))  # fmt: skip
        return {
            "text": str(found.get("text") or ""),
            "rows": rows,
            "notes": [str(note) for note in found.get("notes") or []],
            "picture": picture,
        }

    def _curves(self) -> dict[str, Any] | None:
        history = self.history
        if history is None:
            return None
        best = self.metrics.get("best_epoch")
        best = int(best) if _known(best) else None
        last = history.iloc[-1]
        alt = (
            f"Loss and accuracy over {len(history)} epochs. At the end, training loss "
            f"{last['loss']:.3f} and accuracy {last['accuracy']:.3f}"
        )
        if _known(last.get("val_loss")):
            alt += (
                f", validation loss {last['val_loss']:.3f} and accuracy {last['val_accuracy']:.3f}"
            )
        kept = history[history["epoch"] == best] if best is not None else history.iloc[:0]
        if len(kept) and _known(
            float(kept["val_accuracy"].iloc[0]) if "val_accuracy" in kept else None
        ):
            alt += (
                f". The weights of epoch {best} were kept, at validation accuracy "
                f"{kept['val_accuracy'].iloc[0]:.3f}"
            )
        columns = [
            name for name in
            ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
            if name in history
        ]  # fmt: skip
        rows = [
            [
                f"{value:.0f}" if name == "epoch"
                else f"{value:.3g}" if name == "learning_rate"
                else _number(float(value), 4)
                for name, value in zip(columns, values, strict=True)
            ]
            for values in history[columns].to_numpy(dtype=float)
        ]  # fmt: skip
        figure = figures.learning_curves(history, best)
        return {
            "picture": self._draw("learning_curves", figure, alt + "."),
            "best": best,
            "columns": [name.replace("val_", "validation ").replace("_", " ") for name in columns],
            "rows": rows,
            "select_on": self.record["config"].get("select_on"),
        }

    def _confusion(self) -> dict[str, Any] | None:
        scores = self.metrics
        if not scores:
            return None
        classes = [str(name) for name in scores["classes"]]
        matrix = np.asarray(scores["confusion_matrix"], dtype=np.int64)
        wrong = matrix.copy()
        np.fill_diagonal(wrong, 0)
        recalls = ", ".join(
            f"{name} {100 * matrix[i, i] / matrix[i].sum():.1f} %"
            for i, name in enumerate(classes)
            if matrix[i].sum()
        )
        finding = ""
        if wrong.any():
            row, column = np.unravel_index(wrong.argmax(), wrong.shape)
            finding = (
                f"The commonest confusion is {classes[row]} taken for {classes[column]}: "
                f"{wrong[row, column]} of {matrix[row].sum()} images."
            )
        alt = (
            f"Confusion matrix of {matrix.sum()} test images, {np.trace(matrix)} on the diagonal. "
            f"Share right: {recalls}. {finding}"
        )
        return {
            "picture": self._draw(
                "confusion_matrix", figures.confusion_matrix(matrix, classes), alt
            ),
            "finding": finding,
            "rows": list(zip(classes, matrix.tolist(), strict=True)),
        }

    def _roc(self) -> dict[str, Any] | None:
        if self.test is None:
            return None
        positive = self.record.get("positive")
        curves = {}
        for name in [positive] if positive in self.classes else self.classes:
            truth = (self.test["label"] == name).to_numpy()
            scores = self.test[predictions.column(name)].to_numpy()
            curve = metrics.roc_curve(truth, scores)
            if curve is not None:
                curves[name] = (curve[0], curve[1], metrics.auc(truth, scores))
        if not curves:
            return None
        areas = ", ".join(f"{name} {area:.3f}" for name, (_, _, area) in curves.items())
        against = "" if positive else ", each class against the rest"
        alt = f"ROC curves on {len(self.test)} test images{against}. Area under the curve: {areas}."
        return {"picture": self._draw("roc", figures.roc(curves), alt), "against": against}

    def _calibration(self) -> dict[str, Any] | None:
        if self.test is None:
            return None
        labels = predictions.labels(self.test, self.classes)
        probabilities = predictions.probabilities(self.test, self.classes)
        bins = metrics.reliability(labels, probabilities)
        error = metrics.ece(labels, probabilities)
        confidence = float(probabilities.max(axis=1).mean())
        accuracy = float((predictions.predicted_classes(probabilities) == labels).mean())
        verdict = "above" if confidence > accuracy else "below"
        finding = (
            f"Mean confidence {100 * confidence:.1f} % is {verdict} the accuracy of "
            f"{100 * accuracy:.1f} %; expected calibration error {error:.3f}"
        )
        alt = f"Reliability diagram of {len(labels)} test images. {finding}."
        return {
            "picture": self._draw("reliability", figures.reliability(bins, error), alt),
            "finding": finding,
            "brier": self.metrics.get("brier"),
            "log_loss": self.metrics.get("log_loss"),
            "bins": len(bins["n"]),
        }

    def _per_class(self) -> list[dict[str, Any]] | None:
        scores = self.metrics
        if not scores:
            return None
        intervals = scores.get("intervals") or {}
        rows = []
        for name, values in scores["per_class"].items():
            rows.append(
                {
                    "name": name,
                    "support": scores["support"][name],
                    "tp": values["tp"],
                    "precision": values["precision"],
                    "recall": values["recall"],
                    "specificity": values["tnr"],
                    "f1": values["f1"],
                    "recall_ci": intervals.get(f"per_class.{name}.recall"),
                    "precision_ci": intervals.get(f"per_class.{name}.precision"),
                }
            )
        return rows

    def _per_case(self) -> dict[str, Any] | None:
        if self.test is None or (self.test["case"] == "").any():
            return None
        table = metrics.case_table(self.test)
        mean = float(table["accuracy"].mean())
        worst = table.iloc[0]
        perfect = int((table["accuracy"] == 1).sum())
        alt = (
            f"Accuracy of {_plural(len(table), 'patient')}: mean {100 * mean:.1f} %, "
            f"{perfect} without any error; lowest {100 * worst['accuracy']:.1f} % "
            f"({worst['correct']} of {worst['n']} images, patient {worst['case']})."
        )
        return {
            "picture": self._draw("per_case", figures.per_case(table, self.classes), alt),
            "rows": table.to_dict("records"),
            "mean": mean,
            "perfect": perfect,
        }

    def _magnifications(self) -> list[dict[str, Any]] | None:
        rows = []
        for name, part in (self.metrics.get("by_magnification") or {}).items():
            rows.append(
                {
                    "name": name,
                    **{key: part.get(key) for key in (
                        "n", "n_patients", "accuracy", "accuracy_ci", "balanced_accuracy",
                        "f1_macro", "patient_recognition_rate", "ci_unit",
                    )},
                    "correct": part.get("correct", round(part["accuracy"] * part["n"])),
                }
            )  # fmt: skip
        return rows or None

    def _roc_by_magnification(self) -> dict[str, Any] | None:
        positive = self.record.get("positive")
        if self.test is None or positive not in self.classes:
            return None
        curves = metrics.roc_by_magnification(self.test, positive)
        if len(curves) < 2:
            return None
        areas = ", ".join(f"{name} {area:.3f}" for name, (_, _, area) in curves.items())
        alt = f"ROC curves by magnification. Area under the curve: {areas}."
        return self._draw("roc_by_magnification", figures.roc(curves), alt)

    def _wrong(self) -> dict[str, Any] | None:
        """List the mistakes in which the network was surest."""
        if self.test is None:
            return None
        probabilities = predictions.probabilities(self.test, self.classes)
        chosen = predictions.predicted_classes(probabilities)
        wrong = np.flatnonzero(~self._correct())
        wrong = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
        rows = [
            {
                "image": self.test["image"][i],
                "case": self.test["case"][i],
                "label": self.test["label"][i],
                "predicted": self.classes[chosen[i]],
                "p_predicted": float(probabilities[i].max()),
                "p_label": float(self.test[predictions.column(self.test["label"][i])][i]),
            }
            for i in wrong[:WRONG_SHOWN]
        ]
        return {"rows": rows, "total": len(wrong), "n": len(self.test)}

    def _published(self) -> dict[str, Any] | None:
        """Put the paper's printed numbers beside ours; the package is not imported."""
        package, preset = str(self.record["package"]), str(self.record.get("preset") or "")
        if not self.metrics:
            return None
        try:
            table = tables.published_text(package)
        except InputError:
            return None
        # The honest twin differs from the row on purpose; the row stands beside it all the same.
        row_preset = preset.removesuffix("-honest").removesuffix("-changed")
        table = table[table["preset"] == row_preset]
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in table.itertuples():
            group = groups.setdefault(f"{row.table}, {row.row}", [])
            ours = tables.lookup(self.metrics, row.metrics_key)
            shown, difference = "–", "–"
            if _known(ours):
                decimals = int(row.decimals or 2)
                ours = 100 * ours if row.unit == "percent" else ours
                shown = f"{ours:.{decimals}f}"
                with contextlib.suppress(ValueError):
                    difference = f"{ours - float(row.printed):+.{decimals}f}".replace("-", "−")
            # Neighbours with the same note share one cell.
            first = next((r for r in reversed(group) if r["lines"]), None)
            if first is not None and first["note"] == row.note:
                first["lines"] += 1
            group.append(
                {
                    "metric": row.metric + (" (%)" if row.unit == "percent" else ""),
                    "printed": row.printed,
                    "ours": shown,
                    "difference": difference,
                    "note": row.note,
                    "lines": 0 if first is not None and first["note"] == row.note else 1,
                }
            )
        if not groups:
            return None
        return {"groups": groups, "reasons": self._incomparable(table, preset, row_preset)}

    def _incomparable(self, table: pd.DataFrame, preset: str, row_preset: str) -> list[str]:
        """Why the paper's numbers and ours are not measurements of the same thing."""
        record, reasons = self.record, []
        if record["synthetic"]:
            reasons.append("this run saw synthetic images")
        if preset == f"{row_preset}-honest":
            reasons.append("this is the row’s honest twin, which leaves out what leaks in the row")
        elif preset != row_preset:
            reasons.append("settings differ from the row’s (see Settings)")
        images, expected = record.get("n_images"), record.get("expected_images")
        if _known(images) and _known(expected) and images != expected and not record["synthetic"]:
            reasons.append("the data were not whole")
        sizes = {int(size) for size in table["n_test"] if size.isdigit()}
        if sizes and sizes != {self.metrics["n"]}:
            listed = " and ".join(f"{size:,}" for size in sorted(sizes))
            reasons.append(
                f"the paper tested on {listed} images, this run on {self.metrics['n']:,}: "
                "another test set"
            )
        return reasons

    def _settings(self) -> list[dict[str, Any]] | None:
        rows = []
        for row in self.record.get("sources") or []:
            source = str(row.get("source") or "")
            kind, _, rest = source.partition(": ")
            marked = kind in ("ASSUMED", "DEVIATION") and rest
            rows.append(
                {
                    "name": row["name"],
                    "value": row["value"],
                    "default": row.get("default"),
                    "changed": bool(row.get("changed")),
                    "help": row.get("help") or "",
                    "kind": kind.lower() if marked else "",
                    "source": rest if marked else source,
                }
            )
        return rows or [
            {"name": name, "value": value, "default": value, "changed": False, "help": "",
             "kind": "", "source": ""}
            for name, value in self.record["config"].items()
        ]  # fmt: skip

    def _environment(self) -> list[tuple[str, str]]:
        known = self.environment
        rows = []
        commit = known.get("commit")
        if commit:
            dirty = ", with changes not committed" if known.get("dirty") else ""
            rows.append(("Commit", f"{commit}{dirty}"))
        rows += [
            (title, _value(known[key]))
            for title, key in (
                ("Backend", "backend"), ("Device", "device"), ("Processor", "cpu"),
                ("Cores", "cores"), ("Memory (GiB)", "memory_gib"), ("Platform", "platform"),
                ("Python", "python"), ("Started", "started"), ("Finished", "finished"),
            )
            if known.get(key) is not None
        ]  # fmt: skip
        if _known(known.get("seconds")):
            rows.append(("Took", _duration(known["seconds"])))
        packages = known.get("packages")
        if isinstance(packages, Mapping) and packages:
            rows.append(("Packages", ", ".join(f"{k} {v}" for k, v in packages.items())))
        for title, key in (("Data", "data"), ("Starting weights", "weights")):
            if self.record.get(key):
                rows.append((title, str(self.record[key])))
        return rows

    def _files(self) -> list[tuple[str, str]]:
        """Names and sizes of the run's files; the page itself, which is being written, aside."""
        root = self.run.path
        return [
            (path.relative_to(root).as_posix(), _size(path.stat().st_size))
            for path in sorted(root.rglob("*"))
            if path.is_file()
            and path != root / "report.html"
            and not path.name.startswith(".part-")
            and path.relative_to(root).parts[0] != "checkpoint"
        ]


def main(arguments: list[str] | None = None) -> int:
    """Entry point of ``python -m common.report``: write the page of one run or several."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="python -m common.report",
        description="Write report.html of a run from the files of its folder; needs no model, no "
        f"images and no network. {notices.RESEARCH_USE}",
    )
    parser.add_argument("run", nargs="+", metavar="RUN", help="a run folder")
    for path in parser.parse_args(arguments).run:
        print(write(path))
    return 0


if __name__ == "__main__":
    errors.main(main)
