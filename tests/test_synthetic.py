"""Synthetic tissue: layouts, honesty about being synthetic, determinism, and what is drawn."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from common import images
from common.datasets import SYNTHETIC_MARKER, is_synthetic, synthetic
from common.datasets import bach as bach_card
from common.datasets import bci as bci_card
from common.datasets import breakhis as breakhis_card
from common.datasets.synthetic import canvas as canvases
from common.datasets.synthetic import files, layouts, scenes, section, stains
from common.datasets.synthetic import nuclei as placing
from common.errors import InputError

FEW = {"patients": 3, "images_per_patient": 2, "magnifications": ("100X",), "size": (60, 90)}


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".synthetic.lock"
    }


@pytest.fixture(scope="module")
def bci(tmp_path_factory):
    return synthetic.bci(
        tmp_path_factory.mktemp("bci") / "d", slides=8, patches_per_slide=2, size=192
    )


# --- layouts -----------------------------------------------------------------------------------


def test_breakhis_layout(tmp_path):
    few = {"patients": 8, "images_per_patient": 2, "size": (46, 70)}
    root = synthetic.breakhis(tmp_path / "d", magnifications=("40X", "400X"), **few)
    index = breakhis_card.index(root, classes=8)
    assert len(index) == 8 * 2 * 2
    assert index["synthetic"].all()
    assert (index.groupby("label").size() == 4).all()
    assert set(index["label"]) == set(breakhis_card.CLASSES[8])
    assert sorted(index["case"].unique()) == [str(90001 + n) for n in range(8)]
    # Cases 90001, 90004 and 90007 have two slides each.
    assert index.groupby("case")["slide"].nunique().tolist() == [2, 1, 1, 2, 1, 1, 2, 1]
    first = (
        "BreaKHis_v1/histology_slides/breast/benign/SOB/adenosis/SOB_B_A_14-90001AB/40X/"
        "SOB_B_A-14-90001AB-40-001.png"
    )
    assert first in set(index["image"])
    assert images.read(root / first).shape == (46, 70, 3)
    table = pd.read_csv(root / layouts.SLIDES_CSV)
    assert dict(zip(table["image"], table["slide"], strict=True)) == dict(
        zip(index["image"], index["slide"], strict=True)
    )


def test_bci_layout(bci):
    pairs = bci_card.pairs(bci)
    assert len(pairs) == 16
    assert pairs.groupby(["part", "score"]).size().tolist() == [2] * 8
    assert pairs["number"].astype(int).min() == 90000
    assert images.read(bci / pairs["he"][0]).shape == (192, 192, 3)
    slides = pd.read_csv(bci / layouts.SLIDES_CSV).set_index("image")["slide"]
    assert (slides[pairs["he"]].to_numpy() == slides[pairs["ihc"]].to_numpy()).all()
    parts = pairs.groupby(slides[pairs["he"]].to_numpy())["part"].nunique()
    assert len(parts) == 8
    assert (parts == 1).all()


@pytest.mark.parametrize(
    ("slides", "fraction", "tested"), [(24, 0.25, 8), (8, 0.01, 4), (8, 0.0, 0), (4, 0.25, 0)]
)
def test_bci_parts_hold_whole_slides(tmp_path, monkeypatch, slides, fraction, tested):
    plans = []
    monkeypatch.setattr(layouts, "_all", lambda write, plan, workers: plans.extend(plan))
    synthetic.bci(tmp_path / "d", slides=slides, patches_per_slide=1, test_fraction=fraction)
    assert len(plans) == slides
    assert sum(name.startswith("test/") for name, *_ in plans) == tested


def test_bach_layout(tmp_path):
    root = synthetic.bach(tmp_path / "d", per_class=2, size=(48, 64))
    index = bach_card.index(root)
    prefixes = {"Benign": "b", "InSitu": "is", "Invasive": "iv", "Normal": "n"}
    assert index["image"].tolist() == [
        f"Photos/{label}/{prefix}{number}.tif"
        for label, prefix in prefixes.items()
        for number in (901, 902)
    ]
    assert index["synthetic"].all()
    truth = (root / "Photos/microscopy_ground_truth.csv").read_text().splitlines()
    assert truth[0] == "n901.tif,Normal"
    assert len(truth) == 8
    assert images.read(root / "Photos/InSitu/is901.tif").shape == (48, 64, 3)
    assert pd.read_csv(root / layouts.SLIDES_CSV)["slide"].nunique() == 4


def test_defaults_give_24_slides(tmp_path, monkeypatch):
    monkeypatch.setattr(layouts, "_all", lambda write, plan, workers: None)
    for make in (synthetic.breakhis, synthetic.bci, synthetic.bach):
        table = pd.read_csv(make(tmp_path / make.__name__) / layouts.SLIDES_CSV)
        assert table["slide"].nunique() >= 24


# --- saying that it is synthetic ---------------------------------------------------------------


def test_every_file_says_synthetic(bci, tmp_path):
    assert "SYNTHETIC" in (bci / SYNTHETIC_MARKER).read_text()
    assert is_synthetic(bci)
    pngs = list(bci.rglob("*.png"))
    assert len(pngs) == 3 * 16
    assert all(synthetic.is_synthetic_png(path) for path in pngs)
    assert not images.check(list((bci / "BCI_dataset").rglob("*.png")))
    root = synthetic.bach(tmp_path / "d", per_class=1, size=(16, 16))
    for path in root.rglob("*.tif"):
        assert files.STATEMENT in path.read_bytes()


def test_text_chunk_is_read_without_decoding(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    files.write_png(path, image)
    assert (images.read(path) == image).all()
    assert synthetic.is_synthetic_png(path)
    data = path.read_bytes()
    (tmp_path / "cut.png").write_bytes(data[:100])  # the chunk lies before the pixels
    assert synthetic.is_synthetic_png(tmp_path / "cut.png")
    for name, other in {"short": data[:20], "empty": b"", "text": b"hello" * 20}.items():
        (tmp_path / name).write_bytes(other)
        assert not synthetic.is_synthetic_png(tmp_path / name)
    cv2.imwrite(str(tmp_path / "plain.png"), image)
    assert not synthetic.is_synthetic_png(tmp_path / "plain.png")


def test_tiff_is_baseline(tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    files.write_tiff(tmp_path / "a.tif", image)
    assert (images.read(tmp_path / "a.tif") == image).all()


# --- whole or resumed, always the same ---------------------------------------------------------


def test_same_bytes_on_any_number_of_threads(tmp_path):
    one = synthetic.breakhis(tmp_path / "one", workers=1, **FEW)
    three = synthetic.breakhis(tmp_path / "three", workers=3, **FEW)
    assert contents(one) == contents(three)
    other = synthetic.breakhis(tmp_path / "other", seed=1, **FEW)
    pngs = [name for name in contents(one) if name.endswith(".png")]
    assert len(pngs) == 6
    assert all(contents(one)[name] != contents(other)[name] for name in pngs)


def test_an_image_depends_only_on_its_own_identity(tmp_path):
    few = contents(synthetic.breakhis(tmp_path / "few", **FEW))
    more = contents(
        synthetic.breakhis(
            tmp_path / "more", **{**FEW, "patients": 4, "magnifications": ("100X", "40X")}
        )
    )
    for name, data in few.items():
        if name.endswith(".png"):
            assert more[name] == data


def test_an_interrupted_folder_is_resumed(tmp_path, monkeypatch):
    whole = synthetic.breakhis(tmp_path / "whole", **FEW)
    write, calls = files.write_png, []

    def fails(path, image):
        calls.append(path)
        if len(calls) == 4:
            raise KeyboardInterrupt
        write(path, image)

    monkeypatch.setattr(files, "write_png", fails)
    with pytest.raises(KeyboardInterrupt):
        synthetic.breakhis(tmp_path / "stopped", workers=1, **FEW)
    stopped = tmp_path / "stopped"
    assert json.loads((stopped / files.MANIFEST).read_text())["whole"] is False
    assert (stopped / SYNTHETIC_MARKER).exists()
    left = stopped / "BreaKHis_v1" / ".part-left.png"  # by a process that was killed
    left.write_bytes(b"half")
    before = {path: path.stat().st_mtime_ns for path in stopped.rglob("*.png") if path != left}
    assert 0 < len(before) < 6

    monkeypatch.setattr(files, "write_png", write)
    synthetic.breakhis(stopped, **FEW)
    assert contents(stopped) == contents(whole)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_a_whole_folder_is_not_drawn_again(tmp_path, monkeypatch):
    root = synthetic.breakhis(tmp_path / "d", **FEW)
    monkeypatch.setattr(layouts, "_all", lambda *arguments: pytest.fail("drawn again"))
    assert synthetic.breakhis(root, **FEW) == root


def test_other_parameters_are_refused(tmp_path):
    root = synthetic.breakhis(tmp_path / "d", **FEW)
    with pytest.raises(InputError, match=r"other parameters \(seed\); delete it, or choose"):
        synthetic.breakhis(root, **FEW, seed=1)
    with pytest.raises(InputError, match="other parameters"):
        synthetic.bci(root)
    (root / files.MANIFEST).write_text("{")
    with pytest.raises(InputError, match="damaged"):
        synthetic.breakhis(root, **FEW)


def test_other_files_are_never_mixed_with(tmp_path):
    (tmp_path / "SOB_B_A-14-22549AB-40-001.png").write_bytes(b"a real one")
    with pytest.raises(InputError, match="holds other files"):
        synthetic.breakhis(tmp_path, **FEW)
    assert not (tmp_path / SYNTHETIC_MARKER).exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        synthetic.breakhis(tmp_path / "file", **FEW)


def test_demo_tissue_is_one_folder_per_data_set(tmp_path, monkeypatch):
    few = layouts.DEMO_TISSUE["breakhis"] | {"patients": 2}
    monkeypatch.setitem(layouts.DEMO_TISSUE, "breakhis", few)
    folder = synthetic.demo(tmp_path, "breakhis")
    assert folder == tmp_path / "demo-data" / "breakhis"
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    assert len(written) == 2 * few["images_per_patient"]
    assert synthetic.demo(tmp_path, "breakhis") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")} == written


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (synthetic.breakhis, {"patients": 0}, "patients=0"),
        (synthetic.breakhis, {"magnifications": ("20X",)}, "magnifications are some of"),
        (synthetic.breakhis, {"size": (8, 700)}, "size="),
        (synthetic.breakhis, {"seed": -1}, "seed=-1"),
        (synthetic.bci, {"slides": 3}, "slides=3"),
        (synthetic.bci, {"test_fraction": 1.0}, "test_fraction=1.0"),
        (synthetic.bach, {"per_class": 100}, "per_class=100"),
    ],
)
def test_impossible_arguments(tmp_path, make, arguments, message):
    with pytest.raises(InputError, match=message):
        make(tmp_path / "d", **arguments)
    assert not (tmp_path / "d").exists()


def test_import_needs_neither_framework_nor_opencv():
    code = (
        "import sys, common.datasets.synthetic; "
        "print(sorted({'keras', 'tensorflow', 'cv2', 'scipy'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


# --- stains ------------------------------------------------------------------------------------


def test_beer_lambert_by_hand():
    vectors = np.array([stains.HAEMATOXYLIN, stains.EOSIN, stains.DAB], np.float32)
    plain = stains.Look(vectors, np.ones(3, np.float32), np.full(3, 240.0, np.float32))

    class Still:  # even light, no noise
        def standard_normal(self, shape, dtype=float):
            return np.zeros(shape, dtype)

    amounts = np.zeros((3, 4, 3), np.float32)
    amounts[1, :, 0] = 1.0
    amounts[2] = (0.5, 0.25, 0.0)
    image = plain.photograph(amounts, Still())
    assert image[0, 0].tolist() == [240, 240, 240]
    # 240 * 10 ** -0.650, -0.704, -0.286
    assert image[1, 2].tolist() == [54, 47, 124]
    # 240 * 10 ** -(0.5 H + 0.25 E) = 10 ** -0.343, -0.5995, -0.16925
    assert image[2, 1].tolist() == [109, 60, 163]


def test_slides_differ_in_stain():
    looks = [stains.look(np.random.default_rng(n)) for n in range(40)]
    strength = np.array([look.gains for look in looks])
    assert 0.08 < strength[:, 0].std() < 0.25
    hue = np.array([look.vectors[1] for look in looks])
    assert hue.std(0).max() > 0.02
    np.testing.assert_allclose(np.linalg.norm(hue, axis=1), 1.0, rtol=1e-6)


# --- geometry ----------------------------------------------------------------------------------


def canvas(size=200, scale=2.0, seed=0) -> canvases.Canvas:
    return canvases.Canvas.of((size, size), scale, np.random.default_rng(seed))


def test_canvas_margin():
    drawn = canvas(200, 2.0)
    assert drawn.shape == (236, 236)  # 9 micrometres on each side
    assert drawn.crop(np.zeros(drawn.shape)).shape == (200, 200)


@pytest.mark.parametrize("size", [0.3, 2.0, 15.0, 80.0, 400.0])
def test_noise_has_the_size_asked_for(size):
    fields = [canvases.noise(canvas(seed=n), size) for n in range(30)]
    values = np.stack(fields)
    assert values.shape == (30, 236, 236)
    assert abs(values.mean()) < 0.35
    assert 0.7 < values.std() < 1.4
    # A step of a tenth of the size changes little; one of twice the size is independent.
    near, far = max(1, round(0.2 * size)), round(4.0 * size)
    if size > 1.0:
        assert np.corrcoef(values[:, :, near:].ravel(), values[:, :, :-near].ravel())[0, 1] > 0.9
    if 2.0 < size < 20.0:
        assert abs(np.corrcoef(values[:, :, far:].ravel(), values[:, :, :-far].ravel())[0, 1]) < 0.2


def test_row_follows_the_contour():
    drawn = canvas()
    y, x = np.indices(drawn.shape)
    radius = np.hypot(x - 118, y - 118)
    disc = radius < 80
    deep = canvases.depth(drawn, disc)
    assert deep[118, 118] == pytest.approx(40.0, abs=0.6)  # 80 px at 2 px per micrometre
    points, direction = placing.row(drawn, deep, 10.0, 9.0)
    away = points - 118
    assert np.hypot(*away.T).mean() == pytest.approx(60.0, abs=2.0)
    # 2 pi 60 px / 18 px, and the eight-connected contour is a little longer.
    assert 19 <= len(points) <= 24
    across = np.cos(direction - np.arctan2(away[:, 1], away[:, 0]))
    assert np.abs(across).mean() < 0.25


def test_joined_drops_overlapping_nuclei():
    drawn = canvas()
    points = np.array([[50.0, 50.0], [56.0, 50.0], [50.0, 90.0]])
    kept = placing.joined([placing.nuclei(drawn, points, diameter=8.0, spread=0.0, aspect=1.0)])
    assert kept.y.tolist() == [50.0, 90.0]


# --- what the scores mean ----------------------------------------------------------------------


def drawn_section(score, slide, number=0, size=300):
    rngs = layouts._generators(0, "test", (slide,), (number,))
    drawn = canvases.Canvas.of((size, size), layouts.BCI_SCALE, rngs[1])
    return section.section(scenes.her2_carcinoma(drawn, rngs[0], score)), rngs[0]


def test_membranes_follow_the_score():
    stained, brown = {}, {}
    for score in scenes.SCORES:
        share, amount = [], []
        for slide in range(3):
            cut, rng = drawn_section(score, slide)
            staining = scenes.membrane(score, rng)
            share.append(staining.share)
            dab = section.her2(cut, staining)[..., 2]
            amount.append(np.percentile(dab[cut.tissue.epithelium], 95))
        stained[score], brown[score] = share, np.mean(amount)
    assert max(stained["0"]) <= 0.10
    assert min(stained["1+"]) > 0.10
    assert min(stained["2+"]) > 0.10
    assert min(stained["3+"]) > 0.5
    assert brown["0"] < brown["1+"] < brown["2+"] < brown["3+"]
    assert brown["3+"] > 1.5 * brown["2+"]


def test_membranes_lie_between_cells():
    cut, _ = drawn_section("3+", 0)
    dab = section.her2(cut, section.Membrane(1.0, 1.2, 1.0))[..., 2]
    nuclear = cut.cells.label > 0
    border = cut.cells.border & cut.tissue.epithelium
    assert dab[border].mean() > 2 * dab[nuclear & cut.tissue.epithelium].mean()
    assert (
        dab[border].mean()
        > 10 * dab[~canvases.soft(cut.tissue.epithelium, 8.0).astype(bool)].mean()
    )


def test_grade_rises_with_the_score():
    size, spread, share = [], [], []
    for score in scenes.SCORES:
        radii, covered = [], []
        for slide in range(4):
            cut, _ = drawn_section(score, slide)
            nuclei = cut.cells.nuclei
            tumour = nuclei.kind == placing.TUMOUR
            radii.append(np.sqrt(nuclei.a * nuclei.b)[tumour] / layouts.BCI_SCALE)
            covered.append(cut.tissue.epithelium.mean())
        radii = np.concatenate(radii)
        size.append(2 * radii.mean())
        spread.append(radii.std() / radii.mean())
        share.append(np.mean(covered))
    assert size == sorted(size)
    assert size[0] == pytest.approx(7.0, abs=0.8)
    assert size[3] > 13.0
    assert spread == sorted(spread)
    assert share[3] > share[2] > max(share[:2])


def test_twins_show_the_same_nuclei(bci):
    pairs = bci_card.pairs(bci)
    for _, pair in pairs[pairs["score"].isin(["0", "1+"])].iterrows():
        red = [images.read(bci / pair[stain])[..., 0].astype(float) for stain in ("he", "ihc")]
        # Haematoxylin takes most of the red light that eosin and glass let through.
        assert np.corrcoef(red[0].ravel(), red[1].ravel())[0, 1] > 0.6


def test_signal_masks_show_where_the_dab_is(bci):
    signal = pd.read_csv(bci / layouts.SIGNAL_CSV).set_index("image")["mask"]
    pairs = bci_card.pairs(bci)
    assert len(signal) == 32
    inside, outside = [], []
    for _, pair in pairs.iterrows():
        assert signal[pair["he"]] == signal[pair["ihc"]]
        mask = cv2.imread(str(bci / signal[pair["he"]]), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (64, 64)
        assert set(np.unique(mask)) <= {0, 255}
        assert (mask > 0).mean() > 0.1
        if pair["score"] == "3+":
            image = images.resize(images.read(bci / pair["ihc"]), 64).astype(float)
            brown = image[..., 0] - image[..., 2] > 15
            inside.append(brown[cv2.erode(mask, np.ones((5, 5))) > 0])
            outside.append(brown[cv2.dilate(mask, np.ones((5, 5))) == 0])
    assert np.concatenate(inside).mean() > 0.1
    assert np.concatenate(inside).mean() > 3 * np.concatenate(outside).mean()


@pytest.mark.parametrize("kind", [*scenes.BREAKHIS, *scenes.BACH])
@pytest.mark.parametrize("scale", [0.64, 6.4])
def test_every_scene_draws_tissue(kind, scale):
    scene = {**scenes.BREAKHIS, **scenes.BACH}[kind]
    rngs = layouts._generators(3, "test", (0,), (0,))
    image = scenes.picture(scene, (115, 175), scale, *rngs)
    assert image.shape == (115, 175, 3)
    assert image.dtype == np.uint8
    assert image.std() > 10
    red, green, blue = image.reshape(-1, 3).mean(0)
    assert green < min(red, blue)  # haematoxylin and eosin both take green most
