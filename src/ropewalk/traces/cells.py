"""Cells: the smallest runs of whole tokens that are whole graphemes.

People see characters, never broken bytes: three byte tokens of one Chinese character are one cell, and so are the
tokens of an emoji family. A BPE token that covers several characters is one cell, too.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ropewalk.tokens.graphemes import grapheme_spans


@dataclass(frozen=True)
class Cell:
    """Tokens start..end (half-open) that are whole graphemes together; text is "" for a token without text."""

    start: int
    end: int
    text: str


def cells(text: str, spans: np.ndarray) -> list[Cell]:
    """The cells of `text` in order, given each token's byte span (T, 2); every token is in exactly one cell.

    A token without text is a cell of its own unless it lies inside a run. Text that no token covers (a space that a
    tokenizer dropped) is in no cell.
    """
    return list(_cells(text, spans.tobytes()))


@lru_cache(maxsize=8)
def _cells(text: str, packed_spans: bytes) -> tuple[Cell, ...]:
    spans = np.frombuffer(packed_spans, np.int64).reshape(-1, 2)
    data = text.encode()
    edges = np.array([0] + [end for _, end in grapheme_spans(text)])
    lows = edges[np.searchsorted(edges, spans[:, 0], side="right") - 1].tolist()
    highs = edges[np.searchsorted(edges, spans[:, 1], side="left")].tolist()
    runs: list[tuple[int, int, int, int]] = []  # token start, token end, byte start, byte end
    for token, (start, end) in enumerate(spans.tolist()):
        if start == end:
            runs.append((token, token + 1, -1, -1))
            continue
        low, high, first = lows[token], highs[token], token
        back = len(runs)
        while back and runs[back - 1][3] < 0:
            back -= 1
        if back and runs[back - 1][3] > low:
            first, _, low, reached = runs[back - 1]
            high = max(high, reached)
            del runs[back - 1 :]
        runs.append((first, token + 1, low, high))
    return tuple(Cell(a, b, data[low:high].decode() if high >= 0 else "") for a, b, low, high in runs)
