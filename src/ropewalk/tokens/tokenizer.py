"""Tokenizers: a text as token ids with byte spans, and back.

A tokenizer belongs to a host. `ByteTokenizer` is that of the native models; `ropewalk.tokens.huggingface` wraps those
of transformers. `start` says which tokens come before a text: "auto": those that the tokenizer itself adds; "bos":
its begin-of-text token; "none": none; a number: the token with that id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from ropewalk.errors import UserError
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.tokens.utf8_bytes import END, VOCAB_SIZE, byte_spans, decode, encode

Start = Literal["auto", "bos", "none"] | int
STARTS = ("auto", "bos", "none")


class Tokenizer(Protocol):
    """How a host reads text."""

    @property
    def vocab_size(self) -> int:
        """How many token ids there are."""
        ...

    @property
    def end(self) -> int | None:
        """The end-of-text token, which separates documents."""
        ...

    def prefix(self, start: Start = "auto") -> tuple[int, ...]:
        """The tokens before a text."""
        ...

    def encode(self, text: str, start: Start = "auto") -> TokenizedText:
        """A text as token ids and byte spans. UserError for an empty text."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids; bytes that are not UTF-8 become U+FFFD."""
        ...

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The text of each token by itself; a part of a character becomes U+FFFD."""
        ...

    def parts(self, ids: Sequence[int]) -> list[bytes | None]:
        """The bytes of each token; None for an id that is not in the vocabulary, and for the unknown token."""
        ...

    @property
    def repeats_prefix(self) -> bool:
        """Whether the prefix is repeated before each window of a long text."""
        ...

    def chat(self, message: str) -> str:
        """A message in the tokenizer's chat template. UserError where it has none."""
        ...


@dataclass(frozen=True)
class ByteTokenizer:
    """UTF-8 bytes 0..255, and 256 for the end of a document, which also starts a text."""

    vocab_size: int = VOCAB_SIZE

    @property
    def end(self) -> int:
        return END

    def prefix(self, start: Start = "auto") -> tuple[int, ...]:
        return resolve_prefix(start, (END,), END, self.vocab_size)

    def encode(self, text: str, start: Start = "auto") -> TokenizedText:
        check_text(text)
        return TokenizedText(np.array(encode(text), np.int64), byte_spans(text), self.prefix(start))

    def decode(self, ids: Iterable[int]) -> str:
        return decode(ids)

    @property
    def repeats_prefix(self) -> bool:
        return False

    def parts(self, ids: Sequence[int]) -> list[bytes | None]:
        return [b"" if i == END else bytes([i]) for i in ids]

    def chat(self, message: str) -> str:
        raise UserError("this model reads bytes and has no chat template; leave out the chat option.")

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return ["" if i == END else bytes([i]).decode("utf-8", "replace") for i in ids]


def read_start(written: str) -> Start:
    """A start as it is written: auto, bos, none, or a token id. UserError for anything else."""
    if written in STARTS:
        return written  # type: ignore[return-value]
    if written.isdecimal():
        return int(written)
    raise UserError(f"start must be auto, bos, none or a token id, got '{written}'.")


def resolve_prefix(start: Start, auto: tuple[int, ...], bos: int | None, vocab_size: int) -> tuple[int, ...]:
    """The tokens that `start` means for a tokenizer. UserError for a start that it does not have."""
    if start == "auto":
        return auto
    if start == "none":
        return ()
    if start == "bos":
        if bos is None:
            raise UserError('this tokenizer has no begin-of-text token; use start="none", or a token id.')
        return (bos,)
    if isinstance(start, bool) or not isinstance(start, int) or not 0 <= start < vocab_size:
        raise UserError(
            f"start must be auto, bos, none or a token from 0 to {vocab_size - 1}, got {start!r}; choose one of them."
        )
    return (start,)


def check_text(text: str) -> None:
    """UserError for an empty text, and for anything that is not a string."""
    if not isinstance(text, str):
        raise UserError(f"expected a text, got {type(text).__name__}; pass a string.")
    if not text:
        raise UserError("the text is empty: expected at least one character; give some text.")
