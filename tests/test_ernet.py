"""ERNet: the block by hand, published counts, folds, stain target, printed numbers, comparison."""

import dataclasses
import functools
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from keras import ops

from common import backbones, confidence, evaluation, images, metrics, runs, splits, stain, tables
from common import config as configuration
from common.config import Execution
from common.datasets import synthetic
from common.errors import InputError
from common.files import write_csv, write_json
from ernet import compare, complexity, data
from ernet.config import BLOCKS, PRESETS, Config, check, leaks
from ernet.model import (
    EPSILON,
    DenseShortcut,
    ShortcutNorm,
    build_model,
    gradcam_layers,
    shortcut_parameters,
)

SMALL = Config(network="ernet18", image_size=32, magnifications=("100X",))


def array(value):
    return ops.convert_to_numpy(value)


def outputs(model, names, pixels):
    """Outputs of layers in inference, by name."""
    layers = keras.Model(model.inputs[0], {name: model.get_layer(name).output for name in names})
    return {name: array(output) for name, output in layers(pixels).items()}


def stirred(model, seed=0):
    """Give a model other than its initial shortcut weights and statistics; returns it."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, DenseShortcut):
            layer.scales.assign(rng.normal(0.5, 1, layer.scales.shape))
        if isinstance(layer, ShortcutNorm | keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(0, 1, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, layer.moving_variance.shape))
    return model


@pytest.fixture(scope="module")
def ernet18():
    keras.utils.set_random_seed(0)
    return stirred(build_model(SMALL))


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(1).integers(0, 256, (8, 32, 32, 3)).astype("float32")


# --- the block ---------------------------------------------------------------------------------


def test_sum_of_a_block_by_hand(ernet18, pixels):
    """y_2 = ReLU(F_2 + w_20 N(y_0) + w_21 N(y_1)) of a stage, y_0 its projection."""
    names = ["conv3_block1_0_bn", "conv3_block1_out", "conv3_block2_2_bn", "conv3_block2_out"]
    projection, first, branch, second = outputs(ernet18, names, pixels).values()
    weights = array(ernet18.get_layer("conv3_block2_er").scales)
    expected = branch
    for n, (source, weight) in enumerate(zip((projection, first), weights, strict=True), start=1):
        norm = ernet18.get_layer(f"conv3_block{n}_er_norm")
        mean, variance = array(norm.moving_mean), array(norm.moving_variance)
        expected = expected + weight * (source - mean) / np.sqrt(variance + EPSILON)
    np.testing.assert_allclose(second, np.maximum(expected, 0), rtol=1e-3, atol=1e-3)


def test_no_identity_remains(ernet18, pixels):
    """With all shortcut weights 0 a block gives its convolutions alone."""
    layer = ernet18.get_layer("conv4_block2_er")
    kept = array(layer.scales)
    layer.scales.assign(np.zeros_like(kept))
    branch, out = outputs(ernet18, ["conv4_block2_2_bn", "conv4_block2_out"], pixels).values()
    layer.scales.assign(kept)
    np.testing.assert_array_equal(out, np.maximum(branch, 0))


def test_sum_at_the_input_by_hand(pixels):
    """Equation 10 literally: y_3 = ReLU(F_3(y_2 + w N(y_1))), and no other shortcut."""
    config = dataclasses.replace(SMALL, network="ernet34", er_sum="input")
    model = stirred(build_model(config))
    assert shortcut_parameters(model)[0] == 1 + 3 + 10 + 1
    names = [
        "conv2_block1_out", "conv2_block2_out", "conv2_block3_add", "conv2_block3_2_bn",
        "conv2_block3_out",
    ]  # fmt: skip
    first, second, entered, branch, out = outputs(model, names, pixels).values()
    norm = model.get_layer("conv2_block2_er_norm")  # of the map that enters it
    normalised = (first - array(norm.moving_mean)) / np.sqrt(array(norm.moving_variance) + EPSILON)
    weights = array(model.get_layer("conv2_block3_er").scales)
    np.testing.assert_allclose(entered, second + weights * normalised, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(out, np.maximum(branch, 0))
    assert (
        model.get_layer("conv2_block3_1_conv").input is model.get_layer("conv2_block3_add").output
    )


@pytest.mark.parametrize("kind", ["batch", "group", "none"])
def test_norm_is_that_of_keras(kind):
    """While training: values, gradients and moving statistics against Keras' own layers."""
    rng = np.random.default_rng(0)
    x = ops.convert_to_tensor(rng.normal(2, 3, (4, 5, 5, 64)).astype("float32"))
    ours, sum_ = ShortcutNorm(kind, momentum=0.7), DenseShortcut()
    theirs = {
        "batch": keras.layers.BatchNormalization(
            momentum=0.7, epsilon=EPSILON, center=False, scale=False
        ),
        "group": keras.layers.GroupNormalization(32, epsilon=EPSILON, center=False, scale=False),
        "none": keras.layers.Identity(),
    }[kind]
    terms = ours(x, training=True)
    found = array(sum_([x, terms]))  # one map: its weight starts at 1
    np.testing.assert_allclose(found, array(theirs(x, training=True)), rtol=1e-4, atol=1e-4)
    if kind == "batch":
        for name in ("moving_mean", "moving_variance"):
            moved = array(getattr(ours, name)), array(getattr(theirs, name))
            np.testing.assert_allclose(*moved, rtol=1e-5)
        still = array(sum_([x, ours(x)])), array(theirs(x))
        np.testing.assert_allclose(*still, rtol=1e-4, atol=1e-4)


