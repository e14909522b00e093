"""What the exporter decides without a framework: agreement, limits, ranges, which images."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from common import export, metrics, runs
from common.errors import InputError
from common.files import write_json
from tests import run_folder


def test_agreement_by_hand():
    reference = np.array([[0.9, 0.1], [0.45, 0.55], [0.2, 0.8]])
    outputs = np.array([[0.8, 0.2], [0.6, 0.4], [0.2, 0.8]])
    found = export.agreement(reference, outputs, ["a", "b", "c"])
    assert (found["n"], found["k"]) == (3, 2)
    assert found["top1"] == pytest.approx(2 / 3)
    # Without their mean, the logits of two classes are plus and minus half the log ratio.
    errors = [abs(np.log(9) - np.log(4)) / 2, abs(np.log(0.45 / 0.55) - np.log(1.5)) / 2, 0]
    assert found["max_logit_error"] == pytest.approx(max(errors))
    assert found["mean_logit_error"] == pytest.approx(np.mean(errors))
    assert found["max_abs_probability_error"] == pytest.approx(0.15)
    (other,) = found["disagreements"]
    assert other["image"] == "b"
    assert other["float_margin"] == pytest.approx(0.1)
    assert other["float"] == [0.45, 0.55]
    assert other["file"] == [0.6, 0.4]


def test_agreement_of_three_classes():
    reference = np.array([[0.5, 0.2, 0.3]], np.float32)
    (other,) = export.agreement(reference, np.array([[0.2, 0.3, 0.5]]))["disagreements"]
    assert other["image"] == "0"
    # The first class leads the second best, which is the third.
    assert other["float_margin"] == pytest.approx(0.2)
    # A probability that was rounded to nothing has a logit all the same.
    found = export.agreement(np.array([[1.0, 0.0, 0.0]]), np.array([[1.0, 0.0, 0.0]]))
    assert (found["max_logit_error"], found["top1"]) == (0, 1)


def test_agreement_interval_is_clopper_pearsons():
    # All of n: the lower end is (alpha / 2) ** (1 / n), the upper one 1.
    same = np.tile([0.3, 0.7], (40, 1))
    low, high = export.agreement(same, same)["interval"]
    assert low == pytest.approx(0.025 ** (1 / 40))
    assert high == 1


@pytest.mark.parametrize(
    ("precision", "k", "error", "problem"),
    [
        ("float32", 600, 5e-4, None),
        ("float32", 600, 5e-3, "a probability differs by 0.005"),
        ("float16", 600, 5e-3, None),
        ("float16", 600, 0.05, "a probability differs by 0.05"),
        ("int8", 600, 0.3, None),
        ("int8", 590, 0.3, None),
        # 570 of 600 is 0.95; its interval ends at 0.966.
        ("int8", 570, 0.3, "agrees with the Keras model on 570 of 600 images only"),
        # The same share of 20 images is no evidence.
        ("int8", 19, 0.3, None),
    ],
)
def test_limits(precision, k, error, problem):
    n = 20 if k < 20 else 600
    interval = list(metrics.clopper_pearson(k, n))
    found = {"n": n, "k": k, "interval": interval, "max_abs_probability_error": error}
    if problem is None:
        export.check_agreement(found, precision)
    else:
        with pytest.raises(InputError, match=problem):
            export.check_agreement(found, precision)


def test_limits_are_themselves_allowed():
    found = {"n": 9, "k": 9, "interval": [0, export.TOP1_LIMIT], "max_abs_probability_error": 0}
    export.check_agreement(found, "int8")
    for precision, limit in export.PROBABILITY_LIMIT.items():
        export.check_agreement({**found, "max_abs_probability_error": limit}, precision)
    with pytest.raises(InputError, match=r"limit 0.985, the interval ends at 0.9849"):
        export.check_agreement({**found, "interval": [0, 0.9849]}, "int8")


def test_outputs_that_are_no_probabilities():
    good = np.array([[0.25, 0.75], [1.0, 0.0]])
    export.check_probabilities(good)
    for bad, problem in (
        ([[np.nan, 0.5], [0.5, 0.5]], "not finite for 1 of 2 images"),
        ([[np.nan, 0.5], [np.inf, 0], [0.5, 0.5]], "not finite for 2 of 3 images"),
        ([[0.5, 0.4985], [0.5, 0.5]], "not probabilities"),
        ([[0.5, 0.6], [0.5, 0.5]], "not probabilities"),
        ([[-0.1, 1.1], [0.5, 0.5]], "not probabilities"),
    ):
        with pytest.raises(InputError, match=problem):
            export.check_probabilities(np.array(bad))


def test_best_range_keeps_what_has_no_tail():
    uniform = np.linspace(-1, 3, 5001)
    assert export.best_range(uniform) == (-1.0, 3.0)
    assert export.best_range(np.array([2.0, 5.0])) == (0.0, 5.0)  # 0 is always in it
    assert export.best_range(np.zeros(2000)) == (0.0, 0.0)


def test_best_range_cuts_a_long_tail():
    values = np.append(np.random.default_rng(0).normal(size=50_000), [-30.0, 30.0])
    low, high = export.best_range(values)
    assert low == -high
    assert 30 * 0.3 <= high < 30

    def error(limit):
        step = 2 * limit / 255
        zero = np.round(limit / step)
        back = (np.clip(np.round(values / step) + zero, 0, 255) - zero) * step
        return np.mean((back - values) ** 2)

    assert error(high) < error(30)


def test_symmetries_are_the_eight_of_a_square():
    image = np.arange(2 * 3 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3, 3)
    found = dict(export.symmetries(image))
    assert list(found)[:2] == ["", "turned 90"]
    assert len({each.tobytes() for each in found.values()}) == len(found) == 8
    assert np.array_equal(found[""], image)
    assert np.array_equal(found["flipped"], image[:, :, ::-1])
    assert np.array_equal(found["turned 90"][:, 0, 0], image[:, 0, 2])  # counter-clockwise
    assert np.array_equal(found["turned 180"], image[:, ::-1, ::-1])


def test_images_are_taken_evenly_and_always_the_same():
    names = pd.Series([f"{i:02d}" for i in range(10)])
    assert export.evenly(names[::-1], 4) == ["00", "03", "06", "09"]
    assert export.evenly(names, 20) == list(names)
    assert export.evenly(names[::-1], 10) == list(names)


def test_table_says_which_converter_and_what_differs():
    agreement = export.agreement(np.array([[0.45, 0.55]]), np.array([[0.6, 0.4]]), ["x.png"])
    tried = [
        {"converter": "tensorflow", "problem": None},
        {"converter": "ai-edge-quantizer", "problem": "it is not installed"},
    ]
    file = {
        "file": "model-int8.tflite", "bytes": 1234567, "agreement": agreement,
        "converter": {"name": "tensorflow", "tried": tried},
    }  # fmt: skip
    text = export.table({"files": [file]})
    assert "1,234,567" in text
    assert " 0/1 " in text
    assert "model-int8.tflite differs on x.png: float margin 0.100" in text
    assert "not by ai-edge-quantizer: it is not installed" in text


def test_data_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("HISTOPAPERS_DATA", raising=False)
    real = runs.load(run_folder.make(tmp_path / "runs", pictures=False))
    with pytest.raises(InputError, match="--data-dir"):
        export.data_folder(real, None)
    assert export.data_folder(real, tmp_path) == tmp_path
    monkeypatch.setenv("HISTOPAPERS_DATA", str(tmp_path / "data"))
    with pytest.raises(InputError, match=r"data \(\$HISTOPAPERS_DATA\): no such folder"):
        export.data_folder(real, None)
    (tmp_path / "data").mkdir()
    assert export.data_folder(real, None) == tmp_path / "data"
    demo = runs.load(run_folder.make(tmp_path / "runs", synthetic=True, pictures=False))
    own = tmp_path / "runs" / "demo-data" / "breakhis"
    own.mkdir(parents=True)
    assert export.data_folder(demo, None) == own


def test_unfinished_run_and_bad_numbers(tmp_path):
    folder = run_folder.make(tmp_path, pictures=False)
    with pytest.raises(InputError, match="--heldout 0: give at least 1"):
        export.main(arguments=["--run", str(folder), "--heldout", "0"])
    with pytest.raises(InputError, match="a run of breakhis, not of wrn_edge"):
        export.main("wrn_edge", ["--run", str(folder)])
    record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", record | {"finished": None})
    with pytest.raises(InputError, match="has not finished"):
        export.main(arguments=["--run", str(folder)])
    assert not (folder / "export").exists()


def test_help_loads_no_framework():
    code = (
        "import sys; from common import export\n"
        "assert not {'tensorflow', 'keras', 'cv2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
