"""The kind of a byte, as in the published table, and the kind of a character in any script."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

import numpy as np
import regex

from ropewalk.tokens.utf8_bytes import END
from ropewalk.traces.trace import Trace

BYTE_KINDS: dict[str, list[int]] = {
    "a-z": list(range(0x61, 0x7B)),
    "Chinese continuation byte": list(range(0x80, 0xC0)),
    "Chinese lead byte": list(range(0xE4, 0xEA)),
    "space": [0x20],
    "A-Z": list(range(0x41, 0x5B)),
    ". ! ?": [0x2E, 0x21, 0x3F],
    ", ; : -": [0x2C, 0x3B, 0x3A, 0x2D],
    "newline": [0x0A],
    "digits": list(range(0x30, 0x3A)),
    "end of document": [END],
}
"""Kind -> bytes, in the order of the published table; digits are ours."""

PUBLISHED: dict[str, dict[str, float]] = {
    "shared": {
        "a-z": 0.79, "Chinese continuation byte": 0.80, "Chinese lead byte": 0.92, "space": 1.05, "A-Z": 1.10,
        ". ! ?": 1.18, ", ; : -": 1.14, "newline": 2.12, "end of document": 2.90,
    },
    "layer 0": {
        "a-z": 1.64, "Chinese continuation byte": 1.79, "Chinese lead byte": 2.43, "space": 9.99, "A-Z": 9.52,
        ". ! ?": 9.90, "newline": 9.99, "end of document": 9.82,
    },
}  # fmt: skip
"""Mean increment of each kind in the shared row and in layer 0. Source: Brendan Long, "How Far Apart Does a Model
Think Its Tokens Are?", 2026."""

SCRIPTS = (
    "Latin", "Han", "Hiragana", "Katakana", "Hangul", "Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari", "Thai",
)  # fmt: skip
_SCRIPT = {name: regex.compile(rf"\p{{Script={name}}}") for name in SCRIPTS}
SENTENCE_END = set(".!?。！？؟।…")


def byte_kind_numbers(tokens: np.ndarray) -> np.ndarray:
    """The index of each token's kind in BYTE_KINDS; one more for bytes of no kind. Same shape."""
    table = np.full(END + 1, len(BYTE_KINDS), np.int64)
    for number, members in enumerate(BYTE_KINDS.values()):
        table[members] = number
    return table[np.clip(tokens, 0, END)]


_END = re.compile(
    b"(?:(?:\xe3\x80\x82|\xef\xbc\x81|\xef\xbc\x9f)+|[.!?]+(?=\\s)|\\n)\\s*"
)  # 。 ！ ？ in UTF-8


@cache
def character_kind(text: str) -> str:
    """The kind of a character (of its first code point): its script and case, or the kind of mark."""
    if not text:
        return "no text"
    first = text[0]
    category = unicodedata.category(first)
    if first == "\n":
        return "newline"
    if first.isspace():
        return "space"
    if category.startswith("N"):
        return "digit"
    if category.startswith("P"):
        return "sentence end" if first in SENTENCE_END else "punctuation"
    if not category.startswith(("L", "M")):
        return "symbol"
    script = next((name for name, pattern in _SCRIPT.items() if pattern.match(first)), "other script")
    case = {"Lu": " upper", "Lt": " upper", "Ll": " lower"}.get(category, "")
    return script + case


SURFACE = {"newline", "space", "sentence end", "punctuation"}


def sentences(trace: Trace) -> np.ndarray:
    """The number of the sentence each token belongs to, (T,) from 0: text lines, cut further after full stops."""
    ends = [match.end() for match in _END.finditer(trace.text.encode())]
    return np.searchsorted(np.array(ends, np.int64), trace.spans[:, 0], side="right")


def cell_kinds(
    trace: Trace, kind: Callable[[str], str] = character_kind
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Every cell of the trace: first token (n,), number of its kind (n,), names of the kinds."""
    cells = [cell for cell in trace.cells() if cell.text]
    names = [kind(cell.text) for cell in cells]
    kinds = list(dict.fromkeys(sorted(names)))
    place = {name: i for i, name in enumerate(kinds)}
    return np.array([c.start for c in cells], np.int64), np.array([place[n] for n in names], np.int64), kinds
