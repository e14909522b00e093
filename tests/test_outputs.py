"""What a command writes: it is no input, and it can be written, before anything is done."""

import ast
import json
import os

import pytest
import run_folder
from import_graph import ROOT

from common import classification, files, runs
from common.arguments import Parser
from common.card.__main__ import main as card
from common.errors import InputError
from common.files import outputs
from common.forensics.__main__ import main as forensics
from common.papers import PAPERS
from common.probe.__main__ import main as probe
from common.review.__main__ import main as review
from common.splits.__main__ import main as splits
from common.stain.__main__ import main as stain
from her2scoring.tables import main as tables

PLACES = {"--out", "--output", "--csv", "--json", "--page", "--picture", "--roc", "--gradcam",
          "--add", "out", "output"}  # fmt: skip


def parsed(*arguments, kind=files.output_text):
    parser = Parser()
    parser.add_argument("given", nargs="*", type=files.path_argument)
    parser.add_argument("--name")
    parser.add_argument("--output", type=kind)
    parser.add_argument("--csv", type=files.output_text)
    return parser.parse_args([str(each) for each in arguments])


def refused(*arguments, **kind):
    with pytest.raises(InputError) as error:
        parsed(*arguments, **kind)
    return str(error.value)


def test_every_flag_that_writes_says_so_by_its_type():
    """A new command's output is looked at, or this fails."""
    types, seen = {each.__name__ for each in outputs.OUTPUTS}, 0
    for package in ("common", *PAPERS):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "device" in path.parts:
                continue  # alone on its device
            for call in ast.walk(ast.parse(path.read_text("utf-8"))):
                given = isinstance(call, ast.Call) and {
                    word.arg: ast.unparse(word.value) for word in call.keywords
                }
                first = given and call.args and isinstance(call.args[0], ast.Constant)
                if first and call.args[0].value in PLACES and given.get("action") is None:
                    seen += 1
                    kind = given.get("type", "").rpartition(".")[2]
                    assert kind in types, f"{path}:{call.lineno}: {call.args[0].value} {kind}"
    assert seen > 20


def test_an_output_is_no_input_under_any_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table, link, hard = tmp_path / "a.csv", tmp_path / "link.csv", tmp_path / "hard.csv"
    table.write_text("image\n")
    link.symlink_to(table)
    os.link(table, hard)
    for output in ("a.csv", "./a.csv", table, link, hard, "sub/../a.csv", "no/../a.csv"):
        (tmp_path / "sub").mkdir(exist_ok=True)
        for inputs in ([table], ["b", "a.csv"], ["--name", "a.csv"]):
            words = refused(*inputs, "--output", output)
            assert "is an input of this command; give another name" in words
            assert words.startswith(f"--output {files.path_argument(str(output))}: ")
    assert refused("--output", "new.csv", "--csv", "sub/../new.csv").endswith(
        "is --output, too; give each its own"
    )
    assert parsed(table, "--output", "new.csv", "--csv", "other.csv").output.name == "new.csv"


def test_an_output_that_cannot_be_written_is_told_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    inside = tmp_path / "file" / "a.csv"
    assert "is a folder; give the name of a file" in refused("--output", tmp_path)
    assert f"{tmp_path / 'file'} is no folder" in refused("--output", inside)
    assert "is no folder; give one" in refused(
        "--output", tmp_path / "file", kind=files.output_folder
    )
    (tmp_path / "link").symlink_to("/proc/self/fd/1")
    for place in ("/dev/null", "/dev/stdout", "/proc/a.csv", tmp_path / "link"):
        assert "is of the system" in refused("--output", place)
    os.mkfifo(tmp_path / "pipe")
    assert "is no ordinary file" in refused("--output", tmp_path / "pipe")
    new = tmp_path / "new" / "below" / "a.csv"
    assert parsed("--output", new).output == new
    assert not new.parent.exists()


def test_an_output_in_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for kind in (files.output_text, files.output_file, files.output_folder):
        words = refused("--output", tmp_path / "sub" / "a", kind=kind)
        assert words.endswith(f"cannot be written in {tmp_path}; give another folder")


