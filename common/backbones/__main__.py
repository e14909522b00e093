"""Networks: fetch ImageNet weights (``download``), or write features of images (``features``)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common import datasets, errors, images, probe, terminal
from common.arguments import Parser
from common.backbones.weights import download
from common.datasets import own
from common.errors import InputError
from common.files import output_file, path_argument
from common.networks import NETWORKS

_AT_ONCE = 64  # images that are held decoded


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of those of the command line.
    """
    parser = Parser(
        prog="python -m common.backbones", description="ImageNet weights and features of networks."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "download", help="let Keras fetch weights, to copy them to a machine without network"
    )
    command.add_argument("names", nargs="+", choices=[*NETWORKS, "all"], metavar="NAME")
    command.add_argument("--image-size", type=int, default=224, metavar="PX", help="default: 224")
    command = commands.add_parser(
        "features", help="write the pooled last feature map of images, for common.probe"
    )
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", type=path_argument, metavar="CSV",
                        help="a CSV with the column image, or a folder of images")  # fmt: skip
    source.add_argument("--dataset", choices=sorted(datasets.MODULES), help="a public data set")
    command.add_argument(
        "--data-dir", type=path_argument, metavar="D",
        help="its folder, or that from which the paths of the CSV count",
    )  # fmt: skip
    command.add_argument("--network", required=True, choices=list(NETWORKS), metavar="NAME",
                         help=", ".join(NETWORKS))  # fmt: skip
    command.add_argument(
        "--weights", default="imagenet", metavar="NAME",
        help="imagenet, none, or the path of a file without top (default: imagenet)",
    )  # fmt: skip
    command.add_argument("--image-size", type=int, default=224, metavar="PX", help="default: 224")
    command.add_argument("--out", required=True, type=output_file, metavar="F.npz")
    options = parser.parse_args(arguments)
    if options.command == "features":
        _features(options)
        return
    names = list(NETWORKS) if "all" in options.names else list(dict.fromkeys(options.names))
    for name in names:
        for file in download(name, options.image_size):
            print(f"{name}: {file} ({file.stat().st_size / 1e6:.1f} MB)", flush=True)
    print("copy these files to ~/.keras/models (or $KERAS_HOME/models) of the other machine")


def _features(options: argparse.Namespace) -> None:
    if options.out.suffix != ".npz":
        raise InputError(f"--out {options.out}: its name must end in .npz")
    folder, names = _listed(options)
    from common.backbones.pooled import pooled

    model = pooled(options.network, options.image_size, options.weights)
    found = []
    with terminal.progress("features", len(names), "images") as bar:
        for start in range(0, len(names), _AT_ONCE):
            part = names[start : start + _AT_ONCE]
            pixels = np.stack(
                [images.resize(images.read(folder / name), options.image_size) for name in part]
            )
            found.append(np.asarray(model.predict(pixels, batch_size=16, verbose=0)))
            bar.advance(len(part))
    features = np.concatenate(found)
    weights = Path(options.weights).name
    probe.write(
        options.out, names, features,
        network=options.network, weights=weights, image_size=options.image_size,
    )  # fmt: skip
    print(f"{len(names)} images, {features.shape[1]} features each: {options.out}")


def _listed(options: argparse.Namespace) -> tuple[Path, list[str]]:
    """Folder and names of the images."""
    if options.dataset is None:
        given = own.read(options.images, data_dir=options.data_dir, needs=())
        return given.root, given.table["image"].tolist()
    card = datasets.get(options.dataset)
    table = card.index(options.data_dir)
    return datasets.data_folder(card, options.data_dir), table["image"].tolist()


if __name__ == "__main__":
    errors.main(main)
