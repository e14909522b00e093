"""Which small errors are made in a file, and how a mutated module is compiled.

Text is left alone: a string that is not a rule (a message, a title) changes nothing that a test
should hold, and the columns and keys that are rules are read by the tests through the same names.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType

COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.MatMult: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
SIGNS = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in", ast.Add: "+",
    ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.MatMult: "@", ast.BitOr: "|", ast.BitAnd: "&", ast.BitXor: "^", ast.LShift: "<<",
    ast.RShift: ">>", ast.And: "and", ast.Or: "or",
}  # fmt: skip
CALLS = {
    "min": "max", "any": "all", "floor": "ceil", "minimum": "maximum", "argmin": "argmax",
    "nanmin": "nanmax", "cummin": "cummax", "mean": "median", "sorted": "list",
}  # fmt: skip
CALLS |= {new: old for old, new in CALLS.items() if new != "list"}
# Arguments that change no result: a check of lengths, an encoding that is UTF-8 anyway, the words
# of a command's help, what may not be done with a dataclass.
UNTOUCHED_ARGUMENTS = {
    "strict", "encoding", "stacklevel", "help", "metavar", "prog", "description", "frozen",
    "kw_only", "slots", "repr",
}  # fmt: skip

Change = Callable[[ast.AST], None]


@dataclass(frozen=True)
class Mutant:
    """One small error in one file.

    Parameters
    ----------
    path
        File, from the repository's root.
    function
        Qualified name of the function around it; ``""`` at the module's level.
    inside
        The error lies in the body of `function`: it acts when the function is called.
    lines
        First and last line of the statement, without the block that it heads.
    line
        Number of the line.
    text
        That line, without its indentation.
    change
        ``"< to <="``; the second equal change of a line ends with ``" (2)"``.
    place
        Index of the node among `ast.walk`'s, and of the change among the node's.
    """

    path: str
    function: str
    inside: bool
    lines: tuple[int, int]
    line: int
    text: str
    change: str
    place: tuple[int, int]

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What a known survivor is recognised by: it does not change when lines above do."""
        return self.path, self.function, self.text, self.change


def mutants(path: str) -> list[Mutant]:
    """Give all mutants of one file, in the order of its lines.

    Parameters
    ----------
    path
        File, from the repository's root, which is the working directory.

    Returns
    -------
    list of Mutant
    """
    source = _source(path)
    tree, lines = ast.parse(source), source.splitlines()
    places = {node: index for index, node in enumerate(ast.walk(tree))}
    found, seen = [], Counter()
    for node, statement, function, inside in _walk(tree, tree, "", False):
        for choice, (change, _) in enumerate(_changes(node)):
            text = lines[node.lineno - 1].strip()
            seen[function, text, change] += 1
            count = seen[function, text, change]
            found.append(
                Mutant(
                    path, function, inside, _head(statement), node.lineno, text,
                    change if count == 1 else f"{change} ({count})", (places[node], choice),
                )
            )  # fmt: skip
    return sorted(found, key=lambda mutant: (mutant.line, mutant.place))


def compiled(mutant: Mutant) -> CodeType:
    """Compile the file of a mutant with its error.

    Parameters
    ----------
    mutant
        One of `mutants`, of a file that has not changed since.

    Returns
    -------
    types.CodeType
        The code of the whole module.
    """
    tree = ast.parse(_source(mutant.path))
    node = next(n for index, n in enumerate(ast.walk(tree)) if index == mutant.place[0])
    _changes(node)[mutant.place[1]][1](node)
    return compile(ast.fix_missing_locations(tree), str(Path(mutant.path).resolve()), "exec")


@cache
def _source(path: str) -> str:
    """Text of a file, which may be edited while its mutants are tested."""
    return Path(path).read_text(encoding="utf-8")


def _walk(
    node: ast.AST, statement: ast.AST, function: str, inside: bool
) -> Iterator[tuple[ast.expr | ast.stmt, ast.AST, str, bool]]:
    """Give every node that may be changed, with its statement and its function."""
    if isinstance(node, ast.stmt | ast.ExceptHandler):
        statement = node
    if isinstance(node, ast.expr | ast.stmt):
        yield node, statement, function, inside
    for name, child in _children(node):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and name == "body":
            deeper = inside or isinstance(node, ast.FunctionDef)
            # A function in a function changes with the one around it.
            called = function if inside else f"{function}.{node.name}".lstrip(".")
            yield from _walk(child, statement, called, deeper)
        elif isinstance(node, ast.FunctionDef) and not inside:
            # Its defaults and decorators act when the module is imported.
            yield from _walk(child, statement, f"{function}.{node.name}".lstrip("."), False)
        else:
            yield from _walk(child, statement, function, inside)


