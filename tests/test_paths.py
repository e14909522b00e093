"""Paths and names: one function reads a path, and whatever a file is called does no harm."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import run_folder

from common import datasets, errors, files, predictions, report, runs, splits, terminal
from common.errors import InputError

ROOT = Path(__file__).parent.parent
PACKAGES = ("common", "breakhis", "ernet", "gan_fusion", "her2scoring", "wrn_edge")

# --- paths -------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WHERE", "there")
    monkeypatch.delenv("NOWHERE", raising=False)
    (tmp_path / "work/$WHERE").mkdir(parents=True)
    (tmp_path / "work/~draft").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def test_a_path_is_read_as_a_shell_would(home):
    for typed, meant in {
        "~": home,
        "~/x/": home / "x",
        "$HOME/x": home / "x",
        "${HOME}/x": home / "x",
        "runs-$WHERE": Path("runs-there"),
        "a/$NOWHERE": Path("a/$NOWHERE"),
        "a//b/./c/": Path("a/b/c"),
        # What is there under the name as it is, is meant: a shell's * gives such names.
        "$WHERE": Path("$WHERE"),
        "$WHERE/x-$WHERE": Path("$WHERE/x-there"),
        "~draft": Path("~draft"),
        "caf\udce9/x": Path("caf\udce9/x"),
        "two\nlines": Path("two\nlines"),
        "a" * 5000: Path("a" * 5000),
    }.items():
        assert files.expanded(typed) == meant
        assert files.expanded(files.expanded(typed)) == meant  # read twice is read once
    assert files.expanded(f"{home.parent}/work/$WHERE/r") == home.parent / "work/$WHERE/r"
    assert files.expanded(b"caf\xe9") == Path("caf\udce9")
    for typed, said in {
        "": "an empty path was given",
        "a\0b": "no path holds a zero byte",
        "~nobody-of-that-name/x": "there is no such user",
    }.items():
        with pytest.raises(InputError, match=said):
            files.expanded(typed)


def flags_of(source):
    """Calls of `add_argument` in a module: place, what it is called in --help, its type."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
            given = {each.arg: each.value for each in node.keywords}
            name = getattr(node.args[0], "value", "")  # not of one that is put together
            metavar = given.get("metavar")
            kind = given.get("type")
            shown = metavar.value if isinstance(metavar, ast.Constant) else ""
            called = getattr(
                kind, "id", getattr(kind, "attr", None)
            )  # path_argument, files.path_argument
            yield f"{source}:{node.lineno}", name, shown, called


READ = {"path_argument", *(each.__name__ for each in files.OUTPUTS)}


def test_every_flag_with_a_path_reads_it_by_the_one_function():
    found = 0
    for package in PACKAGES:
        for source in (ROOT / package).rglob("*.py"):
            if "device" in source.parts:  # it stands alone on a device
                continue
            for place, name, metavar, kind in flags_of(source):
                path = metavar in ("DIR", "D", "FILE", "RUN", "CSV", "FOLDER", "IMAGE", "PNG")
                path |= name.endswith(("-dir", "-file", "-files"))
                assert kind != "Path", place
                assert kind in READ or not path, place
                found += path
    assert found > 20


def test_a_flag_says_what_is_wrong_with_a_path(capsys):
    from common.metrics.__main__ import main

    with pytest.raises(SystemExit) as caught:
        main(["recompute", "~nobody-of-that-name/run"])
    assert caught.value.code == 2
    assert "there is no such user; write the path out" in capsys.readouterr().err


def test_library_calls_read_a_path_by_the_one_function(home, tmp_path):
    home.mkdir()
    (home / "s.csv").write_text("image,part\na.png,train\n")
    assert list(splits.read("~/s.csv")["part"]) == ["train"]
    index = pd.DataFrame({"image": ["n001.tif"], "label": ["Normal"], "case": [""]})
    (home / "p.csv").write_text("image,patient\nn001,7\n")
    assert list(datasets.get("bach").with_patients(index, "~/p.csv")["case"]) == ["7"]
    for call in (
        lambda: predictions.read("~/none.csv"),
        lambda: runs.load("~/none"),
        lambda: splits.from_fold_files(index, "~/none", 1, validation=0.0, seed=0),
    ):
        with pytest.raises(InputError, match=str(home / "none")):
            call()


