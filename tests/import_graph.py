"""Who imports whom: the graph of this project's modules, read from their source.

Imports inside functions count; those for type checkers alone do not.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def modules(*packages: str) -> dict[str, Path]:
    """Module name -> file, of whole packages."""
    found = {}
    for package in packages:
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def _imported(tree: ast.AST) -> list[tuple[str, tuple[str, ...]]]:
    """Module and names of every import that is executed."""
    found: list[tuple[str, tuple[str, ...]]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            found.append((node.module or "", tuple(alias.name for alias in node.names)))
        waiting += ast.iter_child_nodes(node)
    return found


def graph(*packages: str) -> dict[str, set[str]]:
    """Module -> modules of these packages that it imports."""
    known = modules(*packages)
    edges: dict[str, set[str]] = {}
    for name, file in known.items():
        edges[name] = set()
        for module, names in _imported(ast.parse(file.read_text(encoding="utf-8"))):
            # `from common import metrics` imports a module, `from common.metrics import f1` a name.
            targets = {f"{module}.{each}" for each in names} & known.keys()
            if module in known and (len(targets) < len(names) or not names):
                targets.add(module)
            edges[name] |= targets - {name}
    return edges


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(edges.get(node, ())):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            group = []
            while not group or group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def rooms(edges: dict[str, set[str]], package: str = "common") -> dict[str, set[str]]:
    """Collapse modules to rooms: `common.stain.files` -> `stain`; commands stand aside."""
    found: dict[str, set[str]] = {}
    for name, targets in edges.items():
        parts = name.split(".")
        if parts[0] != package or len(parts) < 2 or parts[-1] == "__main__":
            continue
        inside = {
            target.split(".")[1]
            for target in targets
            if target.startswith(f"{package}.") and target.count(".") >= 1
        }
        found.setdefault(parts[1], set()).update(inside - {parts[1]})
    return found
