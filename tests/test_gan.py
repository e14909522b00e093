"""The GAN: layers, losses by hand, one step on both backends, whole runs, generated images."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from keras import ops
from test_loggers import events

from common import classification, datasets, evaluation, notices, report, runs
from common import config as configuration
from common.datasets import synthetic
from common.errors import InputError
from common.metrics.__main__ import main as metrics_command
from gan_fusion import data, gan, generate, train_gan
from gan_fusion.gan import PRESETS, GanConfig, loop
from gan_fusion.gan import evaluation as gan_evaluation
from gan_fusion.gan import generate as generation
from gan_fusion.gan import train as gan_train

# The paper's losses at the size of the demo.
TINY = replace(
    PRESETS["demo"],
    channels=128,
    channels_most=16,
    latent=8,
    batch_size=4,
    **{
        name: getattr(GanConfig(), name)
        for name in (
            "critic_loss", "generator_loss", "penalty", "gamma", "penalty_every",
            "drift", "learning_rate", "critic_learning_rate", "beta_2",
        )
    },
)  # fmt: skip


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def batch(config, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    steps, count, side = config.critic_steps, config.batch_size, config.image_size
    return {
        "real": rng.integers(0, 256, (steps, count, side, side, 3), dtype=np.uint8),
        "label": np.eye(classes, dtype=np.float32)[rng.integers(0, classes, (steps, count))],
        "noise": rng.normal(size=(steps + 1, count, config.latent)).astype(np.float32),
        "mix": rng.random((steps, count, 1, 1, 1)).astype(np.float32),
    }


# --- layers and networks -----------------------------------------------------------------------


def test_upsampling_is_repetition_and_convolution():
    layer = gan.ScaledConv(4, upsample=True)
    x = numbers(2, 5, 7, 3)
    found = layer(x)
    layer.bias.assign([1, 2, 3, 4])
    found = layer(x)
    kernel = ops.convert_to_numpy(layer.kernel) * np.sqrt(2 / 27).astype(np.float32)
    repeated = x.repeat(2, axis=1).repeat(2, axis=2)
    expected = ops.convert_to_numpy(ops.conv(repeated, kernel, 1, "same")) + np.arange(1, 5)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-5)
    assert layer.compute_output_shape((None, 5, 7, 3)) == (None, 10, 14, 4)


def test_scaled_layers_keep_the_variance():
    keras.utils.set_random_seed(0)
    x = numbers(64, 8, 8, 32)
    for layer, scale in ((gan.ScaledConv(64, gain=1), 1), (gan.ScaledDense(64), 2)):
        given = x if isinstance(layer, gan.ScaledConv) else x.reshape(-1, 32)
        inner = ops.convert_to_numpy(layer(given))
        inner = inner[:, 2:-2, 2:-2] if inner.ndim == 4 else inner
        assert inner.var() == pytest.approx(scale, rel=0.1)


def test_pixel_norm_by_hand():
    found = ops.convert_to_numpy(gan.PixelNorm()(np.array([[3.0, 4.0]], np.float32)))
    np.testing.assert_allclose(found, [[3 / np.sqrt(12.5), 4 / np.sqrt(12.5)]], rtol=1e-6)


@pytest.mark.parametrize("size", [32, 64, 512])
def test_networks_of_every_size(size):
    config = replace(TINY, image_size=size, channels=256)
    generator, critic = gan.build_generator(config, 3), gan.build_critic(config, 3)
    assert generator.output_shape == (None, size, size, 3)
    assert [shape[0] for shape in critic.input_shape] == [None, None]
    kinds = {type(layer) for layer in (*generator.layers, *critic.layers)}
    assert keras.layers.BatchNormalization not in kinds
    # A U: what was seen on the way down at 8 and 16 px comes back on the way up.
    assert generator.get_layer("across_8").output.shape[1] == 8
    assert generator.get_layer("across_16").output.shape[1] == 16
    assert min(shape[1] for layer in generator.layers
               if len(shape := layer.output.shape) == 4) == 4  # fmt: skip


def test_images_depend_on_noise_and_class_and_stay_in_range():
    keras.utils.set_random_seed(0)
    pixels = gan.as_pixels(gan.build_generator(TINY, 2))
    noise, one_hot = numbers(3, 8), np.eye(2, dtype=np.float32)
    first, other_class, other_noise = (
        ops.convert_to_numpy(pixels([n, label]))
        for n, label in (
            (noise, one_hot[[0, 0, 0]]), (noise, one_hot[[1, 1, 1]]), (-noise, one_hot[[0, 0, 0]]),
        )
    )  # fmt: skip
    assert first.min() >= 0 and first.max() <= 255 and first.std() > 5
    assert np.abs(first - other_class).mean() > 1
    assert np.abs(first - other_noise).mean() > 1


def test_modulation_by_hand():
    x, style = numbers(2, 4, 4, 3), numbers(2, 6, seed=1)
    found = ops.convert_to_numpy(gan.Modulation()([x, style]))
    normal = (x - x.mean((1, 2), keepdims=True)) / x.std((1, 2), keepdims=True)
    expected = normal * (1 + style[:, None, None, :3]) + style[:, None, None, 3:]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_score_is_one_images_own():
    """A penalty per image needs a critic that sees one image at a time."""
    keras.utils.set_random_seed(0)
    critic = gan.build_critic(TINY, 2)
    images, label = numbers(4, 32, 32, 3), np.eye(2, dtype=np.float32)[[0, 1, 1, 0]]
    together, features = critic([images, label])
    assert together.shape == (4,) and features.shape == (4, 16)
    alone = [float(critic([images[i : i + 1], label[i : i + 1]])[0][0]) for i in range(4)]
    np.testing.assert_allclose(ops.convert_to_numpy(together), alone, rtol=1e-4, atol=1e-5)
    swapped = ops.convert_to_numpy(critic([images, label[:, ::-1]])[0])
    assert np.abs(swapped - alone).max() > 1e-3


def test_sizes_that_are_refused():
    for size in (16, 48, 1024):
        with pytest.raises(InputError, match=f"--image-size {size}"):
            gan.build_critic(replace(TINY, image_size=size), 2)


# --- losses ------------------------------------------------------------------------------------


def input_gradient(function, images):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(images)
        result = function(images)
    return tape.gradient(result, images)


def linear(weight):
    """A critic whose slope is known: the score is <weight, image>."""
    weight = ops.convert_to_tensor(weight)

    def critic(images, label):
        score = ops.sum(images * weight, axis=(1, 2, 3)) + 0 * ops.sum(label, axis=1)
        return score, ops.stack([score, 2 * score], axis=1)

    return critic


def loss_inputs():
    real, fake = (ops.convert_to_tensor(numbers(3, 2, 2, 3, seed=s)) for s in (1, 2))
    label = ops.convert_to_tensor(np.eye(2, dtype=np.float32)[[0, 1, 0]])
    return real, fake, label, ops.convert_to_tensor(np.full((3, 1, 1, 1), 0.3, np.float32))


def test_critic_loss_by_hand():
    weight = numbers(2, 2, 3)
    real, fake, label, mix = loss_inputs()
    config = replace(TINY, penalty=10.0, gamma=3.0, drift=0.5)
    loss, terms = gan.critic_loss(linear(weight), real, fake, label, mix, config, input_gradient)
    scores = [(np.asarray(each) * weight).sum(axis=(1, 2, 3)) for each in (real, fake)]
    slope = np.linalg.norm(weight)
    distance = scores[0].mean() - scores[1].mean()
    assert float(terms["distance"]) == pytest.approx(distance, rel=1e-5)
    assert float(terms["penalty"]) == pytest.approx((slope - 1) ** 2, rel=1e-5)
    assert float(terms["r1"]) == pytest.approx(slope**2, rel=1e-5)
    expected = -distance + 10 * (slope - 1) ** 2 + 1.5 * slope**2 + 0.5 * (scores[0] ** 2).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_penalty_is_taken_between_and_r1_at_real_images():
    real, fake, label, mix = loss_inputs()

    def critic(images, _):  # the slope at an image is the image
        return ops.sum(images**2, axis=(1, 2, 3)) / 2, None

    config = replace(TINY, penalty=1.0, gamma=1.0)
    _, terms = gan.critic_loss(critic, real, fake, label, mix, config, input_gradient)
    real, fake = np.asarray(real), np.asarray(fake)
    norms = np.linalg.norm((0.7 * real + 0.3 * fake).reshape(3, -1), axis=1)
    assert float(terms["penalty"]) == pytest.approx(((norms - 1) ** 2).mean(), rel=1e-5)
    assert float(terms["r1"]) == pytest.approx((real**2).sum() / 3, rel=1e-5)
    for off in ({"penalty": 0.0}, {"gamma": 0.0}):
        _, fewer = gan.critic_loss(
            critic, real, fake, label, mix, replace(config, **off), input_gradient
        )
        (left,) = set(fewer) - {"distance"}
        assert float(fewer[left]) == pytest.approx(float(terms[left]), rel=1e-6)


def test_penalty_of_a_flat_critic_has_a_gradient():
    """At slope 0 the root's derivative is infinite."""
    import tensorflow as tf

    real, fake, label, mix = loss_inputs()
    weight = tf.zeros((2, 2, 3))
    with tf.GradientTape() as tape:
        tape.watch(weight)
        loss, _ = gan.critic_loss(
            lambda x, _: (tf.reduce_sum(x * weight, axis=(1, 2, 3)), None),
            real, fake, label, mix, replace(TINY, gamma=1.0), input_gradient,
        )  # fmt: skip
    assert float(loss) == pytest.approx(10, rel=1e-4)
    assert np.isfinite(np.asarray(tape.gradient(loss, weight))).all()


