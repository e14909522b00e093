"""Run folders: how a run is named, created, found and loaded, and how its files are written.

A run is known by what can change its predictions: the package, its config, its data and its
starting weights. The same command finds the same folder again and resumes it.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import hashlib
import importlib
import io
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import config as configuration
from common import datasets
from common.errors import InputError
from common.files import (  # noqa: F401 - also known as names of this module
    atomic_path,
    disk_is_full,
    file_hash,
    plain,
    write_csv,
    write_json,
    write_text,
)

if TYPE_CHECKING:
    from types import ModuleType

    import pandas as pd

    from common.images import Pixels

SCHEMA = 1
SYNTHETIC_PREFIX = "SYNTHETIC-"
RESTORE = "restore the file, or train again with --fresh"


# --- identity ----------------------------------------------------------------------------------


def weights_id(weights: str) -> str:
    """`none`, `imagenet`, or the SHA-256 of the file that `weights` names."""
    if weights in ("none", "imagenet"):
        return weights
    path = Path(weights)
    if not path.is_file():
        raise InputError(f"--weights {weights}: no such file; give imagenet, none or a file")
    return file_hash(path)


def run_id(package: str, config: Mapping[str, Any], data: str, weights: str) -> str:
    """First 10 hex digits of the SHA-256 over all that can change a run's predictions.

    Parameters
    ----------
    package : str
        Name of the paper's package.
    config : mapping
        Every field of its Config. `weights` is left out: the file's place does not matter, its
        content does.
    data : str
        Hash of the index (`common.datasets.index_hash`).
    weights : str
        From `weights_id`.
    """
    config = {name: value for name, value in config.items() if name != "weights"}
    identity = {
        "schema": SCHEMA,
        "package": package,
        "config": config,
        "data": data,
        "weights": weights,
    }
    text = json.dumps(plain(identity), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def describe(
    package: str,
    request: configuration.Request,
    dataset: ModuleType,
    index: pd.DataFrame,
    *,
    leaks: Sequence[str] = (),
    skipped: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Gather what `config.json` says of a run before it starts.

    Parameters
    ----------
    package : str
        The paper's package.
    request : common.config.Request
    dataset : module
        The data set's card, for example `common.datasets.bci`.
    index : DataFrame
        The images used.
    leaks : sequence of str
        What may flatter the result, in words.
    skipped : sequence of (image, reason)
        What `--skip-bad` left out (`Pixels.skipped`).
    """
    config, execution = request.config, request.execution
    classes = dataset.CLASSES[config.classes]
    missing = datasets.missing_classes(index, classes)
    if missing:
        print(f"no images of {', '.join(missing)}: every table keeps it, empty", file=sys.stderr)
    data = datasets.index_hash(index)
    if config.split == "file":
        # Another split of the same images is another run.
        data = hashlib.sha256(f"{data} {file_hash(execution.split_file)}".encode()).hexdigest()
    return {
        "package": package,
        "preset": request.preset,
        "config": configuration.to_dict(config),
        "sources": configuration.sources(config),
        "data": data,
        "weights": weights_id(config.weights),
        "dataset": dataset.NAME,
        "licence": dataset.LICENCE,
        "classes": classes,
        "positive": dataset.POSITIVE[config.classes],
        "n_images": len(index),
        "expected_images": dataset.EXPECTED_IMAGES,
        "synthetic": bool(index.synthetic.any()),
        "leaks": leaks,
        "skipped": [{"image": image, "reason": reason} for image, reason in skipped],
        "command": command_line(package),
    }


# --- run folders -------------------------------------------------------------------------------


@dataclass
class Run:
    """A run folder and what its `config.json` says."""

    path: Path
    record: dict[str, Any] = field(repr=False)
    started: datetime.datetime = field(default_factory=lambda: _now(), repr=False)

    @property
    def finished(self) -> bool:
        """Whether every file of the run has been written."""
        return self.record["finished"] is not None

    @property
    def config(self) -> dict[str, Any]:
        """The fields of the paper's Config."""
        return self.record["config"]

    @property
    def synthetic(self) -> bool:
        """Whether the run saw synthetic images; its results never stand in a paper's table."""
        return self.record["synthetic"]

    def closing_words(self) -> str:
        """Say where the results are, and whether other code than today's made them."""
        lines = [f"\nrun     {self.path}"]
        if (self.path / "report.html").is_file():  # a GAN's run has none
            lines.append(f"report  {self.path / 'report.html'}")
        made_by = json.loads((self.path / "environment.json").read_text(encoding="utf-8"))
        if made_by["commit"] != commit():
            lines.append(
                f"made by commit {str(made_by['commit'])[:10]}, not the present one; "
                f"--fresh trains again"
            )
        skipped = self.record.get("skipped") or []
        if skipped:
            lines.append(
                f"LEFT OUT {len(skipped)} images that cannot be used (--skip-bad), so this run "
                "fills no row of a table:"
            )
            lines += [f"  {each['image']}: {each['reason']}" for each in skipped[: datasets.SHOWN]]
            if len(skipped) > datasets.SHOWN:
                lines.append(f"  and {len(skipped) - datasets.SHOWN} more, see config.json")
        if self.synthetic:
            lines.append("SYNTHETIC tissue: a demonstration, not a result about patients")
        lines.append("research use, not for diagnosis")
        return "\n".join(lines)

    def note(self, **facts: Any) -> None:
        """Add facts that became known during the run to `config.json`."""
        self.record.update(facts)
        write_json(self.path / "config.json", self.record)

    def record_environment(self) -> None:
        """Write where and how long the run was made, before its report is."""
        now = _now()
        facts = {
            "started": self.record["created"],
            "finished": now.isoformat(),
            "seconds": (now - self.started).total_seconds(),
        }
        write_json(self.path / "environment.json", environment(self.record["command"]) | facts)

    def finish(self) -> None:
        """Mark the run as finished, which lets `tables` read it; its resume state goes."""
        self.note(finished=_now().isoformat())
        shutil.rmtree(self.path / "checkpoint", ignore_errors=True)