def test_what_is_there_and_worth_keeping_is_not_replaced(tmp_path):
    image, run = tmp_path / "a.png", run_folder.make(tmp_path / "made", "binary", pictures=False)
    image.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    assert "holds no text" in refused("--output", image)
    assert "in a folder that this command reads" in refused(
        tmp_path, "--output", image, kind=files.output_file
    )
    assert parsed(tmp_path / "made", "--output", image, kind=files.output_file)
    (run / "mine.csv").write_text("")
    for name in ("metrics.json", "mine.csv", "config.json"):  # as of a run that has no manifest
        assert f"is a file of the run {run}" in refused("--output", run / name)
    files.write_json(run / "manifest.json", {"files": {"metrics.json": {}}})
    for name in ("metrics.json", "manifest.json"):
        assert f"is a file of the run {run}" in refused("--output", run / name)
    assert parsed("--output", run / "mine.csv")
    assert parsed(run, "--output", run / "mine.csv", kind=files.output_file)  # empty, not read
    for kind in (files.output_file, files.output_text):
        assert parsed("--output", run / "mine" / "a", kind=kind)
    assert "is the folder of a run" in refused("--output", run, kind=files.output_folder)
    assert parsed("--output", run / "maps", kind=files.output_folder)


def test_a_picture_replaces_no_text(tmp_path):
    table, drawn = tmp_path / "a.csv", tmp_path / "a.svg"
    for each in (table, drawn):
        each.write_text("image\n")
    assert "holds text" in refused("--output", table, kind=files.output_file)
    assert parsed("--output", drawn, kind=files.output_file)


def test_what_lies_in_a_folder_and_is_read_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folds, table = tmp_path / "folds", "image,label,case\na,b,c\n"
    folds.mkdir()
    for name in ("dsfold1.txt", "images.csv", "her2scoring.csv"):
        (folds / name).write_text(table)
    for command, line in (
        (splits, f"audit {folds} --csv {folds}/dsfold1.txt"),
        (probe, f"--features f.npz --images {folds}/images.csv --out {folds}"),
        (tables, f"--results {folds} --output {folds}/her2scoring.csv"),
    ):
        with pytest.raises(InputError, match="is an input of this command"):
            command(line.split())
    assert {each.read_text() for each in folds.iterdir()} == {table}


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (forensics, "{t} --csv {t}"),
        (forensics, "{t} --page {d}"),
        (review, "--predictions {t} {t}"),
        (review, "--predictions {t} --csv {t} new.html"),
        (review, "--split {t} --json new.html new.html"),
        (splits, "report --split-file {t} --json {t}"),
        (splits, "report --images {t} --picture {t}"),
        (splits, "audit {t} --csv {t}"),
        (stain, "fit {t} --output {t}"),
        (stain, "show {t} {i} --output {i}"),
        (stain, "apply {t} {d} {t}"),
        (probe, "--features {t} --images {i} --out {i}"),
        (card, "--run {d} --out {d}"),
        (card, "--run {d} --out {t}"),
    ],
)
def test_commands_refuse_to_replace_their_inputs(command, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table, other = tmp_path / "t.csv", tmp_path / "i.csv"
    table.write_text("image,label\n")
    other.write_text("image,label\na,b\n")
    names = {"t": str(table), "i": str(other), "d": str(tmp_path)}
    with pytest.raises(InputError, match=r"^(--|OUT|output).*; give "):
        command(line.format(**names).split())
    assert table.read_text() == "image,label\n" and other.read_text() == "image,label\na,b\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["i.csv", "t.csv"]


def test_predict_keeps_its_images(tmp_path, monkeypatch):
    folder = run_folder.make(tmp_path / "made", "binary", pictures=False)
    package = json.loads((folder / "config.json").read_text())["package"]
    with pytest.raises(InputError, match=r"model.keras: missing; restore .* --fresh"):
        classification.main(package, ["--run", str(folder), str(tmp_path)])
    (folder / "model.keras").touch()
    monkeypatch.setattr(runs, "load_model", lambda run: pytest.fail("work was done"))
    monkeypatch.setattr(classification, "_usable", lambda *_: pytest.fail("work was done"))
    names = [tmp_path / name for name in ("a.png", "a-gradcam.png", "list.csv")]
    for each in names:
        each.write_text("image\na.png\n")
    image, overlay, listing = map(str, names)
    for line in (
        [image, "--output", image],
        [image, "--output", str(tmp_path)],
        ["--images", listing, "--output", listing],
        ["--images", listing, "--output", image],
        [image, "--gradcam", image],
        [image, overlay, "--gradcam", str(tmp_path)],
        [image, "--output", f"{image}/a.csv"],
        [image, "--tiles", "--output", listing],
        [str(tmp_path), "--output", image],
    ):
        with pytest.raises(InputError, match=r"^--(output|gradcam) .*(give|is no folder)"):
            classification.main(package, ["--run", str(folder), *line])
    with pytest.raises(InputError, match=r"list.csv: is a list, no image; give it with --images"):
        classification.main(package, ["--run", str(folder), listing])
    assert {each.read_text() for each in names} == {"image\na.png\n"}
