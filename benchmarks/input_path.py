"""Measure the input path against `ImageDataGenerator`, `tf.data` and arrays in memory.

The peer of today is `image_dataset_from_directory` with `cache()`, Keras' augmentation layers and
`prefetch`; `ImageDataGenerator` is the deprecated one that the papers used.

Prints, for every case, what was measured on both sides, the ratio, its target and PASS or MISS.
Both sides run in turn in one process, so that another load on the machine meets both.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from common import images, training
from common.arguments import Parser
from common.augment import Augmenter
from common.backend import keras
from common.errors import InputError, main
from common.pipeline import Batches

CLASSES = ("benign", "malignant")
# her2scoring's augmentation.
SHIFTS = {
    "horizontal_flip": True, "vertical_flip": True,
    "width_shift_range": 0.1, "height_shift_range": 0.1,
}  # fmt: skip
AFFINE = {**SHIFTS, "rotation_range": 20, "shear_range": 10, "zoom_range": 0.2}
SIZE, BATCH = 224, 16
# Without real images: about as many as the test data hold, of one magnification too.
SYNTHETIC = {"patients": 42, "images_per_patient": 10, "magnifications": ("100X",)}


def generator(**arguments: object) -> object:
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    return ImageDataGenerator(**arguments)


def tf_data(folder: Path) -> object:
    """The same images as users feed them today."""
    import tensorflow as tf

    layers = keras.layers
    augmentation = keras.Sequential(
        [layers.RandomFlip("horizontal_and_vertical"), layers.RandomTranslation(0.1, 0.1)]
    )
    dataset = keras.utils.image_dataset_from_directory(
        str(folder), label_mode="categorical", class_names=list(CLASSES), batch_size=BATCH,
        image_size=(SIZE, SIZE), seed=0, verbose=False,
    )  # fmt: skip
    return (
        dataset.cache()
        .map(lambda x, y: (augmentation(x, training=True), y), num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def trivial_model() -> keras.Model:
    """A network that costs next to nothing, so that the input alone is measured.

    It looks at 8x8 pixels in the middle: a mean over all of them would take as long as our batch.
    """
    x = keras.Input((SIZE, SIZE, 3))
    middle = keras.layers.Flatten()(keras.layers.Cropping2D((SIZE - 8) // 2)(x))
    model = keras.Model(x, keras.layers.Dense(2, activation="softmax")(middle))
    model.compile("sgd", loss="categorical_crossentropy")
    return model


def clock() -> np.ndarray:
    """Seconds, and processor seconds of all threads: those of other work do not count."""
    return np.array([time.perf_counter(), sum(os.times()[:4])])


class EpochTimes(keras.callbacks.Callback):
    """Seconds and processor seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[np.ndarray] = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        self.start = clock()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        self.taken.append(clock() - self.start)


def epochs(model: keras.Model, batches: object, count: int, **arguments: object) -> np.ndarray:
    """Seconds and processor seconds, shape (epochs, 2)."""
    times = EpochTimes()
    model.fit(batches, epochs=count, verbose=0, callbacks=[times], **arguments)
    return np.array(times.taken)


def line(name: str, ours: str, theirs: str, ratio: float, target: float, least: bool) -> bool:
    met = ratio >= target if least else ratio <= target
    sign = ">=" if least else "<="
    print(
        f"{'PASS' if met else 'MISS'}  {name}: {ratio:.2f} (target {sign} {target}); "
        f"ours {ours}, theirs {theirs}",
        flush=True,
    )
    return met