def test_norm_learns_where_asked():
    norm = ShortcutNorm("batch", affine=True)
    norm.build((None, 4, 4, 8))
    assert [each.name for each in norm.trainable_variables] == ["gamma", "beta"]
    norm.gamma.assign(np.full(8, 3.0))
    norm.beta.assign(np.full(8, -2.0))
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype("float32")
    found = array(DenseShortcut()([x, norm(x)]))
    np.testing.assert_allclose(found, 3 * x / np.sqrt(1 + EPSILON) - 2, rtol=1e-5, atol=1e-5)


def test_gradient_reaches_every_shortcut_weight(pixels):
    import tensorflow as tf

    model = build_model(SMALL)
    target = np.eye(2, dtype="float32")[np.arange(8) % 2]
    with tf.GradientTape() as tape:
        found = model(pixels, training=True)
        loss = keras.losses.categorical_crossentropy(target, found)
    weights = [layer.scales for layer in model.layers if isinstance(layer, DenseShortcut)]
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    assert len(weights) == 8
    for weight, gradient in zip(weights, gradients, strict=True):
        alive = array(gradient) != 0
        assert alive.any(axis=1).all(), weight.path
        assert alive.mean() > 0.5, weight.path


# --- counts ------------------------------------------------------------------------------------

PLAIN = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160}
"""Parameters with 1000 outputs: the figures that torchvision documents."""
DENSE = {18: (12, 2_880), 34: (43, 10_112), 50: (43, 40_448), 101: (298, 301_568)}
"""Shortcuts and the parameters they add."""


def trainable(model):
    return backbones.parameters(model)["trainable"]


@pytest.mark.parametrize(
    "depth", [18, *(pytest.param(each, marks=pytest.mark.slow) for each in (34, 50, 101))]
)
def test_published_parameters(depth):
    plain, dense = (
        build_model(Config(network=f"{name}{depth}", image_size=32)) for name in ("resnet", "ernet")
    )
    channels = plain.get_layer("logits").kernel.shape[0]
    assert trainable(plain) + 998 * (channels + 1) == PLAIN[depth]
    assert shortcut_parameters(plain) == (0, 0)
    assert shortcut_parameters(dense) == DENSE[depth]
    assert trainable(dense) - trainable(plain) == DENSE[depth][1]


