"""What a page shows of a model beyond a trace: the tokens that it expected, and what each token attends to."""

import base64
from typing import Any

import numpy as np

from ropewalk.core.host import Host
from ropewalk.errors import UserError
from ropewalk.measure.attention import NONE, PREFIX, Attention, read_attention
from ropewalk.measure.hosts import with_rows_per_layer
from ropewalk.measure.reading import Reading, read
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.tokens.tokenizer import Start, Tokenizer
from ropewalk.traces.trace import Trace
from ropewalk.views.token_names import named_shares

GUESSES = 3
"""Expected tokens that a page shows for each place."""


def details(
    host: Host, trace: Trace, text: str, tokens: TokenizedText, start: Start = "auto"
) -> dict[str, Any]:
    """What a page adds to the trace of a text: what was expected before each of its tokens, and what they attend to.

    tokens: of the text, of which the trace holds all, or all but the first. UserError for a trace of other tokens, and for
    what `read_attention` refuses.
    """
    host = with_rows_per_layer(host)
    first = len(tokens.ids) - len(trace.tokens)
    same = first >= 0 and np.array_equal(tokens.ids[first:], trace.tokens)
    if not same or host.rows != trace.rows:
        raise UserError(
            "the trace holds other tokens or rows than the model; trace the text with this model."
        )
    if start == "none":
        tokens = TokenizedText(tokens.ids, tokens.spans)
    found = read(host, text, tokens=tokens, start=start)
    names = expected(found, host.tokenizer)
    return {"expected": names[first:], "attention": attention(read_attention(host, tokens), first)}


def expected(reading: Reading, tokenizer: Tokenizer | None) -> list[list[tuple[str, float]] | None]:
    """The likeliest tokens before each token of the text."""
    return named_shares(tokenizer, reading.ids[:-1, :GUESSES], reading.probabilities[:-1, :GUESSES])


def following(reading: Reading, tokenizer: Tokenizer | None) -> list[tuple[str, float]]:
    """The likeliest tokens after the text."""
    return named_shares(tokenizer, reading.ids[-1:], reading.probabilities[-1:])[0] or []


def attention(found: Attention, first: int = 0) -> dict[str, Any]:
    """Attention as the page reads it: `count` attended tokens for each row and token, base64 of little-endian arrays.

    tokens: uint16, the token plus 2, so that 0 is none and 1 what comes before the text. weights, even: uint8, 255 for 1.
    window: tokens of each window of a long text.
    first: the token of the text that the page calls 0.
    """
    tokens = found.tokens[:, first:]
    tokens = np.where(tokens == NONE, NONE, np.maximum(tokens - first, PREFIX))
    return {
        "count": tokens.shape[-1],
        "tokens": _base64((tokens - NONE).astype("<u2")),
        "weights": _bytes(found.weights[:, first:]),
        "window": found.window,
        "even": None if found.even is None else _bytes(found.even[:, first:]),
    }


def _bytes(weights: np.ndarray) -> str:
    return _base64(np.rint(weights * 255).astype(np.uint8))


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
