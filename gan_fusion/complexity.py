"""Parameters of the fusion network in both readings: python -m gan_fusion.complexity.

Printed beside Table 6, whose trainable parameters are those of one reading and whose text is the
other (G04).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from common import backbones, backend, errors, evaluation, measurements, tables
from common.arguments import Parser
from common.files import output_text
from gan_fusion.config import FUSIONS, HONEST, PRESETS, Config
from gan_fusion.experiments import DEMO_PRESETS

HEADER = ["Table 6", "printed", "described reading", "counts reading"]
"""Heads of the table."""

READINGS = ("T14-breakhis-fusion", "T14-breakhis-counts")
"""Rows of the two: without augmentation, and so without a frozen layer, as Table 6 counts."""


def parameters(config: Config) -> dict[str, int]:
    """Count the parameters of a classifier, as Table 6 lists them.

    Parameters
    ----------
    config : Config

    Returns
    -------
    dict
        ``parameters.total``, ``trainable``, ``non_trainable``, then by layer: ``extractor_1`` to
        ``extractor_3`` in Table 6's order (of a fusion), ``msff``, ``cpp``, and the head's.
    """
    from gan_fusion.model import build_model

    model = build_model(replace(config, weights="none"))  # which have no say in their number
    found = dict(backbones.parameters(model))

    def of(*beginnings: str) -> int:
        return sum(
            layer.count_params() for layer in model.layers if layer.name.startswith(beginnings)
        )

    if config.network in FUSIONS:
        second, third, first = FUSIONS[config.network]
        for number, name in enumerate((first, second, third), 1):
            found[f"extractor_{number}"] = of(f"{name}_")
    found |= {"msff": of("mscf_", "msff"), "cpp": of("cpp")}
    found |= {name: of(name) for name in ("bn_before", "bn_after", "logits")}
    found["dense"] = model.get_layer("dense").count_params()
    return {f"parameters.{name}": count for name, count in found.items()}


def counts(presets: Mapping[str, Config]) -> list[tuple[Config, dict[str, int]]]:
    """Count both readings, and their twins, which are the same networks.

    Parameters
    ----------
    presets : mapping
        Name -> config.

    Returns
    -------
    list of (Config, dict)
    """
    return [
        (presets[name], found)
        for row in READINGS
        for found in [parameters(presets[row])]
        for name in (row, HONEST[row])
    ]


def rows(found: Mapping[str, Mapping[str, int]]) -> list[list[str]]:
    """Text table of Table 6, its heads first.

    Parameters
    ----------
    found : mapping
        Preset of a reading -> its `parameters`.

    Returns
    -------
    list of list of str
        A line per printed layer and sum: `HEADER`'s columns.
    """
    table = tables.published("gan_fusion")
    table = table[(table.table == "T6") & (table.preset == READINGS[0])]
    lines = zip(table.row, table.printed, table.metrics_key, strict=True)
    return [HEADER] + [
        [row.partition(", ")[0], f"{int(printed):,}", *(f"{found[r][key]:,}" for r in READINGS)]
        for row, printed, key in lines
    ]


def main(arguments: list[str] | None = None) -> None:
    """Print the table, or write the counts.

    Parameters
    ----------
    arguments : list of str, optional
        Command line; that of the process by default.
    """
    parser = Parser(
        prog="python -m gan_fusion.complexity",
        description="Parameters of the fusion network in both readings, counted on the built "
        "networks, beside Table 6.",
    )
    parser.add_argument("--json", type=output_text, metavar="FILE",
                        help="write the counts there, for `tables`")  # fmt: skip
    parser.add_argument("--demo", action="store_true", help="with --json, of the demo's networks")
    options = parser.parse_args(arguments)
    backend.load()
    presets: Mapping[str, Any] = DEMO_PRESETS if options.demo else PRESETS
    if options.json is not None:
        measurements.write_counts(
            options.json, "gan_fusion", counts(presets), synthetic=options.demo
        )
        print(options.json)
        return
    print("\n".join(evaluation.aligned(rows({row: parameters(PRESETS[row]) for row in READINGS}))))


if __name__ == "__main__":
    errors.main(main)
