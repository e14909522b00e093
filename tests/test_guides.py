"""The guides are true: their own blocks are written into a copy of the repository and run."""

import csv
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
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
    monkeypatch.setenv("HISTOPAPERS_CACHE", str(copy.parent / "cache"))
    assert command[0] == "python", command
    done = subprocess.run(
        [sys.executable, *command[1:]], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def changed(copy):
    """Files of the copy that the repository has otherwise, or has not."""
    return sorted(
        path.relative_to(copy).as_posix()
        for path in copy.rglob("*")
        if path.is_file()
        and not {"runs", "__pycache__"} & set(path.parts)
        and not any(part.startswith(".") for part in path.relative_to(copy).parts)
        and (
            not (ROOT / path.relative_to(copy)).is_file()
            or path.read_bytes() != (ROOT / path.relative_to(copy)).read_bytes()
        )
    )


def follow(guide, copy, monkeypatch):
    """Do all that a guide says; give the output of each command by the command."""
    printed = {}
    for kind, text in blocks(guide):
        for command in apply(kind, text, copy):
            printed[shlex.join(command)] = run(command, copy, monkeypatch)
    # What a guide shows is in the style that it asks for.
    shown = [name for name in changed(copy) if name.endswith(".py")]
    for check in ("check", "format --check"):
        run(["python", "-m", "ruff", *check.split(), "--quiet", *shown], copy, monkeypatch)
    library = [name for name in shown if not name.startswith("tests/")]
    run(["python", "-m", "numpydoc.cli", "lint", *library], copy, monkeypatch)
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
        ("add-a-dataset.md", "3 passed"),
        ("add-a-metric.md", "3 passed"),
        ("add-a-stain-normaliser.md", "4 passed"),
        pytest.param("add-a-network.md", "2 passed", marks=pytest.mark.slow),
    ],
)
def test_guide(guide, test, copy, monkeypatch):
    printed = follow(guide, copy, monkeypatch)
    assert any(test in output for output in printed.values())


# --- the sixth paper ---------------------------------------------------------------------------

DEMO = "python -m cellcount.train --demo"


def interrupted(folder, copy):
    """Begin the demo in another runs folder, and stop it after an epoch; give what it said."""
    command = [sys.executable, *shlex.split(DEMO)[1:], *folder]
    with subprocess.Popen(
        command, cwd=copy, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        said = ""
        for line in process.stderr:
            said += line
            if line.startswith("epoch 1/3"):
                process.send_signal(signal.SIGINT)
                break
        said += process.stderr.read()
    assert process.returncode == 130, said
    return said


def whole_run(demo, copy, right, test_images):
    """Write a run as the preset T1-small on all images would, with so many test images right."""
    record = json.loads((demo / "config.json").read_text())
    row = json.loads(
        run(
            [
                "python", "-c",
                "import json; from common.config import to_dict; from cellcount import PRESETS; "
                "print(json.dumps(to_dict(PRESETS['T1-small'])))",
            ],
            copy,
            pytest.MonkeyPatch(),
        )
    )  # fmt: skip
    record |= {
        "preset": "T1-small", "config": row, "synthetic": False, "n_images": 2081,
        "expected_images": 2081, "run_id": "0123456789",
    }  # fmt: skip
    folder = copy / "runs" / "cellcount" / "T1-small-0123456789"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(record))
    shutil.copy(demo / "environment.json", folder)
    shutil.copy(demo / "history.csv", folder)
    with (demo / "predictions.csv").open() as file:
        columns = next(csv.reader(file))
    labels = np.arange(test_images) % 10 > 2
    answers = np.where(np.arange(test_images) < right, labels, ~labels)
    with (folder / "predictions.csv").open("w", newline="") as file:
        lines = csv.DictWriter(file, columns, restval="")
        lines.writeheader()
        for i, (label, answer) in enumerate(zip(labels, answers, strict=True)):
            malignant = 0.8 if answer else 0.1
            lines.writerow(
                {
                    "image": f"SOB_{i}.png", "case": f"{i % 70}", "slide": f"{i % 81}",
                    "magnification": "100X", "part": "test",
                    "label": "malignant" if label else "benign",
                    "p_benign": f"{1 - malignant:.1f}", "p_malignant": f"{malignant}",
                }
            )  # fmt: skip
    return folder


