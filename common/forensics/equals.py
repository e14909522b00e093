"""Numbers that are said to follow from others: sums, products, shares and means, by intervals."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction

from common.errors import InputError
from common.forensics.finding import Finding, lines
from common.forensics.means import harmonic
from common.forensics.reading import Number
from common.forensics.rounding import ZERO, shown

Interval = tuple[Fraction, Fraction, Fraction]
"""Least value, the value of the printed numbers, and largest value."""

LONGEST = 500
"""Characters of an expression."""

LARGEST = 1e15
"""Number that may stand in one."""


def _mean(*parts: Fraction) -> Fraction:
    return sum(parts, ZERO) / len(parts)


def _sum(*parts: Fraction) -> Fraction:
    return sum(parts, ZERO)


_GROWING: dict[str, Callable[..., Fraction]] = {
    "mean": _mean, "sum": _sum, "min": min, "max": max, "f1": harmonic,
}  # fmt: skip
"""Functions that grow with each argument."""


def equals_findings(numbers: Sequence[Number], name: str = "numbers") -> Iterator[Finding]:
    """Judge every number that has an expression.

    Parameters
    ----------
    numbers : sequence of Number
    name : str
        What messages call the table.

    Yields
    ------
    Finding

    Raises
    ------
    InputError
        An expression cannot be read, or names no number.
    """
    known: dict[str, Number] = {}
    for number in numbers:
        if number.id:
            if number.id in known:
                raise InputError(f"{name}, line {number.line + 2}: the id {number.id!r} is twice")
            known[number.id] = number
    for number in numbers:
        if number.equals:
            yield _judged(number, known, f"{name}, line {number.line + 2}, column equals")


def _judged(number: Number, known: Mapping[str, Number], where: str) -> Finding:
    text = number.equals
    try:
        tree = ast.parse(text, mode="eval") if len(text) <= LONGEST else None
        if tree is None:
            raise InputError(f"{where}: longer than {LONGEST} characters")
        low, middle, high = _value(tree.body, known)
        used = [known[node.id] for node in ast.walk(tree) if isinstance(node, ast.Name)
                and node.id in known]  # fmt: skip
        said = _written(tree.body, known)  # which changes the tree
    except (SyntaxError, RecursionError, MemoryError):
        raise InputError(f"{where}: {text[:80]!r} is no sum over ids and numbers") from None
    except ZeroDivisionError:
        raise InputError(f"{where}: {text[:80]!r} divides by zero") from None
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    least, _, most = _ends(number)
    possible = least <= high and most >= low
    exact = number.printed
    decimals = exact.decimals
    if middle.denominator != 1 and not possible:
        decimals = max(decimals, 1)
    result = shown(middle, decimals)
    end = "" if possible else f", not {exact.text}"
    repairs = {} if possible else {number.line: shown(middle, exact.decimals)}
    return Finding(
        "sum", lines((number, *used)), possible, f"{said} = {result}{end}",
        None if possible else 0, repairs=repairs, together=bool(used) or None,
    )  # fmt: skip


def _ends(number: Number) -> Interval:
    """What a printed number may stand for, in its own unit; counts are exact."""
    value = number.printed.value * number.printed.scale
    if number.unit == "images":
        return value, value, value
    half = number.printed.unit * number.printed.scale / 2
    return value - half, value, value + half


def _value(node: ast.expr, known: Mapping[str, Number]) -> Interval:
    """Interval of an expression."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise InputError(f"{node.value!r} is no number")
        if not abs(node.value) <= LARGEST:
            raise InputError(f"a number above {LARGEST:.0e}")
        exact = Fraction(str(node.value))
        return exact, exact, exact
    if isinstance(node, ast.Name):
        if node.id not in known:
            raise InputError(f"no number has the id {node.id!r}")
        return _ends(known[node.id])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        low, middle, high = _value(node.operand, known)
        return -high, -middle, -low
    if isinstance(node, ast.BinOp):
        return _operated(node.op, _value(node.left, known), _value(node.right, known))
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in (*_GROWING, "whole")
        and node.args
        and not node.keywords
    ):
        parts = [_value(each, known) for each in node.args]
        if node.func.id == "f1" and any(low < 0 for low, _, _ in parts):
            raise InputError("f1 is of two numbers that are not negative")
        if node.func.id != "whole" and (node.func.id != "f1" or len(parts) == 2):
            low, middle, high = (
                _GROWING[node.func.id](*(each[i] for each in parts)) for i in range(3)
            )
            return low, middle, high
        if node.func.id == "whole" and len(parts) == 1:
            # A part of some images, rounded either way.
            low, middle, high = parts[0]
            return Fraction(math.floor(low)), middle, Fraction(math.ceil(high))
    raise InputError("only + - * / and mean, sum, min, max, f1, whole can stand there")


def _operated(operator: ast.operator, one: Interval, other: Interval) -> Interval:
    if isinstance(operator, ast.Add):
        return one[0] + other[0], one[1] + other[1], one[2] + other[2]
    if isinstance(operator, ast.Sub):
        return one[0] - other[2], one[1] - other[1], one[2] - other[0]
    if isinstance(operator, ast.Mult):
        ends = [a * b for a in (one[0], one[2]) for b in (other[0], other[2])]
        return min(ends), one[1] * other[1], max(ends)
    if isinstance(operator, ast.Div):
        if other[0] <= 0 <= other[2]:
            raise ZeroDivisionError
        ends = [a / b for a in (one[0], one[2]) for b in (other[0], other[2])]
        return min(ends), one[1] / other[1], max(ends)
    raise InputError("only + - * / and mean, sum, min, max, f1, whole can stand there")


def _written(node: ast.expr, known: Mapping[str, Number]) -> str:
    """The expression with the printed numbers for their ids."""

    class Printing(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:  # ast's own name
            if node.id not in known:
                return node
            return ast.Name(id=known[node.id].printed.text, ctx=ast.Load())

    return ast.unparse(Printing().visit(node))
