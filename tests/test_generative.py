"""FID, KID, coverage and copies against hand-computed cases and independent implementations."""

import keras
import numpy as np
import pytest

from common import generative
from common.errors import InputError


def normal(seed, n, d, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + shift


def fid_by_matrix_root(x, y):
    """The formula as printed in the FID paper, with SciPy's root of the product."""
    import scipy.linalg

    cx, cy = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(cx @ cy)
    gap = x.mean(0) - y.mean(0)
    return gap @ gap + np.trace(cx) + np.trace(cy) - 2 * np.trace(root).real


def kid_by_loops(x, y):
    def k(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    xy = sum(k(a, b) for a in x for b in y) / (n * m)
    return xx + yy - 2 * xy


# --- FID ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 16), (60, 90, 5), (2000, 40, 32)])
def test_fid_is_the_printed_formula(n, m, d):
    x, y = normal(0, n, d), normal(1, m, d, shift=0.3)
    assert generative.fid(x, y) == pytest.approx(fid_by_matrix_root(x, y), rel=1e-6)


def test_fid_of_one_feature_by_hand():
    # Means 1 and 4, standard deviations 1 and 3: 3^2 + (3 - 1)^2.
    x, y = np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [4.0], [7.0]])
    assert generative.fid(x, y) == pytest.approx(13)


def test_fid_with_fewer_images_than_features():
    """Rank-deficient covariances: the root by eigenvalues of the symmetric product."""
    import scipy.linalg

    x, y = normal(0, 10, 64), normal(1, 7, 64)
    cx, cy = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    values, vectors = scipy.linalg.eigh(cx)
    half = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    root = np.sqrt(np.clip(scipy.linalg.eigvalsh(half @ cy @ half), 0, None)).sum()
    gap = x.mean(0) - y.mean(0)
    expected = gap @ gap + np.trace(cx) + np.trace(cy) - 2 * root
    assert generative.fid(x, y) == pytest.approx(expected, rel=1e-6)


def test_fid_of_a_set_with_itself_and_of_a_shift():
    x = normal(0, 50, 80)
    scale = np.trace(np.cov(x, rowvar=False))
    assert abs(generative.fid(x, x)) < 1e-9 * scale
    shift = np.linspace(0, 1, 80)
    assert generative.fid(x, x + shift) == pytest.approx(shift @ shift, rel=1e-6)
    y = normal(1, 30, 80)
    assert generative.fid(x, y) == pytest.approx(generative.fid(y, x), rel=1e-9)
    assert generative.fid(x[::-1], y) == pytest.approx(generative.fid(x, y), rel=1e-9)


def test_float32_features_are_computed_in_float64():
    x = normal(0, 200, 8).astype(np.float32) + np.float32(1000)
    y = normal(1, 200, 8).astype(np.float32) + np.float32(1000)
    expected = fid_by_matrix_root(x.astype(np.float64), y.astype(np.float64))
    assert generative.fid(x, y) == pytest.approx(expected, rel=1e-6)


# --- KID ---------------------------------------------------------------------------------------


def test_kid_is_the_double_loop():
    x, y = normal(0, 24, 6), normal(1, 17, 6, shift=0.2)
    assert generative.kid(x, y, blocks=2).value == pytest.approx(kid_by_loops(x, y), rel=1e-9)


def test_kid_by_hand():
    # Kernel (ab + 1)^3: of 0 and 1 with each other 1, of 2 and 2 125; across 1, 27 each twice.
    x, y = np.array([[0.0], [1.0], [0.0], [1.0]]), np.full((4, 1), 2.0)
    within = (2 * 1 + 2 * 8 + 8 * 1) / 12  # pairs 0-0, 1-1, 0-1
    assert generative.kid(x, y, blocks=2).value == pytest.approx(within + 125 - 2 * 14)


def test_kid_of_one_distribution_is_zero_on_average():
    values = [
        generative.kid(np.random.default_rng(2 * i).normal(size=(30, 4)),
                       np.random.default_rng(2 * i + 1).normal(size=(30, 4)), blocks=3).value
        for i in range(200)
    ]  # fmt: skip
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)


