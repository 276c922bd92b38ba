"""Which bytes of Python source delimit a scope, by Python's own tokenizer, and which only look as if they did.

newline     the line feed that ends a logical line; others end comments and blank lines, or lie within brackets
            and strings
colon       the one that opens a block; others slice, annotate, map keys to values
bracket     one that opens or closes; others lie within strings and comments
indent      a space before the first token of a logical line; others are elsewhere

The inside of a formatted string counts as string, as in Python before 3.12.
"""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ropewalk.errors import UserError

DELIMITERS: dict[str, bytes] = {"newline": b"\n", "colon": b":", "bracket": b"()[]{}", "indent": b" "}
"""Kind -> the bytes that may be one."""

BLOCKS = {"if", "elif", "else", "for", "while", "try", "except", "finally", "with", "def", "class", "async", "match", "case"}  # fmt: skip
STRINGS = {
    getattr(tokenize, name, None): step
    for name, step in (("FSTRING_START", 1), ("FSTRING_END", -1), ("TSTRING_START", 1), ("TSTRING_END", -1))
}


@dataclass(frozen=True, eq=False)
class Delimiters:
    """n bytes that could delimit. at (n,): their offsets in the text's UTF-8; byte (n,): which byte; kind (n,):
    its place in DELIMITERS; labels (n,) bool: does it delimit."""

    at: np.ndarray
    byte: np.ndarray
    kind: np.ndarray
    labels: np.ndarray


def delimiters(source: str, limit: int | None = None) -> Delimiters:
    """All bytes of `source` (of its first `limit` bytes) that are in DELIMITERS. UserError for what is not Python."""
    data = np.frombuffer(source.encode(), np.uint8)
    true = np.zeros(len(data), bool)
    true[list(_true(source))] = True
    number = np.full(256, -1)
    for i, members in enumerate(DELIMITERS.values()):
        number[list(members)] = i
    at = np.flatnonzero(number[data[:limit]] >= 0)
    return Delimiters(at, data[at], number[data[at]], true[at])


def _true(source: str) -> Iterator[int]:
    """The offsets of the delimiting bytes."""
    lines = [line + "\n" for line in source.split("\n")]
    starts = np.cumsum([0, *(len(line.encode()) for line in lines)])

    def offset(place: tuple[int, int]) -> int:
        row, column = place
        return int(starts[row - 1]) + len(lines[row - 1][:column].encode())

    depth = inside = 0
    first, lambdas = "", 0
    skipped = (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)
    for token in _tokens(source):
        inside += STRINGS.get(token.type, 0)
        if inside or token.type in skipped or token.type == tokenize.ENDMARKER:
            continue
        if token.type == tokenize.NEWLINE:
            if token.string:
                yield offset(token.start)
            first, lambdas = "", 0
            continue
        if not first:
            first = token.string
            yield from range(int(starts[token.start[0] - 1]), offset(token.start))
        if token.type == tokenize.NAME and token.string == "lambda" and not depth:
            lambdas += 1
        if token.type != tokenize.OP:
            continue
        if token.string in tuple("()[]{}"):
            depth += 1 if token.string in "([{" else -1
            yield offset(token.start)
        elif token.string == ":" and not depth:
            if lambdas:
                lambdas -= 1
            elif first in BLOCKS and (keyword.iskeyword(first) or _ends(token.line, token.end[1])):
                first = ":"
                yield offset(token.start)


def _ends(line: str, column: int) -> bool:
    """Whether only a comment follows this column. A soft keyword's colon opens a block only then."""
    return not line[column:].split("#")[0].strip()


def _tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    try:
        yield from tokenize.generate_tokens(io.StringIO(source).readline)
    except (tokenize.TokenError, SyntaxError) as error:
        raise UserError(f"the text is not Python source ({error}); give a .py file.") from error
