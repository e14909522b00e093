from __future__ import annotations

import base64
import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common import figures, metrics, notices
from common.errors import InputError
from common.figures import png


def texts(figure) -> list[str]:
    from matplotlib.text import Text

    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def history(epochs: int = 20) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "loss": 1 / epoch,
            "accuracy": 1 - 0.5 / epoch,
            "val_loss": 1 / epoch + 0.1,
            "val_accuracy": 0.9 - 0.3 / epoch,
            "learning_rate": np.where(epoch <= 10, 1e-4, 1e-5),
        }
    )


def pictures(count: int, side: int = 16) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count)]


def read(path) -> tuple[np.ndarray, dict]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")), dict(image.info)


def everything() -> dict:
    """One figure of each kind."""
    rng = np.random.default_rng(0)
    truth = rng.random(60) < 0.5
    scores = truth + rng.normal(size=60)
    curve = metrics.roc_curve(truth, scores)
    probabilities = rng.dirichlet((1, 1), 60)
    cases = pd.DataFrame(
        {"case": ["a", "b", "c"], "label": ["x", "y", "x"], "n": [3, 4, 5],
         "accuracy": [0.5, 1.0, 0.25]}
    )  # fmt: skip
    return {
        "curves": figures.learning_curves(history()),
        "matrix": figures.confusion_matrix([[3, 1], [0, 4]], ("x", "y")),
        "roc": figures.roc({"x": (curve[0], curve[1], metrics.auc(truth, scores))}),
        "reliability": figures.reliability(
            metrics.reliability(truth.astype(int), probabilities), 0.125
        ),
        "abstaining": figures.risk_coverage(*metrics.risk_coverage(truth, scores), (0.5, 0.25)),
        "cases": figures.per_case(cases),
        "gradcam": figures.gradcam_gallery(
            pictures(2), {"Stage 1": [np.eye(4)] * 2, "Stage 2": [np.zeros((2, 2))] * 2}, ["a", "b"]
        ),
        "examples": figures.examples(pictures(3), ["a", "b", "c"]),
        "mistakes": figures.mistakes(pictures(5), list("abcde")),
        "pairs": figures.pairs([tuple(pictures(2))], [("train: a.png", "test: b.png")], ["copy"]),
    }


# --- files -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("figures")
    return {
        name: figures.save(figure, folder / f"{name}.png", synthetic=True)
        for name, figure in everything().items()
    }


def test_the_same_figure_gives_the_same_bytes_without_a_date(saved, tmp_path):
    for name, figure in everything().items():
        for _ in range(2):
            path = figures.save(figure, tmp_path / f"{name}.png", synthetic=True)
            assert path.read_bytes() == saved[name].read_bytes(), name
        assert {"SYNTHETIC", "dpi"} <= set(read(path)[1]) <= {"SYNTHETIC", "dpi", "Description"}


def test_synthetic_figures_carry_a_strip_that_hides_nothing_and_a_text_chunk(tmp_path):
    figure = figures.confusion_matrix(np.eye(4, dtype=int), tuple("abcd"))
    plain, info = read(figures.save(figure, tmp_path / "plain.png"))
    assert "SYNTHETIC" not in info
    labelled, info = read(figures.save(figure, tmp_path / "labelled.png", synthetic=True))
    assert info["SYNTHETIC"] == notices.SYNTHETIC
    strip = labelled.shape[0] - plain.shape[0]
    assert 25 <= strip <= 60
    np.testing.assert_array_equal(labelled[strip:], plain)
    orange = np.array([0xE6, 0x9F, 0x00])
    assert (labelled[:strip] == orange).all(axis=2).mean() > 0.5
    assert (labelled[:strip] == 0).all(axis=2).sum() > 100  # black letters


def test_strip_shortens_its_words_to_its_width():
    wide, narrow = png._strip(900), png._strip(200)
    assert wide.shape[1] == 900
    assert narrow.shape[1] == 200
    for strip in (wide, narrow):
        ink = (strip < 80).all(axis=2).any(axis=0)
        assert ink.any()
        assert not ink[:4].any()
        assert not ink[-4:].any()


