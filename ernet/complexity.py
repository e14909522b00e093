"""Parameters and multiply-accumulates of the eight networks: python -m ernet.complexity.

Printed beside Table 1's columns, which carry the enhanced networks' names. Counted are the
multiplications of convolutions, dense layers and dense shortcuts for one image.
"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from common import backbones, backend, errors, evaluation, tables
from ernet.config import BLOCKS, Config

if TYPE_CHECKING:
    import keras


def multiply_accumulates(model: keras.Model) -> int:
    """Count the multiply-accumulates of one image, those of the dense shortcuts included."""
    from ernet.model import DenseShortcut

    return backbones.multiply_accumulates(model) + sum(
        layer.scales.shape[0] * math.prod(layer.output.shape[1:])
        for layer in model.layers
        if isinstance(layer, DenseShortcut)
    )


def _printed() -> dict[tuple[str, str], str]:
    """Table 1's numbers as text, by network and by "parameters" or "flops"."""
    table = tables.published("ernet")
    table = table[table.metrics_key.isin(["parameters", "flops"])]
    return {
        (preset.removeprefix("T1-"), key): printed
        for preset, key, printed in zip(table.preset, table.metrics_key, table.printed, strict=True)
    }


def rows(image_size: int, **options: str) -> list[list[str]]:
    """Text table of all networks; `options` are fields of Config, such as er_sum="input".

    Depths that the options do not fit are left out.
    """
    from ernet.model import build_model, shortcut_parameters

    printed = _printed()
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
                trained = backbones.parameters(model)["trainable"]
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
                        printed.get((config.network, "parameters"), "–"),
                        f"{counts['first']:.3f}",
                        f"{counts['middle']:.3f}",
                        printed.get((config.network, "flops"), "–"),
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
