"""The guides are true: their own blocks are written into a copy of the repository and run."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


# --- what a guide says -------------------------------------------------------------------------


def blocks(guide):
    """Code blocks of a guide, in order: kind, text."""
    return BLOCK.findall((DOCS / guide).read_text(encoding="utf-8"))


def apply(kind, text, copy):
    """Do in a copy of the repository what a block says; give the commands of a console block."""
    first, _, rest = text.partition("\n")
    if kind == "console":
        return [shlex.split(line) for line in text.splitlines() if line]
    if kind == "diff":
        change(copy / first.removeprefix("--- "), rest)
    elif kind in ("python", "toml", "csv", "markdown"):
        mark = re.fullmatch(r"(?:# |<!-- )(\S+)(?: -->)?", first)
        assert mark, f"a {kind} block begins with the name of its file, not {first!r}"
        path = copy / mark[1]
        assert not path.exists(), f"{path} is there already: show what changes, as a diff"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rest if kind == "csv" else text, encoding="utf-8")
    else:
        raise AssertionError(f"a guide has no {kind} blocks")
    return []


def change(path, lines):
    """Apply a block of lines that begin with a space, + or -; what it expects must be there."""
    signs = {line[:1] for line in lines.splitlines()}
    assert signs <= set(" +-") and "+" in signs, lines
    sides = [
        "".join(line[1:] + "\n" for line in lines.splitlines() if line[:1] in kept)
        for kept in (" -", " +")
    ]
    text = path.read_text(encoding="utf-8")
    assert text.count(sides[0]) == 1, f"{path} has not, or not once:\n{sides[0]}"
    path.write_text(text.replace(*sides), encoding="utf-8")


@pytest.fixture
def copy(tmp_path):
    """The repository's tracked files, in a folder of their own."""
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if names.returncode:
        pytest.skip("not in a git checkout: what belongs to the repository is not known")
    for name in filter(None, names.stdout.split("\0")):
        if not name.startswith("notebooks/") and (ROOT / name).is_file():
            (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / "copy" / name)
    return tmp_path / "copy"


def run(command, copy, monkeypatch):
    """Run a command of a guide in the copy; give what it printed."""
    monkeypatch.setenv("PYTHONPATH", str(copy))
    assert command[0] == "python", command
    done = subprocess.run(
        [sys.executable, *command[1:]], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def follow(guide, copy, monkeypatch):
    """Do all that a guide says; give the output of each command by the command."""
    printed = {}
    for kind, text in blocks(guide):
        for command in apply(kind, text, copy):
            printed[shlex.join(command)] = run(command, copy, monkeypatch)
    # What a guide shows is in the style that it asks for.
    for check in ("check", "format --check"):
        run(["python", "-m", "ruff", *check.split(), "--quiet", "."], copy, monkeypatch)
    return printed


# --- the guides --------------------------------------------------------------------------------


def test_a_change_must_fit(tmp_path):
    path = tmp_path / "file"
    path.write_text("a\nb\nc\n")
    change(path, " a\n-b\n+B\n+b2\n c\n")
    assert path.read_text() == "a\nB\nb2\nc\n"
    with pytest.raises(AssertionError, match="has not, or not once"):
        change(path, " a\n+b\n c\n")


@pytest.mark.parametrize(
    ("guide", "test"),
    [
        ("add-a-metric.md", "3 passed"),
        ("add-a-stain-normaliser.md", "4 passed"),
        pytest.param("add-a-network.md", "2 passed", marks=pytest.mark.slow),
    ],
)
def test_guide(guide, test, copy, monkeypatch):
    printed = follow(guide, copy, monkeypatch)
    assert any(test in output for output in printed.values())