@pytest.mark.slow
def test_parameters_of_the_sum_at_the_input():
    model = build_model(Config(network="ernet50", image_size=32, er_sum="input"))
    assert shortcut_parameters(model) == (15, 14_080)


@pytest.mark.slow
def test_multiply_accumulates_of_resnet18():
    """1.814 G with 1000 outputs; a dense shortcut adds one per value of each map."""
    plain = complexity.multiply_accumulates(build_model(Config(network="resnet18")))
    assert plain + 998 * 512 == 1_814_073_344
    dense = complexity.multiply_accumulates(build_model(Config(network="ernet18")))
    maps = [side**2 * channels for side, channels in ((56, 64), (28, 128), (14, 256), (7, 512))]
    assert dense - plain == 3 * sum(maps)


@pytest.mark.slow
def test_multiply_accumulates_of_resnet50_by_stride():
    counts = {
        stride: complexity.multiply_accumulates(
            build_model(Config(network="resnet50", stride=stride))
        )
        for stride in ("first", "middle")
    }
    assert counts["middle"] + 998 * 2048 == 4_089_184_256  # as torchvision has it
    assert counts["first"] < counts["middle"]


@pytest.mark.slow
def test_complexity_is_printed_beside_the_paper(capsys):
    complexity.main(["--image-size", "64"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    assert "25.56" in next(line for line in lines if line.startswith("ernet50"))


def test_what_the_options_do_not_fit_is_left_out(monkeypatch):
    """ERNet-18 has no earlier map to add to a block's input; ResNet-18 is not asked."""
    monkeypatch.setattr(complexity, "BLOCKS", {18: BLOCKS[18]})
    header, line = complexity.rows(32, er_sum="input")
    found = dict(zip(header, line, strict=True))
    # 11,689,512 with 1000 outputs
    assert (found["parameters, M"], found["with 1000 outputs"]) == ("11.178", "11.690")
    assert [found[name] for name in ("network", "shortcuts", "their parameters", "printed")] == [
        "resnet18", "–", "–", "–",
    ]  # fmt: skip
    # a block of two 3x3 convolutions has no other place for its stride
    assert found["multiply-accumulates, G"] == found["stride in 3x3"]


# --- networks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["ernet18", pytest.param("resnet18", marks=pytest.mark.slow)])
def test_saved_network_gives_the_same(network, pixels, tmp_path):
    model = stirred(build_model(dataclasses.replace(SMALL, network=network)))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    found = array(model(pixels))
    np.testing.assert_array_equal(array(again(pixels)), found)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert found.dtype == np.float32
    for layer in gradcam_layers(dataclasses.replace(SMALL, network=network)).values():
        assert model.get_layer(layer).output.shape[-1] in (64, 128, 256, 512)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["resnet50", "ernet50"])
def test_keras_weights_fit(network, pixels, tmp_path):
    """From a file of Keras' ResNet50: the plain network gives Keras' own output."""
    keras.utils.set_random_seed(3)
    source = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(32, 32, 3))
    rng = np.random.default_rng(0)
    for layer in source.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights(
                [
                    rng.uniform(0.5, 1, gamma.shape), rng.normal(0, 0.1, beta.shape),
                    rng.normal(0, 1, mean.shape), rng.uniform(0.5, 2, variance.shape),
                ]
            )  # fmt: skip
        elif isinstance(layer, keras.layers.Conv2D):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, rng.normal(0, 1, bias.shape)])
    file = tmp_path / "resnet50.weights.h5"
    source.save_weights(file)
    config = dataclasses.replace(SMALL, network=network, weights=str(file), scaling="caffe")
    model = build_model(config)
    if network == "resnet50":
        scaled = keras.applications.resnet.preprocess_input(pixels.copy())
        expected = array(source(scaled)).mean(axis=(1, 2))
        found = outputs(model, ["pool"], pixels)["pool"]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * abs(expected).max())
    else:
        for name in ("conv1_conv", "conv2_block1_0_conv", "conv4_block6_3_conv"):
            kernel = source.get_layer(name).get_weights()[0]
            np.testing.assert_array_equal(array(model.get_layer(name).kernel), kernel)
        assert np.isfinite(array(model(pixels))).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"er_norm": "group"},
        {"er_norm": "none", "er_affine": True, "er_weight": "scalar"},
        {"er_source": "branch"},
        {"er_block": "text"},
        {"mixed_precision": "bfloat16"},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_options_learn(changes, pixels):
    """The loss on eight images falls with every reading of the block."""
    policy = {"bfloat16": "mixed_bfloat16"}.get(changes.get("mixed_precision"), "float32")
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        keras.utils.set_random_seed(0)
        model = build_model(dataclasses.replace(SMALL, **changes))
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy")
    target = np.eye(2)[np.arange(8) % 2]
    losses = [float(model.train_on_batch(pixels, target)) for _ in range(8)]
    assert losses[-1] < losses[0]


