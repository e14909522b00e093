"""Run folders: how a run is known, made, found again, read, and how its model is loaded.

A run is known by what can change its predictions: the package, its config, its data and its
starting weights. The same command finds the same folder again and resumes it.
"""

from common.errors import RESTORE
from common.files import (
    atomic_path,
    disk_is_full,
    file_hash,
    plain,
    write_csv,
    write_json,
    write_text,
)
from common.notices import SYNTHETIC_PREFIX
from common.runs.draws import settle
from common.runs.environment import commit, environment, machine, now
from common.runs.external import EXTERNAL, WITHOUT_COPIES, Elsewhere, elsewhere
from common.runs.folder import Run, find, load, load_classifier, open_run
from common.runs.identity import describe, id_of, run_id, same_run, weights_id
from common.runs.images import data_folder, typed_folder
from common.runs.manifest import ADDITIONAL, changing, compare, has_manifest, renew
from common.runs.naming import folders, named, no_run
from common.runs.record import SCHEMA, Record
from common.runs.saved_model import load_model, require_model

__all__ = [
    "ADDITIONAL",
    "EXTERNAL",
    "RESTORE",
    "SCHEMA",
    "SYNTHETIC_PREFIX",
    "WITHOUT_COPIES",
    "Elsewhere",
    "Record",
    "Run",
    "atomic_path",
    "changing",
    "commit",
    "compare",
    "data_folder",
    "describe",
    "disk_is_full",
    "elsewhere",
    "environment",
    "file_hash",
    "find",
    "folders",
    "has_manifest",
    "id_of",
    "load",
    "load_classifier",
    "load_model",
    "machine",
    "named",
    "no_run",
    "now",
    "open_run",
    "plain",
    "renew",
    "require_model",
    "run_id",
    "same_run",
    "settle",
    "typed_folder",
    "weights_id",
    "write_csv",
    "write_json",
    "write_text",
]
