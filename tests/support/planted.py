"""Traces with values that a test has chosen, so that it knows what a reader of them must find."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ropewalk.core.rows import Row
from ropewalk.tokens.utf8_bytes import byte_spans, encode
from ropewalk.traces.trace import Trace


def byte_trace(text: str, numbers: Sequence[Sequence[float]] | None = None, **parts: Any) -> Trace:
    """A trace of the bytes of `text` with one row per list of numbers; one row of ones when there are none."""
    tokens = encode(text)
    values = np.ones((1, len(tokens))) if numbers is None else np.array(numbers)
    usual: dict[str, Any] = {
        "rows": tuple(Row(layer) for layer in range(len(values))),
        "kind": "increment",
        "unit": "token-equivalents",
        "gap": "before",
        "provenance": {"name": "planted"},
    }
    return Trace(text, np.array(tokens), byte_spans(text), values=values, **(usual | parts))


def token_trace(text: str, pieces: Sequence[str], numbers: Sequence[Sequence[float]], **parts: Any) -> Trace:
    """A trace whose tokens are these pieces, which together are `text`."""
    ends = np.cumsum([len(piece.encode()) for piece in pieces])
    spans = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)
    rows = tuple(Row(layer) for layer in range(len(numbers)))
    usual: dict[str, Any] = {"kind": "increment", "unit": "token-equivalents", "gap": "before"}
    return Trace(text, np.arange(len(pieces)), spans, rows, np.array(numbers), **(usual | parts))