def whole_epochs(
    title: str, folder: Path, names: list[str], labels: list[str], pairs: int
) -> list[bool]:
    """First epoch with a cold cache, and the epochs after it, inside `fit`."""
    count = len(names)
    model = trivial_model()
    # Tracing is no part of an epoch: uint8 and float32 batches are traced apart.
    warm = np.zeros((BATCH, SIZE, SIZE, 3), np.float32), np.zeros((BATCH, 2), np.float32)
    tail = count % BATCH or BATCH
    for x, y in (warm, (warm[0].astype(np.uint8), warm[1])):
        epochs(model, Constant([(x, y), (x[:tail], y[:tail])]), 1)
    first: dict[str, list[np.ndarray]] = {"ours": [], "tf.data": [], "flow": []}
    later: dict[str, list[np.ndarray]] = {"ours": [], "tf.data": [], "flow": []}

    def keep(side: str, taken: np.ndarray, before: np.ndarray | float = 0.0) -> None:
        first[side].append(before + taken[0])
        later[side].append(np.median(taken[1:], axis=0))

    epochs(model, tf_data(folder).take(1), 1, shuffle=False)
    for _ in range(pairs):
        keep("tf.data", epochs(model, tf_data(folder), 3, shuffle=False))
        flow = generator(**SHIFTS).flow_from_directory(
            folder, (SIZE, SIZE), classes=list(CLASSES), batch_size=BATCH, seed=0
        )
        keep("flow", epochs(model, flow, 2))
        with tempfile.TemporaryDirectory() as cache:
            start = clock()
            pixels = images.cached(folder, names, SIZE, cache_dir=cache, progress=False)
            caching = clock() - start
            batches = Batches(
                pixels, np.arange(count), labels, CLASSES,
                batch_size=BATCH, shuffle=True, augmenter=Augmenter(**SHIFTS),
            )  # fmt: skip
            keep("ours", epochs(model, batches, 4, shuffle=False), caching)
    results = []
    for name, taken, side, target in (
        ("second epoch in fit against flow_from_directory (aim 40)", later, "flow", 20.0),
        ("first epoch, cold cache, against flow_from_directory", first, "flow", 1.8),
        ("later epoch in fit against tf.data with cache and layers", later, "tf.data", 5.0),
        ("first epoch, cold cache, against image_dataset_from_directory", first, "tf.data", 2.0),
    ):
        # The ratio of each pair: both of its sides met about the same load.
        ratios = np.median(np.array(taken[side]) / np.array(taken["ours"]), axis=0)
        ours, theirs = (np.median(taken[which], axis=0) / count for which in ("ours", side))
        told = (f"{1 / each[0]:.0f} images/s, {1000 * each[1]:.1f} ms" for each in (ours, theirs))
        title_and_name = f"{title}, {name} ({ratios[1]:.2f} in processor time)"
        results.append(line(title_and_name, *told, ratios[0], target, least=True))
    return results


class Constant(keras.utils.PyDataset):
    """The same few batches, for tracing."""

    def __init__(self, batches: list[tuple[np.ndarray, np.ndarray]]):
        super().__init__()
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.batches[index]


def in_memory(pixels: np.ndarray, pairs: int) -> bool:
    """Full affine augmentation of arrays in memory, one worker on either side, without a model."""
    count = len(pixels)
    labels = [CLASSES[i % 2] for i in range(count)]
    flow = generator(**AFFINE).flow(
        pixels.astype(np.float32), np.eye(2)[np.arange(count) % 2], batch_size=BATCH, seed=0
    )
    batches = Batches(
        pixels, np.arange(count), labels, CLASSES,
        batch_size=BATCH, shuffle=True, augmenter=Augmenter(**AFFINE),
    )  # fmt: skip
    ours, theirs = [], []
    for _ in range(pairs):
        theirs.append(seconds_for(lambda: [flow[i] for i in range(len(flow))]))
        ours.append(seconds_for(lambda: [batches[i] for i in range(len(batches))]))
    mine, other = statistics.median(ours), statistics.median(theirs)
    return line(
        "in memory, full affine, one worker",
        f"{count / mine:.0f} images/s",
        f"{count / other:.0f} images/s",
        other / mine,
        8.0,
        least=True,
    )