# --- names -------------------------------------------------------------------------------------

NAMES = {
    "not UTF-8": "caf\udce9.png",
    "two lines": "a\nb\r.png",
    "quotes": '"a",b.png',
    "255 bytes": "x" * 251 + ".png",
    "a long ending": "a." + "x" * 250,
    "escape": "\x1b[2J.png",
    "formula": "=1+1.png",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_is_the_same_after_writing_and_reading(name, tmp_path):
    frame = pd.DataFrame({"image": [name, "b.png"], "part": ["train", "test"]})
    files.write_csv(tmp_path / "t.csv", frame)
    pd.testing.assert_frame_equal(files.read_table(tmp_path / "t.csv"), frame, check_dtype=False)
    files.write_json(tmp_path / "t.json", {name: [name]})
    assert files.read_json(tmp_path / "t.json") == {name: [name]}
    (tmp_path / "t.json").read_bytes().decode("utf-8")  # JSON is UTF-8, whatever a name is
    files.write_text(tmp_path / name, name)
    assert files.read_text(tmp_path / name) == name
    assert [file.name for file in tmp_path.iterdir() if "part-" in file.name] == []


def test_names_that_are_not_utf_8_have_a_hash():
    def index(name):
        return pd.DataFrame(
            {"image": [f"d/{name}"], "bytes": [1], "label": "A", "case": "1", "synthetic": False}
        )

    hashes = {datasets.index_hash(index(name)) for name in ("caf\udce9.png", "caf\udce8.png")}
    assert len(hashes) == 2


# --- files of strangers ------------------------------------------------------------------------

JSON = {
    "brackets": (b"[" * 10**6, "nests too deeply"),
    "objects": (b'{"a":' * 40 + b"1" + b"}" * 40, "nests too deeply"),
    "nan": (b'{"a": NaN}', "NaN is no number"),
    "infinite": (b'{"a": -1e999}', "too large a number"),
    "endless": (b'{"a": ' + b"9" * 5000 + b"}", "too large a number"),
    "twice": (b'{"a": 1, "a": 2}', "'a' stands there twice"),
    "list": (b"[]", "not a JSON object"),
    "cut": (b'{"a": 1', "damaged"),
    "empty": (b"", "damaged"),
    "binary": (b"\x89PNG\0", "zero bytes"),
    "utf-16": ('{"a": 1}'.encode("utf-16"), "in UTF-16; save it as UTF-8"),
}


@pytest.mark.parametrize(("content", "said"), JSON.values(), ids=JSON)
def test_json_that_is_refused(content, said, tmp_path):
    file = tmp_path / "t.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        files.read_json(file, repair="do that")
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


CSV = {
    "empty": (b"", "it has no header"),
    "twice": (b"a,a\n1,2\n", "a column stands there twice: 'a'"),
    "short": (b"a,b\n1,2\n3\n", "line 3: 1 values, not 2"),
    "long": (b"a,b\n1,2,3\n", "line 2: 3 values, not 2"),
    "quote": (b'a,b\n"1,2\n', "no CSV table"),
    "field": (b"a,b\n" + b"x" * (2 << 20) + b",1\n", "no CSV table"),
    "wide": (b",".join(b"%d" % i for i in range(3000)) + b"\n", "3000 columns"),
    "zeros": (b"a,b\n\0,1\n", "zero bytes"),
    "utf-16": ("a,b\n1,2\n".encode("utf-16"), "in UTF-16; save it as UTF-8"),
}


@pytest.mark.parametrize(("content", "said"), CSV.values(), ids=CSV)
def test_csv_that_is_refused(content, said, tmp_path):
    file = tmp_path / "t.csv"
    file.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        files.read_table(file)
    assert str(caught.value).startswith(f"{file}")
    assert "\n" not in str(caught.value)


def test_gigabytes_are_refused_before_they_are_loaded(tmp_path):
    file = tmp_path / "config.json"
    file.touch()
    os.truncate(file, 3 << 30)  # a hole: it takes no room
    with pytest.raises(InputError, match="more than 32 MiB"):
        runs.load(tmp_path)
    with pytest.raises(InputError, match="more than 128 MiB"):
        files.read_table(file)
    with pytest.raises(InputError, match="no regular file"):
        files.read_text("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="no regular file"):
        files.read_text(tmp_path / "pipe")


def test_a_table_is_text_whatever_it_looks_like(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfimage,part\r\n007,NA\r\n\r\n0,\r\n")
    table = files.read_table(tmp_path / "t.csv", ["image", "part"])
    assert table.to_dict("list") == {"image": ["007", "0"], "part": ["NA", ""]}
    with pytest.raises(InputError, match="no column label"):
        files.read_table(tmp_path / "t.csv", ["label"])


# --- terminals, pages, spreadsheets ------------------------------------------------------------

SHOWN = {
    "a\nb\tc": "a\nb\tc",
    "\x1b[2J\x07\r": "\\x1b[2J\\x07\\r",
    "abc\u202egpj.exe": "abc\\u202egpj.exe",
    "caf\udce9": "caf\\udce9",
    "\u9577\u3044": "\u9577\u3044",
}
PLAINER = {
    "92.1 ± 0.3 – ours’": {"ascii": "92.1 +/- 0.3 - ours'", "cp1252": "92.1 ± 0.3 – ours’"},
    "−1 ≤ café": {"ascii": "-1 <= cafe", "cp1252": "-1 <= café"},
    "\u9577": {"ascii": "\\u9577", "cp1252": "\\u9577"},
}


def test_what_a_terminal_is_shown():
    for text, wanted in SHOWN.items():
        assert terminal.shown(text) == terminal.shown(terminal.shown(text)) == wanted
    for text, by_encoding in PLAINER.items():
        assert terminal.shown(text, "utf-8") == text
        for encoding, wanted in by_encoding.items():
            assert terminal.shown(text, encoding) == wanted


COMMANDS = """
import io, runpy, sys, warnings
warnings.simplefilter("ignore")
encoding, *commands = sys.argv[1:]
for command in commands:
    binary = io.BytesIO()
    sys.stdout = io.TextIOWrapper(binary, encoding=encoding)
    module, *arguments = command.split()
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit as end:
        assert not end.code, command
    sys.stdout.flush()
    text = binary.getvalue().decode(encoding)
    assert len(text) > 50, command
    assert "\\\\x" not in text and "\\\\u" not in text, text
"""
PAPERS = [name for name in PACKAGES if name != "common"]


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("cp1252", marks=pytest.mark.slow)])
def test_every_command_is_readable_on_every_terminal(encoding, tmp_path):
    run = run_folder.make(tmp_path, "binary", pictures=False)
    commands = [f"{name}.tables --runs-dir {tmp_path}" for name in PAPERS]
    commands += [f"breakhis.tables --format {name}" for name in ("csv", "latex")]
    commands += [f"common.protocols show {name}" for name in PAPERS]
    commands += [f"common.datasets info {name}" for name in datasets.MODULES]
    commands += [
        f"breakhis.evaluate --run {run}",
        f"common.metrics compare {run} {run}",
        f"common.report {run}",
        f"common.splits report --split-file {run / 'split.csv'}",
        "gan_fusion.tables per-class",
        "gan_fusion.tables gan-effect",
    ]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, encoding, *commands], capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def test_a_command_escapes_whatever_it_prints(capsys):
    with pytest.raises(SystemExit):
        errors.main(lambda: print("\x1b]0;title\x07name\x9b2J"))
    assert capsys.readouterr().out == "\\x1b]0;title\\x07name\\x9b2J\n"
    terminal.out("two\nlines\x1b")
    assert capsys.readouterr().out == "two\nlines\\x1b\n"


