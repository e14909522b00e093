"""`PKG.predict --tiles`: tiles through the run's input path, what is written, and going on."""

from __future__ import annotations

import html
import itertools
import json
import re
import shlex
import uuid

import cv2
import jsonschema
import numpy as np
import pandas as pd
import pytest
import run_folder

pytest.importorskip("tiffslide")

from slide_files import halved, mirax, pyramid, tissue

from common import backend, classification, confidence, figures, runs
from common.errors import InputError
from common.slides import journal, work
from common.slides.scale import Field, field_of

FILES = ("tiles.csv", "tiles.geojson", "heatmap.png", "classes.png", "tissue.png", "slide.json",
         "index.html")  # fmt: skip


class Model:
    """Calls an image malignant the more, the darker its green is."""

    output_shape = (None, 2)
    shapes: tuple = ()
    stop_after: int | None = None

    def predict(self, pixels, batch_size, verbose):
        if self.stop_after is not None and len(self.shapes) >= self.stop_after:
            raise KeyboardInterrupt
        assert pixels.dtype == np.uint8
        self.shapes += (pixels.shape,)
        value = 1 / (1 + np.exp((pixels[..., 1].mean((1, 2)) - 190) / 9))
        return np.stack([1 - value, value], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = run_folder.make(tmp_path_factory.mktemp("runs"), "binary", pictures=False)
    made = runs.load(path)
    config = {**made.config, "image_size": 32, "resize_filter": "area"}
    made.note(config=config, trained_size=[64, 96])
    (path / "model.keras").write_bytes(b"a model")
    return path


@pytest.fixture
def model(monkeypatch):
    return given(monkeypatch)


def given(monkeypatch):
    made = Model()
    monkeypatch.setattr(runs, "load_model", lambda run: made)
    monkeypatch.setattr(backend, "load", lambda: None)
    return made


@pytest.fixture(scope="module")
def done(run, slide, tmp_path_factory):
    """A slide's results, with tiles that have at least a tenth of tissue."""
    folder = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        made = given(patch)
        assert predict(run, slide, folder, "--least-tissue", 0.1) == 0
    assert made.shapes[0][1:] == (32, 32, 3)
    return folder


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    return pyramid(tmp_path_factory.mktemp("slides") / "a slide.tif", tissue(640, 768))


def predict(run, slide, output, *more):
    flags = ["--run", run, slide, "--tiles", "--trained-mpp", 1, "--output", output, *more]
    return classification.main("breakhis", list(map(str, flags)))


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def test_tiles_take_the_way_of_every_image(run, done, model, tmp_path):
    table = pd.read_csv(done / "tiles.csv")
    # 96 x 64 px of a micrometre are 192 x 128 of half a one: the second level as it is.
    assert set(table.width) == {192} and set(table.height) == {128}
    assert set(table.x) <= {0, 192, 384, 576} and set(table.y) <= {0, 128, 256, 384, 512}
    level = halved(tissue(640, 768))
    crops = []
    for row in table.itertuples():
        crop = level[row.y // 2 : row.y // 2 + 64, row.x // 2 : row.x // 2 + 96]
        crops.append(tmp_path / f"{row.Index}.png")
        cv2.imwrite(str(crops[-1]), crop[..., ::-1])
    alone = classification.predict(runs.load(run), crops)
    for name in ("probability", "p_benign", "p_malignant"):
        assert table[name].to_numpy() == pytest.approx(alone[name].to_numpy(), abs=1e-6)
    assert table.predicted.tolist() == alone.predicted.tolist()
    assert set(table.predicted) == {"benign", "malignant"}


def test_a_slide_on_a_canvas_gives_the_same_tiles(run, done, model, tmp_path, capsys):
    pytest.importorskip("openslide")
    first = mirax(tmp_path / "a.mrxs", tissue(640, 768), columns=24, rows=20, at=(4, 2))
    copy = mirax(tmp_path / "b.mrxs", tissue(640, 768), columns=24, rows=20, at=(4, 2))
    flags = ["--run", run, first, copy, "--tiles", "--trained-mpp", 1, "--least-tissue", 0.1]
    flags += ["--output", tmp_path / "out"]
    assert classification.main("breakhis", list(map(str, flags))) == 0
    assert "b.mrxs: is of the slide" in capsys.readouterr().err
    assert not (tmp_path / "out" / "b-tiles").exists()
    folder = tmp_path / "out" / "a-tiles"
    for name in ("tiles.csv", "tiles.geojson"):
        assert (folder / name).read_bytes() == (done / name).read_bytes()
    facts = json.loads((folder / "slide.json").read_text())
    assert (facts["width"], facts["height"], facts["origin"]) == (768, 640, [256, 128])
    assert "scanned, from px 256, 128 of its canvas" in (folder / "index.html").read_text()
    # The file that is named has a thumbnail alone: another slide is told by what lies beside it.
    other = mirax(tmp_path / "other" / "a.mrxs", tissue(640, 768, seed=1), columns=24, rows=20)
    with pytest.raises(InputError, match=r"of another file that is called a\.mrxs"):
        predict(run, other, folder)


def test_tissue_shares_are_those_of_the_slide(done):
    table = pd.read_csv(done / "tiles.csv")
    y, x = np.mgrid[:640, :768]
    inside = ((y / 640 - 0.5) ** 2 + (x / 768 - 0.5) ** 2) < 0.16
    for row in table.itertuples():
        here = inside[row.y : row.y + row.height, row.x : row.x + row.width].mean()
        assert row.tissue == pytest.approx(here, abs=0.03)


# What QuPath's reader takes (qupath-core, PathObjectTypeAdapters and GsonTools): a collection of
# features with a closed polygon, a UUID, a known object type, a class with three numbers as colour.
QUPATH = {
    "type": "object",
    "required": ["type", "features"],
    "properties": {
        "type": {"const": "FeatureCollection"},
        "features": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "id", "geometry", "properties"],
                "additionalProperties": False,
                "properties": {
                    "type": {"const": "Feature"},
                    "id": {"type": "string"},
                    "geometry": {
                        "type": "object",
                        "required": ["type", "coordinates"],
                        "properties": {
                            "type": {"const": "Polygon"},
                            "coordinates": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "minItems": 4,
                                    "items": {
                                        "type": "array",
                                        "minItems": 2,
                                        "maxItems": 2,
                                        "items": {"type": "number"},
                                    },
                                },
                            },
                        },
                    },
                    "properties": {
                        "type": "object",
                        "required": ["objectType", "classification"],
                        "additionalProperties": False,
                        "properties": {
                            "objectType": {
                                "enum": ["annotation", "detection", "tile", "cell", "tmaCore"]
                            },
                            "classification": {
                                "type": "object",
                                "required": ["name", "color"],
                                "additionalProperties": False,
                                "properties": {
                                    "name": {"type": "string", "minLength": 1},
                                    "color": {
                                        "type": "array",
                                        "minItems": 3,
                                        "maxItems": 3,
                                        "items": {"type": "integer", "minimum": 0, "maximum": 255},
                                    },
                                },
                            },
                            "measurements": {
                                "type": "object",
                                "additionalProperties": {"type": "number"},
                            },
                        },
                    },
                },
            },
        },
    },
}


