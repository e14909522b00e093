"""Other data and the run's own images: copies, the score without them, the training's stains."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
import run_folder

from common import backend, external, images, report, runs, splits, stain
from common.errors import InputError
from common.external import copies
from common.files import file_hash, read_json, write_csv
from common.images import fingerprints
from common.report import elsewhere, files
from common.runs import contents


class Model:
    """The probability of the second class is the mean red, as a fraction."""

    def predict(self, pixels, batch_size, verbose):
        red = pixels[..., 0].mean(axis=(1, 2)) / 255
        return np.stack([1 - red, red], axis=1)


def tissue(seed, haematoxylin=1.0):
    """Two stains in blots, RGB."""
    random = np.random.default_rng(seed)
    amounts = random.gamma(2.0, 0.5, (2, 16, 16)) * np.array([haematoxylin, 1.0])[:, None, None]
    blots = np.stack(
        [cv2.resize(each, (96, 96), interpolation=cv2.INTER_CUBIC) for each in amounts]
    )
    density = np.einsum("shw,sc->hwc", blots.clip(0), stain.RUIFROK)
    return (255 * np.exp(-density)).clip(0, 255).astype(np.uint8)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1])


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run on six images of its user's own, of two patients."""
    monkeypatch.setenv("HISTOPAPERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(backend, "load", lambda: None)
    monkeypatch.setattr(runs, "load_model", lambda run: Model())
    monkeypatch.setattr(report, "write", lambda path: None)
    made = runs.load(run_folder.make(tmp_path / "runs", "binary", pictures=False))
    (made.path / "model.keras").touch()
    rows = []
    for i, part in enumerate(("train", "train", "train", "validation", "test", "test")):
        save(tmp_path / "own" / f"{i}.png", tissue(i))
        rows.append((f"{i}.png", "benign", part, str(i)))
    write_csv(
        made.path / "split.csv", pd.DataFrame(rows, columns=["image", "label", "part", "case"])
    )
    digests = [(row[0], file_hash(tmp_path / "own" / row[0])) for row in rows]
    write_csv(made.path / "images.csv", pd.DataFrame(digests, columns=["image", "sha256"]))
    settings = {"image_size": 16, "resize_filter": "area"}
    made.note(config=made.config | settings, dataset="own data (own)", trained_size=[96, 96],
              own={"root": str(tmp_path / "own")})  # fmt: skip
    return made


def site(folder, names):
    rows = [f"{name},{('benign', 'malignant')[i % 2]}" for i, name in enumerate(names)]
    (folder / "list.csv").write_text("\n".join(["image,label", *rows]) + "\n", encoding="utf-8")
    return folder / "list.csv"


def judge(run, source, *more):
    return external.main("breakhis", ["--run", str(run.path), "--images", str(source), *more])


def test_copies_are_found_by_looks_and_the_score_without_them_is_given(run, tmp_path, capsys):
    own, there = tmp_path / "own", tmp_path / "there"
    there.mkdir()
    shutil.copy(own / "0.png", there / "same.png")
    image = tissue(1)
    save(there / "rewritten.bmp", image)
    save(there / "turned.png", np.rot90(image, 1))
    save(there / "validated.jpg", tissue(3))
    save(there / "tested.png", (0.9 * tissue(5)).astype(np.uint8))
    for i in range(3):
        save(there / f"new{i}.png", tissue(100 + i))
    source = site(there, sorted(each.name for each in there.iterdir()))
    assert judge(run, source) == 0
    folder = run.path / "external" / "list"
    found = read_json(folder / "external.json")
    assert found["copies"] == {"train": 1, "validation": 0, "test": 0}
    assert found["near"] == {"train": 3, "validation": 1, "test": 1}
    assert {pair["image"] for pair in found["pairs"]} == {
        "same.png", "rewritten.bmp", "turned.png", "validated.jpg", "tested.png",
    }  # fmt: skip
    whole, apart = (read_json(folder / name) for name in
                    ("metrics.json", "metrics-without-copies.json"))  # fmt: skip
    assert (whole["n"], apart["n"]) == (8, 3)
    out, err = capsys.readouterr()
    assert "without copies of the run's images  3 images" in out
    assert "3 of 8 images are copies or near copies of images that the run was trained on" in err
    section = elsewhere.section(files.read(run.path))
    rows = section["scores"]["rows"]
    assert [images[:8] for _, images, _ in rows[1:]] == ["8 images", "3 images"]
    assert rows[2][0] == "list.csv, without copies"
    # Without the run's own images files can be compared by their hash alone.
    shutil.move(own, tmp_path / "moved")
    assert judge(run, source) == 0
    found = read_json(folder / "external.json")
    assert found["near"] is None and found["copies"]["train"] == 1
    assert "near copies of the run's images were not looked for: " in capsys.readouterr().err
    assert read_json(folder / "metrics-without-copies.json")["n"] == 7
    moved = ("--trained-data-dir", str(tmp_path / "moved"))
    assert judge(run, source, *moved) == 0
    assert read_json(folder / "external.json")["near"]["train"] == 3
    # A run that noted how its images look finds the same without them, and is asked for none.
    shutil.move(tmp_path / "moved", own)
    assert judge(run, source) == 0
    before = read_json(folder / "external.json")
    split = splits.read(run.path / "split.csv")
    names = split["image"].tolist()
    pixels = images.cached(own, names[::-1], 16, cache_dir=tmp_path / "cache")
    contents.write_looks(run.path, split, pixels)
    shutil.move(own, tmp_path / "moved")
    capsys.readouterr()
    assert judge(run, source) == 0
    assert "not looked for" not in capsys.readouterr().err
    after = read_json(folder / "external.json")
    assert {key: after[key] for key in ("near", "pairs", "leaks")} == {
        key: before[key] for key in ("near", "pairs", "leaks")
    }
    looks = run.path / contents.LOOKS
    looks.write_bytes(looks.read_bytes()[:-1])
    assert judge(run, source) == 0
    assert read_json(folder / "external.json")["near"] is None
    # All are copies: there is no other score; none is: neither.
    for names in (["same.png", "turned.png"], ["new0.png", "new1.png"]):
        site(there, names)
        assert judge(run, source, *moved) == 0
        assert not (folder / "metrics-without-copies.json").exists()


def test_other_images_of_two_patients_are_asked_about():
    shown = {f"{i}.png": tissue(i) for i in range(3)}
    shown["turned.png"] = np.ascontiguousarray(np.rot90(tissue(1)))
    marks = {name: fingerprints.fingerprint(image) for name, image in shown.items()}
    table = pd.DataFrame({"image": list(shown), "case": ["a", "b", "b", "c"]})
    seen, others = SimpleNamespace(marks=marks), SimpleNamespace(table=table)
    assert copies._two_patients(others, seen) == [
        "1.png (patient b) and turned.png (patient c) are the same image, or nearly so: are b "
        "and c one patient?"
    ]
    for cases in (["a", "b", "b", "b"], ["a", "b", "b", ""], ["", "", "", "c"]):
        others.table = table.assign(case=cases)
        assert copies._two_patients(others, seen) == []


def test_images_are_given_the_stains_of_a_training_image(run, tmp_path, capsys):
    there = tmp_path / "there"
    for i in range(8):
        save(there / f"{i}.png", tissue(200 + i, haematoxylin=2.5))
    save(there / "8.png", np.full((96, 96, 3), 250, np.uint8))
    source = site(there, [f"{i}.png" for i in range(9)])
    assert judge(run, source, "--adapt", "stain") == 0
    folder = run.path / "external" / "list"
    as_it_is, stained = read_json(folder / "adapted.json")["ways"]
    assert as_it_is["name"] == "as it is" and stained["name"] == "stain"
    assert "Macenko, to the stains of " in stained["what"] and "difference" in stained
    kept = pd.read_csv(folder / "predictions-stain.csv").set_index("image")
    before = pd.read_csv(folder / "predictions.csv").set_index("image").loc[kept.index]
    # What is paler now has more red; what has no tissue stays.
    paler = kept.p_malignant > before.p_malignant
    assert paler.drop("8.png", errors="ignore").all()
    target = next(f"{i}.png" for i in range(3) if f"of {i}.png, a" in stained["what"])
    normalizer = stain.MacenkoNormalizer().fit(tissue(int(target[0])))
    name = kept.index[0]
    image = cv2.imread(str(there / name))[..., ::-1]
    small = cv2.resize(normalizer.transform(image), (16, 16), interpolation=cv2.INTER_AREA)
    assert kept.p_malignant[name] == pytest.approx(small[..., 0].mean() / 255)
    run.note(stain_target="4.png")  # what the training normalised to, where it did
    assert judge(run, source, "--adapt", "stain", "--stain-method", "reinhard") == 0
    (_, stained) = read_json(folder / "adapted.json")["ways"]
    assert stained["what"].startswith("Reinhard, to the stains of 4.png")
    capsys.readouterr()
    run.note(stain_normalizer=normalizer.state())
    assert judge(run, source, "--adapt", "stain") == 0
    assert "stain        the run normalises the stains of every image" in capsys.readouterr().out
    found = read_json(folder / "adapted.json")
    assert len(found["ways"]) == 1 and set(found["failed"]) == {"stain"}
    for flags, message in (
        (["--stain-method", "reinhard"], "--stain-method: is for --adapt stain"),
        (["--trained-data-dir", str(there / "none")], "none: no such folder; .*--trained-data-dir"),
        (["--trained-data-dir", str(tmp_path)], "6 of the 6 images of .* are not there; say where"),
    ):
        with pytest.raises(InputError, match=message):
            judge(run, source, *flags)
    with pytest.raises(InputError, match="--stain-method macenk: one of macenko, vahadane, rein"):
        judge(run, source, "--adapt", "stain", "--stain-method", "macenk")


def test_images_of_one_class_or_patient_adapt_as_far_as_they_can(run, tmp_path):
    there = tmp_path / "there"
    names = [f"{i}.png" for i in range(6)]
    for i, name in enumerate(names):
        save(there / name, tissue(300 + i))
    rows = [f"{name},benign,{i // 2}" for i, name in enumerate(names)]
    source = there / "list.csv"
    source.write_text("\n".join(["image,label,patient", *rows]) + "\n", encoding="utf-8")
    assert judge(run, source, "--adapt", "stain", "threshold") == 0
    found = read_json(run.path / "external" / "list" / "adapted.json")
    assert found["failed"] == {"threshold": "the images that adapt are of one class"}
    assert (found["by"], found["adapted"], found["held_out"]) == ("patient", 2, 4)
    assert [way["name"] for way in found["ways"]] == ["as it is", "stain"]
    held = pd.read_csv(run.path / "external" / "list" / "predictions-stain.csv")["case"]
    assert held.nunique() == 2 and (held.value_counts() == 2).all()
    text = source.read_text(encoding="utf-8")
    source.write_text(text.replace(",1\n", ",0\n").replace(",2\n", ",0\n"), encoding="utf-8")
    with pytest.raises(InputError, match="--adapt: 6 images of a single patient; one adapts"):
        judge(run, source, "--adapt", "stain")
    with pytest.raises(InputError, match=r"--label-map: leaves out every class of .*list\.csv"):
        judge(run, source, "--label-map", "benign=")
