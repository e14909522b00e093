"""A folder for a Raspberry Pi from an exported run: python -m wrn_edge.bundle --run RUN.

The folder holds the model, everything that is needed to use it, and pictures with known outputs;
the device needs NumPy, Pillow and a runtime, and no network. `exported` reads the run, `golden`
chooses the pictures and writes down what the model makes of them, `contents` writes the folder,
`seal` hashes its files and lets it test itself; `programs` reaches the programs that run on the
device (`wrn_edge/device`), which are copied as they are.
"""

from wrn_edge.bundle.command import bundle, demo, main
from wrn_edge.bundle.contents import write
from wrn_edge.bundle.exported import PRECISIONS, TOLERANCE, find_data, read_export, tolerance
from wrn_edge.bundle.golden import FAMILIES, GOLDEN_PER_CLASS, Golden, choose_golden
from wrn_edge.bundle.programs import DEVICE

__all__ = [
    "DEVICE", "FAMILIES", "GOLDEN_PER_CLASS", "PRECISIONS", "TOLERANCE", "Golden", "bundle",
    "choose_golden", "demo", "find_data", "main", "read_export", "tolerance", "write",
]  # fmt: skip