def test_objects_are_what_qupath_reads(done):
    table = pd.read_csv(done / "tiles.csv")
    found = json.loads((done / "tiles.geojson").read_text("utf-8"))
    jsonschema.validate(found, QUPATH)
    assert len(found["features"]) == len(table)
    colours = {}
    for feature, row in zip(found["features"], table.itertuples(), strict=True):
        uuid.UUID(feature["id"])
        ring = feature["geometry"]["coordinates"][0]
        assert ring[0] == ring[-1] and len(ring) == 5
        area = sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(ring)) / 2
        assert area == row.width * row.height  # and its corners are in one direction
        assert ring[0] == [row.x, row.y]
        properties = feature["properties"]
        assert properties["classification"]["name"] == row.predicted
        colours[row.predicted] = properties["classification"]["color"]
        assert properties["measurements"]["p malignant"] == pytest.approx(row.p_malignant, rel=1e-5)
    assert len({feature["id"] for feature in found["features"]}) == len(table)
    assert colours == {
        "benign": list(figures.colour_of(0)),
        "malignant": list(figures.colour_of(1)),
    }


def test_the_page_holds_all_it_needs_and_says_what_was_done(done):
    page = (done / "index.html").read_text("utf-8")
    facts = json.loads((done / "slide.json").read_text("utf-8"))
    assert set(re.findall(r'src="([^":]*):', page)) == {"data"} and "<script" not in page
    for words in ("Research use, not for diagnosis", "a slide.tif", "768x640 px", "the file says",
                  "96x64 px at 1 micrometres", "malignant", "TIFF (generic)"):  # fmt: skip
        assert words in page, words
    table = pd.read_csv(done / "tiles.csv")
    for row in facts["classes"]:
        assert row["tiles"] == (table.predicted == row["name"]).sum()
        assert row["mean"] == pytest.approx(table[f"p_{row['name']}"].mean(), abs=1e-6)
    assert facts["tiles"] == len(table) and facts["looked_at"] == 20
    y, x = np.mgrid[:640, :768]
    inside = ((y / 640 - 0.5) ** 2 + (x / 768 - 0.5) ** 2) < 0.16
    assert facts["tissue_mm2"] == pytest.approx(inside.sum() * 0.25e-6, rel=0.03)


