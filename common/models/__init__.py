"""Files of models, of whatever origin: looked through before anything is allocated, then loaded.

A model file is a small program for Keras and HDF5. This is the one door for `.keras`, weights,
training states and other HDF5 files: it refuses code, objects of strangers, links out of the file,
and whatever claims to be larger than it is, in one line that names the file.
"""

from __future__ import annotations

from common.models.contents import (
    check_arrays,
    check_hdf5,
    check_keras,
    check_weights,
    data_sets,
)
from common.models.loading import check_shapes, load, load_weights, without_optimizer

__all__ = [
    "check_arrays", "check_hdf5", "check_keras", "check_shapes", "check_weights", "data_sets",
    "load", "load_weights", "without_optimizer",
]  # fmt: skip
