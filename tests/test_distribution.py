"""Several devices: two logical ones on the CPU, in a process of their own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent

SCRIPT = """
import contextlib, json, sys
import numpy as np
from common import backend
backend.load()
import keras
import tensorflow as tf
from common import training
from common.augment import Augmenter
from common.pipeline import Batches

cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
rng = np.random.default_rng(0)
pixels = rng.integers(0, 120, (40, 12, 12, 3), dtype=np.uint8)
pixels[1::2] += 60
augmenter = Augmenter(horizontal_flip=True, width_shift_range=0.1)

def train(folder, epochs, strategy=None):
    training.set_seed(1)
    batches = Batches(
        pixels, np.arange(40), ["a", "b"] * 20, ("a", "b"), batch_size=16, shuffle=True,
        augmenter=augmenter,
    )
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = keras.Sequential([
            keras.Input((12, 12, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ])
        model.compile(
            keras.optimizers.Adam(0.02), loss="categorical_crossentropy", metrics=["accuracy"]
        )
        history = training.fit(model, batches, None, folder, epochs, keep="last").history
        return history.loss.tolist(), model.predict(pixels, verbose=0).tolist()

work = sys.argv[1]
two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
found = {"replicas": two.num_replicas_in_sync}
found["one"] = train(work + "/one", 4)
found["two"] = train(work + "/two", 4, two)
train(work + "/parts", 2, two)
found["resumed"] = train(work + "/parts", 4, two)
print(json.dumps(found))
"""


def test_two_devices_train_as_one_and_resume(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["replicas"] == 2
    (one, one_says), (two, two_says) = found["one"], found["two"]
    assert one[-1] < 0.9 * one[0]
    # The last batch holds 8 of 40 images, 4 for either device: a wrong mean would show.
    assert two == pytest.approx(one, rel=1e-4)
    np.testing.assert_allclose(two_says, one_says, atol=1e-4)
    assert found["resumed"] == found["two"]
