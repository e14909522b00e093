"""How sure the network is: temperature, abstaining, prediction sets, one answer of each patient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common import confidence, metrics, predictions
from common.report import pictures
from common.report.files import RunFiles
from common.report.words import number, percent, plural

RULES = {
    "mean": "Largest mean probability of the images",
    "vote": "Class of most images",
    "threshold": "{positive} from a mean probability of {value} on, else the other class",
}
"""How one answer of a patient is found, in the words of the page."""


def sure(files: RunFiles) -> dict[str, Any] | None:
    """Draw what remains wrong when the network abstains, and tell what validation images chose.

    Parameters
    ----------
    files : RunFiles
        Of the run.

    Returns
    -------
    dict or None
        As the template shows it; None without test predictions, or without the section
        ``confidence`` of metrics.json, which earlier versions did not write.
    """
    found = confidence.checked(files.metrics)
    if found is None or files.test is None:
        return None
    truth = predictions.labels(files.test, files.classes)
    values = confidence.apply_temperature(
        predictions.probabilities(files.test, files.classes), found["temperature"]
    )
    right = predictions.correct(files.test)
    coverage, risk = metrics.risk_coverage(right, values.max(axis=1))
    abstain = found["abstain"]
    kept = None
    if abstain and abstain["error"] is not None:
        kept = (abstain["coverage"], abstain["error"])
    alt = (
        f"Risk-coverage curve of {plural(len(right), 'test image')}: {percent(risk[-1], 1)} wrong "
        f"when all are answered. {_abstaining(found)}"
    )
    figure = files.charts.risk_coverage(coverage, risk, kept)
    return {
        "curve": pictures.draw(files, "risk_coverage", figure, alt),
        "abstains": kept is not None,
        "calibrated": _reliability(files, truth, values) if found["temperature"] else None,
        "texts": [
            text
            for text in (
                _temperature(found), _seen(found), _abstaining(found), _sets(found),
            )
            if text
        ],
        "answers": _answers(found, files.record.positive),
        "patients": _patients(files, truth, values),
        "no_patients": found["reasons"].get("patients", ""),
    }  # fmt: skip


def _reliability(files: RunFiles, truth: Any, values: Any) -> pictures.Picture:
    error = metrics.ece(truth, values)
    alt = f"Reliability diagram with temperature: expected calibration error {error:.3f}."
    figure = files.charts.reliability(metrics.reliability(truth, values), error)
    return pictures.draw(files, "reliability_temperature", figure, alt)


def _temperature(found: Mapping[str, Any]) -> str:
    if found["temperature"] is None:
        return f"No temperature was chosen: {found['reasons'].get('temperature', 'not known')}."
    before, after = found["before"], found["after"]
    changes = ", ".join(
        f"{name} {number(before[key])} without and {number(after[key])} with it"
        for key, name in (
            ("log_loss", "log loss"), ("ece", "calibration error"), ("brier", "Brier score"),
        )
    )  # fmt: skip
    return (
        f"Temperature {found['temperature']:.3g}, chosen on "
        f"{_of(found['validation'])}. On the test images: {changes}. It changes no "
        "answer; predict, export and bundle use it, all other numbers of this page are without it."
    )


def _of(part: Mapping[str, Any]) -> str:
    patients = part["n_patients"]
    of = "" if patients is None else f" of {plural(patients, 'patient')}"
    return f"{plural(part['n'], 'validation image')}{of}"


def _seen(found: Mapping[str, Any]) -> str:
    part = found["validation"]
    if not part["trained_patients"]:
        return ""
    return (
        f"{part['trained_patients']} of {plural(part['n_patients'], 'validation patient')} were "
        "trained on, so that what is chosen here says little about new patients."
    )


def _abstaining(found: Mapping[str, Any]) -> str:
    abstain = found["abstain"]
    if abstain is None:
        return f"No threshold for abstaining: {found['reasons'].get('abstain', 'not known')}."
    said = (
        f"Below a confidence of {percent(abstain['below'], 1)} it abstains: above, at most "
        f"{percent(abstain['risk'], 0)} of the validation images were wrong. Of the test images it "
        f"answers {percent(abstain['coverage'], 1)}"
    )
    if abstain["error"] is None:
        return f"{said}."
    ends = abstain["error_ci"]
    between = f", 95 % interval {percent(ends[0], 1)} to {percent(ends[1], 1)}" if ends else ""
    return (
        f"{said}; of these {abstain['wrong']:,} of {abstain['answered']:,} are wrong "
        f"({percent(abstain['error'], 1)}{between})."
    )


def _sets(found: Mapping[str, Any]) -> str:
    sets = found["sets"]
    if sets is None:
        return f"No prediction sets: {found['reasons'].get('sets', 'not known')}."
    held, ends = sets["coverage"], sets["coverage_ci"]
    measured = f"{percent(sets['coverage_of_images'], 1)} of the test images"
    if held is not None:
        measured += f", {percent(held, 1)} as a mean over patients"
    if ends:
        measured += f" (95 % interval {percent(ends[0], 1)} to {percent(ends[1], 1)})"
    return (
        f"Prediction sets are to hold the true class of {percent(sets['level'], 0)} of the images "
        f"of a new patient, from {plural(sets['n_patients'], 'validation patient')} (at least "
        f"{sets['needed_patients']} are needed). They hold it of {measured}; "
        f"{percent(sets['single'], 1)} of the sets are of one class, {percent(sets['empty'], 1)} "
        f"are empty, the mean size is {number(sets['mean_size'], 2)}."
    )


def _answers(found: Mapping[str, Any], positive: str | None) -> list[dict[str, Any]]:
    """Rows of the table of rules: name, right, accuracy, interval."""
    of = found["patients"]
    if of is None:
        return []
    return [
        {
            "rule": words.format(value=percent(of[key].get("value"), 1), positive=positive),
            "correct": of[key]["correct"],
            "n": of["n"],
            "accuracy": of[key]["accuracy"],
            "ci": of[key]["accuracy_ci"],
        }
        for key, words in RULES.items()
        if of[key] is not None
    ]


def _patients(files: RunFiles, truth: Any, values: Any) -> list[dict[str, Any]]:
    """Each test patient's answer; none where patients are not known."""
    if files.test is None or (files.test["case"] == "").any():
        return []
    table = confidence.by_patient(truth, values, files.test["case"].to_numpy(str))
    rows = []
    for i, name in enumerate(table.names.tolist()):
        mean, vote = int(table.by_mean[i]), int(table.by_vote[i])
        k, n = int(table.votes[i, vote]), int(table.images[i])
        label = files.classes[table.labels[i]] if table.labels[i] >= 0 else "several"
        rows.append(
            {
                "case": name,
                "label": label,
                "mean": files.classes[mean],
                "p": float(table.mean[i, mean]),
                "vote": files.classes[vote],
                "votes": k,
                "n": n,
                "ci": metrics.clopper_pearson(k, n),
                "wrong": label not in (files.classes[mean], "several"),
            }
        )
    return sorted(rows, key=lambda row: (not row["wrong"], row["p"]))
