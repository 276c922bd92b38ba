"""A hash of the source that a verdict depends on, so that a table made by other code is recognized.

Included: a module and all that it imports, directly or not, of `PACKAGES`, but not what changes no number: how a text is
read (every way is compared with the model's own pass, tests/parity), and the table that holds the numbers (`NEUTRAL`).
Comments on lines of their own, docstrings and empty lines do not count.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("ropewalk.analyses", "ropewalk.experiments", "ropewalk.measure")
HOW_TEXT_IS_READ = ("capture", "hosts", "numpy_trace", "torch_trace", "reading", "windows")
NEUTRAL = {"ropewalk.analyses.result", "ropewalk.measure"} | {
    f"ropewalk.measure.{name}" for name in HOW_TEXT_IS_READ
}


@cache
def source_hash(module: str) -> str:
    """16 hexadecimal digits that change with the code of `module` and of what it imports."""
    digest = hashlib.sha256()
    for name in sorted(closure(module)):
        digest.update(name.encode())
        digest.update(code_lines(_source(name)).encode())
    return digest.hexdigest()[:16]


def closure(module: str) -> set[str]:
    """The module and everything of `PACKAGES` that it imports, directly or not."""
    found, waiting = set[str](), [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += [other for other in _imports(_source(name)) if other not in found]
    return found


def code_lines(source: str) -> str:
    """The source without docstrings, comment lines, empty lines and trailing space."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                for number in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1):
                    lines[number - 1] = ""
    kept = (line.rstrip() for line in lines)
    return "\n".join(line for line in kept if line and not line.lstrip().startswith("#"))


def _imports(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (n for n in names if n.startswith(PACKAGES) and n not in NEUTRAL and _is_module(n))


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _source(name: str) -> str:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return ""
    return Path(spec.origin).read_text(encoding="utf-8")