def test_no_text_of_a_spreadsheet_is_a_formula():
    names = ["=1+1", "+1", "-1", "@x", " =1", "\t1", "＝1", "a=1", "b.png"]
    text = files.sheet_text(pd.DataFrame({"=name": names, "value": [-0.5] * len(names)}))
    assert text.splitlines()[0] == "'=name,value"
    cells = [line.rpartition(",") for line in text.splitlines()[1:]]
    assert [cell[0] for cell in cells] == [f"'{name}" for name in names[:-2]] + names[-2:]
    assert {cell[2] for cell in cells} == {"-0.5"}


def test_a_page_shows_names_and_obeys_none(tmp_path):
    run = run_folder.make(tmp_path, "binary", pictures=False)
    name = "<script>x</script>\x1b[2J\u202ecaf\udce9.png"
    skipped = [{"image": name, "reason": "</td><img src=x onerror=alert(1)>"}]
    runs.load(run).note(skipped=skipped)
    page = report.write(run).read_bytes().decode("utf-8")
    assert "&lt;script&gt;x&lt;/script&gt;\\x1b[2J\\u202ecaf\\udce9.png" in page
    assert "<script>x" not in page
    assert "<img src=x" not in page


def test_names_of_overlays_fit_and_differ():
    from common.evidence import overlay_name

    taken = set()
    for i, stem in enumerate(["a", "A", "a", "x" * 251, "\u9577" * 80, "caf\udce9"]):
        name = overlay_name(Path(f"{stem}.png"), i, taken)
        assert len(os.fsencode(name)) <= 255
        assert name.casefold() not in {each.casefold() for each in taken}
        taken.add(name)
    assert {"a-gradcam.png", "A-1-gradcam.png", "a-2-gradcam.png", "caf\udce9-gradcam.png"} < taken


