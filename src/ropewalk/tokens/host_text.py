"""Text as a host reads it: by the host's own tokenizer, or by one that is passed."""

from __future__ import annotations

from typing import Any

from ropewalk.errors import UserError
from ropewalk.tokens.huggingface import HuggingFaceTokenizer
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.tokens.tokenizer import Start, Tokenizer


def encode_for(host: Any, text: str, tokenizer: Any = None, start: Start = "auto") -> TokenizedText:
    """A text as `host` reads it: by `tokenizer`, or by the tokenizer that the host was opened with.

    UserError for a host that has none, and for a tokenizer with more tokens than the host knows.
    """
    own = getattr(host, "tokenizer", None) if tokenizer is None else as_tokenizer(tokenizer)
    if own is None:
        name = type(getattr(host, "model", host)).__name__
        raise UserError(
            f"this {name} does not know its tokenizer, so its text cannot be read; pass tokenizer=, or open the model "
            "with ropewalk.load."
        )
    encoded: TokenizedText = own.encode(text, start)
    return encoded


def as_tokenizer(tokenizer: Any) -> Tokenizer:
    """A `Tokenizer` from one of ours or one of transformers."""
    if hasattr(tokenizer, "pieces"):
        own: Tokenizer = tokenizer
        return own
    return HuggingFaceTokenizer(tokenizer)