def test_resolution_is_150_dpi_and_width_fits_the_page(saved):
    for name, path in saved.items():
        pixels, info = read(path)
        assert info["dpi"] == pytest.approx((150, 150), abs=0.1)
        assert pixels.shape[1] <= 150 * figures.WIDTH + 1, name
        assert (pixels[-1] == 255).all(), f"{name} is cut off below"


def test_description_is_kept_for_readers_who_do_not_see(tmp_path):
    figure = figures.examples(pictures(2), ["benign\n40X", "malignant <b>"])
    _, info = read(figures.save(figure, tmp_path / "a.png"))
    assert info["Description"] == "Example images: benign, 40X; malignant <b>"
    _, info = read(figures.save(figure, tmp_path / "b.png", description="other words"))
    assert info["Description"] == "other words"


def test_data_uri_round_trip_and_jpeg_above_the_limit(tmp_path):
    path = figures.save(figures.examples(pictures(4, 200), list("abcd")), tmp_path / "a.png")
    head, data = figures.data_uri(path, limit=10**9).split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == path.read_bytes()
    head, data = figures.data_uri(path, limit=1000).split(",")
    assert head == "data:image/jpeg;base64"
    decoded = base64.b64decode(data)
    assert len(decoded) < path.stat().st_size
    with Image.open(io.BytesIO(decoded)) as image:
        assert image.size == read(path)[0].shape[1::-1]
    figure = figures.roc({"x": ([0, 1], [0, 1], 0.5)})
    assert figures.data_uri(figure).startswith("data:image/png;base64,")


