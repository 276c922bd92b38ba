"""Generation: one token after another with a KV cache, greedy or sampled with temperature and top-p."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ropewalk.errors import UserError
from ropewalk.native.decoder import Decoder
from ropewalk.native.numpy_step import NumpyStep, supports
from ropewalk.system.seeds import check_seed

PADDING = -1


@torch.inference_mode()
def stream(
    model: Decoder,
    prompts: list[list[int]],
    *,
    length: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
) -> Iterator[Tensor]:
    """Yields one token per prompt, (B,) int64, `length` times.

    Prompts of unequal length are padded on the left. temperature: 0 is greedy. top_p: keeps the smallest set of tokens
    whose probabilities reach it. Generation continues past the context length that the model was trained with.
    """
    _check(prompts, length, temperature, top_p)
    tokens, document_ids = left_padded(prompts)
    kv_cache = model.new_cache()
    generator = torch.Generator().manual_seed(check_seed(seed))
    logits = model(tokens, document_ids=document_ids, kv_cache=kv_cache).logits[:, -1].cpu()
    step = NumpyStep(model, kv_cache) if length > 1 and supports(model, kv_cache) else None
    for i in range(length):
        chosen = sample(logits, temperature=temperature, top_p=top_p, generator=generator)
        yield chosen
        if i + 1 < length:
            logits = step(chosen) if step else model(chosen[:, None], kv_cache=kv_cache).logits[:, -1].cpu()


def generate(
    model: Decoder,
    prompts: list[list[int]],
    *,
    length: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
) -> list[list[int]]:
    """The `length` tokens that follow each prompt; arguments as in `stream`."""
    steps = stream(model, prompts, length=length, temperature=temperature, top_p=top_p, seed=seed)
    return torch.stack(list(steps), 1).tolist()


def left_padded(prompts: list[list[int]]) -> tuple[Tensor, Tensor | None]:
    """Tokens (B, T) padded on the left, and document_ids (B, T): 0, or -1 on padding; None without padding."""
    longest = max(map(len, prompts))
    tokens = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
    if all(len(p) == longest for p in prompts):
        return tokens, None
    document_ids = torch.tensor([[PADDING] * (longest - len(p)) + [0] * len(p) for p in prompts])
    return tokens, document_ids


def sample(logits: Tensor, *, temperature: float, top_p: float, generator: torch.Generator) -> Tensor:
    """One token for each of B logits (B, V)."""
    if not torch.isfinite(logits).all():
        raise UserError("non-finite logits: training diverged; use an earlier checkpoint.")
    if temperature < torch.finfo(torch.float32).tiny:  # 0 in float32
        return logits.argmax(-1)
    below = logits.float() - logits.float().amax(-1, keepdim=True)
    ordered, order = (below / temperature).softmax(-1).sort(-1, descending=True)
    if top_p < 1:
        ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= top_p, 0.0)
    return order.gather(-1, torch.multinomial(ordered, 1, generator=generator)).squeeze(-1)


def _check(prompts: list[list[int]], length: int, temperature: float, top_p: float) -> None:
    if not prompts or not all(prompts):
        raise UserError("every prompt needs at least one token; start from the end-of-document token 256.")
    if not hasattr(length, "__index__") or length < 1:
        raise UserError(f"length must be a whole number of at least 1, got {length}.")
    if not temperature >= 0 or not 0 < top_p <= 1:
        raise UserError(
            f"temperature must be 0 or more and top_p in (0, 1], got {temperature} and {top_p}; "
            "temperature 0 is greedy, 1 leaves the probabilities as they are."
        )
