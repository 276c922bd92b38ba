"""Token ids as input: the text that they write and where each of them lies in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ropewalk.errors import UserError
from ropewalk.tokens.spans import spans_from_pieces
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.tokens.tokenizer import Start, Tokenizer
from ropewalk.tokens.utf8_bytes import utf8


def read_token_ids(
    tokenizer: Tokenizer, ids: Sequence[int], start: Start = "auto"
) -> tuple[str, TokenizedText]:
    """The text that token ids write, and the ids with their byte spans.

    Ids that begin with the tokens of `start` are not given them a second time. UserError for ids that the tokenizer does not
    have, or that do not write a whole text.
    """
    wrong = next((i for i in ids if not 0 <= i < tokenizer.vocab_size), None)
    if wrong is not None:
        raise UserError(f"token ids go from 0 to {tokenizer.vocab_size - 1}, got {wrong}; correct it.")
    prefix = tokenizer.prefix(start)
    rest = without_prefix(ids, prefix)
    if not rest:
        raise UserError("there are no token ids to read; give at least one.")
    parts = tokenizer.parts(rest)
    text = tokenizer.decode(rest)
    known = [part for part in parts if part is not None]
    spans = spans_from_pieces(text, known) if len(known) == len(parts) and text else None
    if spans is None:
        raise UserError(
            "these token ids do not write a whole text: a character is cut, or one of them stands for unknown text; give the "
            "text instead."
        )
    return text, TokenizedText(
        np.array(rest, np.int64), spans, prefix, repeat_prefix=tokenizer.repeats_prefix
    )


def without_prefix(ids: Sequence[int], prefix: tuple[int, ...]) -> list[int]:
    """Ids without the tokens before a text, where they begin with them."""
    found = [int(i) for i in ids]
    return found[len(prefix) :] if prefix and tuple(found[: len(prefix)]) == prefix else found


def changed_tokens(tokenizer: Tokenizer, text: str, tokens: TokenizedText) -> int:
    """How many tokens are not at the same place in what the tokenizer itself makes of `text`; 0 for canonical ids."""
    own = tokenizer.encode(text, "none")
    canonical = {(int(i), int(a), int(b)) for i, (a, b) in zip(own.ids, own.spans, strict=True)}
    given = [(int(i), int(a), int(b)) for i, (a, b) in zip(tokens.ids, tokens.spans, strict=True)]
    return sum(entry not in canonical for entry in given)


def read_numbers(written: str) -> list[int]:
    """Numbers separated by blanks or commas, such as "[1, 2, 3]". UserError for anything else."""
    words = written.strip().strip("[]()").replace(",", " ").split()
    wrong = next((word for word in words if not word.isdecimal()), None)
    if wrong is not None or not words:
        raise UserError(
            f"expected token ids such as '504 1690 374', got '{(wrong or written)[:40]}'; leave out --ids to read a text."
        )
    return [int(word) for word in words]


def chat_tokens(tokenizer: Tokenizer, message: str, start: Start = "auto") -> tuple[str, TokenizedText]:
    """A message as the user's turn of a conversation, in the form that the model was trained on.

    UserError for a tokenizer without a chat template.
    """
    text, prefix = tokenizer.chat(message), tokenizer.prefix(start)
    encoded = tokenizer.encode(text, "none")
    rest = without_prefix(encoded.ids.tolist(), prefix)
    skip = len(encoded.ids) - len(rest)
    first = int(encoded.spans[skip, 0])
    cut = utf8(text)[first:].decode()
    return cut, TokenizedText(encoded.ids[skip:], encoded.spans[skip:] - first, prefix, encoded.repeat_prefix)
