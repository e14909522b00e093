"""The wheel in environments that have nothing else: each extra is installed, and used once.

    python -m tests.extras dist/histopapers-*.whl           # every extra: some GB of downloads
    python -m tests.extras dist/histopapers-*.whl jax docs  # some
    python -m tests.extras dist/histopapers-*.whl --empty notebook

What is done with each stands in tests/extra_commands.py. ``notebook`` is no extra: Jupyter without
the package, which a notebook's first cell brings. An environment of what the wheel requires is made
once (``--on FOLDER`` keeps it there), and each extra gets one that sees it and has nothing more;
pip then fetches what the extra adds, and only that. With ``--empty`` nothing is shared.
"""

from __future__ import annotations

import argparse
import configparser
import contextlib
import functools
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMMANDS = Path(__file__).with_name("extra_commands.py")

NOTEBOOK = "notebook"

LIGHT = ("decode", "slurm", NOTEBOOK)
"""Those that CI tries, too: none of them trains or exports a network. `make extras` tries all."""

RESOLVED = ("gpu",)
"""Too large to be installed where there is no card: pip says what it would install."""


def extras() -> list[str]:
    """None, those that setup.cfg has, and the notebook."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return ["", *setup["options.extras_require"], NOTEBOOK]


class CommandError(Exception):
    """The last line of what a command said."""


def run(*command: str | Path, folder: Path, wheels: Path | str = "") -> None:
    """Run a command as somebody would who has nothing of this tree; `wheels`: for pip."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    for name in ("PYTHONPATH", "HISTOPAPERS_TEST_DATA", "KERAS_BACKEND"):
        environment.pop(name, None)
    environment["HISTOPAPERS_CACHE"] = str(folder / "cache")
    environment["PIP_FIND_LINKS"] = f"{wheels} {os.environ.get('PIP_FIND_LINKS', '')}".strip()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CommandError((done.stderr.strip() or done.stdout.strip() or "?")[-2000:])


def environment(folder: Path, base: Path | None = None) -> Path:
    """An environment that is empty, or sees what `base` has; give its interpreter."""
    venv.create(folder, with_pip=base is None, symlinks=True)
    if base is not None:
        (site,) = folder.glob("lib/python*/site-packages")
        (there,) = base.glob("lib/python*/site-packages")
        (site / "base.pth").write_text(f"{there}\n")
    return folder / "bin" / "python"


def base(wheel: Path, folder: Path) -> Path:
    """What the wheel requires, and not the wheel, which each extra brings."""
    python = environment(folder)
    install = ("-m", "pip", "install", "--quiet", "--no-compile")
    run(python, *install, str(wheel), folder=folder)
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "histopapers", folder=folder)
    return folder


def processor() -> float:
    """Seconds that the commands so far have computed."""
    spent = os.times()
    return spent.children_user + spent.children_system


def tried(wheel: Path, extra: str, on: Path | None = None) -> None:
    """Install the wheel with one extra, and use it."""
    with tempfile.TemporaryDirectory() as work:
        python = environment(Path(work, "venv"), on)
        wanted = [f"{wheel}[{extra}]" if extra else str(wheel)]
        arguments = [extra]
        if extra == NOTEBOOK:
            wanted, arguments = ["nbclient", "ipykernel"], [extra, "first" if on else "all"]
        install = [python, "-m", "pip", "install", "--quiet", "--no-compile", *wanted]
        folder = Path(work, "empty")
        folder.mkdir()
        if extra in RESOLVED:
            run(*install, "--dry-run", folder=folder)
            return
        run(*install, folder=folder)
        run(python, "-m", "pip", "check", folder=folder)
        run(python, "-P", COMMANDS, *arguments, folder=folder, wheels=wheel.parent)


def told(name: str, work: Callable[[], object]) -> bool:
    """Do it, and print what it took and whether it worked."""
    began, used, wrong = time.monotonic(), processor(), ""
    try:
        work()
    except CommandError as error:
        wrong = str(error)
    took = f"{time.monotonic() - began:5.0f} s {processor() - used:5.0f} processor s"
    print(f"{name:15} {took}  {wrong or 'ok'}", flush=True)
    return not wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("extras", nargs="*", help="default: all")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--on", type=Path, metavar="FOLDER", help="keep there what all require")
    where.add_argument("--empty", action="store_true", help="nothing is shared")
    # Extras are found on either side of --on.
    chosen = parser.parse_intermixed_args(arguments)
    wheel, on = chosen.wheel.resolve(), None
    with contextlib.ExitStack() as stack:
        if not chosen.empty:
            on = (chosen.on or Path(stack.enter_context(tempfile.TemporaryDirectory()))).resolve()
            if not told("required by all", functools.partial(base, wheel, on)):
                return 1
        worked = [
            told(extra or "none", functools.partial(tried, wheel, extra, on))
            for extra in chosen.extras or extras()
        ]
    return int(not all(worked))


if __name__ == "__main__":
    sys.exit(main())