def test_what_the_run_leaves_open_is_told_everywhere(
    run, slide, model, tmp_path, capsys, monkeypatch
):
    kept = confidence.read(run)
    assert kept.below is not None
    for below in (0.9, None):
        folder = tmp_path / str(below)
        monkeypatch.setattr(
            confidence, "read", lambda path, below=below: kept._replace(below=below)
        )
        predict(run, slide, folder, "--least-tissue", 0.1)
        table = pd.read_csv(folder / "tiles.csv")
        left = (table.abstain == "yes").sum()
        assert left == (len(table) if below is None else (table.probability < below).sum()) > 0
        said = json.loads((folder / "slide.json").read_text("utf-8"))
        assert said["abstains"] == left and said["abstains_below"] == below
        words = said["warnings"][-1]
        told = f"abstains from {'all' if below is None else left} of {len(table)} tiles: "
        assert told in words
        err = capsys.readouterr().err
        page = html.unescape((folder / "index.html").read_text("utf-8"))
        assert f"warning: {words}" in err and words in page
        assert said["confidence"] in err and "abstains" in said["confidence"]
        # What warns stands above the large numbers.
        assert page.index(words) < page.index("Predicted malignant")


def test_a_run_that_knows_nothing_of_confidence_leaves_nothing_open(
    run, slide, model, tmp_path, monkeypatch
):
    monkeypatch.setattr(confidence, "read", lambda path: confidence.Kept())
    predict(run, slide, tmp_path / "out")
    assert "abstain" not in pd.read_csv(tmp_path / "out" / "tiles.csv")
    assert json.loads((tmp_path / "out" / "slide.json").read_text("utf-8"))["abstains"] is None


def test_the_pages_command_makes_the_same_page(run, slide, model, tmp_path):
    predict(run, slide, tmp_path / "a", "--stride", 0.75, "--tile-size", "96x64", "--mpp", 0.5)
    page = (tmp_path / "a" / "index.html").read_text("utf-8")
    shown = re.sub("</?span[^>]*>", "", re.search("Made by <code>(.*)</code>", page)[1])
    words = shlex.split(html.unescape(shown))
    assert words[:3] == ["python", "-m", "breakhis.predict"]
    assert {"--run", str(run), str(slide), "--trained-mpp", "1.0", "96x64"} <= set(words)
    words[words.index("OUT")] = str(tmp_path / "b")
    assert classification.main("breakhis", words[3:]) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_maps_show_the_mean_where_tiles_overlap(run, slide, model, tmp_path):
    predict(run, slide, tmp_path / "half", "--stride", 0.5, "--map-class", "benign")
    table = pd.read_csv(tmp_path / "half" / "tiles.csv")
    assert len(table) > 3 * 10 and table.x.diff().abs().replace(0, np.nan).min() == 96
    for name in ("heatmap.png", "classes.png"):
        image = cv2.imread(str(tmp_path / "half" / name))
        assert image.shape[1] == round(figures.WIDTH * figures.DPI)
    assert json.loads((tmp_path / "half" / "slide.json").read_text())["heatmap"] == "benign"


# --- going on ------------------------------------------------------------------------------------


@pytest.fixture
def small_steps(monkeypatch):
    monkeypatch.setattr(work, "BATCH", 2)
    monkeypatch.setattr(work, "_MOST_BATCHES", 1)


@pytest.fixture
def whole(run, slide, model, small_steps, tmp_path):
    predict(run, slide, tmp_path / "whole")
    steps, model.shapes = len(model.shapes), ()
    return contents(tmp_path / "whole"), steps


def test_an_interrupted_slide_goes_on_to_the_same_bytes(run, slide, model, whole, tmp_path, capsys):
    expected, steps = whole
    model.stop_after = 3
    with pytest.raises(KeyboardInterrupt, match="interrupted; 6 of .* the same command goes on"
                       .replace(" the", r"\nthe")):  # fmt: skip
        predict(run, slide, tmp_path / "out")
    assert {each.name for each in (tmp_path / "out").iterdir()} == {".lock", journal.NAME}
    model.stop_after, model.shapes = None, ()
    predict(run, slide, tmp_path / "out")
    assert len(model.shapes) == steps - 3
    assert "6 of" in capsys.readouterr().err
    assert contents(tmp_path / "out") == expected
    assert not (tmp_path / "out" / journal.NAME).exists()