def test_generator_loss_by_hand():
    weight = np.zeros((2, 2, 3), np.float32)
    weight[0, 0, 0] = 1
    fake, real = np.zeros((2, 2, 2, 3), np.float32), np.zeros((2, 2, 2, 3), np.float32)
    fake[:, 0, 0, 0], real[:, 0, 0, 0] = [3.0, -2.0], [1.0, 2.0]
    label = np.eye(2, dtype=np.float32)
    critic = linear(weight)
    hinge, _ = gan.generator_loss(critic, fake, real, label, TINY)
    assert float(hinge) == pytest.approx((0 + 3) / 2)  # max(0, 1 - 3), max(0, 1 + 2)
    straight, _ = gan.generator_loss(
        critic, fake, real, label, replace(TINY, generator_loss="wasserstein")
    )
    assert float(straight) == pytest.approx(-0.5)
    # Mean features are 0.5, 1 and 1.5, 3: squared gaps 1 and 4.
    both, terms = gan.generator_loss(critic, fake, real, label, replace(TINY, feature_weight=2.0))
    assert float(terms["features"]) == pytest.approx(2.5)
    assert float(both) == pytest.approx(1.5 + 2 * 2.5)


def test_logistic_losses_by_hand():
    weight = numbers(2, 2, 3)
    real, fake, label, mix = loss_inputs()
    config = replace(
        TINY, critic_loss="logistic", generator_loss="logistic", penalty=0.0, gamma=0.0, drift=0.0
    )
    critic = linear(weight)
    loss, terms = gan.critic_loss(critic, real, fake, label, mix, config, input_gradient)
    real_scores, fake_scores = (
        (np.asarray(each) * weight).sum(axis=(1, 2, 3)) for each in (real, fake)
    )
    expected = np.log1p(np.exp(fake_scores)).mean() + np.log1p(np.exp(-real_scores)).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert float(terms["distance"]) == pytest.approx((real_scores - fake_scores).mean(), rel=1e-5)
    loss, _ = gan.generator_loss(critic, fake, real, label, config)
    assert float(loss) == pytest.approx(np.log1p(np.exp(-fake_scores)).mean(), rel=1e-5)


