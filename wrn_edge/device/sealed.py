"""The bundle's files: whether they are as they were sealed, and what they say."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import InputError

from common.notices import RESEARCH_USE, SYNTHETIC_MODEL

SCHEMA = 1
FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Bundle:
    """What the bundle's files say; `manifest` is manifest.json."""

    folder: Path
    manifest: dict[str, Any]
    classes: tuple[str, ...]
    preprocessing: dict[str, Any]

    @property
    def model(self) -> Path:
        """The model's file."""
        return self.folder / self.manifest["model"]["file"]

    @property
    def model_id(self) -> str:
        """Start of the SHA-256 of the model's file; stands in every result."""
        return self.manifest["files"][self.manifest["model"]["file"]]["sha256"][:10]

    @property
    def image_size(self) -> int:
        """Side of the model's square input, px."""
        return self.preprocessing["image_size"]

    @property
    def synthetic(self) -> bool:
        """Whether the model was trained on generated images."""
        return self.manifest["synthetic"]

    @property
    def exact(self) -> bool:
        """Whether the model computes in integers, so that equal kernels give equal bits."""
        return self.manifest["model"]["precision"] == "int8"

    def notice(self) -> str:
        """What must stand beside every result, one line or two."""
        return f"{SYNTHETIC_MODEL}\n{RESEARCH_USE}" if self.synthetic else RESEARCH_USE


def _sha256(data: bytes = b"") -> Any:
    """A SHA-256 to be updated; from Python's own module, because hashlib loads 4 MB of OpenSSL."""
    for name in ("_sha2", "_sha256"):
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(name).sha256(data)
    return importlib.import_module("hashlib").sha256(data)


def seal(manifest: dict[str, Any]) -> str:
    """SHA-256 over a manifest without its own `seal`.

    Parameters
    ----------
    manifest : dict
        As JSON gives it back.
    """
    rest = {key: value for key, value in manifest.items() if key != "seal"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return _sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex.

    Parameters
    ----------
    path : Path
    """
    digest = _sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read manifest.json and check it against its own seal.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    InputError
        If it is missing, damaged, changed, or of a newer version.
    """
    path = folder / "manifest.json"
    again = "copy the whole bundle again"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: missing; this folder is no bundle, or {again}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {again}") from None
    if not isinstance(manifest, dict) or "seal" not in manifest:
        raise InputError(f"{path}: is no manifest of a bundle; {again}")
    if manifest["seal"] != seal(manifest):
        raise InputError(f"{path}: was changed or damaged (its seal does not fit); {again}")
    if manifest["schema"] > SCHEMA:
        raise InputError(f"{path}: made by a newer version; use the programs that came with it")
    return manifest


def damaged_files(folder: Path, manifest: dict[str, Any], names: Sequence[str]) -> dict[str, str]:
    """Names of files that are not as the manifest says, with the reason.

    Parameters
    ----------
    folder : Path
    manifest : dict
    names : sequence of str
        Of the manifest's `files`, those to check.
    """
    found = {}
    for name in names:
        try:
            if file_hash(folder / name) != manifest["files"][name]["sha256"]:
                found[name] = "is not the file that was bundled (its SHA-256 differs)"
        except FileNotFoundError:
            found[name] = "is missing"
        except OSError as error:
            found[name] = f"cannot be read ({error.strerror})"
    return found


def load(folder: Path | None = None) -> Bundle:
    """Read a bundle; check all but its golden files.

    Parameters
    ----------
    folder : Path, optional
        By default our own.

    Raises
    ------
    InputError
        If a file is missing, damaged or changed.
    """
    folder = folder or FOLDER
    manifest = read_manifest(folder)
    needed = [name for name in manifest["files"] if not name.startswith("golden/")]
    for name, problem in damaged_files(folder, manifest, needed).items():
        raise InputError(f"{folder / name}: {problem}; copy the whole bundle again")
    preprocessing = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    labels = (folder / "labels.txt").read_text(encoding="utf-8").split("\n")
    return Bundle(folder, manifest, tuple(filter(None, labels)), preprocessing)
