"""The fusion paper's classifier half: splits, generated images, heads and modules, rows, tables."""

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys

import cv2
import keras
import numpy as np
import pandas as pd
import pytest

from common import backbones, datasets, reproduce, runs, samples, tables, training
from common import config as configuration
from common.augment import Augmenter
from common.config import Execution
from common.datasets import synthetic
from common.errors import InputError
from common.files import write_csv, write_json
from gan_fusion import config, data, lengths, model, train
from gan_fusion import tables as gan_tables
from gan_fusion.config import PRESETS, Config

SMALL = dataclasses.replace(PRESETS["demo"], image_size=32)


def index_of(numbers, dataset="breakhis"):
    """An index with so many images per class, each of a case of its own."""
    rows = [
        {
            "image": f"folder/{name}-{i:04d}.png", "bytes": 9, "label": name, "type": name,
            "case": f"{name}{i}" if dataset == "breakhis" else "", "slide": "", "folder": "",
            "magnification": "", "official": "", "synthetic": False,
        }
        for name, number in numbers.items()
        for i in range(number)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    """Synthetic BreakHis of 16 patients, two images each."""
    return synthetic.breakhis(
        tmp_path_factory.mktemp("breakhis"),
        patients=16,
        images_per_patient=2,
        magnifications=("100X",),
        size=(46, 70),
    )


@pytest.fixture(scope="module")
def split(tissue):
    return data.make_split(data.load_index(SMALL, tissue), SMALL, Execution())


@pytest.fixture
def generated(tmp_path, split):
    """Three generated images of 32 px, from a GAN that saw the split's training part."""
    folder = tmp_path / "generated"
    folder.mkdir()
    rows = []
    for i in range(3):
        image = np.random.default_rng(i).integers(0, 256, (32, 32, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i:06d}.png"), image)
        rows.append(f"{i:06d}.png,benign,,true,{i}")
    (folder / "index.csv").write_text("image,label,patient,synthetic,seed\n" + "\n".join(rows))
    write_generation(folder, training_hash=data.training_hash(split))
    return folder


def write_generation(folder, **changes):
    path = folder / "generation.json"
    record = {
        "dataset": "breakhis", "training_hash": "0", "run_id": "0123456789",
        "preset": "T9-batch32", "finished": "2026-01-01T00:00:00",
    }  # fmt: skip
    if path.exists():
        record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, **changes}))


def ask(*arguments):
    """What the training command makes of its arguments."""
    return configuration.parse(
        Config,
        PRESETS,
        package="gan_fusion",
        description="",
        arguments=[str(each) for each in arguments],
        execution_class=config.TrainExecution,
    )


# --- splits ------------------------------------------------------------------------------------


def test_counts_split_has_the_printed_numbers():
    index = index_of({"benign": 2480, "malignant": 5429})
    parts = data.make_split(index, Config(), Execution())
    found = datasets.counts(parts, ["label", "part"])
    assert found == {
        ("benign", "train"): 1924, ("benign", "validation"): 481, ("benign", "test"): 75,
        ("malignant", "train"): 4274, ("malignant", "validation"): 1070,
        ("malignant", "test"): 85,
    }  # fmt: skip
    bach = Config(dataset="bach")
    names = ("Benign", "InSitu", "Invasive", "Normal")
    parts = data.make_split(index_of(dict.fromkeys(names, 100), "bach"), bach, Execution())
    assert datasets.counts(parts, ["part"]) == {"train": 280, "validation": 80, "test": 40}
    assert set(datasets.counts(parts, ["part", "label"]).values()) == {70, 20, 10}


def test_counts_split_of_a_part_of_the_data_is_refused():
    with pytest.raises(InputError, match=r"class benign: 1924 \+ 481 \+ 75.*holds 99.*--split"):
        data.make_split(index_of({"benign": 99, "malignant": 5429}), Config(), Execution())
    index = index_of({"Benign": 100, "InSitu": 100, "Invasive": 100}, "bach")
    with pytest.raises(InputError, match=r"class Normal.*holds 0"):
        data.make_split(index, Config(dataset="bach"), Execution())


def test_patients_are_kept_apart_and_bach_needs_a_list(split):
    cases = split.groupby("case").part.nunique()
    assert (cases == 1).all()
    assert set(split.part) == {"train", "validation", "test"}
    bach = dataclasses.replace(SMALL, dataset="bach")
    with pytest.raises(InputError, match=r"carry no patient; give those.*--patients.*partition"):
        data.make_split(index_of({"Benign": 9}, "bach"), bach, Execution())


def whole_bach(seed=0):
    """BACH's 400 names, in any order."""
    prefixes = {"Normal": "n", "Benign": "b", "InSitu": "is", "Invasive": "iv"}
    index = index_of(dict.fromkeys(prefixes, 100), "bach")
    names = [f"P/{label}/{p}{i:03d}.tif" for label, p in prefixes.items() for i in range(1, 101)]
    return index.assign(image=names).sample(frac=1, random_state=seed)


PARTITION = Config(dataset="bach", split="partition")

TESTED = {
    *(f"b{i:03d}.tif" for i in (*range(42, 60), *range(61, 91))),
    *(f"is{i:03d}.tif" for i in range(40, 70)),
    *(f"iv{i:03d}.tif" for i in (*range(41, 59), *range(61, 74))),
    *(f"n{i:03d}.tif" for i in range(46, 69)),
}
"""The second part of BACH's partition by file name, from the positions by hand."""


