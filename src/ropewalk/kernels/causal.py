"""Causal attention by query chunks, for training on a CPU: the same numbers as softmax attention, faster.

A chunk of queries meets only the keys up to its own end, so half of the score matrix is never computed; the
probabilities are kept in the storage dtype for a hand-written backward. An opaque operator, so that a
compiled block may contain it. It takes scaled queries and knows neither masks nor biases.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNKS = 8


def _chunks(tokens: int) -> list[tuple[int, int]]:
    """Start and end of each query chunk."""
    size = max(1, -(-tokens // CHUNKS))
    return [(start, min(start + size, tokens)) for start in range(0, tokens, size)]


@torch.library.custom_op("ropewalk::causal_attention", mutates_args=())
def _forward(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    tokens = q.shape[2]
    out = torch.empty_like(v)
    kept = []
    for start, end in _chunks(tokens):
        size = end - start
        scores = q[:, :, start:end] @ k[:, :, :end].transpose(-1, -2)
        future = torch.full((size, size), float("-inf"), dtype=q.dtype, device=q.device).triu(1)
        scores[..., start:].add_(future)
        probabilities = torch.softmax(scores, -1)
        out[:, :, start:end] = probabilities @ v[:, :, :end]
        kept.append(probabilities.view(-1))
    return out, torch.cat(kept)


@_forward.register_fake
def _forward_shape(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    batch, heads, tokens, _ = q.shape
    kept = sum((end - start) * end for start, end in _chunks(tokens))
    return torch.empty_like(v), q.new_empty(batch * heads * kept)


@torch.library.custom_op("ropewalk::causal_attention_backward", mutates_args=())
def _backward(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, kept: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    batch, heads, tokens, _ = q.shape
    dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
    offset = 0
    for start, end in _chunks(tokens):
        count = batch * heads * (end - start) * end
        p = kept[offset : offset + count].view(batch, heads, end - start, end)
        offset += count
        g = grad[:, :, start:end]
        dv[:, :, :end] += p.transpose(-1, -2) @ g
        ds = torch._softmax_backward_data(g @ v[:, :, :end].transpose(-1, -2), p, -1, p.dtype)
        dq[:, :, start:end] = ds @ k[:, :, :end]
        dk[:, :, :end] += ds.transpose(-1, -2) @ q[:, :, start:end]
    return dq, dk, dv


@_backward.register_fake
def _backward_shape(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, kept: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs, output[1])


def _gradient(ctx, grad: Tensor, _: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[no-untyped-def]
    q, k, v, kept = ctx.saved_tensors
    return _backward(grad.contiguous(), q, k, v, kept)


_forward.register_autograd(_gradient, setup_context=_save)


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k' + causal mask) v: scaled contiguous q, k (B, H, T, D), v (B, H, T, E) -> (B, H, T, E)."""
    return _forward(q, k, v)[0]
