"""Parsers of all commands: no abbreviations, near names suggested."""

import ast

import pytest
from import_graph import ROOT

from common import config
from common.arguments import Parser
from common.errors import InputError
from common.forensics.__main__ import main as forensics
from common.papers import PAPERS
from her2scoring.tables import main as her2scoring_tables


def said(capsys, function, *arguments):
    with pytest.raises(SystemExit) as end:
        function(list(arguments))
    assert end.value.code == 2
    return capsys.readouterr().err


def test_no_command_takes_an_abbreviated_flag(capsys):
    assert "--al: did you mean --all?; " in said(capsys, forensics, "--al", "breakhis")
    wrong, seen = [], 0
    for package in ("common", "benchmarks", *PAPERS):
        for path in sorted((ROOT / package).rglob("*.py")):
            calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8")))
                     if isinstance(node, ast.Call)]  # fmt: skip
            names = [ast.unparse(call.func).rpartition(".")[2] for call in calls]
            seen += names.count("Parser")
            for call, name in zip(calls, names, strict=True):
                given = {word.arg: ast.unparse(word.value) for word in call.keywords}
                # Of a plain parser, those of subcommands would take abbreviations.
                if name == "ArgumentParser" and (
                    given.get("allow_abbrev") != "False" or "add_subparsers" in names
                ):
                    wrong.append(f"{path}:{call.lineno}")
    assert wrong == [] and seen > 20


def test_near_names_are_suggested(capsys):
    parser = Parser(prog="x")
    parser.add_argument("--run", required=True)
    parser.add_argument("--least-tissue")
    part = parser.add_subparsers(dest="command").add_parser("draw")
    part.add_argument("--colour")
    cases = {
        ("--runn=a",): "are required: --run; --runn: did you mean --run?",
        ("--run", "a", "--least", "1"): "--least: did you mean --least-tissue?",
        ("--run", "a", "draw", "--color=1"): "--color=1; --color: did you mean --colour?",
        ("--run", "a", "drew"): "(choose from 'draw'); drew: did you mean draw?",
        ("--run", "a", "draw", "--other"): "unrecognized arguments: --other; x",
        ("--run", "a", "draw", "--", "--colou"): "unrecognized arguments:",
    }
    for arguments, words in cases.items():
        err = said(capsys, parser.parse_args, *arguments).replace("from draw", "from 'draw'")
        assert words in err, arguments
        assert err.startswith("error: ") and err.count("\n") == 1, "one line, as all errors"
    assert "did you mean" not in err


def test_a_view_of_tables_that_is_none_is_told(capsys, tmp_path):
    told = said(capsys, her2scoring_tables, "mergd")
    assert "choose from" in told and "mergd: did you mean merged?" in told
    with pytest.raises(ValueError, match="--format csv: is for all numbers, merged is Markdown"):
        her2scoring_tables(["merged", "--runs-dir", str(tmp_path), "--format", "csv"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--epochs", "four"], "--epochs four: expected a whole number"),
        (["--epochs"], r"Missing value for argument '--epochs'.*; python -m \S+ --help says more"),
        (["--epohcs", "3"], r"Unrecognized options: --epohcs, 3; did you mean --epochs\?; .*"),
        (
            ["--split", "no"],
            r"invalid choice 'no' for argument '--split'. Expected .*'\); .*",
        ),
        (["--demo", "--epochs=1.5"], "--epochs 1.5: expected a whole number"),
        (["--learning-rate", "fast"], "--learning-rate fast: expected a number"),
    ],
)
def test_a_training_says_in_a_line_what_is_wrong(arguments, told):
    from her2scoring.config import PRESETS, Config

    with pytest.raises(InputError, match=f"^{told}$"):
        config.parse(Config, PRESETS, package="her2scoring", description="", arguments=arguments)
