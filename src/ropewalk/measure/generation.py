"""Generation: a host continues a text, greedily or by sampling, with a cache that keeps the running positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ropewalk.errors import UserError
from ropewalk.tokens.host_text import encode_for
from ropewalk.tokens.tokenizer import Start

if TYPE_CHECKING:
    from ropewalk.core.host import Host
    from ropewalk.tokens.tokenized_text import TokenizedText

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
PROMPT_TOKENS = 8
"""Tokens of the prompt that are decoded with what follows, because a tokenizer may write a token's space only inside a text."""


def generate(
    host: Host | Any,
    prompt: str,
    *,
    length: int = 200,
    temperature: float = 0.8,
    top_p: float = 0.95,
    seed: int = 0,
    start: Start = "auto",
) -> str:
    """What `host` writes after `prompt`: at most `length` tokens, fewer where it ends the document.

    temperature 0 is greedy; top_p keeps the smallest set of tokens whose probabilities reach it. UserError for a host that
    has no tokenizer, and for one that only NumPy runs.
    """
    tokens = encode_for(host, prompt, start=start)
    parts = generate_text(host, tokens, length=length, temperature=temperature, top_p=top_p, seed=seed)
    return "".join(parts)


def generate_text(host: Host | Any, tokens: TokenizedText, **sampling: Any) -> Iterator[str]:
    """The text of `generate` as it is written, in whole characters; sampling as in `generate_tokens`."""
    tokenizer: Any = host.tokenizer
    before = tokens.ids[-PROMPT_TOKENS:].tolist()
    ids, shown = list(before), len(tokenizer.decode(before))
    for token in generate_tokens(host, tokens, **sampling):
        ids.append(token)
        text = tokenizer.decode(ids)
        if len(text) > shown and not text.endswith(REPLACEMENT):
            yield text[shown:]
            shown = len(text)
    yield tokenizer.decode(ids)[shown:]


def generate_tokens(
    host: Host | Any,
    tokens: TokenizedText,
    *,
    length: int,
    temperature: float = 0.8,
    top_p: float = 0.95,
    seed: int = 0,
) -> Iterator[int]:
    """The tokens of `generate`, one at a time."""
    if not hasattr(host, "new_cache"):
        raise UserError(
            "generating needs PyTorch; run: pip install 'ropewalk[torch]', and load the model again."
        )
    from ropewalk.native.generate import stream

    model: Any = host
    ends = _ends(model)
    for token in stream(
        model, [tokens.sequence.tolist()], length=length, temperature=temperature, top_p=top_p, seed=seed
    ):
        if int(token) in ends:
            return
        yield int(token)


def _ends(host: Any) -> set[int]:
    """The tokens that end what a host writes: its tokenizer's, and those of its generation settings."""
    own = getattr(getattr(getattr(host, "model", None), "generation_config", None), "eos_token_id", None)
    more = own if isinstance(own, list) else [own]
    return {int(token) for token in (host.tokenizer.end, *more) if token is not None}
