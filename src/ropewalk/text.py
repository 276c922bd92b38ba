"""Text and the symbols the native models read: raw UTF-8 bytes 0..255 and END = 256, the end of a document.

Spans are half-open byte offsets into `text.encode("utf-8")`. Graphemes are what a reader calls characters
(Unicode's extended grapheme clusters): an accented letter, a family emoji, a Hangul syllable. This module
does not know subword tokenizers; whoever brings one brings its spans.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import regex

from ropewalk.errors import UserError
from ropewalk.files import read_whole

END = 256
VOCABULARY = 257

_GRAPHEME = regex.compile(r"\X")


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
        if not 0 <= symbol < VOCABULARY:
            raise UserError(
                f"Expected symbols 0..{VOCABULARY - 1} (bytes and END), got {symbol} at place {place}; "
                "decode it with the tokenizer it came from."
            )
    return bytes(symbol for symbol in symbols if symbol != END).decode("utf-8", errors="replace")


def byte_spans(text: str) -> np.ndarray:
    """Spans (T, 2) int64 of the symbols of `encode(text)`: one byte each."""
    starts = np.arange(len(utf8(text)), dtype=np.int64)
    return np.stack([starts, starts + 1], axis=1)


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


def read_text(source: str | Path | bytes) -> str:
    """Text of a file (a path) or of bytes already read (standard input), as strict UTF-8.

    A byte order mark at the start is dropped. UserError when the file cannot be read or is not UTF-8; the
    message gives the first broken byte and guesses UTF-16 where the mark says so.
    """
    if isinstance(source, bytes):
        name, data = "standard input", source
    else:
        name = str(source)
        try:
            data = read_whole(source)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"Cannot read {name}: {reason}; give the path of a UTF-8 text file.") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"Expected UTF-8 text in {name}, got UTF-16; save it as UTF-8 and try again.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = error.start + len(data) - len(error.object)  # the mark, once dropped, still counts
        raise UserError(
            f"Expected UTF-8 text in {name}, got byte 0x{error.object[error.start]:02X} at offset {place}; "
            "save it as UTF-8 and try again."
        ) from error