# --- training step -----------------------------------------------------------------------------


def test_a_step_moves_what_it_should():
    keras.utils.set_random_seed(0)
    config = replace(TINY, average=0.9, critic_steps=2)
    trained = gan.Gan(config, 2)
    before = {name: [np.asarray(v) for v in group] for name, group in trained.variables().items()}
    first = trained.step(batch(config), 0, critic_only=True)
    assert set(first) == {"distance", "penalty", "r1"}
    for name, moved in (("critic", True), ("generator", False), ("averaged", False)):
        same = all(
            np.array_equal(a, np.asarray(b))
            for a, b in zip(before[name], trained.variables()[name], strict=True)
        )
        assert same is not moved, name
    assert int(trained.critic_optimizer.iterations) == config.critic_steps
    terms = trained.step(batch(config), 2)
    assert np.isfinite([float(v) for v in terms.values()]).all()
    # 3 / 12 of the average is kept at the third step.
    for old, new, average in zip(
        before["generator"], trained.generator.variables, trained.averaged.variables, strict=True
    ):
        np.testing.assert_allclose(np.asarray(average), 0.25 * old + 0.75 * np.asarray(new),
                                   atol=1e-6)  # fmt: skip
    assert int(trained.generator_optimizer.iterations) == 1


def test_penalties_at_every_nth_step_weigh_n_times_as_much():
    config = replace(TINY, penalty=10.0, gamma=3.0, penalty_every=4)
    trained = gan.Gan(config, 2)
    due = [set(trained.step(batch(config), step)) for step in range(5)]
    assert due[0] == due[4] == {"distance", "penalty", "r1", "generator"}
    assert due[1] == due[2] == due[3] == {"distance", "generator"}
    assert (trained.at(True).penalty, trained.at(True).gamma) == (40, 12)
    assert (trained.at(False).penalty, trained.at(False).gamma) == (0, 0)


