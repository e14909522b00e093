"""The tool behind ``make mutants``: which errors it makes, and how one is told from another."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from mutants.operators import _source, compiled, mutants

ROOT = Path(__file__).parents[1]
CODE = '''"""Text 1."""

LIMIT = 3


def kept(values: "list[int] | None", low=-2):
    """Text 2."""
    if not values:
        raise ValueError("1 < 2")
    return [v for v in values if low <= v < LIMIT and v != 0]
'''


def of(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _source.cache_clear()
    Path("code.py").write_text(code, encoding="utf-8")
    return mutants("code.py")


def test_every_rule_is_changed_and_no_text(tmp_path, monkeypatch):
    found = of(CODE, tmp_path, monkeypatch)
    assert [(m.line, m.function, m.inside, m.change) for m in found] == [
        (3, "", False, "3 to 4"),
        (6, "kept", False, "- dropped"),
        (6, "kept", False, "2 to 3"),
        (8, "kept", True, "if True"),
        (8, "kept", True, "if False"),
        (8, "kept", True, "not dropped"),
        (10, "kept", True, "and to or"),
        (10, "kept", True, "<= to <"),
        (10, "kept", True, "< to <="),
        (10, "kept", True, "!= to =="),
        (10, "kept", True, "0 to 1"),
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [("3 to 4", [-2, 2, 3]), ("- dropped", [2]), ("<= to <", [2]), ("< to <=", [-2, 2, 3]),
     ("!= to ==", [0]), ("0 to 1", [-2, 0, 2])],
)  # fmt: skip
def test_a_mutant_is_the_code_with_one_error(change, expected, tmp_path, monkeypatch):
    found = {m.change: m for m in of(CODE, tmp_path, monkeypatch)}
    space: dict = {}
    exec(compiled(found[change]), space)
    assert space["kept"]([-2, 0, 2, 3]) == expected


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("x = min(a, b) + a.floor()", ["+ to -", "min to max", "floor to ceil"]),
        (
            "x = a.mean(axis=0, strict=True)",
            ["mean to median", "without axis=", "0 to 1"],
        ),
        ("x = f(1, 1)", ["1 to 2", "1 to 2 (2)"]),
        ("x = 'a' + b", []),
        ("warnings.warn('a', stacklevel=2)", []),
        ("check(a)", ["call dropped"]),
        ("while a:\n    break", ["while False", "break to continue"]),
        ("if TYPE_CHECKING:\n    a = 1", []),
        ("x: int | str = 1", ["1 to 2"]),
        ("x = sorted(a)", ["sorted to list"]),
    ],
)
def test_changes_of_one_line(code, changes, tmp_path, monkeypatch):
    found = of(code, tmp_path, monkeypatch)
    assert sorted(m.change for m in found) == sorted(changes)
    for mutant in found:
        compiled(mutant)


ROOM_TEST = """
from measured import share

def test_share():
    assert share(1, 2) == 0.5
"""
ROOM_CODE = """
HALF = 2
WHOLE = 1

def share(k, n, most=1):
    if k > n:
        return most
    return k / n / WHOLE

def unused(x):
    return x + 1
"""


def test_what_becomes_of_mutants(tmp_path):
    """Killed in a patched function; at import; survived; out of reach.

    Both with a fresh import of the module and when it is run again in its place.
    """
    (tmp_path / "measured.py").write_text(ROOM_CODE, encoding="utf-8")
    (tmp_path / "test_room.py").write_text(ROOM_TEST, encoding="utf-8")
    script = (
        f"import sys; sys.path[:0] = ['.', {str(ROOT / 'tests')!r}]\n"
        "from mutants import operators, running\n"
        "found = operators.mutants('measured.py')\n"
        "for running.AGAIN in (100, 1):\n"
        "    results, failed = running.run(found, ['test_room.py'], lambda *_: None)\n"
        "    print(failed, [(m.change, r) for m, r in zip(found, results)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    killed, survived, unreached = 0, 1, 3
    assert done.stdout.splitlines() == 2 * [
        "[] "
        + repr(
            [
                ("2 to 3", survived),
                ("1 to 2", killed),
                ("1 to 2", survived),
                ("if True", killed),
                ("if False", survived),
                ("> to >=", survived),
                ("/ to *", survived),
                ("/ to * (2)", killed),
                ("+ to -", unreached),
                ("1 to 2", unreached),
            ]
        )
    ]


def test_every_known_mutant_exists_and_has_its_reason(monkeypatch):
    monkeypatch.chdir(ROOT)
    _source.cache_clear()
    known = tomllib.loads((ROOT / "tests/mutants/known.toml").read_text(encoding="utf-8"))
    for room in known.values():
        for entry in room.get("survived", []):
            there = {m.key for m in mutants(entry["file"])}
            for change in entry["changes"]:
                assert (entry["file"], entry["function"], entry["line"], change) in there
            assert len(entry["reason"]) > 10
        for entry in room.get("unreached", []):
            there = {m.function for m in mutants(entry["file"])}
            assert set(entry["functions"]) <= there | {"*"}
            assert len(entry["reason"]) > 10