def test_partition_of_bach_is_the_published_one():
    parts = data.make_split(whole_bach(), PARTITION, Execution())
    names = parts.image.str.rpartition("/")[2]
    assert len(TESTED) == 132 and set(names[parts.part == "test"]) == TESTED
    # ceil(268 / 5) = 54 of 52 benign, 70 in situ, 69 invasive, 77 normal; by largest remainder.
    assert datasets.counts(parts, ["part"]) == {"train": 214, "validation": 54, "test": 132}
    validated = parts[parts.part == "validation"].label.value_counts().to_dict()
    assert validated == {"Benign": 10, "InSitu": 14, "Invasive": 14, "Normal": 16}
    again = data.make_split(whole_bach(1), PARTITION, Execution()).set_index("image").part
    assert (again[parts.image] == parts.set_index("image").part).all()
    other = dataclasses.replace(PARTITION, split_seed=1)
    moved = data.make_split(whole_bach(), other, Execution())
    assert set(moved.image[moved.part == "test"]) == set(parts.image[parts.part == "test"])
    assert list(moved.part) != list(parts.part)


def test_partition_of_another_number_of_images_is_refused():
    index = whole_bach()
    for broken, found in (
        (index[index.image != "P/Benign/b007.tif"], r"this copy has 399 \(99 Benign, 100 InSitu"),
        (pd.concat([index, index[:1].assign(image="P/x/b101.tif")]), "this copy has 401"),
        (index.assign(label=index.label.mask(index.image == "P/Normal/n001.tif", "Benign")),
         r"this copy has 400 \(101 Benign, 100 InSitu, 100 Invasive, 99 Normal\)"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=f"--split partition: .*all 400 images.*{found}"):
            data.make_split(broken, PARTITION, Execution())
    with pytest.raises(InputError, match="is BACH's; BreakHis has --split patient"):
        data.make_split(index_of({"benign": 9}), Config(split="partition"), Execution())


def listed_bach(tmp_path, shift=0):
    """BACH with a list of patients of six images each, of the first 90 of each class."""
    index = whole_bach()
    rows = []
    for image in index.image:
        name = image.rpartition("/")[2].removesuffix(".tif")
        number = int(name[-3:]) - 1
        if number < 90:
            side = "t" if f"{name}.tif" in TESTED else "r"
            rows.append(f"{name},{name[:-3]}{side}{(number + shift) // 6}")
    path = tmp_path / "patients.csv"
    path.write_text("image,patient\n" + "\n".join(rows) + "\n")
    return datasets.get("bach").with_patients(index, path), path


def test_a_list_of_patients_validates_by_patient(tmp_path):
    index, _ = listed_bach(tmp_path)
    parts = data.make_split(index, PARTITION, Execution())
    assert set(parts.image.str.rpartition("/")[2][parts.part == "test"]) == TESTED
    known = parts[parts.case != ""]
    assert (known.groupby("case").part.nunique() == 1).all()
    # Whose the others are is not known: they are trained on where they are not tested on.
    assert set(parts.part[parts.case == ""]) == {"train"}
    validated = parts[parts.part == "validation"]
    assert 48 <= len(validated) <= 60 and validated.label.nunique() == 4
    by_patient = dataclasses.replace(PARTITION, split="patient")
    parts = data.make_split(index, by_patient, Execution())
    assert (parts[parts.case != ""].groupby("case").part.nunique() == 1).all()
    assert parts.part[parts.case == ""].nunique() == 1
    assert (parts.case == "").sum() == 40


def test_a_list_against_the_partition_is_refused(tmp_path):
    index, _ = listed_bach(tmp_path)
    tested = index.image.str.endswith("b042.tif")
    mixed = index.assign(case=index.case.mask(tested, "br6"))
    with pytest.raises(InputError, match="1 cases lie on both sides of the partition: br6"):
        data.make_split(mixed, PARTITION, Execution())
    few = index.assign(case=index.case.where(index.case.isin(["br6", "isr0"]), ""))
    with pytest.raises(InputError, match="case of 11 of 268 images is known, too few"):
        data.make_split(few, PARTITION, Execution())


def test_a_list_of_patients_makes_another_run(tmp_path, generated, split):
    _, path = listed_bach(tmp_path)
    made = data.load_generated(generated, split, SMALL)
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    assert data.more_data(None) == ""
    assert data.more_data(path) == sha
    assert data.more_data(None, made) == made.sha256
    assert data.more_data(path, made) == f"{sha} {made.sha256}"
    request = ask("--preset", "T12-vgg16-honest", "--patients", path)
    assert request.execution.patients == path and "--patients" in request.command


def test_training_hash_is_of_names_and_labels_alone():
    index = index_of({"b": 2, "a": 1}).assign(part=["train", "test", "train"])
    text = "a-0000.png\ta\nb-0000.png\tb"
    assert data.training_hash(index) == hashlib.sha256(text.encode()).hexdigest()
    elsewhere = index.assign(image="other/" + index.image.str.rpartition("/")[2])
    assert data.training_hash(elsewhere.sample(frac=1, random_state=1)) == data.training_hash(index)
    assert data.training_hash(index.assign(label="b")) != data.training_hash(index)
    assert data.training_hash(index.assign(part="train")) != data.training_hash(index)


# --- generated images --------------------------------------------------------------------------


def test_generated_images_join_the_training_part_alone(generated, split, tissue, tmp_path):
    made = data.load_generated(generated, split, SMALL)
    assert (made.gan, made.describe()["images"]) == ("T9-batch32", {"benign": 3})
    table = data.make_samples(split, made)
    new = table[table.op == "synthetic"]
    assert (len(new), set(new.part), set(new.case), set(new.synthetic)) == (
        3, {"train"}, {""}, {True},
    )  # fmt: skip
    real = table[table.op == "none"]
    assert not real.synthetic.any() and (real.case != "").all()
    assert set(real.image[real.part == "train"]) == set(split.image[split.part == "train"])
    assert set(real.image[real.part == "validation"]) == set(
        split.image[split.part == "validation"]
    )
    assert data.make_samples(split, None).equals(real.reset_index(drop=True))
    # Each name leads to its own pixels, whichever folder they lie in.
    pixels = data.load_pixels(split, made, SMALL, tissue, tmp_path / "cache")
    assert len(pixels) == len(split) + 3
    for name in ("000001.png", "000002.png"):
        there = cv2.cvtColor(cv2.imread(str(generated / name)), cv2.COLOR_BGR2RGB)
        np.testing.assert_array_equal(pixels[pixels.row(f"generated/{name}")], there)
    image = split.image.iloc[5]
    np.testing.assert_array_equal(
        pixels[pixels.row(image)],
        data.load_pixels(split, None, SMALL, tissue, tmp_path / "cache")[5],
    )


def edit_index(folder, old, new):
    path = folder / "index.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: write_generation(f, training_hash="1234567890ab"), "another training part"),
        (lambda f: write_generation(f, dataset="bach"), "generated from bach"),
        (lambda f: write_generation(f, finished=None), "did not finish"),
        (lambda f: (f / "generation.json").unlink(), "did not finish"),
        (lambda f: (f / "generation.json").write_text("{"), "damaged"),
        (lambda f: edit_index(f, "benign", "Normal"), "class Normal is none of benign, malignant"),
        (lambda f: edit_index(f, "000001.png", "000000.png"), "000000.png stands twice"),
        (lambda f: edit_index(f, "benign,,", "benign,22549,"), "no patient"),
        (lambda f: edit_index(f, "true", "false"), "synthetic=true"),
        (lambda f: edit_index(f, "seed", "grain"), "no column seed"),
        (lambda f: (f / "000001.png").unlink(), "1 image is missing: 000001.png"),
        (lambda f: (f / "index.csv").write_text("image,label,patient,synthetic,seed\n"),
         "lists no image"),
        (lambda f: (f / "index.csv").unlink(), "index.csv: no such file"),
    ],
)  # fmt: skip
def test_generated_images_that_are_refused(spoil, message, generated, split):
    spoil(generated)
    with pytest.raises(InputError, match=message):
        data.load_generated(generated, split, SMALL)