def beside_a_network(pixels: np.ndarray, pairs: int) -> list[bool]:
    """An epoch of MobileNetV2 at 96 px by our `fit` without what it saves, Keras' own, bare steps.

    All get the same batches, made before, so that the loop alone is compared; in processor
    seconds, since another load on the machine meets each step by chance.
    """
    small = np.stack([images.resize(image, 96) for image in pixels])
    small = small[: len(small) // BATCH * BATCH]
    labels = [CLASSES[i % 2] for i in range(len(small))]
    made = Batches(small, np.arange(len(small)), labels, CLASSES, batch_size=BATCH)
    batches = Constant([made[i] for i in range(len(made))])
    model = keras.applications.MobileNetV2((96, 96, 3), weights=None, classes=2)
    model.compile("adam", loss="categorical_crossentropy", metrics=[training.accuracy()])
    ours, plain, bare = EpochTimes(), EpochTimes(), []
    with tempfile.TemporaryDirectory() as run:
        for epoch in range(pairs + 1):
            # One epoch more than the checkpoint has; its saving comes after the clock.
            training.fit(model, batches, None, run, epoch + 1, keep="last", callbacks=[ours])
            model.fit(batches, shuffle=False, verbose=0, callbacks=[plain])
            start = clock()
            for x, y in batches.batches:
                model.train_on_batch(x, y)
            bare.append(clock() - start)
    # Without the first ones, which compile.
    mine, fits, steps = (np.array(each)[1:, 1] for each in (ours.taken, plain.taken, bare))
    name = f"MobileNetV2 epoch of {len(batches)} steps by our fit, in processor time of "
    return [
        line(
            name + peer,
            f"{np.median(mine):.2f} s",
            f"{np.median(theirs):.2f} s",
            float(np.median(mine / theirs)),
            1.02,
            least=False,
        )
        for peer, theirs in (("Keras' fit alone", fits), ("train_on_batch", steps))
    ]


def peak_memory(folder: Path, names: list[str]) -> bool:
    """Memory that a build of the cache takes above the imports, in a process of its own."""
    script = (
        "import sys; from common import images\n"
        # Not getrusage's ru_maxrss, which a child inherits from its parent.
        "def peak(): return int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
        "before = peak()\n"
        "names = sys.stdin.read().splitlines()\n"
        "images.cached(sys.argv[1], names, 224, cache_dir=sys.argv[2], progress=False)\n"
        "print((peak() - before) / 1024)"
    )
    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as cache:
        result = subprocess.run(
            [sys.executable, "-c", script, str(folder), cache],
            input="\n".join(names), capture_output=True, text=True, check=True, cwd=root,
        )  # fmt: skip
    mebibytes = float(result.stdout)
    decoded = len(names) * images.read(folder / names[0]).nbytes / 2**20
    return line(
        f"MiB above the imports while caching {len(names)} images",
        f"{mebibytes:.0f} MiB",
        f"{decoded:.0f} MiB for all images decoded",
        mebibytes,
        128.0,
        least=False,
    )


def seconds_for(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def large_pngs(folder: Path, count: int) -> list[str]:
    """Write tissue-like 1024 px PNGs of about 1.5 MB: smooth colours and a little noise."""
    rng = np.random.default_rng(0)
    names = []
    for i in range(count):
        coarse = rng.normal(0, 45, (64, 64, 3)).astype(np.float32)
        image = cv2.resize(coarse, (1024, 1024), interpolation=cv2.INTER_CUBIC)
        image += np.float32((205, 150, 190)) + rng.normal(0, 3, image.shape)
        name = f"{CLASSES[i % 2]}/{i:03}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.clip(image, 0, 255).astype(np.uint8))
        names.append(name)
    return names


def real_images(data_dir: Path | None, scratch: Path) -> tuple[str, Path, list[str]]:
    """What they are, their folder, which has a folder for each class, and their names."""
    title = "BreakHis"
    if data_dir is None and os.environ.get("HISTOPAPERS_TEST_DATA"):
        data_dir = Path(os.environ["HISTOPAPERS_TEST_DATA"]) / "data" / "breakhis_100x"
    if data_dir is None:
        from common.datasets import synthetic

        title = "SYNTHETIC BreakHis"
        data_dir = synthetic.breakhis(scratch / "breakhis", **SYNTHETIC)
        print("no --data-dir: SYNTHETIC images of BreakHis' size")
    # The generator takes its classes from folders: the parent of benign and malignant.
    folders = sorted(data_dir.rglob(CLASSES[0]))
    if not folders:
        raise InputError(f"{data_dir}: no folders {' and '.join(CLASSES)} below it")
    folder = folders[0].parent
    names = [
        path.relative_to(folder).as_posix()
        for name in CLASSES
        for path in sorted((folder / name).rglob("*.png"))
    ]
    return title, folder, names


def run() -> int:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="BreakHis images (default: test data)")
    parser.add_argument("--pairs", type=int, default=3, help="repetitions of either side")
    parser.add_argument("--large", type=int, default=64, help="number of 1024 px images")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        title, folder, names = real_images(arguments.data_dir, Path(scratch))
        labels = [Path(name).parts[0] for name in names]
        print(f"{len(names)} images of {images.read(folder / names[0]).shape[1::-1]} px")
        met = whole_epochs(title, folder, names, labels, arguments.pairs)
        large = Path(scratch) / "large"
        large_names = large_pngs(large, arguments.large)
        large_labels = [Path(name).parts[0] for name in large_names]
        met += whole_epochs("synthetic 1024 px", large, large_names, large_labels, arguments.pairs)
        pixels = np.stack([images.resize(images.read(folder / name), SIZE) for name in names])
        met.append(in_memory(pixels, arguments.pairs))
        met += beside_a_network(pixels, 9)
        met.append(peak_memory(folder, names))
    print(f"{sum(met)} of {len(met)} targets met")
    return int(not all(met))


if __name__ == "__main__":
    main(run)
