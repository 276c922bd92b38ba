"""Generation: a host continues a text, greedily or by sampling, with a cache that keeps the running positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ropewalk.errors import UserError
from ropewalk.tokens.host_text import encode_for
from ropewalk.tokens.tokenizer import Start

if TYPE_CHECKING:
    from ropewalk.core.host import Host


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
    tokens = generate_tokens(
        host, prompt, length=length, temperature=temperature, top_p=top_p, seed=seed, start=start
    )
    ids = list(tokens)
    tokenizer: Any = host.tokenizer
    return str(tokenizer.decode(ids))


def generate_tokens(
    host: Host | Any,
    prompt: str,
    *,
    length: int,
    temperature: float = 0.8,
    top_p: float = 0.95,
    seed: int = 0,
    start: Start = "auto",
) -> Iterator[int]:
    """The tokens of `generate`, one at a time."""
    encoded = encode_for(host, prompt, start=start)
    if not hasattr(host, "new_cache"):
        raise UserError(
            "generating needs PyTorch; run: pip install 'ropewalk[torch]', and load the model again."
        )
    from ropewalk.native.generate import stream

    model: Any = host
    for token in stream(
        model, [encoded.sequence.tolist()], length=length, temperature=temperature, top_p=top_p, seed=seed
    ):
        if int(token) == model.tokenizer.end:
            return
        yield int(token)