@contextlib.contextmanager
def open_run(
    runs_dir: str | Path,
    record: Mapping[str, Any],
    *,
    fresh: bool = False,
    pixels: Pixels | None = None,
) -> Iterator[Run]:
    """Create the run folder for `record`, or find the one that the same command made before.

    The folder is locked while the block runs, so that two processes never write to one run. A
    `config.json` that was cut while the run was not finished is written anew: the folder's name
    says that it is this run's.

    Parameters
    ----------
    runs_dir : path
        Where runs live; the folder is made if it is missing.
    record : mapping
        What `config.json` holds. `package`, `preset`, `config`, `data`, `weights` and `synthetic`
        decide the folder's name.
    fresh : bool
        Start anew: what the folder held is deleted.
    pixels : Pixels, optional
        The images as they are now. What bytes they have is kept in `images.csv`.

    Raises
    ------
    InputError
        If the folder cannot be written, its `config.json` is damaged, another process has it, or
        images have changed since the run began.
    """
    import filelock

    identity = run_id(record["package"], record["config"], record["data"], record["weights"])
    prefix = SYNTHETIC_PREFIX if record["synthetic"] else ""
    path = Path(runs_dir) / record["package"] / f"{prefix}{record['preset']}-{identity}"
    lock = filelock.FileLock(path / ".lock", timeout=0)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise InputError(
            f"{path}: another process is working on this run; wait for it, or change a setting"
        ) from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot write runs there ({error.strerror}); make room, or give another "
            "folder with --runs-dir"
        ) from None
    try:
        if fresh:
            _empty(path, keep=".lock")
        for half in path.rglob(".part-*"):  # what a killed process was writing
            half.unlink()
        full = {"schema": SCHEMA, "run_id": identity, **record}
        full |= {"created": _now().isoformat(), "finished": None}
        if not _can_go_on(path):
            write_json(path / "config.json", full)
        run = load(path)
        if pixels is not None:
            _require_same_images(run.path / "images.csv", pixels)
        yield run
    finally:
        lock.release()


def _can_go_on(path: Path) -> bool:
    """Whether a folder holds a run; a damaged `config.json` that can be made again is named."""
    file = path / "config.json"
    if not file.exists():
        return False
    try:
        load(path)
    except InputError as error:
        # A finished run has no checkpoint, and what it noted would be lost.
        if error.__cause__ is None or not any((path / "checkpoint").glob("state-*.npz")):
            raise
        print(f"{file}: damaged, written anew; the run goes on", file=sys.stderr)
        return False
    return True


def _require_same_images(file: Path, pixels: Pixels) -> None:
    """Write down what the images hold; refuse to go on with others under the same names."""
    now = {
        name.rpartition("/")[2]: digest
        for name, digest in zip(pixels.images, pixels.digests, strict=True)
    }
    if file.exists():
        before = _image_digests(file)
        if before is None:
            print(f"{file}: damaged, written anew", file=sys.stderr)
            before = {}
        changed = sorted(name for name in now if before.get(name, now[name]) != now[name])
        if changed:
            raise InputError(
                f"{file.parent}: {len(changed)} images have changed since this run began: "
                f"{datasets.listed(changed)}; put the old ones back, or start anew with --fresh"
            )
        if before.keys() == now.keys():
            return
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerows([("image", "sha256"), *sorted(now.items())])
    write_text(file, rows.getvalue())


