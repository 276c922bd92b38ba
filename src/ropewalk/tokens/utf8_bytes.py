"""Text as the native models read it: raw UTF-8 bytes 0..255, and END = 256, the end of a document.

Spans are half-open byte offsets into `text.encode("utf-8")`.
"""

from collections.abc import Iterable

import numpy as np

from ropewalk.errors import UserError

END = 256
VOCAB_SIZE = 257


def utf8(text: str) -> bytes:
    """The UTF-8 bytes of `text`; UserError for a lone surrogate, which no UTF-8 file can hold."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"expected Unicode text, got the lone surrogate U+{ord(text[error.start]):04X} at character "
            f"{error.start}; remove it or decode the source again."
        ) from error


def encode(text: str) -> list[int]:
    """The token ids of `text`: its UTF-8 bytes, 0..255, without any END."""
    return list(utf8(text))


def decode(ids: Iterable[int]) -> str:
    """The text of token ids: END dropped, broken bytes shown as U+FFFD. UserError for other numbers."""
    tokens = [int(token) for token in ids]
    for index, token in enumerate(tokens):
        if not 0 <= token < VOCAB_SIZE:
            raise UserError(
                f"expected tokens 0..{VOCAB_SIZE - 1} (bytes and END), got {token} at index {index}; "
                "decode it with the tokenizer it came from."
            )
    return bytes(token for token in tokens if token != END).decode("utf-8", errors="replace")


def byte_spans(text: str) -> np.ndarray:
    """Spans (T, 2) int64 of the tokens of `encode(text)`: one byte each."""
    starts = np.arange(len(utf8(text)), dtype=np.int64)
    return np.stack([starts, starts + 1], axis=1)
