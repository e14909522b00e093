"""Kill commands at random moments and see whether the same command ends with the same bytes.

Each command is left alone once. Then it is started in another folder and killed with SIGKILL, over
and over, and started again, until it ends by itself: every file must be that of the first, byte for
byte, but for those that say when and where they were made; nothing half-written may be left, and a
finished run must be as its manifest says. Half of the kills come after a random part of the time
that the command took. The others come while it writes: the process is stopped at one of its
temporary files, at random which, and killed if that is still there. Of the image cache, which
appends to one file, they come while that grows. Of `reproduce run`, which starts other processes,
any of them is killed: the runner, a worker, a training, an export; whoever writes, at a write.

    python -m benchmarks.kill_anywhere --kills 100
    python -m benchmarks.kill_anywhere --commands stain generate --kills 20
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common import errors, runs
from common.arguments import Parser
from common.datasets import synthetic
from common.files import expanded, read_json, write_json
from common.metrics.summary import aligned
from common.writers import HALF

SIDE = "32"
KILLS_PER_ROUND = 5  # then the command is left to end, and compared
TELLS_WHEN = {
    "config.json", "environment.json", "manifest.json", "report.html", "generation.json", ".lock",
}  # fmt: skip
"""Files that hold times, or the paths of the folder they lie in."""


@dataclass(frozen=True)
class Command:
    """What is started: its arguments, given the folder of all and that of this trial."""

    arguments: Callable[[Path, Path], list[str]]
    prepared: Mapping[str, str] = field(default_factory=dict)
    """What it needs in its folder: name there -> name in the folder of all."""
    needs: tuple[str, ...] = ()
    """Commands whose results lie in the folder of all."""
    tree: bool = False
    """Whether any of its processes is killed; else it is one."""
    tell_when: tuple[str, ...] = ()
    """Patterns of further files that hold times or paths."""


def _training(paper: str, data: str, *options: str) -> Command:
    def arguments(work: Path, root: Path) -> list[str]:
        return [
            f"{paper}.train", "--demo", "--image-size", SIDE, "--epochs", "3", "--batch-size", "16",
            "--data-dir", str(work / f"data-{data}"), "--runs-dir", str(root / "runs"),
            "--cache-dir", str(root / "cache"), *options,
        ]  # fmt: skip

    return Command(arguments)


def _train_gan(work: Path, root: Path) -> list[str]:
    return [
        "gan_fusion.train_gan", "--demo", "--channels", "128", "--channels-most", "16",
        "--latent", "8", "--batch-size", "4", "--kimg", "0.06", "--evaluate-every", "0.02",
        "--samples", "24", "--data-dir", str(work / "data-breakhis"),
        "--runs-dir", str(root / "runs"), "--cache-dir", str(root / "cache"),
    ]  # fmt: skip


def _only_run(root: Path) -> str:
    (config,) = (root / "runs").glob("*/*/config.json")
    return str(config.parent)


def _generate(work: Path, root: Path) -> list[str]:
    gan = _only_run(work / "gan")
    return ["gan_fusion.generate", "--run", gan, "--count", "60", "--output", str(root / "images")]


def _export(work: Path, root: Path) -> list[str]:
    return [
        "common.export", "--run", _only_run(root), "--data-dir", str(work / "data-breakhis"),
        "--precision", "float32", "dynamic", "--calibration", "4", "--heldout", "4",
    ]  # fmt: skip


def _bundle(work: Path, root: Path) -> list[str]:
    return [
        "wrn_edge.bundle", "--run", _only_run(root), "--data-dir", str(work / "data-breakhis"),
        "--precision", "dynamic",
    ]  # fmt: skip


def _stain(work: Path, root: Path) -> list[str]:
    return [
        "common.stain", "apply", str(work / "normalizer.json"), str(work / "tissue"),
        str(root / "normalised"),
    ]  # fmt: skip


_CACHE = """
import sys
from pathlib import Path
from common import datasets, images
data = Path(sys.argv[1])
images.cached(data, datasets.get("breakhis").index(data).image, 224, cache_dir=sys.argv[2])
"""


def _cache(work: Path, root: Path) -> list[str]:
    return ["-c", _CACHE, str(work / "tissue"), str(root / "cache")]


def _reproduce(work: Path, root: Path) -> list[str]:
    """A row's whole chain: training, export with its bundle, bench."""
    return [
        "common.reproduce", "run", "--demo", "--paper", "wrn_edge", "--row", "T1-200X",
        "--rounds", "1", "--runs-dir", str(root / "runs"),
    ]  # fmt: skip