def test_kid_blocks_are_disjoint_and_give_the_error():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(50, 3)) + 1
    found = generative.kid(x, y, blocks=5, seed=3)
    assert len(found.blocks) == 5
    assert found.error == pytest.approx(np.std(found.blocks, ddof=1) / np.sqrt(5))
    again = generative.kid(x, y, blocks=5, seed=3)
    assert (again.value, again.error) == (found.value, found.error)
    # In sets of equal vectors every block says the same, and so does the whole.
    same = generative.kid(np.ones((20, 3)), np.zeros((20, 3)), blocks=5)
    np.testing.assert_allclose(same.blocks, 8 + 1 - 2)
    assert same.error == 0 and same.value == pytest.approx(7)


# --- precision, recall -------------------------------------------------------------------------


def test_precision_and_recall_at_the_extremes():
    x = normal(0, 40, 5)
    assert generative.precision_recall(x, x) == (1, 1)
    assert generative.precision_recall(x, x + 1e4) == (0, 0)
    # A generator that only draws one real image is precise and covers next to nothing.
    collapsed = x[:1] + 1e-9 * normal(1, 40, 5)
    precision, recall = generative.precision_recall(x, collapsed)
    assert precision == 1
    assert recall <= 1 / 40


def test_precision_and_recall_by_loops():
    x, y = normal(0, 30, 3), normal(1, 25, 3, shift=0.5)

    def inside(points, centres, k=3):
        hits = 0
        for p in points:
            for c in centres:
                radius = sorted(np.linalg.norm(c - other) for other in centres)[k]
                if np.linalg.norm(p - c) <= radius:
                    hits += 1
                    break
        return hits / len(points)

    assert generative.precision_recall(x, y) == (inside(y, x), inside(x, y))


def plain(x, y, neighbours):
    """Radii, nearest and both shares from all distances."""
    from scipy.spatial.distance import cdist

    radii = [np.sort(cdist(each, each), axis=1)[:, neighbours] for each in (x, y)]
    between = cdist(x, y)
    shares = (between <= radii[0][:, None]).any(axis=0), (between <= radii[1]).any(axis=1)
    return tuple(float(each.mean()) for each in shares), (between.argmin(1), between.min(1))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        np.round,  # many are equally far
        lambda x: np.concatenate([x[:1].repeat(len(x) // 2, 0), x[len(x) // 2 :]]),  # equal ones
        np.zeros_like,
        lambda x: x * 1e-3 + 1e6,  # far from 0, close to each other
        lambda x: x * 1e160,  # squares that overflow
        lambda x: x * 1e-170,  # and that vanish
        lambda x: x.astype(np.float32),
    ],
    ids=["drawn", "round", "equal", "zero", "far", "large", "small", "single"],
)
@pytest.mark.parametrize("n, size", [(40, 1), (60, 5), (600, 3)])
def test_the_screen_changes_no_result(change, n, size):
    x, y = change(normal(0, n, size)), change(normal(1, n + 3, size, shift=0.3))
    with np.errstate(over="ignore"):
        shares, (positions, distances) = plain(x.astype(float), y.astype(float), 3)
        assert generative.precision_recall(x, y) == shares
        found = generative.nearest(x, y)
    np.testing.assert_array_equal(found[0], positions)
    np.testing.assert_array_equal(found[1], distances)


# --- copies ------------------------------------------------------------------------------------


def test_nearest_skips_its_own_group():
    points = np.array([[0.0], [1.0], [10.0]])
    positions, distances = generative.nearest(np.array([[0.6]]), points)
    assert positions.tolist() == [1] and distances == pytest.approx([0.4])
    groups = ["a", "a", "b"]
    positions, distances = generative.nearest(
        points, points, query_groups=groups, reference_groups=groups
    )
    assert positions.tolist() == [2, 2, 1]
    assert distances.tolist() == [10, 9, 9]


def test_copies_are_found_and_new_images_are_not():
    train = np.random.default_rng(0).normal(size=(60, 8))
    fresh = np.random.default_rng(1).normal(size=(200, 8))
    new = generative.memorisation(train, fresh)
    assert 0.8 < new["median_ratio"] < 1.5
    assert new["below_half"] < 0.05
    copies = generative.memorisation(train, np.concatenate([train[:50], fresh[:50]]))
    assert copies["below_half"] == pytest.approx(0.5, abs=0.05)
    assert copies["smallest_ratio"] == 0
    assert copies["nearest"][:50].tolist() == list(range(50))


def test_mirror_images_do_not_hide_a_copy():
    """A training image's own variants are no measure of how far apart images lie."""
    train = np.array([[0.0], [0.001], [10.0], [10.001]])
    groups = [0, 0, 1, 1]
    found = generative.memorisation(train, np.array([[0.002]]), groups)
    assert found["ratio"][0] == pytest.approx(0.001 / 9.999)


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: generative.fid(x[:1], x), "at least 2"),
        (lambda x: generative.fid(x, x[:, :2]), "one network"),
        (lambda x: generative.fid(x[0], x), "shape"),
        (lambda x: generative.fid(x, np.full_like(x, np.nan)), "not finite"),
        (lambda x: generative.kid(x, x, blocks=1), "at least 2 blocks"),
        (lambda x: generative.kid(x, x[:5], blocks=3), "3 blocks of 5"),
        (lambda x: generative.precision_recall(x[:3], x), "give fewer"),
        (lambda x: generative.memorisation(x[:1], x), "other"),
    ],
)
def test_bad_features(call, words):
    with pytest.raises(InputError, match=words):
        call(normal(0, 10, 3))