@pytest.mark.slow
def test_penalties_stay_in_float32():
    terms = {}
    try:
        for number_format in ("off", "bfloat16"):
            config = replace(TINY, mixed_precision=number_format, critic_steps=1)
            policy = "float32" if number_format == "off" else f"mixed_{number_format}"
            keras.mixed_precision.set_dtype_policy(policy)
            keras.utils.set_random_seed(0)
            trained = gan.Gan(config, 2)
            # Penalties are taken where generated images lie; make these equal in both formats.
            given = batch(config) | {"mix": np.zeros((1, 4, 1, 1, 1), np.float32)}
            terms[number_format] = {
                k: float(v) for k, v in trained.step(given, 0, critic_only=True).items()
            }
            conv = trained.critic.get_layer("level_16")
            assert conv.compute_dtype == ("float32" if number_format == "off" else "bfloat16")
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    for name in ("penalty", "r1"):
        assert terms["bfloat16"][name] == pytest.approx(terms["off"][name], rel=1e-5)
    assert terms["bfloat16"]["distance"] != terms["off"]["distance"]


ONE_STEP = """
import sys
sys.path.insert(0, "tests")
import numpy as np, keras
from gan_fusion import gan
from gan_fusion.gan import PRESETS
from dataclasses import replace
from pathlib import Path
from test_gan import TINY, batch
config = replace(TINY, feature_weight=0.5, critic_steps=2, penalty_every=2)
trained = gan.Gan(config, 2)
given = np.load(sys.argv[1])
for name, group in trained.variables().items():
    for i, variable in enumerate(group):
        variable.assign(given[f"{name}/{i}"])
out = {}
for step in range(2):
    for key, value in trained.step(batch(config, seed=step), step).items():
        out[f"term/{step}/{key}"] = np.asarray(value)
for name, group in trained.variables().items():
    for i, variable in enumerate(group):
        out[f"{name}/{i}"] = np.asarray(variable.value)
np.savez(sys.argv[2], backend=keras.backend.backend(), **out)
"""