COMMANDS = {
    "cache": Command(_cache),
    "stain": Command(_stain),
    "her2scoring": _training("her2scoring", "bci", "--network", "mobilenet"),
    "breakhis": _training("breakhis", "breakhis", "--network", "mobilenet"),
    "ernet": _training("ernet", "breakhis", "--network", "ernet18"),
    "gan_fusion": _training("gan_fusion", "breakhis", "--network", "mobilenet_v2"),
    "wrn_edge": _training("wrn_edge", "breakhis", "--stem", "strided"),
    "gan": Command(_train_gan),
    "generate": Command(_generate, needs=("gan",)),
    "export": Command(_export, {"runs": "wrn_edge/runs"}, ("wrn_edge",)),
    "bundle": Command(_bundle, {"runs": "export/runs"}, ("export",)),
    "reproduce": Command(
        _reproduce,
        tree=True,
        tell_when=(
            "*/reproduce-demo/logs/*",
            "*/reproduce-demo/jobs/*",
            "*/summary.md",
            "*bench.json",
        ),
    ),
}
"""By the word that names them on the command line. What others need is left alone first."""


def prepare(work: Path) -> None:
    """Grow the tissue that the commands read, and fit a stain normaliser.

    Parameters
    ----------
    work : Path
        The folder of all.
    """
    synthetic.bci(work / "data-bci", slides=16, patches_per_slide=3, size=64)
    synthetic.breakhis(
        work / "data-breakhis", patients=24, images_per_patient=2, magnifications=("100X", "200X"),
        size=(46, 70),
    )  # fmt: skip
    synthetic.breakhis(
        work / "tissue", patients=24, images_per_patient=2, magnifications=("100X", "200X"),
        size=(230, 350),
    )  # fmt: skip
    image = next((work / "tissue").rglob("*.png"))
    if (work / "normalizer.json").exists():
        return
    fit = ["common.stain", "fit", str(image), "--output", str(work / "normalizer.json")]
    subprocess.run(_started(fit), stdout=subprocess.DEVNULL, check=True)


def _started(arguments: list[str]) -> list[str]:
    module = [] if arguments[0] == "-c" else ["-m"]
    return [sys.executable, *module, *arguments]


def new_root(command: Command, work: Path, name: str) -> Path:
    """Make the folder of a trial, with what the command needs there."""
    root = work / name
    root.mkdir()
    for there, here in command.prepared.items():
        shutil.copytree(work / here, root / there)
    return root


class Writes:
    """What a process is writing, and what it wrote before: halves, and growth of the cache."""

    def __init__(self, root: Path):
        self.root = root
        self.before = {half for half in root.rglob(f"{HALF}*")}
        self.seen: set[Path] = set()
        self.size = self._cached()

    def _cached(self) -> int:
        return sum(file.stat().st_size for file in self.root.glob("cache/*/pixels.u8"))

    def now(self) -> list[Path]:
        """The halves that are there now; the cache's folder while its pixels grow."""
        found = [half for half in self.root.rglob(f"{HALF}*") if half not in self.before]
        size, self.size = self.size, self._cached()
        if self.size != size:
            found.append(self.root / "cache" / str(self.size))
        self.seen.update(found)
        return found

    def half(self, found: list[Path]) -> bool:
        """Whether one of these is still not whole, now that the process stands still."""
        return any(each.exists() or each.parent.name == "cache" for each in found)