def test_whatever_a_kill_leaves_of_the_journal_only_whole_steps_are_taken(tmp_path):
    rng = np.random.default_rng(0)
    steps = [(rng.random((size, 3), np.float32), {"odd": [0]}) for size in (4, 4, 4, 2)]
    made = journal.Journal(tmp_path, "key")
    assert made.begin([4, 4, 4, 2], 3) == []
    for step in steps:
        made.add(*step)
    kept = made.path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(kept) if byte == ord("\n")]
    flipped = bytearray(kept)
    flipped[ends[1] + 25] ^= 1
    cases = [
        (kept[:at], max(sum(end <= at for end in ends) - 1, 0))
        for at in {*range(0, len(kept), 7), *ends}
    ]
    cases += [
        (bytes(flipped), 1),
        (kept[: ends[1]] + bytes(50), 1),
        (kept[: ends[2]] + kept[ends[0] :], 2),  # a step that comes again
        (b"0" + kept[1:], 0),
        (kept[: ends[0]] + kept[ends[1] :], 0),
    ]
    for data, good in cases:
        made.path.write_bytes(data)
        again = journal.Journal(tmp_path, "key")
        found = again.begin([4, 4, 4, 2], 3)
        assert len(found) == good
        for (values, odd), (expected, kinds) in zip(found, steps, strict=False):
            assert (values == expected).all() and odd == kinds
        for step in steps[good:]:
            again.add(*step)
        assert made.path.read_bytes() == kept
    assert journal.Journal(tmp_path, "another").begin([4, 4, 4, 2], 3) == []


def test_another_request_does_not_go_on_from_a_journal(run, slide, model, small_steps, tmp_path):
    model.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        predict(run, slide, tmp_path / "out")
    model.stop_after, model.shapes = None, ()
    predict(run, slide, tmp_path / "out", "--stride", 0.5)
    count = len(pd.read_csv(tmp_path / "out" / "tiles.csv"))
    assert sum(shape[0] for shape in model.shapes) == count


def test_steps_are_whole_batches():
    assert work.step_sizes(1000, 224) == [64] * 15 + [40]
    assert work.step_sizes(20, 4096) == [16, 4]
    assert work.step_sizes(128, 32) == [64, 64]


# --- what is refused -----------------------------------------------------------------------------


def test_a_folder_with_another_slides_results_is_left_alone(run, done, model, tmp_path):
    before = contents(done)
    other = pyramid(tmp_path / "b.tif", tissue(640, 768, seed=1))
    with pytest.raises(InputError, match=r"holds the results of a slide.tif"):
        predict(run, other, done)
    same_name = pyramid(tmp_path / "a slide.tif", tissue(640, 768, seed=1))
    with pytest.raises(InputError, match=r"results of another file that is called a slide.tif"):
        predict(run, same_name, done)
    assert contents(done) == before and model.shapes == ()


def test_two_slides_of_one_name_have_folders_of_their_own(run, slide, model, tmp_path):
    other = pyramid(tmp_path / "a slide.tif", tissue(640, 768, seed=1))
    flags = ["--run", str(run), str(slide), str(other), "--tiles", "--trained-mpp", "1",
             "--output", str(tmp_path / "out")]  # fmt: skip
    assert classification.main("breakhis", flags) == 0
    assert {each.name for each in (tmp_path / "out").iterdir()} == {
        "a slide-tiles", "a slide-2-tiles"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--mpp", "0.5"], "--mpp: is for slides, with --tiles"),
        (["--tiles", "--gradcam", "x"], "--gradcam: is for images, not with --tiles"),
        (["--tiles", "--skip-bad"], "--skip-bad: is for images, not with --tiles"),
        (["--tiles", "--images", "x.csv"], "--images: is for images, not with --tiles"),
        (["nosuch.svs", "--tiles"], "nosuch.svs: no such file"),
        (["--tiles", "--stride", "0"], "--stride 0: from 0.05 to 10"),
        (["--tiles", "--stride", "nan"], "--stride nan"),
        (["--tiles", "--least-tissue", "2"], "--least-tissue 2: a share"),
        (["--tiles", "--mpp", "nan", "--trained-mpp", "1"], "--mpp nan: from 0.02 to 20"),
        (["--tiles", "--trained-mpp", "0"], "--trained-mpp 0: from 0.02"),
        (["--tiles", "--magnification", "70X"], "--magnification 70X: the run was trained at"),
        (["--tiles", "--map-class", "x"], "--map-class x: the run has benign, malignant"),
        (["--tiles", "--tile-size", "9x9000"], "--tile-size 9x9000: from 16 to 8192"),
    ],
)
def test_flags_that_say_nothing_or_cannot_be(run, slide, model, flags, words):
    with pytest.raises(InputError, match=re.escape(words)):
        classification.main("breakhis", ["--run", str(run), str(slide), *flags])


