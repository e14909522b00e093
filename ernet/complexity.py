"""Parameters and multiply-accumulates of the eight networks: python -m ernet.complexity.

Printed beside Table 1's columns, which carry the enhanced networks' names. Counted are the
multiplications of convolutions, dense layers and dense shortcuts for one image; batch
normalisation, activations, pooling and plain additions are not, as is usual.
"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from common import backend, errors, evaluation
from ernet.config import BLOCKS, Config

if TYPE_CHECKING:
    import keras

PRINTED = {18: ("11.6", "3.4"), 34: ("21.70", "6.2"), 50: ("25.56", "7.8"), 101: ("45.6", "9.2")}
"""Table 1: parameters in millions and "FLOPs" in billions, by depth."""


def parameters(model: keras.Model) -> int:
    """Count what is trained."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def multiply_accumulates(model: keras.Model) -> int:
    """Count the multiply-accumulates of one image of the model's size."""
    import keras

    from ernet.model import DenseShortcut

    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            pixels = math.prod(layer.output.shape[1:-1])
            total += pixels * math.prod(layer.kernel.shape)
        elif isinstance(layer, DenseShortcut):
            total += layer.scales.shape[0] * math.prod(layer.output.shape[1:])
    return total


def rows(image_size: int, **options: str) -> list[list[str]]:
    """Text table of all networks; `options` are fields of Config, such as er_sum="input".

    Depths that the options do not fit are left out.
    """
    from ernet.model import build_model, shortcut_parameters

    table = [
        [
            "network", "shortcuts", "their parameters", "parameters, M", "with 1000 outputs",
            "printed", "multiply-accumulates, G", "stride in 3x3", "printed FLOPs",
        ]
    ]  # fmt: skip
    for depth in BLOCKS:
        for family in ("resnet", "ernet"):
            counts = {}
            for stride in ("first", "middle"):
                config = Config(
                    network=f"{family}{depth}", image_size=image_size, stride=stride, **options
                )
                try:
                    model = build_model(config)
                except errors.InputError:
                    break
                counts[stride] = multiply_accumulates(model) / 1e9
            else:
                trained = parameters(model)
                head = model.get_layer("logits").kernel.shape
                wide = trained + (1000 - head[1]) * (head[0] + 1)
                shortcuts, extra = shortcut_parameters(model)
                enhanced = family == "ernet"
                table.append(
                    [
                        config.network,
                        f"{shortcuts}" if enhanced else "–",
                        f"{extra:,}" if enhanced else "–",
                        f"{trained / 1e6:.3f}",
                        f"{wide / 1e6:.3f}",
                        PRINTED[depth][0] if enhanced else "–",
                        f"{counts['first']:.3f}",
                        f"{counts['middle']:.3f}",
                        PRINTED[depth][1] if enhanced else "–",
                    ]
                )
    return table


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m ernet.complexity",
        description="Parameters and multiply-accumulates of ERNet and ResNet, counted on the built "
        "networks with two outputs, beside what the paper prints for ERNet.",
    )
    parser.add_argument("--image-size", type=int, default=224, metavar="PX", help="default: 224")
    parser.add_argument("--er-sum", choices=("output", "input"), default="output")
    parser.add_argument("--er-block", choices=("resnet", "text"), default="resnet")
    options = parser.parse_args(arguments)
    backend.load()
    table = rows(options.image_size, er_sum=options.er_sum, er_block=options.er_block)
    print("\n".join(evaluation.aligned(table)))


if __name__ == "__main__":
    errors.main(main)