def run(
    arguments: list[str],
    root: Path,
    *,
    after: float | None = None,
    at_write: int | None = None,
    tree: random.Random | None = None,
) -> tuple[bool, int]:
    """Start a command; kill it after some seconds or at a write.

    Parameters
    ----------
    arguments : list of str
    root : Path
        Where it writes.
    after : float, optional
        Seconds.
    at_write : int, optional
        From which temporary file on.
    tree : Random, optional
        Draws which of its processes is killed; unset: itself.

    Returns
    -------
    killed : bool
        False if it ended before.
    writes : int
        How many temporary files were seen.
    """
    writes = Writes(root)
    end = None if after is None else time.monotonic() + after
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(_started(arguments), stdout=subprocess.DEVNULL, stderr=said)
        while process.poll() is None:
            with contextlib.suppress(OSError):  # a folder may go while it is looked through
                found = writes.now()
                if end is not None and time.monotonic() > end:
                    victim = process.pid if tree is None else tree.choice(family(process.pid))
                    return _killed(process, victim), len(writes.seen)
                if at_write is not None and found and len(writes.seen) >= at_write:
                    victim = process.pid if tree is None else writer(found[0])
                    os.kill(victim, signal.SIGSTOP)
                    if writes.half(found):
                        return _killed(process, victim), len(writes.seen)
                    os.kill(victim, signal.SIGCONT)
            time.sleep(0.001)
        said.seek(0)
        if process.returncode:
            raise errors.InputError(f"MISS: {' '.join(arguments)} failed:\n{said.read()}")
    return False, len(writes.seen)


def _killed(process: subprocess.Popen[bytes], victim: int) -> bool:
    """Kill a process, wait for the command's end, and for all that it had started."""
    with_it = family(process.pid)
    os.kill(victim, signal.SIGKILL)
    process.wait()
    while any(_parent(number) is not None for number in with_it):
        time.sleep(0.01)
    return True


def family(number: int) -> list[int]:
    """A process and all that it has started, and these."""
    parents = {int(entry.name): _parent(int(entry.name)) for entry in Path("/proc").glob("[0-9]*")}
    found = [number]
    for each in found:
        found.extend(child for child, parent in parents.items() if parent == each)
    return found


def _parent(number: int) -> int | None:
    """Number of a living process's parent."""
    try:
        stat = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return None
    state, parent = stat.rpartition(")")[2].split()[:2]
    return None if state == "Z" else int(parent)


def writer(half: Path) -> int:
    """Who writes a temporary file, as its name says."""
    return int(half.name.removeprefix(HALF).split("-")[1])


def require_same(root: Path, whole: Path, tell_when: tuple[str, ...] = ()) -> int:
    """Compare what a killed command made with what the one made that was left alone.

    Parameters
    ----------
    root, whole : Path
        Their folders.
    tell_when : tuple of str
        Patterns of files that may differ.

    Returns
    -------
    int
        How many files are compared.

    Raises
    ------
    InputError
        Naming what differs, is missing, or is half-written.
    """
    if left := [str(half) for half in root.rglob(f"{HALF}*")]:
        raise errors.InputError(f"MISS: half-written files are left: {', '.join(left)}")
    names = [
        {file.relative_to(each).as_posix() for file in each.rglob("*") if file.is_file()}
        for each in (root, whole)
    ]
    if names[0] != names[1]:
        raise errors.InputError(f"MISS: {root}: other files: {sorted(names[0] ^ names[1])}")
    compared = [
        name
        for name in names[0]
        if Path(name).name not in TELLS_WHEN
        and not any(fnmatch.fnmatch(name, pattern) for pattern in tell_when)
    ]
    differing = {name for name in compared if _content(root / name) != _content(whole / name)}
    if differing:
        raise errors.InputError(f"MISS: {root}: not as in {whole}: {sorted(differing)}")
    for file in root.glob("runs/*/*/manifest.json"):
        if damaged := runs.compare(file.parent):
            raise errors.InputError(f"MISS: {file.parent}: {damaged}")
    return len(compared)


