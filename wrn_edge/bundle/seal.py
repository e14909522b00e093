"""A bundle's seal, the hashes of all its files, and its own test of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.files import file_hash, write_json
from wrn_edge.bundle.programs import device_module


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write manifest.json with the hash and size of every file, and its own hash.

    Parameters
    ----------
    folder : Path
        The bundle; every file in it but manifest.json enters.
    manifest : mapping
        What else the manifest says.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = {
        path.relative_to(folder).as_posix(): {
            "sha256": file_hash(path), "bytes": path.stat().st_size,
        }
        for path in files
        if path.name != "manifest.json"
    }  # fmt: skip
    with device_module("sealed") as sealed:
        whole = {"schema": sealed.SCHEMA, **manifest, "files": hashes}
        # As JSON will give it back, so that the seal fits what is read.
        plain = json.loads(json.dumps(whole))
        plain["seal"] = sealed.seal(plain)
    write_json(folder / "manifest.json", plain)


def self_test(folder: Path) -> None:
    """Let a bundle test itself, as `selftest.py` does on the device.

    Parameters
    ----------
    folder : Path
        A finished bundle.

    Raises
    ------
    InputError
        Naming the check that failed, and what was found.
    """
    with device_module("selftest") as selftest:
        checks = selftest.check(folder, runtime=None, kernels="default", threads=None)
        for what, found, well in checks:
            if not well:
                raise InputError(f"the bundle fails its own self-test ({what}): {found}")