def test_settings_that_do_not_fit_are_refused():
    for changes, text in (
        ({"network": "ernet18", "er_sum": "input"}, "--er-sum input: ernet18 has two blocks"),
        ({"er_sum": "input", "er_source": "branch"}, "--er-source branch"),
        ({"fold": 5}, "--fold 5: 5 folds are 0 to 4"),
        ({"network": "resnet34", "weights": "imagenet"}, "no weights of ResNet-18 and ResNet-34"),
        ({"weights": "imagenet"}, "--scaling caffe"),
        ({"weights": "a.h5", "er_block": "text"}, "--er-block resnet"),
    ):
        with pytest.raises(InputError, match=text):
            build_model(dataclasses.replace(Config(), **changes))
    for preset in PRESETS.values():
        check(preset)


# --- data --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    return synthetic.breakhis(
        tmp_path_factory.mktemp("ernet") / "breakhis",
        patients=24,
        images_per_patient=2,
        magnifications=("100X",),
        size=(46, 70),
    )


@pytest.mark.parametrize("split", ["image", "patient"])
def test_folds_share_their_test_images_and_part_the_others(tissue, split):
    config = dataclasses.replace(SMALL, split=split)
    index = data.load_index(config, tissue)
    made = [
        data.make_split(index, dataclasses.replace(config, fold=fold), Execution())
        for fold in range(config.folds)
    ]
    tested = [set(each.image[each.part == "test"]) for each in made]
    assert all(each == tested[0] for each in tested)
    if split == "image":
        assert len(tested[0]) == 15  # ceil(0.3 * 48)
    validated = [image for each in made for image in each.image[each.part == "validation"]]
    assert sorted([*validated, *tested[0]]) == sorted(index.image)
    for each in made:
        if split == "patient":
            splits.check_disjoint(each)
        table = data.make_samples(each)
        assert table.part.value_counts().to_dict() == {
            part: int((each.part == part).sum()) for part in ("train", "validation")
        }
        assert set(table.op) == {"none"}


def stained(split, config, folder, cache):
    decode = functools.partial(images.cached, folder, size=32, cache_dir=cache, progress=False)
    return data.normalise_stains(split, decode(split.image), config, folder, decode)


def test_stain_target_is_a_training_image(tissue, tmp_path):
    config = SMALL
    index = data.load_index(config, tissue)
    split = data.make_split(index, config, Execution())
    trained, judged, facts = stained(split, config, tissue, tmp_path)
    target = facts["stain_target"]
    assert split.part[split.image == target].item() == "train"
    normalizer = stain.from_state(facts["stain_normalizer"])
    assert normalizer.conventions.white_level == 240
    expected = stain.MacenkoNormalizer().fit(images.read(tissue / target))
    assert normalizer.identity() == expected.identity()
    for row in (0, 20):
        whole = normalizer.transform(images.read(tissue / split.image[row]))
        np.testing.assert_array_equal(trained[row], images.resize(whole, 32))
    np.testing.assert_array_equal(np.asarray(trained), np.asarray(judged))
    # Other test images do not change it; other training images do.
    small = split.assign(part=split.part.where(split.part != "test", ""))
    assert stained(small, config, tissue, tmp_path)[2] == facts
    rest = split.assign(part=split.part.where(split.image != target, "test"))
    assert stained(rest, config, tissue, tmp_path)[2]["stain_target"] != target