def test_generated_images_smaller_than_the_input_are_refused(generated, split, tissue):
    made = data.load_generated(generated, split, SMALL)
    larger = dataclasses.replace(SMALL, image_size=64)
    with pytest.raises(InputError, match=r"generated at 32 px.*input of 64 px"):
        data.load_pixels(split, made, larger, tissue, None)


def test_images_are_loaded_once_and_bad_ones_left_out_only_among_the_real(
    generated, split, tissue, tmp_path, monkeypatch
):
    made = data.load_generated(generated, split, SMALL)
    copy = shutil.copytree(tissue, tmp_path / "copy")
    bad = split.image.iloc[2]
    (copy / bad).write_bytes((copy / bad).read_bytes()[:200])
    asked = []
    original = data.images.cached
    monkeypatch.setattr(data.images, "cached", lambda *a, **k: asked.append(a) or original(*a, **k))
    where = (SMALL, copy, tmp_path / "cache")
    pixels = data.load_pixels(split, made, *where, skip_bad=True)
    assert len(asked) == 1
    assert [image for image, _ in pixels.skipped] == [bad]
    assert [*pixels.kept(split).image, *(f"generated/00000{i}.png" for i in range(3))] == list(
        pixels.images
    )
    (generated / "000001.png").write_bytes(b"half")
    with pytest.raises(InputError, match=r"1 generated images cannot be used: .*000001\.png"):
        data.load_pixels(split, made, *where, skip_bad=True)


def test_config_says_what_was_generated_in_fact(generated, split):
    request = ask("--preset", "T11-fusion-trad-gan")
    made = data.load_generated(generated, split, SMALL)
    found = train.with_generated(request, made)
    assert (found.config.gan, found.config.generated) == ("T9-batch32", 3)
    assert found.preset == "T11-fusion-trad-gan-changed"
    many = dataclasses.replace(made, table=pd.concat([made.table[:1]] * 640))
    assert train.with_generated(request, many) == request
    without = train.with_generated(ask("--preset", "T11-fusion-trad-gan", "--gan", "none"), None)
    assert without.preset == "T11-fusion-trad"
    assert without.config == PRESETS["T11-fusion-trad"]


def test_the_papers_own_way_takes_the_images_of_a_gan_that_saw_everything(generated, split):
    """G15: only when it is asked for by name, and then no other GAN's."""
    own = dataclasses.replace(SMALL, gan="T9-batch32-as-printed")
    everything = data.training_hash(split.assign(part="train"))
    with pytest.raises(InputError, match="which trains on all images"):
        data.load_generated(generated, split, own)
    write_generation(generated, training_hash=everything)
    assert len(data.load_generated(generated, split, own).table)
    with pytest.raises(InputError, match="another training part"):
        data.load_generated(generated, split, SMALL)
    for row, name in config.AS_PRINTED.items():
        presets = PRESETS if name in PRESETS else config.OTHER_PRESETS
        differing = configuration.differences(presets[name], presets[row])
        assert differing == (["gan"] if name in PRESETS else ["train_on"])
        assert "(G15)" in config.LEAKS[name] and "(G15)" not in config.LEAKS[row]
    assert {name for name in config.AS_PRINTED if name in PRESETS} == {
        "T11-fusion-trad-gan", "T11-counts-trad-gan"
    }  # fmt: skip


