"""A text as a host reads it: token ids and byte spans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ropewalk.tokens.utf8_bytes import END, byte_spans, encode


@dataclass(frozen=True)
class TokenizedText:
    """A text as a host reads it: ids (T,), byte spans (T, 2), and the symbol that starts a document."""

    ids: np.ndarray
    spans: np.ndarray
    start: int | None


def tokenize_bytes(text: str) -> TokenizedText:
    """The tokens of the native models: UTF-8 bytes, with the end-of-document symbol before the first."""
    return TokenizedText(np.array(encode(text), dtype=np.int64), byte_spans(text), END)