def test_raw_test_images_and_no_normalisation(tissue, tmp_path):
    index = data.load_index(SMALL, tissue)
    split = data.make_split(index, SMALL, Execution())
    plain = dataclasses.replace(SMALL, stain="none")
    raw, _, facts = stained(split, plain, tissue, tmp_path)
    assert facts == {}
    config = dataclasses.replace(SMALL, test_stain="raw")
    trained, judged, facts = stained(split, config, tissue, tmp_path)
    np.testing.assert_array_equal(np.asarray(judged), np.asarray(raw))
    assert abs(trained[0].astype(int) - judged[0]).mean() > 1
    # What is classified later is not normalised either.
    assert "stain_normalizer" not in facts


# --- printed numbers ---------------------------------------------------------------------------


def test_presets_are_the_papers_rows():
    assert PRESETS["T1-ernet50"] == Config()
    for depth in BLOCKS:
        assert PRESETS[f"T1-ernet{depth}"].network == f"ernet{depth}"
    assert PRESETS["T2-400x"] == Config(magnifications=("400X",))
    for row, twin in PRESETS.items():
        if row.endswith("-honest"):
            assert configuration.differences(twin, PRESETS[row.removesuffix("-honest")]) == [
                "split"
            ]
            assert leaks(twin) == []
    assert "E31" in leaks(PRESETS["T1-ernet50"])[0]


def test_printed_numbers_that_cannot_be():
    """E04, E05, E06: what the printed numbers rule out by their own arithmetic."""
    table = tables.published("ernet")
    wrong = {
        (row["table"], row["row"], row["metric"])
        for (_, row), (possible, _, _) in zip(
            table.iterrows(), tables.paper_counts(table), strict=True
        )
        if possible is False
    }
    assert {each[1:] for each in wrong if each[0] == "T1"} == {
        ("ResNet-34", "F1"), ("ResNet-101", "F1"), ("ResNet-18", "F1"),
    }  # fmt: skip
    # As means of five rounds; as a single count the accuracy at 400x would be impossible too.
    assert {each[1:] for each in wrong if each[0] == "T2"} == {
        ("40x", "accuracy"), ("100x", "accuracy"), ("200x", "accuracy"),
        ("40x", "F1"), ("100x", "F1"), ("200x", "F1"), ("400x", "F1"),
    }  # fmt: skip


def test_no_confusion_matrix_gives_table_2():
    """E26: exhaustive search, for the class with either name being the positive one."""
    table = tables.published("ernet")
    counts = table[table.table == "F4"].pivot(index="row", columns="metric", values="printed")
    printed = table[table.table == "T2"].pivot(index="row", columns="metric", values="printed")
    for name, row in counts.astype(int).iterrows():
        tp, fn = np.mgrid[: row.total + 1, : row.total + 1]
        fp = row.total - row.correct - fn  # the rest of the mistakes
        valid = (tp + fn > 0) & (fp >= 0) & (tp + fp > 0) & (tp <= row.correct)
        tp, fn, fp = (each[valid] for each in (tp, fn, fp))
        fits = abs(100 * tp / (tp + fn) - float(printed.sensitivity[name])) <= 0.005 + 1e-9
        fits &= abs(100 * tp / (tp + fp) - float(printed.precision[name])) <= 0.005 + 1e-9
        assert not fits.any()


def test_readme_holds_the_printed_numbers(tmp_path):
    from pathlib import Path

    readme = Path(complexity.__file__).parent / "README.md"
    copy = tmp_path / "README.md"
    copy.write_text(readme.read_text(encoding="utf-8"), encoding="utf-8")
    assert not tables.update_readme(copy, "ernet")