def test_the_number_of_generated_images_is_counted_never_set():
    with pytest.raises(InputError, match="Unrecognized options: --generated"):
        ask("--preset", "T11-fusion-trad-gan", "--generated", 3)
    with pytest.raises(TypeError, match="no setting 'generated'"):
        train.train(preset="demo", generated=3)
    assert ask("--preset", "T12-fusion-trad-gan").config.generated == 256


def test_bad_input_ends_before_anything_is_written(generated, split, tissue, tmp_path):
    command = (
        "--preset", "demo", "--data-dir", tissue, "--image-size", 32,
        "--runs-dir", tmp_path / "runs",
    )  # fmt: skip
    cases = {
        ("--gan", "T9-batch32"): r"trains on the images of the GAN T9-batch32 .*--gan-images",
        ("--preset", "T11-fusion-trad-gan"): r"640 images of the GAN T9-batch32 .*--gan-images",
        ("--gan-images", tmp_path / "nowhere"): "no such folder",
        ("--gan-images", generated, "--split-seed", 7): "another training part",
        ("--split", "counts"): "class benign: 1924",
        ("--image-size", 16): "--image-size 16: must be at least 32",
        ("--dataset", "bach", "--split", "counts"): "no image of BACH",
    }
    for more, message in cases.items():
        with pytest.raises(InputError, match=message):
            train.train(ask(*command, *more))
    assert not (tmp_path / "runs").exists()


def test_command_line_reports_an_error_in_one_line(generated, tissue, tmp_path):
    write_generation(generated, training_hash="1234567890ab")
    arguments = (
        "--demo", "--data-dir", tissue, "--gan-images", generated, "--image-size", 32,
        "--runs-dir", tmp_path / "runs",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "gan_fusion.train", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {generated}: the GAN was trained on another")
    assert not (tmp_path / "runs").exists()


# --- augmentation ------------------------------------------------------------------------------


def test_printed_augmentation_is_table_5():
    printed = Augmenter(**config.AUGMENTATIONS["printed"])
    uniforms = np.random.default_rng(0).random((4000, 8))
    drawn = pd.DataFrame([printed.parameters(row, (100, 100)) for row in uniforms])
    for zoom in (drawn.zx, drawn.zy):
        assert -1 <= zoom.min() < -0.99 and 2.99 < zoom.max() <= 3
        assert abs(zoom).min() >= 0.05
        assert (zoom < 0).mean() == pytest.approx(0.95 / 3.9, abs=0.02)
    assert 94 < drawn.theta.max() <= 95 and -95 <= drawn.theta.min() < -94
    assert 0.49 < drawn.shear.max() <= 0.5
    assert 39 < drawn.tx.max() <= 40 and -40 <= drawn.ty.min() < -39
    assert drawn.flip_horizontal.mean() == pytest.approx(0.5, abs=0.03)
    assert drawn.flip_vertical.mean() == pytest.approx(0.5, abs=0.03)
    sane = Augmenter(**config.AUGMENTATIONS["sane"])
    zoom = [sane.parameters(row, (100, 100))["zx"] for row in uniforms]
    assert 0.8 <= min(zoom) < 0.81 and 1.19 < max(zoom) <= 1.2
    changed = {
        name
        for name, value in config.AUGMENTATIONS["sane"].items()
        if value != config.AUGMENTATIONS["printed"][name]
    }
    assert changed == {"zoom_range", "fill_mode"}


# --- network -----------------------------------------------------------------------------------


def test_head_is_table_6s():
    inputs = keras.Input((3488,))
    built = keras.Model(inputs, model.head(inputs, Config()))
    names = ["dropout_before", "bn_before", "dense", "dropout_after", "bn_after", "logits"]
    assert [layer.name for layer in built.layers][1:] == [*names, "probabilities"]
    parameters = {layer.name: layer.count_params() for layer in built.layers}
    # 4 * 3488 where 11,952 is printed (G03); the other three as printed.
    assert [parameters[name] for name in ("bn_before", "dense", "bn_after", "logits")] == [
        13952, 446592, 512, 258,
    ]  # fmt: skip
    assert backbones.parameters(built)["trainable"] == 454082  # G06
    assert built.get_layer("dropout_before").rate == 0.2
    assert built.get_layer("dropout_after").rate == 0.4
    assert built.get_layer("bn_after").momentum == 0.9
    dense = built.get_layer("dense")
    assert dense.kernel_initializer.__class__.__name__ == "HeNormal"
    kernels = [layer.kernel for layer in (dense, built.get_layer("logits"))]
    penalty = sum(1e-4 * float(keras.ops.sum(kernel**2)) for kernel in kernels)
    assert float(sum(built.losses)) == pytest.approx(penalty, rel=1e-5)
    output = keras.ops.convert_to_numpy(built(np.ones((2, 3488), "float32")))
    assert output.dtype == np.float32
    np.testing.assert_allclose(output.sum(axis=1), 1, atol=1e-6)


def small_module(shallower=False):
    """A contextual module of two channels on a 7x7 map, with weights that can be followed."""
    settings = Config(mscf_channels=2, l2=0)
    inputs = [keras.Input((7, 7, 3))] + [keras.Input((7, 7, 2))] * shallower
    output = model.contextual_module(inputs[0], inputs[1] if shallower else None, settings, "m")
    built = keras.Model(inputs, output)
    built.get_layer("m_projection").kernel.assign(np.eye(3, 2)[None, None])
    for dilation in (1, 2, 3):
        layer = built.get_layer(f"m_dilation_{dilation}")
        layer.kernel.assign(np.zeros((3, 3, 2, 2)))
        assert layer.dilation_rate == (dilation, dilation)
    return built


def test_contextual_module_by_hand():
    built = small_module(shallower=True)
    image, before = np.zeros((1, 7, 7, 3), "float32"), np.zeros((1, 7, 7, 2), "float32")
    image[0, 3, 3] = (1, 2, 9)
    before[0, 0, 0, 1] = 5
    image[0, 0, 6, 0] = -4
    scale = 1 / np.sqrt(1 + 1e-3)  # BatchNorm with its first statistics
    expected = np.zeros((7, 7, 2))
    expected[3, 3], expected[0, 0, 1] = (scale, 2 * scale), 5  # -4 falls to the ReLU
    output = keras.ops.convert_to_numpy(built([image, before]))[0]
    np.testing.assert_allclose(output, expected, atol=1e-6)
    # A dilated kernel's corner reaches as far as its dilation; all contexts are summed.
    for dilation in (1, 2, 3):
        kernel = np.zeros((3, 3, 2, 2))
        kernel[0, 0] = np.eye(2)
        built.get_layer(f"m_dilation_{dilation}").kernel.assign(kernel)
        expected[3 + dilation, 3 + dilation] += (scale, 2 * scale)
        expected[dilation, dilation, 1] += 5
    output = keras.ops.convert_to_numpy(built([image, before]))[0]
    np.testing.assert_allclose(output, np.maximum(expected, 0), atol=1e-6)


def test_chain_pooling_by_hand():
    inputs = keras.Input((5, 5, 1))
    built = keras.Model(inputs, model.chain_pooling(inputs, 2))
    assert not built.weights
    image = np.zeros((1, 5, 5, 1), "float32")
    image[0, 2, 2] = 1
    # One pixel of 25, then its 3x3 neighbourhood, then the whole map.
    assert float(built(image)[0, 0]) == pytest.approx((1 + 9 + 25) / 25)


def test_maps_of_different_sizes_are_not_fused():
    maps = {"nasnet_mobile": keras.Input((3, 3, 4)), "resnet101": keras.Input((3, 3, 4)),
            "densenet201": keras.Input((2, 2, 4))}  # fmt: skip
    with pytest.raises(InputError, match=r"image-size 75.*densenet201 2x2.*multiple of 32"):
        model._described(maps, Config(image_size=75))


def test_one_file_of_weights_does_not_fit_three_networks():
    with pytest.raises(InputError, match=r"three networks.*imagenet or none"):
        model.build_model(dataclasses.replace(Config(), weights="weights.h5"))


@pytest.mark.slow
def test_counts_reading_has_the_printed_parameters():
    settings = Config(network="fusion_counts", weights="none", image_size=32, frozen="none")
    built = model.build_model(settings)
    assert backbones.parameters(built) == {
        "total": 37767702, "trainable": 37494676, "non_trainable": 273026,
    }  # fmt: skip
    assert built.get_layer("fusion").output.shape[1] == 3488
    model.freeze(built, dataclasses.replace(settings, frozen="first"))
    assert backbones.parameters(built)["trainable"] == 37494676 - 2175872  # G06
    model.freeze(built, dataclasses.replace(settings, frozen="base"))
    assert backbones.parameters(built)["trainable"] == 454082  # G06
    names = {layer.name for layer in built.layers}
    assert set(model.gradcam_layers(settings).values()) <= names


@pytest.mark.slow
def test_described_reading_freezes_saves_and_loads(tmp_path):
    settings = Config(weights="none", image_size=32)
    built = model.build_model(settings)
    frozen = [layer.name for layer in built.layers if not layer.trainable]
    # The application's input layer counts among the 200 and the 50.
    assert sum(name.startswith("densenet201_") for name in frozen) == 199
    assert sum(name.startswith("resnet101_") for name in frozen) == 49
    assert not any(name.startswith("nasnet_mobile_") for name in frozen)
    assert built.get_layer("msff").output.shape[1:] == (1, 1, 768)
    names = {layer.name for layer in built.layers}
    assert set(model.gradcam_layers(settings).values()) <= names
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    before = keras.ops.convert_to_numpy(built(pixels))
    built.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(again(pixels)), before)