def _children(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Children that hold rules: no annotations, docstrings, messages, types for the checker."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "warn":
        return
    if isinstance(node, ast.keyword) and node.arg in UNTOUCHED_ARGUMENTS:
        return
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield name, child


def _head(statement: ast.AST) -> tuple[int, int]:
    """First and last line of a statement without its block."""
    body = getattr(statement, "body", None)
    last = body[0].lineno - 1 if isinstance(body, list) and body else statement.end_lineno
    first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
    return first, max(first, last)


def _changes(node: ast.AST) -> list[tuple[str, Change]]:
    """Give the errors of one node: what changes, and the function that makes it."""
    match node:
        case ast.Compare():
            return [
                (f"{SIGNS[type(op)]} to {SIGNS[COMPARE[type(op)]]}", _operator(i, type(op)))
                for i, op in enumerate(node.ops)
            ]
        case ast.BinOp() | ast.AugAssign() if type(node.op) in ARITHMETIC and not _is_text(node):
            new = ARITHMETIC[type(node.op)]
            return [(f"{SIGNS[type(node.op)]} to {SIGNS[new]}", _set("op", new()))]
        case ast.BoolOp():
            new = ast.Or if isinstance(node.op, ast.And) else ast.And
            return [(f"{SIGNS[type(node.op)]} to {SIGNS[new]}", _set("op", new()))]
        case ast.UnaryOp(op=ast.USub()):
            return [("- dropped", _set("op", ast.UAdd()))]
        case ast.UnaryOp(op=ast.Not()):
            return [("not dropped", _twice)]
        case ast.UnaryOp(op=ast.Invert()):
            return [("~ dropped", _twice)]
        case ast.Constant(value=bool()):
            return [(f"{node.value} to {not node.value}", _set("value", not node.value))]
        case ast.Constant(value=int() | float()):
            return [(f"{node.value} to {node.value + 1}", _set("value", node.value + 1))]
        case ast.If() | ast.IfExp() if getattr(node.test, "id", "") != "TYPE_CHECKING":
            return [(f"if {v}", _set("test", ast.Constant(v))) for v in (True, False)]
        case ast.While():
            return [("while False", _set("test", ast.Constant(False)))]
        case ast.Break():
            return [("break to continue", _becomes(ast.Continue))]
        case ast.Continue():
            return [("continue to break", _becomes(ast.Break))]
        case ast.Expr(value=ast.Call()) if getattr(node.value.func, "attr", "") != "warn":
            return [("call dropped", _set("value", ast.Constant(None)))]
        case ast.Call():
            return [*_renamed(node), *_without_arguments(node)]
    return []


def _is_text(node: ast.BinOp | ast.AugAssign) -> bool:
    """Strings put together are text, and ``|`` between names of types is a type."""
    sides = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.value]
    return any(
        isinstance(side, ast.JoinedStr)
        or (isinstance(side, ast.Constant) and (side.value is None or isinstance(side.value, str)))
        for side in sides
    )


def _operator(index: int, old: type[ast.cmpop]) -> Change:
    def change(node: ast.AST) -> None:
        node.ops[index] = COMPARE[old]()

    return change


def _set(name: str, value: object) -> Change:
    def change(node: ast.AST) -> None:
        setattr(node, name, value)

    return change


def _twice(node: ast.AST) -> None:
    node.operand = ast.UnaryOp(type(node.op)(), node.operand)


def _becomes(kind: type[ast.AST]) -> Change:
    def change(node: ast.AST) -> None:
        node.__class__ = kind

    return change


def _renamed(node: ast.Call) -> list[tuple[str, Change]]:
    field = "id" if isinstance(node.func, ast.Name) else "attr"
    old = getattr(node.func, field, "")
    if old not in CALLS or (old == "sorted" and node.keywords):
        return []

    def change(changed: ast.AST) -> None:
        setattr(changed.func, field, CALLS[old])

    return [(f"{old} to {CALLS[old]}", change)]


def _without_arguments(node: ast.Call) -> list[tuple[str, Change]]:
    def without(index: int) -> Change:
        def change(changed: ast.AST) -> None:
            del changed.keywords[index]

        return change

    return [
        (f"without {keyword.arg}=", without(i))
        for i, keyword in enumerate(node.keywords)
        if keyword.arg and keyword.arg not in UNTOUCHED_ARGUMENTS
    ]