# --- comparison --------------------------------------------------------------------------------


def rounds_table():
    rng = np.random.default_rng(0)
    rows = [
        (model, magnification, magnification, "", (0, 0, fold), mean + rng.normal(0, 0.01))
        for model, mean in (("ernet18, image", 0.9), ("resnet18, image", 0.8))
        for magnification in ("40X", "100X")
        for fold in range(5)
    ]
    columns = ["model", "magnification", "training", "settings", "round", "value"]
    return pd.DataFrame(rows, columns=columns)


def test_tukey_of_two_groups_is_the_t_test():
    """With two groups Tukey's range is that of Student's t: p agrees with SciPy's ttest_ind."""
    from scipy.stats import ttest_ind

    table = rounds_table()
    (found,) = compare.tukey(table, "model").itertuples()
    a, b = (table.value[table.model == name] for name in (found.a, found.b))
    assert (found.a, found.b, found.n_a, found.n_b) == (
        "ernet18, image", "resnet18, image", 10, 10,
    )  # fmt: skip
    assert found.difference == pytest.approx(a.mean() - b.mean())
    expected = ttest_ind(a, b)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-3, abs=1e-9)
    interval = expected.confidence_interval(metrics.LEVEL)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-4)
    assert "differs" in compare.text(table, "accuracy")
    (same,) = compare.tukey(table, "magnification").itertuples()
    assert same.p > 0.05


def test_tukey_of_rounds_that_do_not_scatter():
    table = pd.DataFrame(
        [(model, "100X", "100X", i, value)
         for model, value in (("a", 0.5), ("b", 0.5), ("c", 0.75)) for i in range(2)],
        columns=["model", "magnification", "training", "round", "value"],
    )  # fmt: skip
    found = compare.tukey(table, "model").set_index(["a", "b"])
    assert found.loc[("a", "b")].tolist() == [2, 2, 0, 0, 0, 1]
    for pair in (("a", "c"), ("b", "c")):
        assert found.loc[pair].tolist() == [2, 2, -0.25, -0.25, -0.25, 0]


def test_tukey_needs_two_groups_with_two_rounds():
    table = rounds_table()
    assert compare.tukey(table[table.model == "ernet18, image"], "model").empty
    one = table.drop_duplicates(["model", "magnification"])
    one = one[one.magnification == "40X"]
    assert compare.tukey(one, "model").empty
    assert "needs two models" in compare.text(one, "accuracy")