# --- early stopping ----------------------------------------------------------------------------

LOSSES = (5.0, 4.0, 4.5, 4.0, 3.0, 3.5, 3.1, 3.2)


def test_early_stopping_stops_where_kerass_own_does():
    class Trained:
        stop_training = False

    for patience in (1, 2, 3, 4):
        ours, theirs = Trained(), Trained()
        mine = training.EarlyStopping([], patience)
        peer = keras.callbacks.EarlyStopping("val_loss", patience=patience)
        mine.set_model(ours)
        peer.set_model(theirs)
        peer.on_train_begin()
        for epoch, loss in enumerate(LOSSES):
            for callback in (mine, peer):
                callback.on_epoch_end(epoch, {"val_loss": loss})
            assert ours.stop_training == theirs.stop_training, (patience, epoch)
            assert training.exhausted(LOSSES[: epoch + 1], patience) == ours.stop_training
            if ours.stop_training:
                break
    assert not training.exhausted([], 1)


def test_killed_training_stops_at_the_same_epoch(tmp_path, monkeypatch):
    """Killed after any epoch, the last one too, a run ends where an unbroken one ends.

    So does what it tells of trainings of other lengths, which is what they give themselves.
    """
    monkeypatch.setattr(lengths, "EPOCHS_TRIED", (1, 2, 30, 50))
    pixels = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), np.uint8)
    labels = ["a", "b"] * 6

    def small_model(_):
        inputs = keras.Input((4, 4, 3))
        x = keras.layers.Rescaling(1 / 255)(inputs)
        x = keras.layers.Dense(2)(keras.layers.Flatten()(x))
        return keras.Model(inputs, keras.layers.Softmax()(x))

    monkeypatch.setattr(model, "build_model", small_model)
    names = [f"{i}.png" for i in range(12)]
    table = pd.DataFrame({"image": names, "op": "none", "args": "", "label": labels})
    table["part"] = ["train"] * 8 + ["validation"] * 4
    split = table.assign(part=["train"] * 8 + ["test"] * 4)
    settings = dataclasses.replace(
        SMALL, epochs=40, patience=2, learning_rate=0.3, batch_size=4, network="mobilenet_v2"
    )

    class Cached:
        shape = pixels.shape
        rows = staticmethod(lambda images: np.array([names.index(name) for name in images]))
        __len__ = lambda self: 12  # noqa: E731
        __getitem__ = lambda self, key: pixels[key]  # noqa: E731

    def begin(path):
        path.mkdir()
        record = runs.Record("gan_fusion", {}, True, classes=["a", "b"])
        return runs.Run(path, record)

    def losses(path):
        return pd.read_csv(path / "history.csv").val_loss.tolist()

    whole = begin(tmp_path / "whole")
    train.fit(settings, Cached(), whole, split, table)
    expected = losses(whole.path)
    assert 2 < len(expected) < 40
    assert training.exhausted(expected, 2) and not training.exhausted(expected[:-1], 2)

    write, kills = training.fitting._write_history, {1, len(expected)}

    def killed(path, history):
        if len(history) in kills:
            kills.remove(len(history))
            raise RuntimeError("killed")
        return write(path, history)

    # Each time the checkpoint of the epoch is whole, and nothing behind it.
    monkeypatch.setattr(training.fitting, "_write_history", killed)
    broken = begin(tmp_path / "broken")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="killed"):
            train.fit(settings, Cached(), broken, split, table)
    train.fit(settings, Cached(), broken, split, table)
    assert losses(broken.path) == expected
    files = ["by_epochs.json", *(f"predictions-{n}.csv" for n in (1, 2, 30))]
    for name in files:
        assert (broken.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert not (whole.path / "predictions-50.csv").exists()  # longer than what was asked for
    trained, told = lengths.read(whole)
    assert (trained, list(told)) == (len(expected), [1, 2, 30])
    assert told[30]["best_epoch"] == whole.record.kept_epoch
    for length in (1, 2):
        direct = begin(tmp_path / str(length))
        train.fit(dataclasses.replace(settings, epochs=length), Cached(), direct, split, table)
        assert direct.record.kept_epoch == told[length]["best_epoch"]
        own = keras.saving.load_model(direct.path / "model.keras")
        said = pd.read_csv(whole.path / f"predictions-{length}.csv")
        np.testing.assert_allclose(
            said[["p_a", "p_b"]], own.predict(pixels[8:], verbose=0), rtol=1e-6
        )


# --- rows and tables ---------------------------------------------------------------------------


def test_rows_are_the_papers_settings():
    rows = {name: each for name, each in PRESETS.items() if name in config.HONEST}
    assert len(rows) == 2 * (7 + 3 + 3)
    for name, row in rows.items():
        bach = row.dataset == "bach"
        assert (row.epochs, row.learning_rate) == ((200, 1e-3) if bach else (50, 1e-4)), name
        alone = row.network not in config.FUSIONS
        assert (row.batch_size, row.frozen == "base") == ((64, True) if alone else (32, False))
        assert (row.split, row.patience, row.weights) == ("counts", 10, "imagenet")
        assert (row.augmentation == "printed") == ("-trad" in name)
        assert (row.generated, row.gan == "none") == (
            ((256 if bach else 640), False) if name.endswith("-gan") else (0, True)
        )
        if not alone:
            first = row.network == "fusion_described" and "-trad" in name
            assert row.frozen == ("first" if first else "none"), name
    assert {row.network for row in rows.values()} == {*config.BASELINES, *config.FUSIONS}
    assert Config() == PRESETS["T11-fusion-trad-gan"]
    assert PRESETS["T11-fusion-trad-gan"].gan in config.OTHER_PRESETS
    assert PRESETS["T12-fusion-trad-gan"].gan in config.OTHER_PRESETS


def test_honest_twins_keep_patients_apart():
    for name, row in PRESETS.items():
        if name not in config.HONEST:
            continue
        twin = PRESETS[config.HONEST[name]]
        assert config.leaks(row) and config.leaks(row) != config.leaks(twin)
        differs = set(configuration.differences(row, twin))
        assert differs == ({"split", "gan"} if name.endswith("-gan") else {"split"})
        if twin.gan != "none":
            assert config.OTHER_PRESETS[twin.gan].split == twin.split
        if row.dataset == "breakhis":
            assert twin.split == "patient" and not config.leaks(twin)
            continue
        assert twin.split == "partition"
        known, validation = config.leaks(twin)
        assert "patients that are known" in known and "not by patient" in validation
        assert config.leaks(twin, listed=True) == [known]


def test_printed_numbers_that_disagree_with_their_counts():
    """The rows that a check of the printed tables by hand found, worked out by `tables`."""
    table = tables.published("gan_fusion")
    wrong = {}
    for row, counted in zip(table.to_dict("records"), tables.paper_counts(table), strict=True):
        if counted[0] is False:
            wrong.setdefault((row["table"], row["row"]), set()).add(row["metric"])
    counts = {key for key, metrics in wrong.items() if {"TP", "TN", "FP", "FN"} <= metrics}
    assert counts == {
        ("T11", "ResNet-50, Malignant"),
        ("T12", "NasNetMobile, Normal"),
        ("T12", "Proposed + TradAug, InSitu"),
        ("T12", "Proposed + TradAug, Invasive"),
        ("T12", "Proposed + cWGAN + TradAug, Invasive"),
    }
    categories = {name: [row for t, row in wrong if t == name and "Average" not in row]
                  for name in ("T11", "T12")}  # fmt: skip
    averages = {name: [row for t, row in wrong if t == name and "Average" in row]
                for name in ("T11", "T12")}  # fmt: skip
    assert {name: len(rows) for name, rows in categories.items()} == {"T11": 5, "T12": 11}
    assert {name: len(rows) for name, rows in averages.items()} == {"T11": 2, "T12": 5}
    assert wrong["T11", "Proposed + TradAug, Benign"] == {"recall", "F1", "kappa"}
    assert wrong["T12", "VGG-19, Average"] == {"FPR", "TNR", "F1"}
    assert wrong["T12", "ResNet-50, Average"] == {"precision"}
    # Of the own accuracies only 98.8 can come from 160 or 40 images.
    accuracies = table[(table.metric == "accuracy")]
    possible = {
        row["printed"]
        for _, row in accuracies.iterrows()
        if (row["table"], row["row"]) not in wrong
    }
    assert possible == {"98.8"}
    assert len(accuracies) == 14


def test_recall_beside_its_counts_has_the_papers_interval():
    table = tables.published("gan_fusion")
    table["counts"] = tables.paper_counts(table)
    of_class = table[(table["table"] == "T11") & (table.row == "Xception, Malignant")]
    found = of_class.set_index("metric").counts
    assert found["recall"] == (True, 80, 85)
    assert found["FPR"] == (True, 0, 75)
    assert (found["TP"], found["FN"]) == ((True, 80, 85), (True, 5, 85))  # shares of their class
    assert found["F1"] == (None, 0, 0)


def finished_run(root, preset, right, seed=0, **changes):
    """A finished run of a row with so many of 160 test images right, the first ones."""
    from common import evaluation

    settings = configuration.to_dict(PRESETS[preset])
    folder = root / "gan_fusion" / f"{preset}-{seed}"
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {
        "schema": 1, "package": "gan_fusion", "preset": preset, "run_id": f"{preset}{seed}",
        "config": {**settings, "seed": seed, **changes}, "classes": ["benign", "malignant"],
        "positive": "malignant", "n_images": 7909, "expected_images": 7909, "synthetic": False,
        "leaks": [], "finished": "2026-01-01T00:00:00",
    })  # fmt: skip
    labels = np.array(["benign"] * 75 + ["malignant"] * 85)
    said = np.where(np.arange(160) < right, labels, np.where(labels == "benign", "malignant",
                                                             "benign"))  # fmt: skip
    frame = pd.DataFrame({
        "image": [f"{i:03d}.png" for i in range(160)], "case": [str(i // 4) for i in range(160)],
        "slide": "", "magnification": "", "part": "test", "label": labels,
        "p_benign": np.where(said == "benign", 0.9, 0.1),
    })  # fmt: skip
    frame["p_malignant"] = np.where(said == "benign", 0.1, 0.9)
    evaluation.write_predictions(folder / "predictions.csv", frame)
    write_csv(folder / "split.csv", frame.assign(folder="")[
        ["image", "case", "slide", "folder", "magnification", "label", "part"]])  # fmt: skip
    evaluation.evaluate_run(folder)
    return folder


def test_tables_show_runs_in_the_papers_form(tmp_path, capsys):
    finished_run(tmp_path, "T11-fusion-trad", 150)
    finished_run(tmp_path, "T11-fusion-trad-gan", 158)
    finished_run(tmp_path, "T11-fusion-trad-honest", 150)
    paper = tables.load("gan_fusion", tmp_path)
    lines = gan_tables.per_class(paper).splitlines()
    at = next(i for i, line in enumerate(lines) if "Proposed + TradAug, Malignant" in line)
    cells = [cell.strip() for cell in lines[at + 1].split("|")[2:-1]]
    # 150 right: all 75 benign, 75 of 85 malignant.
    assert cells == [
        "ours", "75", "75", "0", "10", "1.00", "0.88", "0.00", "1.00", "0.94", "0.88", "0.88",
    ]  # fmt: skip
    assert lines[at + 2].split("|")[2].strip() == "honest"
    printed = [cell.strip() for cell in lines[at].split("|")[3:-1]]
    assert printed[4:] == ["0.97*", "1.0", "0.01", "0.98*", "0.99", "0.99", "0.97*"]

    assert gan_tables.main(["gan-effect", "--runs-dir", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    line = next(line for line in shown.splitlines() if "T11-fusion-trad-gan | paper" in line)
    cells = [cell.strip() for cell in line.split("|")[3:-1]]
    assert cells[:4] == [
        "96.1 (159/160) -> 99.6 (159/160)", "93.75 (150/160)", "98.75 (158/160)", "+5.00",
    ]  # fmt: skip
    # Three of 40 patients make the difference, by 2, 4 and 2 images: a standard error of 2.995
    # points, 4.37 degrees of freedom, so 8.05 to each side, on the logit scale from -1 to 1.
    assert cells[4] == "-3.06 to +13.00"
    assert "T12-fusion-trad-gan | honest" in shown and "none:" not in shown


def test_numbers_of_epochs_are_read_off_one_training(tmp_path, capsys):
    assert gan_tables.main(["epochs", "--runs-dir", str(tmp_path)]) == 0
    assert "no finished run of a row tells of them" in capsys.readouterr().out
    folder = finished_run(tmp_path, "T11-densenet201", 150)
    finished_run(tmp_path, "T11-xception", 150)  # of a version that did not tell
    scores = json.loads((folder / "metrics.json").read_text())
    worse = {**scores, "accuracy": 0.5, "correct": 80}
    worse["intervals"] = {**scores["intervals"], "accuracy": [0.4, 0.6]}
    told = {"trained": 23, "epochs": {"10": worse, "20": scores, "30": scores}}
    write_json(folder / "by_epochs.json", told)
    assert gan_tables.main(["epochs", "--runs-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("| T11-")]
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[:3] == ["T11-densenet201", "paper's way", "50.00 (80/160) [40.00 to 60.00]"]
    assert cells[3] == cells[4]
    assert cells[3].startswith("93.75 (150/160) [")
    assert cells[5:] == ["–", "–", "23"]
    (folder / "by_epochs.json").write_text('{"trained": 3}')
    with pytest.raises(InputError, match=r"by_epochs\.json: damaged"):
        gan_tables.main(["epochs", "--runs-dir", str(tmp_path)])


def test_one_training_for_all_numbers_of_epochs():
    from gan_fusion.config import EPOCHS_TRIED, OTHER_PRESETS

    assert EPOCHS_TRIED == (10, 20, 30, 40, 50)  # Table 10
    rows = [row for name, row in PRESETS.items() if not name.startswith("demo")]
    assert {row.epochs for row in rows} == {50, 200}
    for row in rows:
        assert lengths.tried(row) == EPOCHS_TRIED
        assert lengths.tried(dataclasses.replace(row, epochs=10)) == ()
    assert not any("epochs" in name for name in [*PRESETS, *OTHER_PRESETS])
    found = reproduce.items(["gan_fusion"], table="T10", twins="no")
    assert [item.preset for item in found] == [f"T11-{name}" for name in config.BASELINES]


def test_row_of_the_gan_is_filled_by_a_gan_run(tmp_path):
    folder = tmp_path / "gan_fusion" / "any"
    folder.mkdir(parents=True)
    gan = configuration.to_dict(config.OTHER_PRESETS["T9-batch64"])
    record = {
        "schema": 1, "package": "gan_fusion", "preset": "T9-batch64", "config": gan,
        "kind": "gan", "n_images": 7909, "expected_images": 7909, "synthetic": False,
        "finished": "2026-01-01T00:00:00",
    }  # fmt: skip
    write_json(folder / "config.json", record)
    write_json(folder / "metrics.json", {"fid": 20.5, "kid": 0.0123})
    found = tables.rows("gan_fusion", tmp_path)
    row = found[(found.preset == "T9-batch64") & (found.metric == "KID")].iloc[0]
    assert (row.ours, row.status) == (0.0123, "not comparable")
    assert "equal features" in row.reason
    assert row.command == "python -m gan_fusion.train_gan --preset T9-batch64 --data-dir DIR"
    # Another size fills no row, and is listed with what it measured.
    write_json(folder / "config.json", {**record, "config": {**gan, "image_size": 64}})
    text = tables.markdown(tables.load("gan_fusion", tmp_path))
    assert "any: FID 20.5000, KID 0.0123; image_size 64 (row: 512)" in text


def test_readme_holds_the_printed_numbers():
    from pathlib import Path

    text = (Path(config.__file__).parent / "README.md").read_text(encoding="utf-8")
    assert tables.block("gan_fusion") in text
    told = {f"G{number:02d}" for number in range(1, 39)}
    assert {name for name in told if name not in text} == set()


def test_how_many_images_were_generated_is_recorded_and_no_flag():
    """It comes from --gan-images; a flag of that name had no effect."""
    with pytest.raises(InputError, match="Unrecognized options: --generated"):
        ask("--generated", 5)
    assert config.Config().generated == 640


# --- a whole run -------------------------------------------------------------------------------


@pytest.mark.slow
def test_whole_run_with_generated_images(generated, split, tissue, tmp_path, capsys):
    arguments = (
        "--demo", "--data-dir", tissue, "--image-size", 32, "--epochs", 2, "--batch-size", 16,
        "--runs-dir", tmp_path / "runs", "--cache-dir", tmp_path / "cache", "--workers", 0,
    )  # fmt: skip
    run = train.train(ask(*arguments, "--gan-images", generated))
    assert run.synthetic and run.finished and "SYNTHETIC" in capsys.readouterr().out
    assert run.config["gan"] == "T9-batch32" and run.config["generated"] == 3
    assert run.record["generated"]["images"] == {"benign": 3}
    table = samples.from_csv(run.path / "samples.csv")
    assert (table.op == "synthetic").sum() == 3
    whole = pd.read_csv(run.path / "samples.csv", dtype=str, keep_default_na=False)
    new = whole[whole.synthetic == "True"]
    assert set(new.case) == {""} and set(new.part) == {"train"}
    predictions = pd.read_csv(run.path / "predictions.csv")
    assert not predictions.image.str.startswith("generated/").any()
    assert (run.path / "figures" / "gradcam.png").is_file()
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "the GAN T9-batch32 generated were trained on as well (3 benign)" in page
    # Other pixels in the generated images are another run.
    image = np.full((32, 32, 3), 200, np.uint8)
    cv2.imwrite(str(generated / "000000.png"), image)
    request = ask(*arguments, "--gan-images", generated)
    made = data.load_generated(generated, split, request.config)
    assert made.sha256 != run.record["generated"]["sha256"]


def test_a_gan_that_draws_one_class_has_a_record():
    """Its classes lack the positive one, of old folders, too."""
    values = {
        "package": "gan_fusion", "config": {}, "synthetic": True, "classes": ["benign"],
        "positive": "malignant",
    }  # fmt: skip
    with pytest.raises(ValueError, match="positive is 'malignant', none of the classes"):
        runs.Record.from_json(values)
    for said in ({"no_classifier": "a GAN draws"}, {"kind": "gan"}):
        assert runs.Record.from_json({**values, **said}).classes == ["benign"]