TRAIN = """
import sys
from pathlib import Path
from common.datasets import synthetic
root = Path(sys.argv[1]) / "caf\\udce9\\n$HOME"
data = synthetic.breakhis(root / "data", patients=24, images_per_patient=2,
                          magnifications=("100X",), size=(46, 70))
inner = data / "d\\udce9"
inner.mkdir()
(data / "BreaKHis_v1").rename(inner / "BreaKHis_v1")
import wrn_edge
settings = dict(preset="demo", stem="strided", image_size=32, epochs=1, batch_size=16,
                data_dir=data, runs_dir=root / "runs", cache_dir=root / "cache", workers=0)
run = wrn_edge.train(**settings)
assert wrn_edge.train(**settings).path == run.path
from common import classification, evaluation
evaluation.evaluate_run(run.path)
image = next(inner.rglob("*.png"))
arguments = ["--run", str(run.path), str(image), "--gradcam", str(root / "maps"),
             "--output", str(root / "table.csv")]
assert classification.main("wrn_edge", arguments) == 0
assert len(list((root / "maps").iterdir())) == 1
"""


@pytest.mark.slow
def test_a_run_in_folders_of_any_name(tmp_path):
    """Not UTF-8, two lines, a dollar: trained, found again, judged, asked; on an ASCII terminal."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(tmp_path)], capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()[-2000:]


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n3,4\n", "a,b\n", "a\n1\n", "a,b\n1,2\n\n3,4\n", "a,b\n1,2\n3,4",
        "a,b\r\n1,2\r\n",
        'a,b\n"x,y",2\n', 'a,b\n"x\ny",2\n', "a,b\n,\n,\n", "a,b\n 1 ,NA\n",
        "a,b\nx,\x0b\x85\u2028\n",
        'a,b\n1,x"y\n', "a,b\n1,\n2,3\n",
    ],
)  # fmt: skip
def test_columns_are_those_of_the_lines(text, tmp_path):
    """Of tables that are read in a quick way, and of those that are not."""
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("utf-8"))
    (_, header), *rows = files.csv_lines(path)
    expected = {name: [values[i] for _, values in rows] for i, name in enumerate(header)}
    assert files.read_columns(path) == expected
    table = files.read_table(path)
    assert {name: table[name].tolist() for name in table} == expected
    assert [str(each) for each in table.dtypes] == ["str"] * len(header)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2,3\n4\n", "line 2: 3 values, not 2"), ("a,b\n1\n", "line 2: 1 values, not 2"),
        ("\n1,2\n", "no header"), ("a,a\n1,2\n", "stands there twice"), ("", "no header"),
        ("a," * 2100 + "a\n", "more than any such table"),
        ("a,b\n1," + "x" * (1 << 20) + "y\n", "no CSV table"),
    ],
)  # fmt: skip
def test_columns_of_what_is_no_table(text, words, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        files.read_columns(tmp_path / "t.csv")
