"""Rules of the leakage report, each by a small case, and its sentences word for word."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from common import images, notices
from common.errors import InputError
from common.images.fingerprints import Fingerprints
from common.splits import leakage, two_patients
from common.splits.pairs import Pairs

UNKNOWN = "slides and patients of {} images are unknown: patient leakage cannot be excluded"


def is_said(message):
    return pytest.raises(InputError, match=message)


def split(parts, **columns):
    """Images 0.png, 1.png, ..., whose parts are named by their first letters; "-": not used."""
    names = {"t": "train", "v": "validation", "e": "test", "-": ""}
    table = {"image": [f"{i}.png" for i in range(len(parts))], "part": [names[p] for p in parts]}
    return pd.DataFrame({**table, **{name: list(values) for name, values in columns.items()}})


def pixels(digests, hashes=None):
    """Images that are known by their fingerprints alone."""
    n = len(digests)
    if hashes is None:  # far from one another
        hashes = np.random.default_rng(0).integers(0, 2**63, (n, 8, 4), np.uint64)
    digests = np.repeat(np.array(digests, np.uint8)[:, None], 32, axis=1)
    store = np.zeros((n, 1, 1, 3), np.uint8)
    names = [f"{i}.png" for i in range(n)]
    prints = Fingerprints(digests, hashes)
    return images.Pixels(names, store, np.arange(n), fingerprints=lambda: prints)


# --- report --------------------------------------------------------------------------------------


def test_what_is_no_split():
    with is_said(r"split must be a table \(DataFrame\), not list"):
        leakage.report([])
    with is_said("split: the column 'part' is missing"):
        leakage.report(split("te").drop(columns="part"))
    wrong = split("te" * 4).assign(part=list("hgfedcba"))
    with is_said("split: unknown part a, b, c, d, e, f, g, h; parts are train, validation, test$"):
        leakage.report(wrong)


def test_rows_may_have_any_numbers():
    table = split("tev-", case="abca")
    twice = table.set_axis([1, 1, 0, 0])
    assert leakage.report(twice) == leakage.report(table)


def test_whether_images_are_synthetic():
    assert leakage.report(split("tee"))["synthetic"] is None
    assert leakage.report(split("tee", synthetic=[False] * 3))["synthetic"] is False
    assert leakage.report(split("tee", synthetic=[False, True, False]))["synthetic"] is True
    assert leakage.report(split("te-", synthetic=[False, False, True]))["synthetic"] is False


def test_notes_of_a_report():
    compared = "no data folder was given: images were not compared"
    known = split("tee", case="aab")
    assert leakage.report(known)["notes"] == [compared]
    assert leakage.report(known, pixels=pixels([1, 2, 3]))["notes"] == []
    some = split("tee", case=["a", "", ""])
    assert leakage.report(some)["notes"] == [UNKNOWN.format("2 of 3"), compared]
    without = images.Pixels(known["image"], np.zeros((3, 1, 1, 3), np.uint8), np.arange(3))
    assert leakage.report(known, pixels=without)["notes"] == [compared]


def test_images_without_labels_have_none_in_conflict():
    found = leakage.report(split("tee"), pixels=pixels([1, 1, 2]))["exact"]
    assert (found["pairs"], found["label_conflicts"]) == (1, 0)
    assert found["worst"][0]["same_label"] is True
    found = leakage.report(split("tee", label="xyx"), pixels=pixels([1, 1, 2]))["exact"]
    assert (found["pairs"], found["label_conflicts"]) == (1, 1)
    assert found["worst"][0]["same_label"] is False


def test_groups_of_each_two_parts():
    letters = "hgfedcba"
    table = split("t" * 8 + "e" * 12 + "v", case=letters + letters + "zzzz" + "z")
    case = leakage.report(table)["groups"]["case"]
    assert (case["groups"], case["shared"], case["unknown"]) == (9, 9, 0)
    assert case["pairs"] == {
        "train-test": {"groups": 8, "names": sorted(letters), "images": 8, "share": 8 / 12},
        "train-validation": {"groups": 0, "names": [], "images": 0, "share": 0.0},
        "validation-test": {"groups": 1, "names": ["z"], "images": 4, "share": 4 / 12},
    }
    none = leakage.report(split("tt", case="ab"))["groups"]["case"]["pairs"]["train-test"]
    assert none == {"groups": 0, "names": [], "images": 0, "share": None}


# --- its lines -----------------------------------------------------------------------------------


def lines(table, *arguments, **settings):
    return leakage.text(leakage.report(table, *arguments, **settings)).splitlines()


def test_lines_of_groups():
    table = split(
        "tttveeee", case="aabaabcc", slide=["1", "", "", "1", "1", "", "2", "2"],
        synthetic=[True] * 8,
    )  # fmt: skip
    assert lines(table) == [
        notices.SYNTHETIC,
        "8 images: train 3, validation 1, test 4",
        "cases   2 of 3 in more than one part",
        "        2 of 4 test images (50.0%) belong to a case that is also trained on",
        "        1 of 1 validation images (100.0%) belong to a case that is also trained on",
        "        1 of 4 test images (25.0%) belong to a case that is also validated on",
        "slides  1 of 2 in more than one part",
        "        1 of 4 test images (25.0%) belong to a slide that is also trained on",
        "folders unknown",
        "exact duplicates: not looked for",
        "near duplicates: not looked for",
        "note: no data folder was given: images were not compared",
    ]
    unknown = split("te", folder="ab", synthetic=[False] * 2)
    assert lines(unknown)[:4] == [
        "2 images: train 1, test 1",
        "cases   unknown",
        "slides  unknown",
        "folders 0 of 2 in more than one part",
    ]


def asked(one, other, patients):
    return (
        f"two patients: {one} and {other} are the same image, or nearly so: are {patients} one "
        "patient?"
    )


def test_lines_of_equal_images():
    known = dict.fromkeys(("case", "slide", "folder"), "abcdef")
    head = [f"{group:<8}0 of 6 in more than one part" for group in ("cases", "slides", "folders")]
    near = "near duplicates (at most 64 of 256 bits differ): 0 pairs, 0 across parts"
    table = split("ttteee", label="xxxxxy", **known)
    assert lines(table, pixels=pixels([1, 2, 2, 3, 3, 2])) == [
        "6 images: train 3, test 3",
        *head,
        "exact duplicates: 4 pairs, 2 across parts",
        "        5 images in 2 sets of equal ones; the largest has 3 (1.png ...)",
        "        1 of 3 test images (33.3%) have an exact copy among the training images",
        "        2 pairs with different labels",
        "        1.png (train) and 5.png (test): 0 bits",
        "        2.png (train) and 5.png (test): 0 bits",
        near,
        "        1 of 3 test images (33.3%) have an exact or near copy among the training images",
        asked("1.png (train, patient b)", "5.png (test, patient f)", "b and f"),
        asked("1.png (train, patient b)", "2.png (train, patient c)", "b and c"),
        asked("3.png (test, patient d)", "4.png (test, patient e)", "d and e"),
    ]
    # Sets of two are told by their pairs.
    apart = split("tttvee", label="xxxxxx", **known)
    assert lines(apart, pixels=pixels([1, 2, 2, 3, 4, 4]), near=False)[4:] == [
        "exact duplicates: 2 pairs, 0 across parts",
        "near duplicates: not looked for",
        asked("1.png (train, patient b)", "2.png (train, patient c)", "b and c"),
        asked("4.png (test, patient e)", "5.png (test, patient f)", "e and f"),
    ]
    untested = split("ttttvv", **known)
    assert lines(untested, pixels=pixels([1, 2, 3, 4, 1, 6]), near=False)[4:6] == [
        "exact duplicates: 1 pair, 1 across parts",
        "        0.png (train) and 4.png (validation): 0 bits",
    ]


def test_lines_of_near_images():
    hashes = np.random.default_rng(0).integers(0, 2**63, (14, 8, 4), np.uint64)
    for i in range(7):  # each test image is near one that is trained on; two of them if turned
        hashes[7 + i, 3 if i < 2 else 0] = hashes[i, 0] ^ np.uint64([2**i - 1, 0, 0, 0])
    table = split("t" * 7 + "e" * 7, label="x" * 14).assign(
        image=[f"folder/{i:02d}.png" for i in range(14)]
    )
    prints = Fingerprints(np.repeat(np.arange(14, dtype=np.uint8)[:, None], 32, axis=1), hashes)
    store = np.zeros((14, 1, 1, 3), np.uint8)
    known = images.Pixels(table["image"], store, np.arange(14), fingerprints=lambda: prints)
    found = lines(table, pixels=known)
    assert found[found.index("exact duplicates: 0 pairs, 0 across parts") + 1 :] == [
        "near duplicates (at most 64 of 256 bits differ): 7 pairs, 7 across parts",
        "        7 of 7 test images (100.0%) have an exact or near copy among the training images",
        "        00.png (train) and 07.png (test): 0 bits, turned or flipped",
        "        01.png (train) and 08.png (test): 1 bits, turned or flipped",
        "        02.png (train) and 09.png (test): 2 bits",
        "        03.png (train) and 10.png (test): 3 bits",
        "        04.png (train) and 11.png (test): 4 bits",
        "note: " + UNKNOWN.format("14 of 14"),
    ]


def test_a_report_of_near_images_alone_has_its_lines():
    near = leakage.report(split("te"), pixels=pixels([1, 2]))
    assert leakage.text(near | {"exact": None}).splitlines()[-3:-1] == [
        "exact duplicates: not looked for",
        "near duplicates (at most 64 of 256 bits differ): 0 pairs, 0 across parts",
    ]


# --- its sentences -------------------------------------------------------------------------------


def test_sentences_of_what_is_shared():
    assert leakage.shared(leakage.report(split("tvee"))) == []
    cases = "2 of 4 test images (50.0%) are of 1 patients that are also trained on"
    slides = "1 of 4 test images (25.0%) are of 1 slides that are also trained on"
    table = split("ttveeee", case="abcaacd", slide="1234156")
    assert leakage.shared(leakage.report(table)) == [cases]  # of a patient its slides, too
    assert leakage.shared(leakage.report(table.drop(columns="case"))) == [slides]
    copied = pixels([1, 2, 3, 1, 4, 5, 6])
    exact = "1 of 4 test images (25.0%) have an exact copy among the training images"
    near = exact.replace("exact copy", "exact or near copy")
    assert leakage.shared(leakage.report(table, pixels=copied, near=False)) == [cases, exact]
    assert leakage.shared(leakage.report(table, pixels=copied)) == [cases, near]
    alone = table[["image", "part"]]
    assert leakage.shared(leakage.report(alone, pixels=copied, near=False)) == [exact]
    assert leakage.shared(leakage.report(alone, pixels=pixels([1, 2, 3, 4, 5, 6, 7]))) == []


def test_images_that_are_missing_are_counted(tmp_path):
    for name in ("0.png", "2.png"):
        (tmp_path / name).write_bytes(b"")
    said = f"{tmp_path}: 1 of 3 images of the split are not there: 1.png; give the --data-dir"
    with pytest.raises(InputError) as caught:
        leakage.report(split("tee"), tmp_path)
    assert str(caught.value) == f"{said} that the split was made on"


# --- two patients --------------------------------------------------------------------------------


def test_an_image_of_two_patients_is_asked_about_and_one_of_the_same_is_not():
    same = split("tte", case="aba")
    assert leakage.report(same)["two_patients"] is None  # images were not compared
    found = leakage.report(same, pixels=pixels([1, 2, 1]))
    assert found["two_patients"] == {"pairs": 0, "patients": 0, "first": []}
    found = leakage.report(split("tte", case=["a", "", ""]), pixels=pixels([1, 1, 1]))
    assert found["two_patients"]["pairs"] == 0  # whose they are is not known
    found = leakage.report(split("tteet", case="abbac"), pixels=pixels([1, 2, 1, 2, 1]))
    # the pair that leaks stands for a and b, also where another one was found before
    assert found["two_patients"]["pairs"] == 4 and found["two_patients"]["patients"] == 2
    where = {f"{i}.png": f"own.csv, line {i + 2}" for i in range(5)}
    assert two_patients.sentences(found["two_patients"], where) == [
        "own.csv, line 2: 0.png (train, patient a) and own.csv, line 4: 2.png (test, patient b) "
        "are the same image, or nearly so: are a and b one patient?",
        "own.csv, line 2: 0.png (train, patient a) and own.csv, line 6: 4.png (train, patient c) "
        "are the same image, or nearly so: are a and c one patient?",
    ]


def test_near_pairs_of_two_patients_are_counted_once_and_the_leaking_one_is_kept():
    table = split("ttvee", case="abcab")
    found = two_patients.TwoPatients(table)
    for a, b in (([0, 0], [1, 3]), ([0], [4]), ([1], [2])):
        n = len(a)
        found.add(Pairs(np.array(a), np.array(b), np.zeros(n, int), np.zeros(n, bool)))
    assert found.found() == {
        "pairs": 3, "patients": 2, "first": [
            {"a": "0.png", "a_part": "train", "a_case": "a",
             "b": "4.png", "b_part": "test", "b_case": "b"},
            {"a": "1.png", "a_part": "train", "a_case": "b",
             "b": "2.png", "b_part": "validation", "b_case": "c"},
        ],
    }  # fmt: skip
    told = {"patients": 5, "first": found.found()["first"] * 2}
    assert two_patients.sentences(told)[-1] == "2 more pairs of patients have such an image"
    assert len(two_patients.sentences(told)) == 4 and two_patients.sentences(None) == []