def _content(file: Path) -> bytes | dict[str, bytes]:
    """What must be the same of a file; into a model Keras writes times and addresses in memory."""
    if file.suffix != ".keras":
        return file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    del found["metadata.json"]
    found["config.json"] = re.sub(rb'"shared_object_id": \d+', b"", found["config.json"])
    return found


@dataclass
class Result:
    """What came of one command's kills."""

    moments: int = 0
    writes: int = 0
    rounds: int = 0
    files: int = 0
    seconds: float = 0.0

    @property
    def kills(self) -> int:
        """All of them."""
        return self.moments + self.writes


def try_command(name: str, work: Path, kills: int, rng: random.Random) -> Result:
    """Kill a command so often, and compare what it makes in the end.

    Parameters
    ----------
    name : str
        A key of `COMMANDS`.
    work : Path
        The folder of all.
    kills : int
    rng : Random

    Raises
    ------
    InputError
        If a command fails after a kill, or its files are not the same.
    """
    command = COMMANDS[name]
    seconds, most = left_alone(name, work)
    result = Result(seconds=seconds)
    while result.kills < kills:
        result.rounds += 1
        shutil.rmtree(work / f"{name}-{result.rounds}", ignore_errors=True)
        root = new_root(command, work, f"{name}-{result.rounds}")
        arguments = command.arguments(work, root)
        alive = True
        for _ in range(min(KILLS_PER_ROUND, kills - result.kills)):
            # A command that goes on has less to write, so of late writes fewer are met.
            tree = rng if command.tree else None
            if result.writes <= result.moments:
                moment = rng.randint(1, max(1, round(0.8 * most)))
                alive, _ = run(arguments, root, at_write=moment, tree=tree)
                result.writes += alive
            else:
                alive, _ = run(arguments, root, after=rng.uniform(0, seconds), tree=tree)
                result.moments += alive
            if not alive:
                break
        if alive:
            run(arguments, root)
        result.files = require_same(root, work / name, command.tell_when)
        shutil.rmtree(root)
    return result


def left_alone(name: str, work: Path) -> tuple[float, int]:
    """Run a command, and what it needs, without a kill; how long it took, and how much it wrote."""
    known = work / f"{name}.json"
    if not known.exists():
        command = COMMANDS[name]
        for other in command.needs:
            left_alone(other, work)
        shutil.rmtree(work / name, ignore_errors=True)
        root = new_root(command, work, name)
        began = time.monotonic()
        _, writes = run(command.arguments(work, root), root)
        write_json(known, {"seconds": time.monotonic() - began, "writes": writes})
    found = read_json(known)
    return found["seconds"], found["writes"]


def main(arguments: list[str] | None = None) -> int:
    """Kill commands, and print what came of it."""
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="in all, divided evenly")
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--work", type=expanded, metavar="DIR", help="keep what was left alone there, to go on with"
    )
    flags = parser.parse_args(arguments)
    work = flags.work or Path(tempfile.mkdtemp(prefix="histopapers-kills-"))
    try:
        prepare(work)
        rows = [["command", "left alone", "kills", "at a write", "rounds", "files compared"]]
        total = 0
        for i, name in enumerate(flags.commands):
            share = flags.kills // len(flags.commands) + (i < flags.kills % len(flags.commands))
            result = try_command(name, work, share, random.Random(f"{flags.seed} {name}"))
            total += result.kills
            rows.append(
                [name, f"{result.seconds:.0f} s", str(result.kills), str(result.writes),
                 str(result.rounds), str(result.files)]
            )  # fmt: skip
            print(f"seed {flags.seed}  {'  '.join(rows[-1])}", flush=True)
        print("\n".join(["", *aligned(rows)]))
        print(f"PASS: {total} kills, seed {flags.seed}: every command ended with the same bytes")
    finally:
        if flags.work is None:
            shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    errors.main(main)
