"""Probes of features: files of several programs, folds by patient, scikit-learn beside."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import run_folder

from common import evaluation, probe, runs
from common.errors import InputError
from common.probe import __main__ as command
from common.probe import features, fitting, torch_file


def made(patients=12, images=6, length=8, seed=0, effect=3.0):
    """Features of two classes, with something of each patient in all images of the patient."""
    rng = np.random.default_rng(seed)
    rows, values = [], []
    for patient in range(patients):
        own = rng.normal(0, 1, length)
        own[0] += effect * (patient % 2)
        for image in range(images):
            rows.append((f"p{patient}/{image}.png", ("benign", "malignant")[patient % 2],
                         f"p{patient}", "", "", ""))  # fmt: skip
            values.append(own + rng.normal(0, 0.3, length))
    columns = ["image", "label", "case", "slide", "magnification", "part"]
    return np.array(values, np.float32), pd.DataFrame(rows, columns=columns)


CLASSES = ("benign", "malignant")


@pytest.fixture
def quick(monkeypatch):
    """Few strengths to choose from."""
    few = {"linear": (probe.linear, (0.01, 1.0)), "nearest neighbours": (probe.nearest, (1, 3))}
    monkeypatch.setattr(fitting, "PROBES", few)


# --- fitting -----------------------------------------------------------------------------------


def test_linear_is_scikit_learns():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    values, table = made(seed=1)
    labels = (table.label == "malignant").to_numpy().astype(int)
    found = probe.linear(values[:50], labels[:50], values[50:], 0.1, 2)
    theirs = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000)
    )
    wanted = theirs.fit(values[:50], labels[:50]).predict_proba(values[50:])
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_linear_is_the_minimum_of_the_penalised_loss():
    """The gradient by hand: balanced weights, L2 of the weights, none of the constants."""
    values, table = made(seed=2, effect=1.0)
    labels = (table.label == "malignant").to_numpy().astype(int)
    labels[:7] = 0  # unequal classes
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    strength, weights = 0.05, len(labels) / (2 * np.bincount(labels))[labels]
    found = probe.linear(values, labels, values, strength, 2)[:, 1]
    logits = np.log(found / (1 - found))
    design = np.column_stack([scaled, np.ones(len(scaled))])
    slopes, *_ = np.linalg.lstsq(design, logits, rcond=None)
    gradient = design.T @ (weights * (found - labels)) * strength + np.append(slopes[:-1], 0)
    np.testing.assert_allclose(gradient, 0, atol=2e-3)


def test_nearest_is_scikit_learns_with_weighted_classes():
    values, table = made(seed=3)
    labels = (table.label == "malignant").to_numpy().astype(int)
    known, asked = slice(0, 40), slice(40, None)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    order = np.argsort(-(unit[asked] @ unit[known].T), axis=1)[:, :5]
    votes = np.stack([(labels[known][order] == i).sum(axis=1) for i in (0, 1)], axis=1)
    votes = votes / np.bincount(labels[known])
    wanted = votes / votes.sum(axis=1, keepdims=True)
    found = probe.nearest(values[known], labels[known], values[asked], 5, 2)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert probe.nearest(values[:3], np.array([0, 1, 0]), values[:2], 50, 2).shape == (2, 2)


def test_a_class_without_an_example_has_no_probability():
    values, _ = made()
    for fit in (probe.linear, probe.nearest):
        found = fit(values[:6], np.array([0, 2] * 3), values[6:9], 1, 3)
        assert (found[:, 1] == 0).all()
        np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("kind", list(fitting.PROBES))
def test_no_patient_is_fitted_to_and_judged(kind, monkeypatch):
    values, table = made()
    values = np.column_stack([values, np.arange(len(values))]).astype(np.float32)
    cases = table["case"].to_numpy()
    asked = []

    def fit(known, labels, these, strength, n_classes):
        whose = set(cases[known[:, -1].astype(int)])
        assert not whose & set(cases[these[:, -1].astype(int)])
        asked.append((strength, len(whose), len(these)))
        return np.full((len(these), n_classes), 1 / n_classes)

    strengths = fitting.PROBES[kind][1]
    monkeypatch.setitem(fitting.PROBES, kind, (fit, strengths))
    found = probe.probe(values, table, CLASSES, kind, folds=4)
    assert len(found.predictions) == len(table)
    assert set(found.predictions.image) == set(table.image)
    assert found.chosen == [float(strengths[0])] * 4  # of equal ones the first
    # 3 patients are judged, 3 choose, 6 are fitted to; then 9 are.
    assert len(asked) == 4 * (len(strengths) + 1)
    assert sorted({patients for _, patients, _ in asked}) == [6, 9]


def test_what_tells_the_classes_is_found_and_what_tells_patients_is_not(quick):
    values, table = made(patients=12, images=3, effect=6.0, seed=4)
    scores = evaluation.evaluate(
        probe.probe(values, table, CLASSES, "linear").predictions, CLASSES, positive="malignant"
    )
    assert scores["accuracy"] > 0.95
    assert scores["ci_unit"] == "patient" and scores["n_patients"] == 12
    nothing, table = made(patients=12, images=6, effect=0.0, seed=5)
    by_patient = probe.probe(nothing, table, CLASSES, "nearest neighbours").predictions
    by_image = probe.probe(
        nothing, table.assign(case=""), CLASSES, "nearest neighbours"
    ).predictions
    accuracies = [evaluation.evaluate(each, CLASSES)["accuracy"] for each in (by_patient, by_image)]
    assert accuracies[0] < 0.7
    assert accuracies[1] > 0.95  # patients recognised, classes not


def test_parts_take_the_place_of_folds(quick):
    values, table = made()
    table["part"] = ["train"] * 36 + ["validation"] * 18 + ["test"] * 18
    found = probe.probe(values, table, CLASSES, "linear", folds=1)
    assert found.predictions.image.tolist() == table.image[54:].tolist()
    labels = (table.label == "malignant").to_numpy().astype(int)
    wanted = probe.linear(values[:54], labels[:54], values[54:], found.chosen[0], 2)
    ours = found.predictions[["p_benign", "p_malignant"]].to_numpy()
    np.testing.assert_allclose(ours, wanted, atol=1e-6)
    with pytest.raises(InputError, match="no image has the part validation"):
        probe.probe(values, table[table.part != "validation"], CLASSES, "linear")


def test_patients_in_several_parts_and_unknown_ones_are_told(quick, capsys):
    values, table = made()
    table["part"] = ["train", "train", "validation", "validation", "test", "test"] * 12
    probe.probe(values, table, CLASSES, "linear")
    said = capsys.readouterr().err
    assert "12 patients lie in more than one part" in said
    assert "p0 (train and validation and test)" in said and "unknown" not in said
    table.loc[:2, "case"] = ""
    probe.probe(values, table, CLASSES, "linear")
    assert "the patients of 3 of 72 images are unknown" in capsys.readouterr().err
    table["case"], table["part"] = made()[1]["case"], ["train"] * 36 + ["validation", "test"] * 18
    table.loc[36:, "part"] = ["validation"] * 18 + ["test"] * 18
    probe.probe(values, table, CLASSES, "linear")
    assert capsys.readouterr().err == ""


def test_one_unknown_patient_leaves_the_others_apart(capsys):
    _, table = made()
    unknown = [3, 17, 50]
    table.loc[unknown, "case"] = ""
    for train, validation, test in fitting.divisions(table, 4, 0):
        for case in set(table.case):
            rows = (table.case == case).to_numpy()
            assert sum(bool((part & rows).any()) for part in (train, validation, test)) == 1
    assert "patients of 3 of 72 images are unknown" in capsys.readouterr().err
    fitting.divisions(table.assign(case=""), 4, 0)
    assert "patients are unknown" in capsys.readouterr().err


def test_too_few_patients_classes_and_folds_are_told():
    values, table = made(patients=4)
    with pytest.raises(InputError, match="5 folds need at least 5 groups"):
        probe.probe(values, table, CLASSES, "linear")
    with pytest.raises(InputError, match="three or more"):
        probe.probe(values, table, CLASSES, "linear", folds=2)
    table["part"] = ["train"] * 6 + ["validation"] * 6 + ["test"] * 12
    with pytest.raises(InputError, match="images of one class"):
        probe.probe(values, table, CLASSES, "linear")


# --- files -------------------------------------------------------------------------------------


def test_our_own_file_there_and_back_in_any_order(tmp_path):
    values, table = made()
    names = table.image.tolist()
    probe.write(tmp_path / "f.npz", names, values, network="vgg16")
    np.testing.assert_array_equal(probe.read(tmp_path / "f.npz", names[::-1]), values[::-1])
    longer = [f"/elsewhere/{name}" for name in names[:3]]
    np.testing.assert_array_equal(probe.read(tmp_path / "f.npz", longer), values[:3])
    with pytest.raises(InputError, match=r"no features of 2 of 3 images: p0/x.png, y.png"):
        probe.read(tmp_path / "f.npz", ["p0/x.png", "y.png", names[0]])
    with pytest.raises(InputError, match="several rows for 1 of 1 images"):
        probe.read(tmp_path / "f.npz", ["0.png"])


def test_h5_with_names_and_without(tmp_path, capsys):
    import h5py

    values, table = made()
    with h5py.File(tmp_path / "named.h5", "w") as file:
        file["features"], file["images"] = values, table.image.tolist()
    np.testing.assert_array_equal(
        probe.read(tmp_path / "named.h5", table.image.tolist()[:2]), values[:2]
    )
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["features"], file["coords"] = values[None], np.zeros((len(values), 2))
    found = probe.read(tmp_path / "plain.h5", table.image.tolist())
    np.testing.assert_array_equal(found, values)
    assert "in the order of the images" in capsys.readouterr().err
    with pytest.raises(InputError, match="72 rows without names, and there are 2 images"):
        probe.read(tmp_path / "plain.h5", table.image.tolist()[:2])


def test_a_folder_of_tridents_has_an_h5_for_each_image(tmp_path):
    import h5py

    tiles = np.arange(12, dtype=np.float32).reshape(3, 4)
    for name, rows in (("a", tiles), ("b", tiles[:1])):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["features"], file["coords"] = rows, np.zeros((len(rows), 2), int)
    found = probe.read(tmp_path, ["x/b.svs", "a.svs"])
    assert found.tolist() == [tiles[0].tolist(), tiles.mean(axis=0).tolist()]
    with h5py.File(tmp_path / "slide.h5", "w") as file:  # of a slide encoder
        file["features"] = tiles[2]
    assert probe.read(tmp_path, ["slide.svs"]).tolist() == [tiles[2].tolist()]
    with pytest.raises(InputError, match=r"no features of 1 of 1 images: c"):
        probe.read(tmp_path, ["c.svs"])


def torch_saved(tensors, kind="FloatStorage", number="<f4", views=None, keys=None):
    """What torch.save writes of a list of vectors: its opcodes, and the numbers beside them.

    `views` are offset, sizes and strides of each tensor, `keys` those of the storages.
    """

    def text(words):
        return b"X" + struct.pack("<I", len(words)) + words.encode()

    def whole(number):
        return b"J" + struct.pack("<i", number)

    out = b"\x80\x02]q\x00("
    for i, each in enumerate(tensors):
        if i == 0:
            start = b"ctorch._utils\n_rebuild_tensor_v2\nq\x01(("
            start += text("storage") + b"q\x02ctorch\n" + kind.encode() + b"\nq\x03"
            device = text("cpu") + b"q\x05"
        else:  # what was said before is taken from the memo
            start, device = b"h\x01((h\x02h\x03", b"h\x05"
        key = str(i) if keys is None else keys[i]
        out += start + text(key) + b"q\x04" + device + whole(len(each)) + b"tq\x06Q"
        offset, sizes, strides = (0, [len(each)], [1]) if views is None else views[i]
        out += whole(offset)
        for numbers, place in ((sizes, b"q\x07"), (strides, b"q\x08")):
            out += b"(" + b"".join(map(whole, numbers)) + b"t" + place
        out += b"\x89"
        out += b"ccollections\nOrderedDict\nq\x09)Rq\x0atq\x0bRq\x0c"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", out + b"e.")
        file.writestr("archive/byteorder", "little")
        for i, each in enumerate(tensors):
            file.writestr(f"archive/data/{i}", np.asarray(each, number).tobytes())
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "number"),
    [("FloatStorage", "<f4"), ("HalfStorage", "<f2"), ("DoubleStorage", "<f8")],
)
def test_a_folder_of_evas_has_a_manifest_and_tensors(tmp_path, kind, number):
    tiles = np.arange(6).reshape(2, 3) / 4
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.pt").write_bytes(torch_saved(tiles, kind, number))
    (tmp_path / "b.pt").write_bytes(torch_saved(tiles[1:], kind, number))
    (tmp_path / "manifest.csv").write_text(
        "origin,embeddings,target,split\nx/a.png,x/a.pt,0,train\nb.png,b.pt,1,val\n"
    )
    found = probe.read(tmp_path, ["b.png", "a.png"])
    assert found.tolist() == [tiles[1].tolist(), tiles.mean(axis=0).tolist()]
    assert torch_file.read(tmp_path / "x" / "a.pt").tolist() == tiles.tolist()


@pytest.mark.parametrize(
    ("views", "keys", "why"),
    [
        ([(2, [3], [1])], None, "a tensor of 3 numbers beyond the 4 of its storage"),
        ([(-1, [3], [1])], None, "beyond the 4 of its storage"),
        ([(0, [2], [2])], None, "a tensor of 2 numbers is a view"),
        ([(0, [4], [0])], None, "is a view"),
        ([(0, [2, 2], [1, 2])], None, "a tensor of 2 x 2 numbers is a view"),
        ([(0, [2, 2, 1], [2, 1, 1])], None, "a tensor of 2 x 2 x 1 numbers; a table or a vector"),
        ([(0, [], [])], None, "a tensor of no numbers; a table or a vector"),
        ([(0, [0], [1])], None, "a tensor of 0 numbers"),
        ([(0, [2, 2], [2, 1])] * 2, None, "a list of tables"),
        (None, ["0", "0"], "several tensors have one storage"),
    ],
)
def test_what_is_no_table_of_torch_is_refused(tmp_path, views, keys, why):
    path = tmp_path / "a.pt"
    path.write_bytes(torch_saved([[1, 2, 3, 4]] * len(keys or views), views=views, keys=keys))
    with pytest.raises(InputError, match=why):
        torch_file.read(path)


@pytest.mark.parametrize(
    ("views", "rows"),
    [
        ([(0, [2, 2], [2, 1])], [[1, 2], [3, 4]]),
        ([(0, [1, 2, 2], [4, 2, 1])], [[1, 2], [3, 4]]),
        ([(1, [3], [1])], [[2, 3, 4]]),
        ([(0, [4, 1], [1, 1])], [[1], [2], [3], [4]]),
        ([(0, [1, 4], [9, 1])], [[1, 2, 3, 4]]),
        ([(2, [2], [1]), (0, [2], [1])], [[3, 4], [1, 2]]),
    ],
)
def test_tables_and_parts_of_a_storage(tmp_path, views, rows):
    path = tmp_path / "a.pt"
    path.write_bytes(torch_saved([[1, 2, 3, 4]] * len(views), views=views))
    assert torch_file.read(path).tolist() == rows


def test_files_that_torch_wrote(tmp_path):
    """By torch 2.13: a table of bfloat16 beside coordinates, and rows of a table in the older form.

    torch.save({"features": torch.arange(12, dtype=torch.bfloat16).reshape(3, 4),
                "coords": torch.zeros(3, 2, dtype=torch.long)}, "torch_zip.pt")
    torch.save(list(torch.arange(12, dtype=torch.float32).reshape(3, 4)), "torch_old.pt",
               _use_new_zipfile_serialization=False)
    """
    here = Path(__file__).parent
    rows = np.arange(12).reshape(3, 4)
    for name in ("torch_zip.pt", "torch_old.pt"):
        assert torch_file.read(here / name).tolist() == rows.tolist()
    # As TRIDENT writes them where it is asked for .pt: a table of tiles for each image.
    shutil.copy(here / "torch_zip.pt", tmp_path / "a.pt")
    assert probe.read(tmp_path, ["a.ome.tif"]).tolist() == [rows.mean(axis=0).tolist()]
    assert probe.read(tmp_path / "a.pt", ["x", "y", "z"]).tolist() == rows.tolist()
    content = (here / "torch_old.pt").read_bytes()
    for cut in (*range(0, len(content) - 1, 7), len(content) - 1):
        (tmp_path / "a.pt").write_bytes(content[:cut])
        with pytest.raises(InputError, match=r"a\.pt: no tensors"):
            torch_file.read(tmp_path / "a.pt")


def test_one_row_of_torch_is_a_row(tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(torch_saved([[1, 2, 3]], views=[(0, [1, 3], [3, 1])]))
    assert torch_file.read(path).tolist() == [[1, 2, 3]]


def test_a_file_of_torch_is_read_and_nothing_of_it_run(tmp_path):
    """Code in the pickle stays where it is; numbers of other types and lengths are refused."""
    path, ran = tmp_path / "a.pt", tmp_path / "ran"
    evil = b"\x80\x02cbuiltins\nopen\n(X" + struct.pack("<I", len(str(ran)))
    evil += str(ran).encode() + b"X\x01\x00\x00\x00wtR."
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", evil)
    with pytest.raises(InputError, match=r"a.pt: no tensors"):
        torch_file.read(path)
    assert not ran.exists()
    for content, why in (
        (torch_saved([[1, 2]], "LongStorage", "<i8"), "tensors of LongStorage"),
        (torch_saved([[1, 2]], "FloatStorage", "<f8"), "storage 0 is of 16 bytes"),
        (torch_saved([[1, 2], [1]]), "different lengths"),
        (torch_saved([]), "no tensors"),
        (torch_saved([[1, 2]])[:60], "no tensors"),
        (b"", "no tensors"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=why):
            torch_file.read(path)
    with pytest.raises(InputError, match="no tensors"):
        torch_file.read(tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("f.npz", b"PK\x03\x04", "no .npz"), ("f.npz", b"", "no .npz"), ("f.h5", b"x", "damaged"),
        ("f.npy", None, "no .npz"),
    ],
)  # fmt: skip
def test_damaged_files_are_named(tmp_path, name, content, why):
    path = tmp_path / name
    if content is None:
        np.save(path, np.zeros((2, 2)))
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=why):
        probe.read(path, ["a", "b"])


@pytest.mark.parametrize("name", ["features", "images"])
def test_a_small_file_that_claims_much_is_refused_before_room_is_made(tmp_path, name):
    import h5py

    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        shape = (1 << 33, 1024) if name == "features" else (1 << 43,)
        kind = np.float32 if name == "features" else h5py.string_dtype()
        file.create_dataset(name, shape, kind, chunks=tuple(min(n, 64) for n in shape))
        if name == "images":
            file["features"] = np.zeros((2, 3))
    with pytest.raises(InputError, match=r"f\.h5: says that it holds an array of \d+") as caught:
        probe.read(path, ["a", "b"])
    assert "\n" not in str(caught.value)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"shape": (1 << 33, 1024), "fortran_order": False, "descr": "<f4"}
    )
    path = tmp_path / "f.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"{name}.npy", header.getvalue())
        if name == "images":
            file.writestr("features.npy", header.getvalue())
    with pytest.raises(InputError, match=r"f\.npz: says that it holds an array of 8589934592 x"):
        probe.read(path, ["a", "b"])


def test_what_is_no_table_of_numbers_is_refused(tmp_path):
    path = tmp_path / "f.npz"
    for values, why in (
        (np.full((2, 3), np.nan), "not finite"), (np.zeros((2, 3, 4)), "not one row"),
        (np.array([["a"], ["b"]]), "not numbers"), (np.zeros((3, 1)), "2 names of 3 rows"),
    ):  # fmt: skip
        probe.write(path, ["a", "b"], values)
        with pytest.raises(InputError, match=why):
            probe.read(path, ["a", "b"])
    np.savez(path, numbers=np.zeros(3))
    with pytest.raises(InputError, match="no array `features`"):
        probe.read(path, ["a"])
    np.savez(path, features=np.array([object()]))
    with pytest.raises(InputError, match=r"no \.npz"):
        probe.read(path, ["a"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \.h5 or \.pt file"):
        probe.read(tmp_path / "empty", ["a"])
    with pytest.raises(InputError, match="no such file"):
        probe.read(tmp_path / "none.npz", ["a"])


# --- lists and commands ------------------------------------------------------------------------


def listed(path, table):
    out = table.rename(columns={"case": "patient"})[["image", "label", "patient", "part"]]
    out.to_csv(path, index=False)
    return path


def test_a_list_needs_no_images(tmp_path):
    _, table = made(patients=2, images=2)
    found = probe.of_source(listed(tmp_path / "a.csv", table))
    assert found.to_dict("records") == table.to_dict("records")
    twice = pd.concat([table, table[:1].assign(label="malignant")])
    with pytest.raises(InputError, match=r"a.csv, line 6: p0/0.png stands there twice"):
        probe.of_source(listed(tmp_path / "a.csv", twice))
    table.loc[1, "label"] = ""
    with pytest.raises(InputError, match=r"a.csv, line 3: p0/1.png has no label"):
        probe.of_source(listed(tmp_path / "a.csv", table))


def test_folders_of_parts_are_parts(tmp_path):
    for part in ("train", "val", "test"):
        for label in CLASSES:
            (tmp_path / part / label).mkdir(parents=True)
            (tmp_path / part / label / "1.png").write_bytes(b"x")
    found = probe.of_source(tmp_path)
    assert dict(zip(found.image, found.part, strict=True)) == {
        f"{folder}/{label}/1.png": part
        for folder, part in (("train", "train"), ("val", "validation"), ("test", "test"))
        for label in CLASSES
    }


def test_the_command_tells_both_probes_with_intervals(tmp_path, capsys, quick):
    values, table = made()
    probe.write(tmp_path / "f.npz", table.image.tolist(), values)
    flags = ["--features", str(tmp_path / "f.npz"),
             "--images", str(listed(tmp_path / "a.csv", table)), "--folds", "3"]  # fmt: skip
    assert command.main([*flags, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "72 of 72 images of 12 patients judged, by 8 features" in said
    assert "intervals over patients" in said
    written = json.loads((tmp_path / "out" / "probe.json").read_text())["probes"]
    frame = evaluation.read_predictions(tmp_path / "out" / "predictions-linear.csv")
    scores = evaluation.evaluate(frame, CLASSES, positive="malignant")
    assert written["linear"]["metrics"]["auc"] == scores["auc"]
    assert f"{scores['auc']:.4f} (" in said
    listed(tmp_path / "a.csv", table.assign(case=""))
    command.main(flags)
    assert capsys.readouterr().err.count("warning: patients are unknown") == 1  # of two probes
    with pytest.raises(InputError, match="--positive bad"):
        command.main([*flags, "--positive", "bad"])


@pytest.mark.parametrize(("skill", "told"), [(-1, True), (0, False), (1, False)])
def test_what_lies_below_chance_is_explained(skill, told):
    _, table = made()
    rng = np.random.default_rng(2)
    chance = 0.5 + 0.25 * skill * (2 * (table.label == "malignant") - 1)
    chance = np.clip(chance + rng.normal(0, 0.2, len(table)), 0.01, 0.99).to_numpy()
    frame = table.assign(part="test", p_benign=1 - chance, p_malignant=chance)

    def text(frame):
        scores = evaluation.evaluate(frame, CLASSES, positive="malignant")
        return command._text({"linear": {"chosen": [], "metrics": scores}}, len(frame), 8)

    assert ("below chance: linear. With few patients" in text(frame)) == told
    assert "below chance" not in text(frame.assign(case=""))


def test_a_run_stands_beside_the_probes_on_its_own_test_images(tmp_path, capsys, quick):
    folder = run_folder.make(tmp_path, "binary", pictures=False)
    split = probe.of_run(runs.load(folder))
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(split), 4)) + (split.label == "malignant").to_numpy()[:, None]
    probe.write(tmp_path / "f.npz", split.image.tolist(), values)
    command.main(["--features", str(tmp_path / "f.npz"), "--run", str(folder)])
    said = capsys.readouterr().out
    accuracy = json.loads((folder / "metrics.json").read_text())["accuracy"]
    (line,) = [each for each in said.splitlines() if each.startswith("the run")]
    assert f"{100 * accuracy:.2f} %" in line
    tested = int((split.part == "test").sum())
    assert f"{tested} of {len(split)} images" in said


@pytest.mark.slow
def test_features_of_a_backbone_are_its_pooled_last_map(tmp_path, capsys):
    import cv2

    from common import backbones, images
    from common.backbones import __main__ as networks

    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "x").mkdir(exist_ok=True)
        picture = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        assert cv2.imwrite(str(tmp_path / "x" / f"{name}.png"), picture)
    (tmp_path / "a.csv").write_text("image\nx/b.png\nx/a.png\n")
    import keras

    keras.utils.set_random_seed(0)
    model = backbones.pooled("mobilenet_v2", 32, "none")
    pixels = [images.resize(images.read(tmp_path / "x" / f"{n}.png"), 32) for n in "ab"]
    wanted = model.predict(np.stack(pixels), verbose=0)
    out = tmp_path / "f.npz"
    keras.utils.set_random_seed(0)
    networks.main(
        ["features", "--images", str(tmp_path / "a.csv"), "--network", "mobilenet_v2",
         "--weights", "none", "--image-size", "32", "--out", str(out)]
    )  # fmt: skip
    assert "2 images, 1280 features each" in capsys.readouterr().out
    np.testing.assert_allclose(features.read(out, ["a.png", "b.png"]), wanted, rtol=1e-5)
    with pytest.raises(InputError, match=r"must end in \.npz"):
        networks.main(
            ["features", "--images", str(tmp_path / "a.csv"), "--network", "vgg16",
             "--out", str(tmp_path / "f.csv")]
        )  # fmt: skip
