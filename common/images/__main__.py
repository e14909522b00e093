"""`python -m common.images cache`: show or empty the cache."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import filelock

from common.arguments import Parser
from common.errors import InputError, main
from common.files import path_argument
from common.images.cache import cache_folder
from common.images.messages import size


def _stores(root: Path) -> list[Path]:
    """Folders of the cache, of any version; other things in `root` are none of ours."""
    if not root.is_dir():
        return []
    return sorted(folder for folder in root.glob("v[0-9]*px-*") if (folder / ".lock").is_file())


def _features(root: Path) -> list[Path]:
    """Files that `common.generative.FeatureNetwork` keeps in the cache, and what a kill left."""
    return sorted(path for path in (root / "features").glob("*.npy") if path.is_file())


def _info(root: Path) -> None:
    total = 0
    for folder in _stores(root):
        used = sum(file.stat().st_size for file in folder.iterdir())
        total += used
        try:
            index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            what = f"{len(index['rows'])} images, transform {index['transform']}"
        except (OSError, ValueError, KeyError):
            what = "unfinished or damaged"
        print(f"{folder.name}: {what}, {size(used)}")
    features = _features(root)
    if features:
        used = sum(file.stat().st_size for file in features)
        total += used
        print(f"features: of {len(features)} sets of images, {size(used)}")
    print(f"{size(total)} in {root}")


def _clear(root: Path) -> None:
    total = 0
    for folder in _stores(root):
        lock = filelock.FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise InputError(f"{folder}: a process is building it; wait for it to end") from None
        with lock:
            total += sum(file.stat().st_size for file in folder.iterdir())
            shutil.rmtree(folder)
    for file in _features(root):
        total += file.stat().st_size
        file.unlink()
    with contextlib.suppress(OSError):  # not there, or it holds files of others
        (root / "features").rmdir()
    print(f"removed {size(total)} from {root}")


def _main() -> None:
    parser = Parser(
        prog="python -m common.images", description="The cache of decoded, resized images."
    )
    cache = parser.add_subparsers(dest="command", required=True).add_parser(
        "cache", help="show or empty the cache", description="Show or empty the cache."
    )
    action = cache.add_mutually_exclusive_group(required=True)
    action.add_argument("--info", action="store_true", help="list what it holds")
    action.add_argument("--clear", action="store_true", help="delete all of it")
    cache.add_argument(
        "--cache-dir",
        type=path_argument,
        help="its folder (default: $HISTOPAPERS_CACHE, else the user's cache folder)",
    )
    arguments = parser.parse_args()
    root = cache_folder(arguments.cache_dir)
    _info(root) if arguments.info else _clear(root)


if __name__ == "__main__":
    main(_main)
