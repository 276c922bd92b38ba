"""Runs a host over a text and records one increment per token and row, as a Trace.

The trace also holds, per token and in nats: surprisal, the entropy before the token and the entropy after it. A text
longer than the host's context is read in windows that overlap by half, so that every token but those of the first window
is read with at least half a context before it. Memory grows with the text only by the numbers that are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ropewalk.errors import UserError
from ropewalk.measure.hosts import opened_host
from ropewalk.native.numpy_decoder import NumpyDecoder
from ropewalk.tokens.host_text import encode_for
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.tokens.tokenizer import Start
from ropewalk.traces.builder import TraceBuilder
from ropewalk.traces.trace import Trace

if TYPE_CHECKING:
    from ropewalk.core.host import Edit, Host

TOKENS_PER_PASS = 4096
"""Tokens in one pass: enough to keep a processor busy, little enough to stay in its caches."""


def trace(
    host: Host | Any,
    text: str,
    *,
    tokens: TokenizedText | None = None,
    tokenizer: Any = None,
    start: Start = "auto",
    edit: Edit | None = None,
    tokens_per_pass: int = TOKENS_PER_PASS,
) -> Trace:
    """The increments of `text` in every row of `host`, kind "increment", unit "token-equivalents".

    host: what `ropewalk.load` or `ropewalk.graft` returns, or a transformers model, which needs its `tokenizer`. tokens:
    the text already tokenized. start: the tokens before the text, see `ropewalk.tokens.tokenizer`; "auto" gives the first
    token a surprisal and a gap where the tokenizer has a begin-of-text token. edit: an intervention on the increments, see
    `ropewalk.core.host`; called once per pass and row. tokens_per_pass: at most so many, but one window at least.
    UserError for an empty text, a host without a tokenizer, and tokens outside the host's vocabulary.
    """
    (made,) = trace_many(
        host,
        [text],
        tokens=None if tokens is None else [tokens],
        tokenizer=tokenizer,
        start=start,
        edit=edit,
        tokens_per_pass=tokens_per_pass,
    )
    return made


def trace_many(
    host: Host | Any,
    texts: Sequence[str],
    *,
    tokens: Sequence[TokenizedText | None] | None = None,
    tokenizer: Any = None,
    start: Start = "auto",
    edit: Edit | None = None,
    tokens_per_pass: int = TOKENS_PER_PASS,
) -> list[Trace]:
    """The traces of many texts, in their order; arguments as in `trace`, and equal to it up to rounding.

    Windows of similar length share a pass, padded at their ends. Each thread keeps up to 256 MB of freed memory for
    reuse, see `ropewalk.system.allocator`.
    """
    if isinstance(texts, str):
        raise UserError("expected several texts, got one; call ropewalk.trace, or put it into a list.")
    given = [None] * len(texts) if tokens is None else tokens
    if len(given) != len(texts):
        raise UserError(
            f"{len(texts)} texts came with the tokens of {len(given)}; give one for each, or none."
        )
    with opened_host(host, tokenizer) as opened:
        encoded = [
            encode_for(opened, text, tokenizer, start) if own is None else own
            for text, own in zip(texts, given, strict=True)
        ]
        builders = [TraceBuilder(opened, text, own, start) for text, own in zip(texts, encoded, strict=True)]
        if isinstance(opened, NumpyDecoder):
            from ropewalk.measure import numpy_trace

            if edit is not None:
                raise UserError(
                    "edits need PyTorch; run: pip install 'ropewalk[torch]', and load the model again."
                )
            numpy_trace.run(opened, builders)
        else:
            from ropewalk.measure import torch_trace

            torch_trace.run(opened, builders, edit, tokens_per_pass)
        return [builder.trace(opened) for builder in builders]