def write_run(folder, fold, network, right):
    """Write a finished run of eight test images at two magnifications, `right` of them right."""
    config = configuration.to_dict(dataclasses.replace(Config(), fold=fold, network=network))
    record = {
        "schema": 1, "package": "ernet", "config": config, "weights": "none", "synthetic": False,
        "finished": f"2026-01-01T00:00:{fold:02d}", "classes": ["benign", "malignant"],
        "positive": "malignant",
    }  # fmt: skip
    path = folder / "ernet" / f"{network}-{fold}"
    write_json(path / "config.json", record)
    labels = ["benign", "malignant"] * 4
    p = [0.9 if (name == "malignant") == (i < right) else 0.1 for i, name in enumerate(labels)]
    frame = pd.DataFrame(
        {
            "image": [f"{i}.png" for i in range(8)], "case": [str(i // 2) for i in range(8)],
            "slide": "", "magnification": ["40X"] * 4 + ["100X"] * 4, "part": "test",
            "label": labels, "p_benign": [1 - each for each in p], "p_malignant": p,
        }
    )  # fmt: skip
    write_csv(path / "predictions.csv", frame)
    evaluation.evaluate_run(path)


def test_compare_reads_finished_runs(tmp_path, monkeypatch, capsys):
    for fold, right in ((0, 8), (1, 7)):
        write_run(tmp_path, fold, "ernet18", right)
        write_run(tmp_path, fold, "resnet18", right - 2)
    found = runs.find(tmp_path, "ernet")
    table = compare.rounds(found)
    chosen = table[(table.model == "ernet18, image") & (table.magnification == "100X")]
    assert sorted(chosen.value) == [0.75, 1.0]
    assert set(table.settings) == {"as the paper's rows"}
    predictions = pd.concat([evaluation.read_run(run) for run in found])
    curves = metrics.roc_by_magnification(predictions, "malignant")
    assert list(curves) == ["40X", "100X"]
    assert curves["40X"][2] == 1.0
    part = predictions[predictions.magnification == "100X"]
    truth = (part.label == "malignant").to_numpy()
    assert curves["100X"][2] == metrics.auc(truth, part.p_malignant.to_numpy()) < 1
    compare.main(["--runs-dir", str(tmp_path), "--roc", str(tmp_path / "roc")])
    out = capsys.readouterr().out
    assert "ernet18, image" in out and "Tukey's HSD by magnification" in out
    assert (tmp_path / "roc" / "roc-resnet18-image.png").is_file()
    with pytest.raises(InputError, match="no finished run"):
        compare.main(["--runs-dir", str(tmp_path / "none")])
    with pytest.raises(InputError, match="has no nothing"):
        compare.main(["--runs-dir", str(tmp_path), "--score", "nothing"])


# --- whole runs --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_and_its_predictions_again(tissue, tmp_path):
    """Train, then classify test images by file: the stains are normalised as they were."""
    common = ("--cache-dir", tmp_path / "cache", "--data-dir", tissue)
    done = module(
        "ernet.train", "--demo", "--image-size", 32, "--epochs", 2, *common,
        "--runs-dir", tmp_path / "runs",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "runs" / "ernet").iterdir()
    assert path.name.startswith("SYNTHETIC-demo-changed-")
    record = json.loads((path / "config.json").read_text())
    assert record["expected_images"] == 2081
    assert set(record["gradcam_layers"]) == {f"stage_{k}" for k in (1, 2, 3, 4)}
    assert (path / "figures" / "gradcam.png").is_file()
    predictions = pd.read_csv(path / "predictions.csv")
    chosen = predictions[predictions.part == "test"].head(4)
    output = tmp_path / "out.csv"
    done = module(
        "ernet.predict", "--run", path, *[tissue / name for name in chosen.image],
        "--output", output, "--gradcam", tmp_path / "maps",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    columns = ["p_benign", "p_malignant"]
    sure = confidence.read(path).calibrated(chosen[columns].to_numpy())
    np.testing.assert_allclose(pd.read_csv(output)[columns], sure, atol=1e-5)


@pytest.mark.slow
def test_a_saved_network_gives_the_same_under_jax(ernet18, pixels, tmp_path):
    pytest.importorskip("jax")
    ernet18.save(tmp_path / "model.keras")
    np.save(tmp_path / "pixels.npy", pixels)
    code = (
        "import keras, numpy as np, ernet.model\n"
        "from pathlib import Path\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "model = keras.saving.load_model(folder / 'model.keras')\n"
        "pixels = np.load(folder / 'pixels.npy')\n"
        "np.save(folder / 'out.npy', model.predict(pixels, verbose=0))\n"
        "norm = model.get_layer('conv2_block1_er_norm')\n"
        "before = np.asarray(norm.moving_mean)\n"
        "model.compile('adam', 'categorical_crossentropy')\n"
        "loss = model.train_on_batch(pixels, np.eye(2)[np.arange(8) % 2])\n"
        "assert np.isfinite(loss), loss\n"
        "assert abs(np.asarray(norm.moving_mean) - before).max() > 0\n"
        "assert keras.backend.backend() == 'jax'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), array(ernet18(pixels)), atol=1e-4)


def module(name, *arguments):
    return subprocess.run(
        [sys.executable, "-m", name, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