@pytest.mark.slow
def test_tensorflow_and_jax_take_the_same_step(tmp_path):
    pytest.importorskip("jax")
    keras.utils.set_random_seed(0)
    start = gan.Gan(replace(TINY, critic_steps=2), 2)
    np.savez(
        tmp_path / "start.npz",
        **{
            f"{name}/{i}": np.asarray(v)
            for name, group in start.variables().items()
            for i, v in enumerate(group)
        },
    )
    found = {}
    for backend in ("tensorflow", "jax"):
        done = subprocess.run(
            [sys.executable, "-c", ONE_STEP, tmp_path / "start.npz", tmp_path / f"{backend}.npz"],
            capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1],
            env={**os.environ, "KERAS_BACKEND": backend},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found[backend] = dict(np.load(tmp_path / f"{backend}.npz"))
        assert found[backend].pop("backend") == backend
    assert found["jax"].keys() == found["tensorflow"].keys()
    terms = [key for key in found["jax"] if key.startswith("term/")]
    assert len(terms) == 5 + 3  # the second step has no penalties
    for key in found["jax"]:
        # Adam divides by the gradient's own size: where that is rounding, so is the update.
        share = np.isclose(found["jax"][key], found["tensorflow"][key], rtol=1e-3, atol=1e-4).mean()
        assert share > (0.999 if key.startswith("term/") else 0.98), (key, share)


# --- whole runs --------------------------------------------------------------------------------

RUN = replace(
    TINY, kimg=0.032, evaluate_every=0.016, samples=24, critic_first=2, test=0.2, validation=0.2
)


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    return synthetic.breakhis(
        tmp_path_factory.mktemp("tissue") / "breakhis",
        patients=16, images_per_patient=3, magnifications=("100X",), size=(46, 70),
    )  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def train(config, tissue, cache, folder):
    keras.mixed_precision.set_dtype_policy("float32")
    return train_gan.train(config, data_dir=tissue, runs_dir=folder, cache_dir=cache)


@pytest.fixture(scope="module")
def finished(tissue, cache, tmp_path_factory):
    """A run that stopped after its first evaluation and was started again."""
    folder = tmp_path_factory.mktemp("gan")
    original = gan.Gan.step

    def diverging(self, given, iteration, **options):
        terms = original(self, given, iteration, **options)
        return terms if iteration < 3 else terms | {"distance": np.float32("nan")}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gan.Gan, "step", diverging)
        patch.setattr(loop, "SAVE_SECONDS", float("inf"))  # evaluations alone, however slow
        with pytest.raises(InputError, match=r"became NaN .* the state after 0.016 kimg is kept"):
            train(RUN, tissue, cache, folder)
    (path,) = (folder / "gan_fusion").iterdir()
    (state,) = (path / "checkpoint").glob("state-*.npz")
    with np.load(state) as arrays:
        assert all(np.isfinite(arrays[key]).all() for key in arrays if key != "meta")
        meta = json.loads(arrays["meta"].tobytes())
    assert (meta["critic_steps"], meta["generator_steps"]) == (4, 2)
    return train(RUN, tissue, cache, folder)


RESULTS = ("metrics.json", "history.csv", "evaluations.csv", "split.csv")


def weights(path):
    model = generate.load_generator(runs.load(path))
    return [np.asarray(weight) for weight in model.get_weights()]


def test_a_run_writes_all_its_files(finished):
    path = finished.path
    assert path.name.startswith("SYNTHETIC-custom-")
    assert {
        "config.json", "environment.json", "split.csv", "history.csv", "evaluations.csv",
        "metrics.json", "generator.keras", "figures",
    } <= {file.name for file in path.iterdir()}  # fmt: skip
    assert not (path / "checkpoint").exists()
    pictures = {file.name for file in (path / "figures").iterdir()}
    assert {"samples.png", "real.png", "curves.png", "nearest.png", "samples-0.016-kimg.png"} <= (
        pictures
    )
    assert all(b"SYNTHETIC" in (path / "figures" / name).read_bytes() for name in pictures)
    record = json.loads((path / "config.json").read_text())
    split = pd.read_csv(path / "split.csv", dtype=str)
    assert record["kind"] == "gan" and record["finished"]
    assert record["no_classifier"] == gan_train.NO_CLASSIFIER
    assert record["training_hash"] == data.training_hash(split)
    assert record["n_training"] == (split.part == "train").sum() < len(split)
    *module, arguments = record["command"].split(" ", 3)
    assert module == ["python", "-m", "gan_fusion.train_gan"]
    again = configuration.parse(
        GanConfig, PRESETS, package="gan_fusion", description="", arguments=shlex.split(arguments)
    )
    assert again.config == RUN


