"""Functions are short and take few parameters. Read from the sources, not run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "ropewalk"
MOST_LINES, MOST_PARAMETERS = 60, 10

# Longer functions, each with its reason.
LONG = {
    "hf/cache_state.py:_with_offsets": "a class made for each class of cache layers: seven short methods",
    "views/heat_picture.py:draw": "one picture from top to bottom, on one pair of axes",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(text: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function):
            yield node


def lines(function: Function) -> int:
    """The lines of a function, its docstring left out."""
    own = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    return own - ((first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(function) else 0)


def parameters(function: Function) -> int:
    """The parameters of a function besides self and cls; the fields of configuration objects are none."""
    found = function.args
    names = [each.arg for each in (*found.posonlyargs, *found.args, *found.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def test_functions_are_short() -> None:
    long = {
        f"{path.relative_to(SOURCE).as_posix()}:{function.name}"
        for path in SOURCE.rglob("*.py")
        for function in functions(path.read_text(encoding="utf-8"))
        if lines(function) > MOST_LINES
    }
    assert long == set(LONG)


def test_functions_take_few_parameters() -> None:
    many = {
        f"{path.relative_to(SOURCE).as_posix()}:{function.name}": parameters(function)
        for path in SOURCE.rglob("*.py")
        for function in functions(path.read_text(encoding="utf-8"))
        if parameters(function) > MOST_PARAMETERS
    }
    assert many == {}


@pytest.mark.parametrize(
    ("text", "long", "wide"),
    [
        ("def f(a, b):\n" + "    a += 1\n" * 60, 61, 2),
        ("def f(self, *, a=0):\n" + '    """Line.\n\n' + "    More.\n" * 90 + '    """\n    return a', 2, 1),
        ("class A:\n    async def f(cls, a, /, b): ...", 1, 2),
    ],
)
def test_this_test_can_fail(text: str, long: int, wide: int) -> None:
    (function,) = functions(text)
    assert (lines(function), parameters(function)) == (long, wide)
