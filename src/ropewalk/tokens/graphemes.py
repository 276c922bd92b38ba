"""Graphemes: what a reader calls characters (Unicode's extended grapheme clusters), as byte spans."""

from __future__ import annotations

import regex

from ropewalk.tokens.utf8_bytes import utf8

_GRAPHEME = regex.compile(r"\X")


def grapheme_spans(text: str) -> list[tuple[int, int]]:
    """Byte spans (start, end) of the graphemes of `text`, in order and without gaps."""
    utf8(text)
    spans = []
    start = 0
    for match in _GRAPHEME.finditer(text):
        end = start + len(match.group().encode())
        spans.append((start, end))
        start = end
    return spans
