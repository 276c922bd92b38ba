"""How a host reads text: its tokenizer as ids and byte spans.

Spans are exact wherever a token's own bytes can be told (byte-level vocabularies, byte fallback); elsewhere
they are the characters that the tokenizer says a token covers, so that two tokens within one character
share its span. Knows tokenizers, not models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ropewalk.errors import UserError
from ropewalk.tokens.byte_level import BYTES
from ropewalk.tokens.tokenized_text import TokenizedText, tokenize_bytes
from ropewalk.tokens.utf8_bytes import END, utf8


@dataclass(frozen=True)
class HostTokenizer:
    """A fast tokenizer of transformers, or raw bytes where it is None."""

    tokenizer: Any = None

    @property
    def start(self) -> int | None:
        """The symbol put before a text: the tokenizer's begin-of-text, or its end-of-text where it has
        none.
        """
        if self.tokenizer is None:
            return tokenize_bytes("a").start
        begin = self.tokenizer.bos_token_id
        return begin if begin is not None else self.tokenizer.eos_token_id

    @property
    def end(self) -> int | None:
        """The symbol between documents."""
        if self.tokenizer is None:
            return tokenize_bytes("a").start
        end = self.tokenizer.eos_token_id
        return end if end is not None else self.tokenizer.bos_token_id

    def tokens(self, text: str) -> TokenizedText:
        """A text as the host reads it. UserError for an empty text."""
        if not text:
            raise UserError("the text is empty: expected at least one character; give some text.")
        if self.tokenizer is None:
            return tokenize_bytes(text)
        read = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids = read["input_ids"]
        spans = self._exact(text, ids)
        if spans is None:
            starts = np.cumsum([0, *(len(character.encode()) for character in text)])
            spans = starts[np.array(read["offset_mapping"], np.int64).reshape(-1, 2)]
            spans = np.maximum.accumulate(spans, 0)
        return TokenizedText(np.array(ids, np.int64), spans, self.start)

    def pieces(self, ids: list[int]) -> list[str]:
        """What each symbol writes, as far as it is text; a piece of a character is U+FFFD."""
        if self.tokenizer is None:
            parts: list[bytes | None] = [b"" if i == END else bytes([i]) for i in ids]
        else:
            parts = [
                None if name is None else _bytes(name) for name in self.tokenizer.convert_ids_to_tokens(ids)
            ]
        return ["" if part is None else part.decode("utf-8", "replace") for part in parts]

    def _exact(self, text: str, ids: list[int]) -> np.ndarray | None:
        parts = [_bytes(name) for name in self.tokenizer.convert_ids_to_tokens(ids)]
        known = [part for part in parts if part is not None]
        whole, extra = b"".join(known), 0
        if len(known) < len(parts) or whole not in (utf8(text), b" " + utf8(text)):
            return None
        extra = len(whole) - len(utf8(text))
        ends = np.cumsum([len(part) for part in known])
        starts = ends - [len(part) for part in known]
        return np.maximum(np.stack([starts, ends], 1) - extra, 0)


def _bytes(name: str) -> bytes | None:
    """The bytes that a vocabulary entry writes; None if its form is not known."""
    if len(name) == 6 and name.startswith("<0x") and name.endswith(">"):
        return bytes([int(name[3:5], 16)])
    if "▁" in name:
        return name.replace("▁", " ").encode()
    if all(letter in BYTES for letter in name):
        return bytes(BYTES[letter] for letter in name)
    return name.encode()