@pytest.mark.slow
def test_a_sixth_paper(copy, monkeypatch):
    printed = follow("add-a-paper.md", copy, monkeypatch)

    # One line outside its folder.
    outside = [name for name in changed(copy) if not name.startswith("cellcount/")]
    assert outside == ["common/papers.py"]
    lines = [(root / "common/papers.py").read_text().splitlines() for root in (ROOT, copy)]
    assert len(lines[1]) == len(lines[0]) + 1 and set(lines[0]) < set(lines[1])

    # It shows its rows and their sources.
    assert "(leaks patients: C02)" in printed["python -m cellcount.train --help"]
    assert "not run" in printed["python -m cellcount.tables"]
    assert "90.88" in printed["python -m cellcount.tables"]
    page = (copy / "cellcount" / "README.md").read_text()
    assert "| Small network | 90.88" in page and "**C02** (2; high; by reading)" in page

    # It trained on synthetic tissue.
    (demo,) = (copy / "runs" / "cellcount").iterdir()
    assert demo.name.startswith("SYNTHETIC-demo-")
    assert "SYNTHETIC" in printed[DEMO] and str(demo.relative_to(copy)) in printed[DEMO]
    for name in ("report.html", "metrics.json", "samples.csv", "leakage.json", "model.keras"):
        assert (demo / name).is_file(), name

    # What is interrupted goes on to the same bytes.
    elsewhere = ["--runs-dir", "elsewhere", "--data-dir", "runs/demo-data/breakhis"]
    assert "1 of 3 epochs are saved" in interrupted(elsewhere, copy)
    run([*shlex.split(DEMO), *elsewhere], copy, monkeypatch)
    again = copy / "elsewhere" / "cellcount" / demo.name
    for name in ("predictions.csv", "history.csv", "metrics.json"):
        assert (again / name).read_bytes() == (demo / name).read_bytes()

    # A run of the whole data set fills the row: 568 of 625 are the printed 90.88 %.
    whole = whole_run(demo, copy, right=568, test_images=625)
    run(["python", "-m", "cellcount.evaluate", "--run", str(whole)], copy, monkeypatch)
    shown = run(["python", "-m", "cellcount.tables", "--format", "csv"], copy, monkeypatch)
    rows = [row for row in csv.DictReader(shown.splitlines()) if row["metric"] == "accuracy"]
    assert [row["printed"] for row in rows] == ["90.88"]
    assert float(rows[0]["ours"]) == pytest.approx(100 * 568 / 625)
    assert rows[0]["status"] == "consistent"


# --- all pages ---------------------------------------------------------------------------------


def pages():
    """Every page of Markdown that the repository has."""
    return sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("*/README.md")])


def test_links_between_pages_lead_somewhere():
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages()
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        if not target.startswith("http") and not (page.parent / target).exists()
    ]
    assert broken == []


def test_what_pages_name_exists():
    missing = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"\b((?:tests|benchmarks|common)/[\w/]+\.(?:py|md|html))\b", text)
        for command in re.findall(r"python -m ([a-z0-9_]+(?:\.\w+)+)", text):
            path = command.replace(".", "/")
            named.append(f"{path}.py" if (ROOT / f"{path}.py").exists() else f"{path}/__main__.py")
        own = set(re.findall(r"^(?:# |<!-- )([\w/]+\.\w+)", text, re.MULTILINE))
        packages = {name.split("/")[0] for name in own}
        missing += [
            f"{page.relative_to(ROOT)}: {name}"
            for name in named
            if not (ROOT / name).exists()
            and name not in own
            and name.split("/")[0] not in packages - {"common", "tests"}
            and not name.startswith("PKG/")
        ]
    assert missing == []


def test_the_index_lists_every_page():
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name
