"""Paths and names: one function reads a path, and whatever a file is called does no harm."""

import ast
import os
from pathlib import Path

import pandas as pd
import pytest

from common import datasets, files, predictions, runs, splits
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
            name = node.args[0].value
            metavar = given.get("metavar")
            kind = given.get("type")
            shown = metavar.value if isinstance(metavar, ast.Constant) else ""
            yield f"{source}:{node.lineno}", name, shown, getattr(kind, "id", None)


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
                assert (kind == "path_argument") == path or not path, place
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
