"""Fetch ImageNet weights: ``python -m common.backbones download NAME...|all``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from common import errors
from common.backbones.weights import download
from common.networks import NETWORKS


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of those of the command line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m common.backbones", description="ImageNet weights of the networks."
    )
    command = parser.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "download", help="let Keras fetch weights, to copy them to a machine without network"
    )
    command.add_argument("names", nargs="+", choices=[*NETWORKS, "all"], metavar="NAME")
    command.add_argument("--image-size", type=int, default=224, metavar="PX", help="default: 224")
    options = parser.parse_args(arguments)
    names = list(NETWORKS) if "all" in options.names else list(dict.fromkeys(options.names))
    for name in names:
        for file in download(name, options.image_size):
            print(f"{name}: {file} ({file.stat().st_size / 1e6:.1f} MB)", flush=True)
    print("copy these files to ~/.keras/models (or $KERAS_HOME/models) of the other machine")


if __name__ == "__main__":
    errors.main(main)