def test_metrics_of_a_run(finished):
    metrics = json.loads((finished.path / "metrics.json").read_text())
    assert [point["kimg"] for point in metrics["points"]] == [0.016, 0.032]
    assert {k: metrics[k] for k in metrics["points"][-1]} == metrics["points"][-1]
    first, last = metrics["points"][0]["kid"], metrics["kid"]
    assert metrics["kid_last_over_first"] == pytest.approx(last / first)
    assert metrics["generated_images"] == 24 and metrics["classes"] == ["benign", "malignant"]
    assert sum(metrics["floor"]["images"]) == metrics["real_images"]
    assert metrics["floor"]["kid"] < first
    assert 0 < metrics["memorisation"]["smallest_ratio"] < metrics["memorisation"]["median_ratio"]
    assert metrics["features"]["weights"] == "none" and metrics["synthetic"] is True
    history = pd.read_csv(finished.path / "history.csv")
    # The generator waits for the critic's first steps.
    assert history.kimg.iloc[-1] == 0.032 and history.generator.isna().sum() == 2
    text = gan_evaluation.summary(metrics)
    assert "not comparable" in text and "floor" in text and "copies" in text


def test_a_saved_generator_needs_no_module_but_its_layers(finished, tmp_path):
    """Registered names are what an older run's file is read by, wherever the layers lie now."""
    original, moved = finished.path / "generator.keras", tmp_path / "moved.keras"
    with zipfile.ZipFile(original) as archive, zipfile.ZipFile(moved, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json":
                assert content.count(b"histopapers>ScaledConv") > 3
                content = content.replace(b"gan_fusion.gan.layers", b"gan_fusion.gan")
            copy.writestr(name, content)
    again = keras.saving.load_model(moved, compile=False)
    for a, b in zip(again.get_weights(), weights(finished.path), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_finished_run_answers_from_its_files(finished, tissue, cache, monkeypatch):
    monkeypatch.setattr(loop.Training, "run_all", lambda self: pytest.fail("trained again"))
    again = train(RUN, tissue, cache, finished.path.parent.parent)
    assert again.path == finished.path
    assert "A generative network (GAN)" in (again.path / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_stopped_run_ends_with_the_bytes_of_a_whole_one(finished, tissue, cache, tmp_path):
    whole = train(RUN, tissue, cache, tmp_path)
    for name in RESULTS:
        assert (finished.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    for a, b in zip(weights(finished.path), weights(whole.path), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorBoard's own
def test_a_killed_run_goes_on_to_the_same_bytes(tissue, cache, tmp_path):
    """SIGKILL at the first evaluation, through the command line, in fresh processes."""
    command = [
        sys.executable, "-m", "gan_fusion.train_gan", "--demo", "--channels", "128",
        "--channels-most", "16", "--latent", "8", "--batch-size", "4", "--kimg", "0.06",
        "--evaluate-every", "0.02", "--samples", "24", "--critic-first", "2", "--data-dir", tissue,
        "--cache-dir", cache,
    ]  # fmt: skip
    found = []
    for name in ("whole", "killed"):
        arguments = list(map(str, [*command, "--runs-dir", tmp_path / name]))
        if name == "killed":
            arguments += ["--log", "tensorboard"]
            with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
                for line in process.stderr:
                    if line.startswith("0.02/"):
                        process.send_signal(signal.SIGKILL)
            assert process.returncode == -signal.SIGKILL
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert ("resuming after" in done.stderr) is (name == "killed")
        assert notices.SYNTHETIC in done.stdout and notices.RESEARCH_USE in done.stdout
        found.append(next((tmp_path / name / "gan_fusion").iterdir()))
    for name in RESULTS:
        assert (found[0] / name).read_bytes() == (found[1] / name).read_bytes(), name
    for a, b in zip(*map(weights, found), strict=True):
        np.testing.assert_array_equal(a, b)
    # The evaluations of before the kill, too.
    told = events(found[1].parents[1] / "tensorboard" / "gan_fusion" / found[1].name)
    for name, file in (("distance", "history.csv"), ("kid", "evaluations.csv")):
        rows = pd.read_csv(found[1] / file)
        assert [step for step, _ in told[name]] == [round(1000 * kimg) for kimg in rows.kimg]
        assert list(rows[name]) == [value for _, value in told[name]]


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": ("benign", "stroma")}, "stroma.*benign, malignant"),
        ({"image_size": 64}, "smaller than the 64 px"),
        ({"crop": 0.5}, "smaller than the 64 px"),
        ({"image_size": 100}, "32, 64, 128, 256 or 512"),
        ({"split": "counts"}, "split"),
    ],
)
def test_bad_settings(changes, words, tissue, cache, tmp_path):
    with pytest.raises(InputError, match=words):
        train(replace(RUN, **changes), tissue, cache, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command",
    [
        lambda run: evaluation.main("gan_fusion", ["--run", run]),
        lambda run: classification.main("gan_fusion", ["--run", run, "image.png"]),
        lambda run: metrics_command(["compare", run, run]),
        lambda run: metrics_command(["recompute", run]),
        lambda run: report.write(run),
    ],
)
def test_what_needs_a_classifier_says_so(command, finished):
    before = {file.name for file in finished.path.iterdir()}
    with pytest.raises(InputError, match=r"a GAN's run, .*metrics\.json.*gan_fusion.generate"):
        command(str(finished.path))
    assert {file.name for file in finished.path.iterdir()} == before


def test_a_gan_s_run_of_before_is_no_classifier_s_either(finished, tmp_path):
    copy = shutil.copytree(finished.path, tmp_path / "run")
    record = json.loads((copy / "config.json").read_text())
    del record["no_classifier"]
    (copy / "config.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"kind 'gan', which has no predictions.*metrics\.json"):
        evaluation.main("gan_fusion", ["--run", str(copy)])
    assert generate.load_run(copy).path == copy


# --- generated images --------------------------------------------------------------------------


@pytest.fixture
def made(finished, tmp_path):
    record = generate.generate(finished.path, tmp_path / "made", 5)
    return tmp_path / "made", record


def test_generated_images_say_what_they_are(made, finished):
    folder, record = made
    table = pd.read_csv(folder / "index.csv", dtype=str, keep_default_na=False)
    assert list(table.columns) == ["image", "label", "patient", "synthetic", "seed"]
    assert table.label.value_counts().to_dict() == {"benign": 5, "malignant": 5}
    assert set(table.patient) == {""} and set(table.synthetic) == {"true"}
    assert record == json.loads((folder / "generation.json").read_text())
    assert record["training_hash"] == finished.record["training_hash"]
    assert record["counts"] == {"benign": 5, "malignant": 5} and record["finished"]
    images = [cv2.imread(str(folder / name)) for name in table.image]
    assert all(image.shape == (32, 32, 3) for image in images)
    assert len({image.tobytes() for image in images}) == 10
    # Drawn by a GAN that saw synthetic tissue: both are said in every file.
    for name in table.image:
        content = (folder / name).read_bytes()
        assert generate.STATEMENT in content
        assert synthetic.is_synthetic_png(folder / name)
    assert datasets.is_synthetic(folder)


def test_a_stopped_generation_goes_on_without_duplicates(made, finished, monkeypatch):
    folder, _ = made
    before = {file.name: file.read_bytes() for file in (folder / "images").iterdir()}
    index = (folder / "index.csv").read_bytes()
    files = sorted((folder / "images").iterdir())
    for file in files[3:8]:
        file.unlink()
    (folder / "images" / ".part-abc.png").write_bytes(b"half")
    (folder / "index.csv").unlink()
    record = json.loads((folder / "generation.json").read_text())
    (folder / "generation.json").write_text(json.dumps(record | {"finished": None}))
    generate.generate(finished.path, folder, 5)
    assert {file.name: file.read_bytes() for file in (folder / "images").iterdir()} == before
    assert (folder / "index.csv").read_bytes() == index
    with monkeypatch.context() as patch:
        patch.setattr(generation, "_write_images", lambda *_: pytest.fail("drawn again"))
        generate.generate(finished.path, folder, 5)


def test_an_image_does_not_depend_on_how_many_are_asked_for(made, finished, tmp_path):
    folder, _ = made
    generate.generate(finished.path, tmp_path / "few", 2, labels=["malignant"])
    found = sorted((tmp_path / "few" / "images").iterdir())
    assert len(found) == 2
    for file in found:
        assert file.read_bytes() == (folder / "images" / file.name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"count": 0}, "--count 0"),
        ({"count": 4}, "counts differ"),
        ({"count": 5, "seed": 1}, "seed differ"),
        ({"count": 5, "labels": ["stroma"]}, "stroma: unknown"),
        ({"count": 5, "labels": ["DC"]}, "saw no image of class DC"),
    ],
)
def test_bad_generation(arguments, words, made, finished):
    with pytest.raises(InputError, match=words):
        generate.generate(finished.path, made[0], **arguments)


def test_generation_needs_a_finished_gan_and_a_folder_of_its_own(finished, tmp_path):
    copy = shutil.copytree(finished.path, tmp_path / "run")
    record = json.loads((copy / "config.json").read_text())
    for change, words in (
        ({"kind": None}, "a classifier's run"),
        ({"finished": None}, "has not finished; go on with: python -m gan_fusion.train_gan"),
    ):
        (copy / "config.json").write_text(json.dumps(record | change))
        with pytest.raises(InputError, match=words):
            generate.generate(copy, tmp_path / "made", 1)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photo.png").write_bytes(b"")
    with pytest.raises(InputError, match="holds other files"):
        generate.generate(finished.path, tmp_path / "other", 1)
    (copy / "config.json").write_text(json.dumps(record))
    (copy / "generator.keras").write_bytes(b"not a model")
    with pytest.raises(InputError, match="damaged or no Keras model"):
        generate.generate(copy, tmp_path / "made", 1)


def test_two_do_not_generate_into_one_folder(finished, tmp_path):
    code = (
        "import sys, filelock\n"
        "with filelock.FileLock(sys.argv[1]):\n    print(flush=True)\n    sys.stdin.read()"
    )
    (tmp_path / "made").mkdir()
    command = [sys.executable, "-c", code, str(tmp_path / "made" / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(InputError, match="made: another process generates there"):
            generate.generate(finished.path, tmp_path / "made", 1)
        other.communicate()
    assert generate.generate(finished.path, tmp_path / "made", 1)["finished"]


@pytest.mark.slow
def test_a_killed_generation_goes_on(finished, tmp_path):
    command = list(map(str, [
        sys.executable, "-m", "gan_fusion.generate", "--run", finished.path, "--output",
        tmp_path / "made", "--count", "120",
    ]))  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while not (tmp_path / "made" / "images" / "benign-000101.png").exists():
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "made" / "index.csv").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "made" / "index.csv")
    assert len(table) == table.image.nunique() == 240
    names = {f"images/{file.name}" for file in (tmp_path / "made" / "images").iterdir()}
    assert names == set(table.image)


@pytest.mark.parametrize("module", ["train_gan", "generate"])
def test_help_is_fast_and_names_the_command(module):
    code = (
        "import sys; sys.argv = ['x', '--help']\n"
        f"from gan_fusion.{module} import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'keras', 'tensorflow', 'jax'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"python -m gan_fusion.{module}" in done.stdout
