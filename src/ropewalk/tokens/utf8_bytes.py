"""Text and the symbols the native models read: raw UTF-8 bytes 0..255 and END = 256, the end of a document.

Spans are half-open byte offsets into `text.encode("utf-8")`. Graphemes are what a reader calls characters
(Unicode's extended grapheme clusters): an accented letter, a family emoji, a Hangul syllable. This module
does not know subword tokenizers; whoever brings one brings its spans.
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
            f"Expected Unicode text, got the lone surrogate U+{ord(text[error.start]):04X} at character "
            f"{error.start}; remove it or decode the source again."
        ) from error


def encode(text: str) -> list[int]:
    """The symbols of `text`: its UTF-8 bytes, 0..255, without any END."""
    return list(utf8(text))


def decode(ids: Iterable[int]) -> str:
    """Text of the symbols: END dropped, broken bytes shown as U+FFFD. UserError for other numbers."""
    symbols = [int(symbol) for symbol in ids]
    for place, symbol in enumerate(symbols):
        if not 0 <= symbol < VOCAB_SIZE:
            raise UserError(
                f"Expected symbols 0..{VOCAB_SIZE - 1} (bytes and END), got {symbol} at place {place}; "
                "decode it with the tokenizer it came from."
            )
    return bytes(symbol for symbol in symbols if symbol != END).decode("utf-8", errors="replace")


def byte_spans(text: str) -> np.ndarray:
    """Spans (T, 2) int64 of the symbols of `encode(text)`: one byte each."""
    starts = np.arange(len(utf8(text)), dtype=np.int64)
    return np.stack([starts, starts + 1], axis=1)