def _image_digests(file: Path) -> dict[str, str] | None:
    """What `images.csv` says: name and SHA-256; None if it is damaged."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            found = {row["image"]: row["sha256"] for row in csv.DictReader(lines)}
    except (ValueError, KeyError, csv.Error):
        return None
    whole = all(re.fullmatch("[0-9a-f]{64}", digest or "") for digest in found.values())
    return found if whole else None


def _empty(folder: Path, keep: str) -> None:
    for entry in folder.iterdir():
        if entry.name == keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def load(path: str | Path, package: str | None = None) -> Run:
    """Read the run in folder `path`, which `package` must have made if it is given.

    Raises
    ------
    InputError
        If the folder is no run folder, its `config.json` is damaged, a newer version wrote it, or
        it is another package's.
    """
    path = Path(path)
    file = path / "config.json"
    if not file.is_file():
        raise InputError(f"{path}: not a run folder (it has no config.json)")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["schema"] > SCHEMA:
            raise InputError(f"{file}: written by a newer version of histopapers; update yours")
        record["config"], record["finished"], record["synthetic"]
        if not record["package"].isidentifier():  # it is imported by this name
            raise ValueError(f"package {record['package']!r}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{file}: damaged ({error}); delete the folder, or train again with --fresh"
        ) from error
    if package is not None and record["package"] != package:
        raise InputError(f"{path}: a run of {record['package']}, not of {package}")
    return Run(path, record)


def load_classifier(path: str | Path, package: str | None = None) -> Run:
    """As `load`; refuses a run of a GAN, which has no predictions and classifies nothing."""
    run = load(path, package)
    if run.record.get("kind") == "gan":
        raise InputError(
            f"{path}: a GAN's run, no classifier's; its scores are in {run.path / 'metrics.json'}, "
            f"and python -m {run.record['package']}.generate --run {path} draws images with it"
        )
    return run


def find(runs_dir: str | Path, package: str) -> list[Run]:
    """Finished runs of a package, oldest first. Folder names do not matter."""
    files = sorted((Path(runs_dir) / package).glob("*/config.json"))
    runs = [run for run in (load(file.parent) for file in files) if run.finished]
    return sorted(runs, key=lambda run: run.record["finished"])


def load_model(run: Run | str | Path, name: str = "model.keras", module: str = "model") -> Any:
    """Load a run's best model; it takes raw RGB pixels in [0, 255].

    The package that made the run is imported first, because its own layers must be known to Keras.
    Nothing but Keras' and this project's own layers is loaded, and Keras' safe mode stays on: a
    file runs no code of its own.

    Parameters
    ----------
    run : Run or path
    name : str
        The model's file in the run folder; a GAN keeps its generator.
    module : str
        The package's module that defines its layers.

    Raises
    ------
    InputError
        If the file is missing, damaged, or asks for other code.
    """
    run = run if isinstance(run, Run) else load(run)
    file = run.path / name
    if not file.is_file():
        raise InputError(f"{file}: missing; run the training command again to finish this run")
    try:
        foreign = _foreign_code(file)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise InputError(f"{file}: damaged or no Keras model; {RESTORE}") from None
    if foreign:
        raise InputError(
            f"{file}: refused, it wants to run code of its own ({foreign}); a model of this "
            f"project never does: {RESTORE}"
        )
    importlib.import_module(f"{run.record['package']}.{module}")
    import keras

    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file makes zip, HDF5 and Keras raise almost anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{file}: damaged; {RESTORE}. Keras says: {reason}") from None


def _foreign_code(file: Path) -> str:
    """Name what in a model file would run code that is neither Keras' nor ours; "" if nothing."""
    with zipfile.ZipFile(file) as archive:
        waiting = [json.loads(archive.read("config.json"))]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        if not isinstance(item, dict):
            continue
        waiting += item.values()
        name, module = str(item.get("class_name", "")), str(item.get("module") or "keras")
        ours = str(item.get("registered_name")).startswith("histopapers>")
        if name in _RUNS_CODE:
            return name
        if "class_name" in item and not ours and module.split(".")[0] not in ("keras", "builtins"):
            return f"{module}.{name}"
    return ""


# Objects of Keras that hold or fetch code: Python byte code, pickles, other programs' functions.
_RUNS_CODE = ("Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer")


def environment(command: str) -> dict[str, Any]:
    """What a reader needs to know about where a run was made."""
    return {
        "command": command,
        **_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "packages": _packages(),
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "started": _now().isoformat(),
        "finished": None,
        "seconds": None,
    }


def command_line(package: str, arguments: list[str] | None = None, module: str = "train") -> str:
    """The command that was typed, as it can be typed again."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return shlex.join(["python", "-m", f"{package}.{module}", *arguments])


def commit() -> str | None:
    """Commit of the source tree this code runs from; None for an installed package."""
    return _commit()["commit"]


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def _commit() -> dict[str, Any]:
    """Commit of the source tree, if the package runs from one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _packages() -> dict[str, str]:
    from importlib import metadata

    names = (
        "histopapers", "keras", "tensorflow", "jax", "numpy", "opencv-python-headless",
        "pandas", "scikit-learn", "scipy", "matplotlib",
    )  # fmt: skip
    found = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
