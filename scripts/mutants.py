"""The mutants of a source file, for `scripts/mutate.py`: each is one small change of its syntax tree."""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "ropewalk"


@dataclass(frozen=True)
class Mutant:
    """A changed source: `line` of the original, and the change; code: compiled with the original's lines.

    key: file, text of the line and change; ", 2" and so on where a line has several such.
    """

    file: str
    line: int
    key: str
    change: str
    source: str
    code: CodeType


COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {"dev": "test", "test": "dev", "min": "max", "max": "min", "any": "all", "all": "any", "argmax": "argmin",
         "amax": "amin", "argmin": "argmax", "cumsum": "cumprod"}  # fmt: skip
SKIPPED = (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom)


def mutants(file: str) -> Iterator[Mutant]:
    """Every mutant of a file below the package."""
    path = SOURCE / file
    source = path.read_text()
    tree = ast.parse(source)
    seen: set[str] = set()
    keys: Counter[str] = Counter()
    for number, node in enumerate(_nodes(tree)):
        for variant in range(len(_changes(copy.deepcopy(node)))):
            changed = copy.deepcopy(tree)
            other = list(_nodes(changed))[number]
            before = ast.unparse(other)
            _changes(other)[variant]()
            after = ast.unparse(other)
            line = getattr(node, "lineno", 0)
            change = f"{before} -> {after}".replace("\n", " ")
            text = ast.unparse(ast.fix_missing_locations(changed))
            if text not in seen and before != after:
                seen.add(text)
                code = compile(changed, path, "exec", dont_inherit=True)
                key = f"{file}: {source.splitlines()[line - 1].strip()}: {change}"
                keys[key] += 1
                key += f", {keys[key]}" if keys[key] > 1 else ""
                yield Mutant(file, line, key, change, text, code)


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that may be changed, in order; errors, annotations, decorators and docstrings are left alone."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, SKIPPED):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            yield child
            if not isinstance(child, ast.JoinedStr):
                yield from _nodes(child)


def _changes(node: Any) -> list[Any]:
    """Functions that each change the node in place."""
    found: list[Any] = []

    def put(name: str, value: Any) -> None:
        found.append(lambda: setattr(node, name, value))

    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        put("ops", [COMPARISONS[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATORS:
        put("op", OPERATORS[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        put("op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp):
        put("op", ast.UAdd() if isinstance(node.op, ast.USub) else ast.Not())
        if not isinstance(node.op, ast.USub):
            operand = node.operand
            found[:] = [lambda: node.__dict__.update(op=ast.Not(), operand=ast.UnaryOp(ast.Not(), operand))]
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        put("value", not node.value)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        put("value", node.value + 1 if type(node.value) is int else node.value * 2 or 1.0)
    elif isinstance(node, ast.IfExp):
        body, orelse = node.body, node.orelse
        found.append(lambda: node.__dict__.update(body=orelse, orelse=body))
    elif isinstance(node, ast.If):
        put("test", ast.Constant(True))
        put("test", ast.Constant(False))
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        put("value", ast.Constant(None))
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        put("attr", NAMES[node.attr])
    elif isinstance(node, ast.Name) and node.id in NAMES:
        put("id", NAMES[node.id])
    return found