def test_data_uri_names_a_file_that_is_no_picture(tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    with pytest.raises(InputError, match=r"broken\.png"):
        figures.data_uri(path)


def test_threads_draw_without_pyplot_and_leave_settings_alone():
    code = """
import sys
from concurrent.futures import ThreadPoolExecutor
import matplotlib
before = matplotlib.rcParams.copy()
from common import figures
def draw(number):
    figure = figures.confusion_matrix([[number, 1], [0, 4]], ("x", "y"))
    return figures.data_uri(figure)
alone = [draw(n) for n in range(4)]
with ThreadPoolExecutor(4) as pool:
    assert list(pool.map(draw, range(4))) == alone
assert "matplotlib.pyplot" not in sys.modules
assert matplotlib.rcParams.copy() == before
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


# --- what is drawn -----------------------------------------------------------------------------


def test_learning_curves_mark_the_kept_epoch_and_the_step_in_the_rate():
    figure = figures.learning_curves(history(), best=7)
    loss, accuracy, rate = figure.axes
    np.testing.assert_allclose(loss.lines[0].get_ydata(), 1 / np.arange(1, 21))
    rings = [line for line in accuracy.lines if line.get_markersize() == 7]
    assert [float(ring.get_xdata()[0]) for ring in rings] == [7]
    assert float(rings[0].get_ydata()[0]) == pytest.approx(0.9 - 0.3 / 7)
    for axes in (loss, accuracy, rate):
        uprights = {tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2}
        assert {(10.5, 10.5), (7, 7)} <= uprights
    assert {"training", "validation", "learning rate changes", "kept: epoch 7"} <= set(
        texts(figure)
    )


def test_learning_curves_without_validation_without_rate_and_with_nan():
    frame = history(5)[["epoch", "loss", "accuracy"]]
    figure = figures.learning_curves(frame)
    assert len(figure.axes) == 2
    assert "validation" not in texts(figure)
    frame = history(5).assign(val_loss=np.nan, loss=[np.nan, 1, 2, np.nan, 3])
    assert texts(figures.learning_curves(frame))
    assert texts(figures.learning_curves(history(1)))


def test_powers_of_ten_are_written_with_raised_digits():
    falling = history().assign(loss=10.0 ** -np.linspace(0, 4, 20), val_loss=np.nan)
    figure = figures.learning_curves(falling)
    assert {"10⁻⁴", "10⁻²", "10⁰"} <= set(texts(figure))
    assert {"10⁻⁴", "10⁻⁵"} <= {label.get_text() for label in figure.axes[2].get_yticklabels()}


def test_nothing_reaches_the_edge_of_a_figure():
    """Margins are reckoned, not laid out: what was cut off would touch the edge."""
    curves = {f"{'class'} {i}": ([0, 1], [0, 1], 0.5) for i in range(8)}
    table = pd.DataFrame(
        {"case": [f"SOB_M_{i}" for i in range(95)], "n": 1, "accuracy": np.linspace(0, 1, 95),
         "label": [f"class {i % 8}" for i in range(95)]}
    )  # fmt: skip
    drawn = everything() | {
        "loss": figures.learning_curves(history().assign(loss=np.linspace(100_000, 1, 20))),
        "long": figures.confusion_matrix(
            np.eye(8, dtype=int), [f"ductal carcinoma {i}" for i in range(8)]
        ),
        "eight": figures.roc(curves),
        "many": figures.per_case(table),
        "gan": figures.curves(
            {name: {"a": ([1, 2], [1e-5, 3e-5]), "b": ([1, 2], 2e-5)} for name in "xyz"}, "kimg"
        ),
    }
    for name, figure in drawn.items():
        pixels = png.pixels(figure)
        for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            assert (edge == 255).all(), name


def test_the_marks_of_a_single_epoch_are_whole():
    figure = figures.learning_curves(history(1))
    png.pixels(figure)
    for axes in figure.axes:
        box = axes.get_window_extent()
        for line in axes.lines:
            _, y = axes.transData.transform(line.get_xydata()[0])
            radius = line.get_markersize() / 2 * figure.dpi / 72
            assert box.y0 + radius < y < box.y1 - radius


def test_confusion_matrix_counts_and_row_percent():
    figure = figures.confusion_matrix([[30, 10, 0], [1, 2, 1], [0, 0, 0]], ("a", "b", "c"))
    found = texts(figure)
    for expected in ("30", "75.0 %", "10", "25.0 %", "50.0 %"):
        assert expected in found
    assert found.count("–") == 3  # the class without images
    assert {"True class", "Predicted class"} <= set(found)


def test_confusion_matrix_with_the_wrong_shape_is_refused():
    with pytest.raises(InputError, match=r"3 classes.*\(2, 2\)"):
        figures.confusion_matrix([[1, 0], [0, 1]], ("a", "b", "c"))


@pytest.mark.parametrize("count", range(2, 9))
def test_confusion_matrix_has_no_overlapping_text(count):
    matrix = np.full((count, count), 1234)
    figure = figures.confusion_matrix(matrix, [f"class {i}" for i in range(count)])
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    boxes += [label.get_window_extent() for label in figure.axes[0].get_xticklabels()[:1]]
    boxes += [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            assert not a.overlaps(b)


def test_roc_draws_the_curves_with_their_areas():
    curves = {"a": ([0, 0, 1], [0, 1, 1], 1.0), "b": ([0, 1], [0, 1], 0.5)}
    figure = figures.roc(curves)
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.lines[1].get_xydata(), [[0, 0], [0, 1], [1, 1]])
    assert {"a 1.000", "b 0.500"} <= set(texts(figure))
    many = figures.roc({str(i): ([0, 1], [0, 1], 0.5) for i in range(8)})
    looks = {(line.get_color(), str(line.get_linestyle())) for line in many.axes[0].lines[1:]}
    assert len(looks) == 8


def test_risk_coverage_has_the_curve_the_whole_and_the_threshold():
    figure = figures.risk_coverage([0.5, 1.0], [0.1, 0.3], (0.5, 0.1))
    whole, curve, kept = figure.axes[0].lines
    assert curve.get_xdata().tolist() == [50, 100]
    assert curve.get_ydata() == pytest.approx([10, 30])
    assert whole.get_ydata() == pytest.approx([30, 30])
    assert (kept.get_xdata()[0], kept.get_ydata()[0]) == (50, 10)
    assert figure.axes[0].get_ylim()[1] > 30
    without = figures.risk_coverage([1.0], [0.0])  # a single image, and right
    assert len(without.axes[0].lines) == 2 and without.axes[0].get_ylim() == (0, 5)


def test_reliability_leaves_empty_bins_out():
    labels = np.array([0, 0, 0, 1])
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    bins = metrics.reliability(labels, probabilities, bins=10)
    figure = figures.reliability(bins, metrics.ece(labels, probabilities, bins=10))
    points = figure.axes[0].lines[-1].get_xydata()
    np.testing.assert_allclose(points, [[0.6, 0.5], [0.9, 1.0]])
    heights = [bar.get_height() for bar in figure.axes[1].patches]
    assert sum(heights) == 4
    # (2 * |0.5 - 0.6| + 2 * |1 - 0.9|) / 4
    assert "expected calibration error 0.100" in texts(figure)


def test_per_case_is_sorted_and_keeps_the_classes_colours():
    table = pd.DataFrame(
        {"case": ["p", "q", "r"], "label": ["y", "x", "y"], "n": [10, 20, 30],
         "accuracy": [0.2, 0.9, 0.5]}
    )  # fmt: skip
    figure = figures.per_case(table, ("x", "y"))
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["q", "r", "p"]
    dots = {line.get_marker(): line for line in axes.lines if line.get_marker() in figures.MARKERS}
    found = {
        mark: (line.get_color(), [tuple(map(float, each)) for each in line.get_xydata()])
        for mark, line in dots.items()
    }  # q, of x, stands first; r and p of y below it
    assert found == {
        "o": (figures.COLOURS[0], [(0.9, 0.0)]), "s": (figures.COLOURS[1], [(0.5, 1.0), (0.2, 2.0)])
    }  # fmt: skip
    assert {"20", "30", "10", "x", "y"} <= set(texts(figure))


def test_per_case_keeps_a_mark_at_zero_and_its_name_apart():
    table = pd.DataFrame({"case": ["a name"], "label": ["x"], "n": [1], "accuracy": [0.0]})
    figure = figures.per_case(table)
    png.pixels(figure)
    (axes,) = figure.axes
    point = figure.dpi / 72
    mark = axes.transData.transform((0, 0))[0] - 5.5 / 2 * point
    assert mark - axes.get_yticklabels()[0].get_window_extent().x1 > 2 * point


@pytest.mark.parametrize("count", [1, 31, 100])
def test_per_case_shows_every_patient(count):
    table = pd.DataFrame(
        {"case": [f"c{i}" for i in range(count)], "label": "x", "n": 1,
         "accuracy": np.linspace(0, 1, count)}
    )  # fmt: skip
    assert {f"c{i}" for i in range(count)} <= set(texts(figures.per_case(table)))


def boxes(figure) -> dict:
    """Where each text of a figure stands: left, top, right, bottom in pixels from above."""
    figure.canvas.draw()
    height = figure.bbox.height
    found = {text.get_text(): text.get_window_extent() for text in figure.texts}
    return {name: (b.x0, height - b.y1, b.x1, height - b.y0) for name, b in found.items()}


def test_gradcam_gallery_lets_the_image_show_where_the_map_is_zero():
    images = [np.full((32, 32, 3), 200, np.uint8)]
    names = ["Image", "Stage 1", "Stage 2"]
    figure = figures.gradcam_gallery(
        images, {"Stage 1": [np.zeros((4, 4))], "Stage 2": [np.ones((4, 4))]}, ["title"]
    )
    pixels, where = png.pixels(figure).astype(int), boxes(figure)
    assert {*names, "title"} <= set(where)
    row = round(where["title"][3]) + 60
    colours = [pixels[row, round((where[n][0] + where[n][2]) / 2)] for n in names]
    np.testing.assert_allclose(colours[0], 200, atol=1)
    np.testing.assert_allclose(colours[1], 200, atol=1)
    # A quarter of 200, three quarters of viridis' yellow.
    np.testing.assert_allclose(colours[2], 50 + 0.75 * np.array([253, 231, 36]), atol=1.5)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (32, 32)])
def test_maps_cover_the_whole_of_their_picture(shape):
    """Wherever the picture is, the map is: no band of it is left empty, none stands beside it."""
    image = np.full((*shape, 3), 100, np.uint8)
    figure = figures.gradcam_gallery([image], {"Stage 1": [np.ones((3, 5))]}, ["title"])
    pixels = png.pixels(figure).astype(int)
    grey, hot = ((np.abs(pixels - c).max(axis=2) <= 2) for c in (
        np.array([100, 100, 100]), 25 + 0.75 * np.array([253, 231, 36])
    ))  # fmt: skip
    (rows, columns), (hot_rows, hot_columns) = (
        (np.flatnonzero(mask.sum(axis=1) > 50), np.flatnonzero(mask.sum(axis=0) > 50))
        for mask in (grey, hot)
    )
    assert (rows[0], rows[-1]) == (hot_rows[0], hot_rows[-1])
    assert len(columns) == len(hot_columns)
    assert len(rows) / len(columns) == pytest.approx(shape[0] / shape[1], rel=0.02)
    assert grey[np.ix_(rows, columns)].all() and hot[np.ix_(hot_rows, hot_columns)].all()


def test_pictures_of_two_shapes_in_one_gallery_are_not_distorted():
    images = [np.full((h, w, 3), 100, np.uint8) for h, w in ((20, 60), (60, 60))]
    figure = figures.gradcam_gallery(images, {"A": [np.zeros((2, 2))] * 2}, ["a", "b"])
    grey = (png.pixels(figure) == 100).all(axis=2)
    column = grey[:, np.flatnonzero(grey.any(axis=0))[20]]
    heights = np.diff(np.flatnonzero(np.diff(np.r_[0, column.astype(int), 0])))[::2]
    assert heights[1] / heights[0] == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize("shape", [(40, 60), (300, 200), (224, 224)])
def test_overlays_are_galleries_of_one_image_to_the_last_pixel(shape, tmp_path):
    """Also for the second image of a shape, and for titles of other lengths and lines."""
    rng = np.random.default_rng(0)
    overlays = figures.Overlays()
    titles = ["a.png\nbenign, 90.1 %", "$b$_y.png\nmalignant, 50 %", "x " * 90 + "\nend", "one"]
    for number, title in enumerate(titles):
        image = rng.integers(0, 256, (*shape, 3), np.uint8)
        maps = {f"Stage {n}": rng.random((n, n + 1), np.float32) for n in (1, 5, 9)}
        figure = figures.gradcam_gallery([image], {k: [v] for k, v in maps.items()}, [title])
        expected = png.pixels(figure)
        np.testing.assert_array_equal(overlays.draw(image, maps, title), expected)
        synthetic = number == 1
        ours = overlays.save(tmp_path / "ours.png", image, maps, title, synthetic)
        theirs = figures.save(figure, tmp_path / "theirs.png", synthetic)
        with Image.open(ours) as mine, Image.open(theirs) as other:
            np.testing.assert_array_equal(np.asarray(mine), np.asarray(other))
            mine.load()
            assert mine.text == other.text and set(mine.text) >= {"Description"}
            assert mine.info["dpi"] == other.info["dpi"]


@pytest.mark.parametrize("stages", [1, 2, 4])
def test_the_words_below_a_gradcam_gallery_are_apart(stages):
    maps = {f"Stage {i}": [np.eye(4)] for i in range(stages)}
    figure = figures.gradcam_gallery(pictures(1), maps, ["a"])
    where = boxes(figure)
    words = next(box for name, box in where.items() if name.startswith("Evidence"))
    low, high = where["0"], where["1"]
    assert low[2] < words[0] and words[2] < high[0]
    assert low[0] >= 0 and high[2] <= figure.bbox.width
    assert max(low[3], words[3], high[3]) <= figure.bbox.height


def test_pairs_stand_side_by_side_with_their_words_above(tmp_path):
    wide, tall, small = (np.full((h, w, 3), 90, np.uint8) for h, w in ((46, 70), (70, 46), (9, 9)))
    figure = figures.pairs(
        [(wide, wide), (tall, small)],
        [("train: a.png", "test: b.png"), ("train: c $x$.png", "test: " + "d" * 90)],
        ["exact copy", "54 of 256 bits differ"],
    )
    where = boxes(figure)
    above = list(where)
    assert above[:3] == [
        "exact copy\ntrain: a.png", "test: b.png", "54 of 256 bits differ\ntrain: c $x$.png"
    ]  # fmt: skip
    assert "…" in above[3]
    dark = (png.pixels(figure) == 90).all(axis=2)
    half = dark.shape[1] // 2
    for texts_of_row in (above[:2], above[2:]):
        below = round(max(where[text][3] for text in texts_of_row))
        sides = [dark[below + 40, :half], dark[below + 40, half:]]
        assert all(side.any() for side in sides)
        tops = [np.flatnonzero(part.any(axis=1) & (np.arange(len(part)) > below - 3))[0]
                for part in (dark[:, :half], dark[:, half:])]  # fmt: skip
        assert tops[0] == tops[1]
    _, info = read(figures.save(figure, tmp_path / "a.png"))
    assert info["Description"].startswith(
        "Pairs of images: train: a.png; test: b.png: exact copy; train: c $x$.png"
    )


def test_sheets_without_images_are_refused():
    for draw in (figures.examples, figures.mistakes):
        with pytest.raises(InputError, match="no images"):
            draw([], [])
    with pytest.raises(InputError, match="no images"):
        figures.gradcam_gallery([], {}, [])
    with pytest.raises(InputError, match="no images"):
        figures.pairs([], [], [])


def test_names_are_drawn_literally_and_within_their_room():
    names = ["$\\frac{1}{0$", "日本.png", "bell\x07", "SOB_M_DC-14-" + "9" * 60, "two words " * 9]
    figure = figures.mistakes(pictures(5), names)
    where = boxes(figure)
    shown = list(where)
    assert shown[:3] == ["$\\frac{1}{0$", "??.png", "bell?"]
    assert shown[3].startswith("SOB_M_DC")
    assert "…" in shown[3]
    assert "\n" in shown[4]
    for number, text in enumerate(shown):
        left = figure.bbox.width / 4 * (number % 4)
        assert left <= where[text][0] and where[text][2] <= left + figure.bbox.width / 4
    assert texts(figures.roc({"$a_$": ([0, 1], [0, 1], 0.5)}))
    assert texts(figures.confusion_matrix([[1, 0], [0, 1]], ("$x^$", "y")))


def test_mosaic_shows_every_pixel_and_parts_the_images():
    images = pictures(5, side=8)
    figure = figures.mosaic({"first": images[:3], "second": images[3:]}, columns=2)
    assert texts(figure) == ["first", "second"]
    pixels, where = png.pixels(figure), boxes(figure)
    scale = round((figures.WIDTH - 0.4) * figures.DPI) / 17  # two images and a line between them
    left = round(0.35 * figures.DPI)
    top = round(0.05 * figures.DPI)

    def at(row, column):  # a pixel of the first block, at its middle
        return pixels[round(top + (row + 0.5) * scale), round(left + (column + 0.5) * scale)]

    for row in range(8):
        for column in range(8):
            np.testing.assert_array_equal(at(row, column), images[0][row, column])
            np.testing.assert_array_equal(at(row, column + 9), images[1][row, column])
            np.testing.assert_array_equal(at(row + 9, column), images[2][row, column])
    assert (at(8, 3) == 255).all() and (at(3, 8) == 255).all() and (at(12, 12) == 255).all()
    middles = [(box[1] + box[3]) / 2 for box in where.values()]
    assert middles[0] == pytest.approx(top + 8.5 * scale, abs=3)
    assert middles[1] == pytest.approx(top + 17 * scale + 0.1 * figures.DPI + 4 * scale, abs=4)
