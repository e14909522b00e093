"""Export a trained model to TFLite files, each checked before it is written.

Every file keeps one contract, whatever its precision: a uint8 image (1, S, S, 3), RGB, raw pixels
[0, 255], goes in, float32 class probabilities (1, K) come out. The scaling lies inside the graph,
so a device has no scaling to get wrong.

The graph is rewritten first, exactly: input scaling becomes one 1x1 convolution, and a BatchNorm
that cannot be folded into a convolution before it becomes a 1x1 depthwise convolution, which int8
kernels run faster than a multiplication and an addition. For int8 the channels of every feature
map are then given like ranges, which is exact too.

    python -m common.export --run RUN --data-dir D
"""

from __future__ import annotations

from common.export.checks import (
    PROBABILITY_LIMIT,
    TOP1_LIMIT,
    agreement,
    check_agreement,
    check_probabilities,
    check_structure,
    interpreter,
    run,
)
from common.export.command import INCOMPLETE, data_folder, evenly, export_run, main, symmetries
from common.export.conversion import (
    CONVERTERS,
    PRECISIONS,
    best_range,
    with_quantizer,
    with_tensorflow,
)
from common.export.equalisation import equalise
from common.export.flatbuffer import Description, describe
from common.export.graph import rewrite
from common.export.writing import export, table, versions

__all__ = [
    "CONVERTERS", "INCOMPLETE", "PRECISIONS", "PROBABILITY_LIMIT", "TOP1_LIMIT", "Description",
    "agreement", "best_range", "check_agreement", "check_probabilities", "check_structure",
    "data_folder", "describe", "equalise", "evenly", "export", "export_run", "interpreter", "main",
    "rewrite", "run", "symmetries", "table", "versions", "with_quantizer", "with_tensorflow",
]  # fmt: skip
