"""Parameters and multiply-accumulates of the eight networks: python -m ernet.complexity.

Printed beside Table 1's columns, which carry the enhanced networks' names. Counted are the
multiplications of convolutions, dense layers and dense shortcuts for one image.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from common import backbones, backend, errors, evaluation, measurements, tables
from common.arguments import Parser
from common.files import output_text
from ernet.config import BLOCKS, HONEST, PRESETS, Config
from ernet.experiments import DEMO_PRESETS

if TYPE_CHECKING:
    import keras


def multiply_accumulates(model: keras.Model) -> int:
    """Count the multiply-accumulates of one image, those of the dense shortcuts included.

    Parameters
    ----------
    model : keras.Model
        From `ernet.model.build_model`.

    Returns
    -------
    int
    """
    from ernet.shortcuts import DenseShortcut

    return backbones.multiply_accumulates(model) + sum(
        layer.scales.shape[0] * math.prod(layer.output.shape[1:])
        for layer in model.layers
        if isinstance(layer, DenseShortcut)
    )


def _printed() -> dict[tuple[str, str], str]:
    """Table 1's numbers as text, by network and by "parameters" or "flops"."""
    return {
        (preset.removeprefix("T1-"), key): printed
        for (preset, key), printed in _printed_rows().items()
    }


def _printed_rows() -> dict[tuple[str, str], str]:
    """The same by preset."""
    table = tables.published("ernet")
    table = table[table.metrics_key.map(measurements.kind_of) == "complexity"]
    keys = zip(table.preset, table.metrics_key, strict=True)
    return dict(zip(keys, table.printed, strict=True))


HEADER = [
    "network",
    "shortcuts",
    "their parameters",
    "parameters, M",
    "with 1000 outputs",
    "printed",
    "multiply-accumulates, G",
    "stride in 3x3",
    "printed FLOPs",
]
"""Heads of the table."""


def rows(image_size: int, **options: Any) -> list[list[str]]:
    """Text table of all networks, its heads first.

    Parameters
    ----------
    image_size : int
        Side of the input, px.
    **options
        Fields of Config, such as ``er_sum="input"``. Depths that they do not fit are left out.

    Returns
    -------
    list of list of str
        A line per network: `HEADER`'s columns.
    """
    printed = _printed()
    table = [HEADER]
    for depth in BLOCKS:
        for family in ("resnet", "ernet"):
            settings = {"network": f"{family}{depth}", "image_size": image_size, **options}
            with contextlib.suppress(errors.InputError):
                table.append(_line(settings, printed))
    return table


def _line(settings: Mapping[str, Any], printed: Mapping[tuple[str, str], str]) -> list[str]:
    """Counts of one network, beside what is printed."""
    from ernet.model import build_model, shortcut_parameters

    models = [build_model(Config(**settings, stride=each)) for each in ("first", "middle")]
    first, middle = (multiply_accumulates(model) / 1e9 for model in models)
    trained = backbones.parameters(models[0])["trainable"]
    inputs, outputs = models[0].get_layer("logits").kernel.shape
    wide = trained + (1000 - outputs) * (inputs + 1)
    shortcuts, extra = shortcut_parameters(models[0])
    name = settings["network"]
    return [
        name,
        f"{shortcuts}" if shortcuts else "–",
        f"{extra:,}" if shortcuts else "–",
        f"{trained / 1e6:.3f}",
        f"{wide / 1e6:.3f}",
        printed.get((name, "parameters"), "–"),
        f"{first:.3f}",
        f"{middle:.3f}",
        printed.get((name, "flops"), "–"),
    ]


def counts(presets: Mapping[str, Config]) -> list[tuple[Config, dict[str, int]]]:
    """Count the networks of Table 1's rows and of their twins, as they are built.

    Parameters
    ----------
    presets : mapping
        Name -> config.

    Returns
    -------
    list of (Config, dict)
        `parameters`, those that are trained, and `flops`, which are multiply-accumulates.
    """
    from ernet.model import build_model

    rows = [preset for preset, _ in _printed_rows()]
    found: dict[tuple[str, int], dict[str, int]] = {}
    table = []
    for name in dict.fromkeys(each for row in rows for each in (row, HONEST[row])):
        config = presets[name]
        network = config.network, config.image_size
        if network not in found:  # a twin differs in its split alone
            model = build_model(config)
            found[network] = {
                "parameters": backbones.parameters(model)["trainable"],
                "flops": multiply_accumulates(model),
            }
        table.append((config, found[network]))
    return table


def main(arguments: list[str] | None = None) -> None:
    """Print the table.

    Parameters
    ----------
    arguments : list of str, optional
        Command line; that of the process by default.
    """
    parser = Parser(
        prog="python -m ernet.complexity",
        description="Parameters and multiply-accumulates of ERNet and ResNet, counted on the built "
        "networks with two outputs, beside what the paper prints for ERNet.",
    )
    parser.add_argument("--image-size", type=int, default=224, metavar="PX", help="default: 224")
    parser.add_argument("--er-sum", choices=("output", "input"), default="output")
    parser.add_argument("--er-block", choices=("resnet", "text"), default="resnet")
    parser.add_argument("--json", type=output_text, metavar="FILE",
                        help="write the counts of Table 1's rows there, for `tables`")  # fmt: skip
    parser.add_argument("--demo", action="store_true", help="with --json, of the demo's networks")
    options = parser.parse_args(arguments)
    backend.load()
    if options.json is not None:
        presets = DEMO_PRESETS if options.demo else PRESETS
        measurements.write_counts(options.json, "ernet", counts(presets), synthetic=options.demo)
        print(options.json)
        return
    table = rows(options.image_size, er_sum=options.er_sum, er_block=options.er_block)
    print("\n".join(evaluation.aligned(table)))


if __name__ == "__main__":
    errors.main(main)
