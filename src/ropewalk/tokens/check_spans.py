"""Whether the spans of a tokenizer are right: every byte in one token, and in the token that writes it."""

from __future__ import annotations

import unicodedata

from ropewalk.tokens.spans import SPACE
from ropewalk.tokens.tokenizer import Tokenizer
from ropewalk.tokens.utf8_bytes import utf8

SAMPLES = {
    "English": "The old bridge over the river was closed in 1987.",
    "Chinese": "我在北京大学学习语言学。",
    "mixed": "我在 New York 大学 study 语言学。",
    "Arabic": "الجسر القديم فوق النهر.",
    "emoji": "Hello 👋🏽 world 👨‍👩‍👧!",
    "code": "for i in range(10):\n\tprint(i)  # é\n",
    "decomposed letters": unicodedata.normalize("NFD", "Café naïve Việt 각"),
    "white space": "  a  b\n\n c ",
}
"""A text of each script."""


def misplaced(tokenizer: Tokenizer) -> list[str]:
    """The names of the samples that a tokenizer lays out wrongly; [] for none."""
    return [name for name, text in SAMPLES.items() if not _right(tokenizer, text)]


def _right(tokenizer: Tokenizer, text: str) -> bool:
    encoded, data = tokenizer.encode(text, "none"), utf8(text)
    spans = encoded.spans.tolist()
    edges = [0, *(end for _, end in spans)]
    if edges[-1] != len(data) or any(start != edge for (start, _), edge in zip(spans, edges, strict=False)):
        return False
    parts = tokenizer.parts(encoded.ids.tolist())
    written = [part.replace(SPACE.encode(), b" ") for part in parts if part is not None]
    if len(written) < len(parts):
        return True  # tokens for unknown text do not say what they write
    if (
        unicodedata.normalize("NFC", text) != text
    ):  # tokenizers may compose letters, so tokens write other bytes
        return _composed(b"".join(written)) == _composed(data)
    own = [data[start:end] for start, end in spans]
    return all(part in (bytes_, b" " + bytes_) for part, bytes_ in zip(written, own, strict=True))


def _composed(data: bytes) -> str:
    return unicodedata.normalize("NFC", data.decode("utf-8", "replace")).strip()