# --- features ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    keras.utils.set_random_seed(0)
    return generative.FeatureNetwork(
        "mobilenet_v2", 32, weights="none", cache_dir=tmp_path_factory.mktemp("cache")
    )


def pictures(n, side=24):
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def test_features_are_the_pooled_last_map(network):
    import cv2

    from common import backbones

    images = pictures(5)
    found = network(images, batch_size=2)
    resized = np.stack(
        [cv2.resize(image, (32, 32), interpolation=cv2.INTER_LINEAR) for image in images]
    )
    inputs, last = backbones.features("mobilenet_v2", 32, bn_momentum=None)
    twin = keras.Model(inputs, last)
    twin.set_weights(network.model.get_weights())
    expected = twin.predict_on_batch(resized.astype(np.float32)).mean(axis=(1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert found.shape == (5, 1280) and found.dtype == np.float32
    assert network.record["resize"] == "OpenCV linear, 8 bit"
    assert "not comparable" in network.record["comparable"]


def test_features_are_kept_and_a_damaged_file_is_replaced(network, monkeypatch):
    images = pictures(3)
    first = network(images, keep=True)
    (file,) = network.cache_dir.glob("*.npy")

    def fail(*_):
        raise AssertionError("computed again")

    with monkeypatch.context() as patch:
        patch.setattr(network, "_batch", fail)
        np.testing.assert_array_equal(network(images, keep=True), first)
        with pytest.raises(AssertionError, match="computed again"):
            network(images[::-1], keep=True)

    def as_archive():
        with file.open("wb") as stream:
            np.savez(stream, first)

    for damage in (
        lambda: file.write_bytes(file.read_bytes()[:100]),
        lambda: np.save(file, first[:2]),  # of other images
        as_archive,
        lambda: file.write_bytes(file.read_bytes().replace(b"(3, 1280)", b"(9999,9,)")),
    ):
        damage()
        np.testing.assert_array_equal(network(images, keep=True), first)
        np.testing.assert_array_equal(np.load(file), first)


def test_features_refuse_what_is_no_image(network):
    with pytest.raises(InputError, match="uint8"):
        network(pictures(2).astype(np.float32))
    with pytest.raises(InputError, match="resize filter"):
        generative.FeatureNetwork("mobilenet_v2", 32, weights="none", resize_filter="box")
