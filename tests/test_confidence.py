"""How sure a network may be taken to be: temperature, prediction sets, patients, what is kept."""

from __future__ import annotations

import copy
import json

import numpy as np
import pandas as pd
import pytest

from common import confidence, metrics
from common.errors import InputError
from common.metrics.jackknife import jackknife_interval


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def drawn(seed, n=300, n_classes=3, sharpness=2.5):
    """Labels drawn from a softmax, and a network that is surer than it should be."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, n_classes))
    labels = (softmax(logits).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return labels, softmax(sharpness * logits)


# --- temperature -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sharpness", [0.4, 1.0, 2.5])
def test_temperature_is_scipys_minimum_of_the_loss(seed, sharpness):
    from scipy.optimize import minimize_scalar

    labels, table = drawn(seed, n_classes=2 + seed, sharpness=sharpness)
    found, reason = confidence.fit_temperature(labels, table)

    def loss(temperature):
        return metrics.log_loss(labels, softmax(np.log(table) / temperature))

    best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9})
    assert reason == ""
    assert found == pytest.approx(best.x, rel=1e-5)
    assert loss(found) <= best.fun + 1e-12


def test_temperature_by_hand():
    """Three of four right at odds of 9: odds of 3 are right, so log 9 / T = log 3."""
    table = np.array([[0.9, 0.1]] * 4)
    labels = np.array([0, 0, 0, 1])
    found, _ = confidence.fit_temperature(labels, table)
    assert found == pytest.approx(2)
    np.testing.assert_allclose(confidence.apply_temperature(table, found), [[0.75, 0.25]] * 4)


def test_what_decides_no_temperature():
    fit = confidence.fit_temperature
    right = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert fit([0, 1], right) == (None, "no validation image is wrong")
    assert fit([0, 0], right) == (None, "all validation images are of one class")
    same = np.full((4, 2), 0.5)  # whatever the temperature, the loss is the same
    assert fit([0, 1, 0, 1], same) == (None, "the best one lies above 20")
    assert "above 20" in fit([1, 0], right)[1]
    nearly = np.array([[0.501, 0.499], [0.501, 0.499]] * 50 + [[0.499, 0.501]])
    assert fit([0] * 100 + [1], nearly) == (None, "no validation image is wrong")
    # One wrong among many that are hardly sure: it ought to be 25 times as sharp, and more.
    assert "below 0.05" in fit([0] * 99 + [1, 1], nearly)[1]


def test_certain_probabilities_have_a_temperature():
    table = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.6, 0.4]])
    found, _ = confidence.fit_temperature([0, 1, 1, 0], table)
    assert 1 < found <= 20
    made = confidence.apply_temperature(table, found)
    assert np.isfinite(made).all()
    np.testing.assert_allclose(made.sum(axis=1), 1)


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 3.0, 20.0, None])
def test_a_temperature_changes_no_answer(temperature):
    _, table = drawn(1, n_classes=5)
    made = confidence.apply_temperature(table, temperature)
    assert (made.argmax(axis=1) == table.argmax(axis=1)).all()
    np.testing.assert_allclose(made.sum(axis=1), 1)
    if temperature in (1.0, None):
        np.testing.assert_allclose(made, table)


@pytest.mark.parametrize("temperature", [0, -1, np.inf, np.nan, "1"])
def test_what_is_no_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature"):
        confidence.apply_temperature([[0.5, 0.5]], temperature)


def test_nan_and_no_image_are_refused():
    with pytest.raises(ValueError, match="probabilities"):
        confidence.fit_temperature([0], [[np.nan, 1]])
    with pytest.raises(ValueError, match="no image"):
        confidence.fit_temperature([], np.zeros((0, 2)))


# --- sets --------------------------------------------------------------------------------------


def test_how_many_patients_a_promise_takes():
    needed = [confidence.needed_patients(level) for level in (0.5, 0.8, 0.9, 0.95, 0.99)]
    assert needed == [1, 4, 9, 19, 99]
    for level, n in zip((0.5, 0.8, 0.9, 0.95, 0.99), needed, strict=True):
        scores = np.linspace(1 / n, 1, n)
        assert confidence.quantile(scores, level=level) == 1  # the largest of them
        assert n == 1 or confidence.quantile(scores[1:], level=level) is None


def test_quantile_weighs_patients_and_not_images():
    """a has one image, b has four: with c to i each weighs a tenth, whatever its images."""
    scores = [0.9, *[0.1] * 4, *np.arange(2, 9) / 10]
    patients = ["a", *"bbbb", *"cdefghi"]
    assert confidence.quantile(scores, patients) == 0.9
    # 0.1 of b, then c to i: eight tenths are reached at the last of these.
    assert confidence.quantile(scores, patients, 0.8) == 0.8
    assert confidence.quantile(scores, patients, 0.45) == 0.5
    # By images, b would have four of thirteen.
    assert confidence.quantile(scores, level=0.45) == pytest.approx(0.3)
    assert confidence.quantile(scores[:8], patients[:8]) is None


def test_half_of_a_patient_counts_half():
    scores, patients = [0.1, 0.7, 0.3, 0.4], ["a", "a", "b", "c"]
    # Weights 1/8, 1/8, 1/4, 1/4: 0.1 to 1/8, 0.3 to 3/8, 0.4 to 5/8, 0.7 to 3/4.
    at = {level: confidence.quantile(scores, patients, level) for level in (0.1, 0.3, 0.6, 0.7)}
    assert at == {0.1: 0.1, 0.3: 0.3, 0.6: 0.4, 0.7: 0.7}
    assert confidence.quantile(scores, patients, 0.76) is None


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_sets_are_mapies_where_each_image_is_a_patient(level, n_classes):
    mapie = pytest.importorskip("mapie.classification", reason="mapie is not installed")
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):
        """Gives the probabilities that it is asked for."""

        def __init__(self):
            self.classes_, self.fitted_ = np.arange(n_classes), True

        def fit(self, X, y):
            return self

        def predict_proba(self, X):
            return X

        def predict(self, X):
            return X.argmax(axis=1)

    labels, table = drawn(5, n=60, n_classes=n_classes)
    _, new = drawn(6, n=200, n_classes=n_classes)
    theirs = mapie.SplitConformalClassifier(Given(), confidence_level=level, prefit=True)
    theirs.conformalize(table, labels)
    wanted = theirs.predict_set(new)[1][:, :, 0]
    limit = confidence.quantile(confidence.lac_scores(labels, table), level=level)
    assert (confidence.prediction_sets(new, limit) == wanted).all()


def test_coverage_of_new_patients_whose_images_are_alike():
    """10 patients of 1 to 40 images: by patient 90 % are held, by image far fewer are."""
    rng = np.random.default_rng(0)

    def patients(count):
        sizes = rng.choice([1, 1, 1, 40], count)
        hard = rng.normal(0, 2, count) + np.where(sizes == 1, 2.0, 0.0)  # small ones are harder
        case = np.repeat(np.arange(count), sizes)
        return 1 / (1 + np.exp(-(hard[case] + rng.normal(0, 0.3, len(case))))), case

    held = {"patient": [], "image": []}
    for _ in range(400):
        scores, case = patients(10)
        new, whose = patients(20)
        for unit, groups in (("patient", case), ("image", None)):
            inside = new <= confidence.quantile(scores, groups)
            held[unit].append((np.bincount(whose, inside) / np.bincount(whose)).mean())
    # The promise is 0.9; 0.011 is three standard errors of the simulation.
    assert np.mean(held["patient"]) > 0.9 - 0.011
    assert np.mean(held["image"]) < 0.85


def test_scores_that_are_none_are_refused():
    with pytest.raises(ValueError, match="scores"):
        confidence.quantile([])
    with pytest.raises(ValueError, match="scores"):
        confidence.quantile([0.1, np.nan])
    with pytest.raises(ValueError, match="patients"):
        confidence.quantile([0.1, 0.2], ["a"])


def test_sets_by_hand():
    table = np.array([[0.7, 0.3], [0.5, 0.5], [1.0, 0.0]])
    assert confidence.prediction_sets(table, 0.5).tolist() == [
        [True, False], [True, True], [True, False],
    ]  # fmt: skip
    assert confidence.prediction_sets(table, 0.2).tolist()[0] == [False, False]
    assert confidence.lac_scores([1, 0, 0], table) == pytest.approx([0.7, 0.5, 0])


# --- patients ----------------------------------------------------------------------------------


def test_patients_by_hand():
    first = np.array([0.9, 0.4, 0.4, 0.3, 0.8, 0.2, 0.6])
    table = np.stack([first, 1 - first], axis=1)
    found = confidence.by_patient([0, 0, 0, 1, 1, 0, 1], table, list("aaabbcc"))
    assert found.names.tolist() == ["a", "b", "c"]
    assert found.images.tolist() == [3, 2, 2]
    assert found.labels.tolist() == [0, 1, -1]  # c has images of both classes
    assert found.mean[:, 0] == pytest.approx([1.7 / 3, 0.55, 0.4])
    assert found.votes.tolist() == [[1, 2], [1, 1], [1, 1]]
    assert found.by_mean.tolist() == [0, 0, 1]
    assert found.by_vote.tolist() == [1, 0, 1]  # a draw goes to the larger mean


@pytest.mark.parametrize(
    ("positive", "scores", "chosen"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], 0.5),  # one half is as good as any
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], 0.25),
        ([0, 0, 1, 1], [0.6, 0.7, 0.8, 0.9], 0.75),
        ([0, 1], [0.3, 0.3], 0.5),
        ([1, 1], [0.3, 0.4], None),
        ([0], [0.3], None),
        ([], [], None),
    ],
)
def test_threshold_by_hand(positive, scores, chosen):
    found = confidence.threshold(np.array(positive, bool), scores)
    assert found == (None if chosen is None else pytest.approx(chosen))


def test_the_threshold_of_many_is_the_best_of_all_that_can_be_tried():
    """Sorted and counted, it is what trying one after the other finds, also among ties."""
    rng = np.random.default_rng(0)
    for n in rng.integers(4, 40, 50):
        positive, scores = np.arange(n) % 2 == 0, rng.integers(0, 9, n) / 8
        values = np.unique(scores)
        tried = [0.5, *(values[1:] + values[:-1]) / 2]
        worth = [np.mean(scores[positive] >= t) + np.mean(scores[~positive] < t) for t in tried]
        best = [t for t, each in zip(tried, worth, strict=True) if each > max(worth) - 1e-12]
        assert abs(confidence.threshold(positive, scores) - 0.5) == min(abs(np.array(best) - 0.5))
        assert confidence.threshold(positive, scores) in best
    many = rng.random(50_000)  # each beside each would be 2.5 GB
    assert confidence.threshold(many > 0.7, many) == pytest.approx(0.7, abs=1e-3)


# --- the section of metrics.json ---------------------------------------------------------------


def frame(patients=12, images=5, parts=("validation", "test"), seed=0):
    """Predictions of two classes, the same number of patients and images in each part."""
    rng = np.random.default_rng(seed)
    rows = []
    for part in parts:
        for patient in range(patients):
            positive = patient % 2
            for image in range(images):
                p = float(np.clip(0.5 + (positive - 0.5) * 0.5 + rng.normal(0, 0.3), 0.01, 0.99))
                rows.append((f"{part}{patient}-{image}.png", f"{part}{patient}", "", "", part,
                             ("benign", "malignant")[positive], 1 - p, p))  # fmt: skip
    columns = ["image", "case", "slide", "magnification", "part", "label", "p_benign",
               "p_malignant"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def split_of(table, trained=("train0", "train1")):
    more = pd.DataFrame({"image": ["x", "y"], "case": trained, "part": "train"})
    return pd.concat([table[["image", "case", "part"]], more], ignore_index=True)


def section(table, **options):
    options = {"positive": "malignant", "split": split_of(table)} | options
    return confidence.of_predictions(table, ["benign", "malignant"], **options)


def test_a_section_whole():
    table = frame()
    found = json.loads(json.dumps(section(table)))
    assert confidence.checked({"confidence": found}) is found
    assert found["validation"] == {"n": 60, "n_patients": 12, "trained_patients": 0}
    assert found["reasons"] == {}
    validation, test = (table[table.part == part] for part in ("validation", "test"))
    labels = (validation.label == "malignant").to_numpy().astype(int)
    values = validation[["p_benign", "p_malignant"]].to_numpy()
    assert found["temperature"] == confidence.fit_temperature(labels, values)[0]
    limit = confidence.quantile(confidence.lac_scores(labels, values), validation.case.to_numpy())
    assert found["sets"]["limit"] == limit
    truth = (test.label == "malignant").to_numpy().astype(int)
    p = test[["p_benign", "p_malignant"]].to_numpy()
    assert found["sets"]["coverage_of_images"] == np.mean(1 - p[np.arange(60), truth] <= limit)
    held = pd.Series(1 - p[np.arange(60), truth] <= limit).groupby(test.case.to_numpy()).mean()
    without = (held.sum() - held.to_numpy()) / 11  # of the other patients
    ends = jackknife_interval(held.mean(), without, 0, 1)
    assert found["sets"]["coverage"] == pytest.approx(held.mean())
    assert found["sets"]["coverage_ci"] == pytest.approx(np.array(ends))
    assert found["before"]["log_loss"] == metrics.log_loss(truth, p)
    made = confidence.apply_temperature(p, found["temperature"])
    assert found["after"]["ece"] == metrics.ece(truth, made)
    answered = made.max(axis=1) >= found["abstain"]["below"]
    assert found["abstain"]["answered"] == answered.sum()
    assert found["abstain"]["wrong"] == (answered & (p.argmax(axis=1) != truth)).sum()
    assert found["patients"]["n"] == 12
    assert found["risk_coverage"]["coverage"][-1] == 1
    assert found["risk_coverage"]["error"][-1] == pytest.approx(np.mean(p.argmax(1) != truth))


def test_no_set_without_enough_patients_or_with_such_as_were_trained_on():
    found = section(frame(patients=8))
    assert found["sets"] is None
    assert found["reasons"]["sets"] == (
        "validation images are of 8 patients, and 90 % can be promised with 9 or more"
    )
    assert section(frame(patients=9))["sets"]["n_patients"] == 9
    table = frame()
    found = section(table, split=split_of(table, ("validation3", "train1")))
    assert found["validation"]["trained_patients"] == 1
    assert found["reasons"]["sets"] == "1 of 12 validation patients were trained on"
    for split in (None, split_of(table, ("", "train1")), split_of(table).drop(columns="case")):
        assert section(table, split=split)["reasons"]["sets"] == "patients are not known"


def test_no_validation_images_leave_nothing_chosen():
    found = section(frame(parts=["test"]))
    assert found["temperature"] is found["after"] is found["sets"] is found["abstain"] is None
    reasons = {name: "no validation images" for name in ("temperature", "abstain", "sets")}
    assert found["reasons"] == reasons | {"patients.threshold": "no validation images"}
    assert confidence.kept({"confidence": found}) == confidence.Kept()
    assert found["patients"]["n"] == 12


@pytest.mark.parametrize("patients", [1, 2])
def test_one_patient_and_one_class(patients):
    table = frame(patients=patients)
    table["label"] = "benign"
    found = json.loads(json.dumps(section(table)))
    assert confidence.checked({"confidence": found}) is found
    assert "one class" in found["reasons"]["temperature"]
    if patients == 1:
        assert found["abstain"] is None or found["abstain"]["error_ci"] is None


def test_equal_probabilities_have_a_section():
    table = frame()
    table[["p_benign", "p_malignant"]] = 0.5
    found = json.loads(json.dumps(section(table)))
    assert found["temperature"] is found["abstain"] is None
    kept = confidence.kept({"confidence": found})
    assert kept.left_open(np.array([[0.5, 0.5], [1.0, 0.0]])).tolist() == [True, True]


def test_kept_answers_as_the_section_says():
    found = section(frame())
    kept = confidence.kept({"confidence": found})
    table = np.array([[0.99, 0.01], [0.5, 0.5]])
    made = kept.calibrated(table)
    np.testing.assert_allclose(made, confidence.apply_temperature(table, found["temperature"]))
    assert kept.left_open(table).tolist() == [False, True]
    assert kept.sets(table).tolist() == [[True, False], [True, True]]
    nothing = confidence.kept({"n": 3})  # of an earlier version
    assert nothing.calibrated(table) is table
    assert nothing.left_open(table) is nothing.sets(table) is None


def test_what_is_kept_is_told_in_a_line():
    table = frame()
    told = str(confidence.kept({"confidence": section(table)}))
    assert "probabilities with temperature" in told and "abstains below" in told
    assert "sets are to hold the class of 90 % of the images" in told and "warning" not in told
    seen = section(table, split=split_of(table, ("validation3", "train1")))
    told = str(confidence.kept({"confidence": seen}))
    assert "patients that it was trained on" in told and "sets" not in told
    table[["p_benign", "p_malignant"]] = 0.5
    told = str(confidence.kept({"confidence": section(table)}))
    assert "without a temperature; abstains from all: no confidence left 5 % errors" in told
    assert str(confidence.Kept()) == (
        "probabilities as the network gives them, without a temperature"
    )


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("temperature", 0), ("temperature", "1"), ("temperature", float("nan")), ("sets", 3),
        ("temperature", True), ("validation", None), ("validation.n", -1), ("before", {}),
        ("abstain.below", 2), ("abstain.error_ci", [1, 0]), ("sets.limit", None), ("reasons", []),
        ("sets.coverage_ci", [0.5]), ("sets.method", 1), ("risk_coverage.error", [0.1]),
        ("risk_coverage.coverage", None), ("patients.mean", None), ("reasons.sets", None),
        ("validation.n", 1.5), ("patients.threshold", {"value": 0.5}),
    ],
)  # fmt: skip
def test_a_damaged_section_is_named(place, value):
    found = copy.deepcopy(section(frame()))
    *way, last = place.split(".")
    inner = found
    for name in way:
        inner = inner[name]
    inner[last] = value
    with pytest.raises(InputError, match=r"metrics.json: damaged \(confidence"):
        confidence.kept({"confidence": found})
    with pytest.raises(InputError, match="damaged"):
        confidence.checked({"confidence": None})