def test_who_gives_a_slide_without_tiles_is_told_of_them(run, model, tmp_path):
    (tmp_path / "a.SVS").write_bytes(b"II*\x00")
    with pytest.raises(
        InputError, match=r"a\.SVS: .*\na whole slide is read in parts with --tiles"
    ):
        classification.main("breakhis", ["--run", str(run), str(tmp_path / "a.SVS")])
    with pytest.raises(InputError) as error:
        classification.predict(runs.load(run), [tmp_path / "no slide.png"])
    assert "--tiles" not in str(error.value)


def test_what_is_not_known_is_asked_for(run, tmp_path):
    made = runs.load(run)
    with pytest.raises(InputError, match=r"choose the one .* with --magnification"):
        field_of(made)
    assert field_of(made, magnification="100X") == Field(64, 96, 0.625)
    assert field_of(made, mpp=0.7, size=(50, 60)) == Field(50, 60, 0.7)
    with pytest.raises(InputError, match="say the same"):
        field_of(made, mpp=0.7, magnification="100X")
    made.record.dataset = "mine"
    with pytest.raises(InputError, match="--trained-mpp MICROMETRES"):
        field_of(made)
    made.record.facts["trained_size"] = None
    with pytest.raises(InputError, match="--tile-size WIDTHxHEIGHT"):
        field_of(made)


def test_a_slide_that_is_coarser_than_the_training_images_is_told(run, model, tmp_path, capsys):
    coarse = pyramid(tmp_path / "a.tif", tissue(320, 384), mpp=1.0)
    predict(run, coarse, tmp_path / "out", "--mpp", 2)
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert "--mpp 2 is taken, though the file says 1 micrometres per px" in warned[0]
    assert "enlarged 2.0 times" in warned[1]
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "enlarged 2.0 times" in page and "as --mpp says" in page


def test_nothing_is_half_written_where_the_slide_is_damaged(run, model, small_steps, tmp_path):
    path = pyramid(tmp_path / "a.tif", tissue(640, 768), compression="deflate", tile=128)
    import tifffile

    with tifffile.TiffFile(path) as file:
        level = file.pages[0].pages[0]
        offset, count = level.dataoffsets[4], level.databytecounts[4]
    data = path.read_bytes()
    path.write_bytes(data[:offset] + b"\xff" * count + data[offset + count :])
    with pytest.raises(InputError, match=r"a.tif: cannot be decoded at x .* damaged: copy"):
        predict(run, path, tmp_path / "out", "--least-tissue", 0)
    assert not set(FILES) & {each.name for each in tmp_path.glob("out/*")}


# --- pictures ------------------------------------------------------------------------------------


def test_maps_leave_glass_and_hide_more_the_hotter():
    thumbnail = np.full((400, 700, 3), 240, np.uint8)
    heat = np.full((400, 700), np.nan)
    heat[100:200, :350], heat[100:200, 350:] = 0.0, 1.0
    name = "a\nname of " + 40 * "many words "
    figure = figures.heat_map(thumbnail, heat, name, "Probability of x", 2.0)
    image = drawn(figure)
    top, left, wide = round(0.34 * 150), 15, 1050

    def at(y, x):
        return image[top + round(y * wide / 700), left + round(x * wide / 700)].tolist()

    assert at(50, 300) == at(300, 600) == [240, 240, 240]
    low, high = np.array([68, 1, 84]), np.array([253, 231, 37])  # viridis, its ends
    assert at(150, 100) == pytest.approx((0.75 * 240 + 0.25 * low).tolist(), abs=1.1)
    assert at(150, 600) == pytest.approx((0.25 * 240 + 0.75 * high).tolist(), abs=1.1)
    assert "Probability of x" in figure.get_label()

    classes = np.full((400, 700), -1)
    classes[:200], classes[200:, :350] = 0, 11
    figure = figures.class_map(thumbnail, classes, [f"class {i}" for i in range(12)], name, 2.0)
    image = drawn(figure)
    expected = [np.rint(0.4 * 240 + 0.6 * np.array(figures.colour_of(i))).tolist() for i in (0, 11)]
    assert at(100, 500) == expected[0] and at(300, 100) == expected[1]
    assert at(300, 600) == [240, 240, 240]


def drawn(figure):
    from common.figures.png import pixels

    return pixels(figure)
