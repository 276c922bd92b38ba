"""Tiled causal attention for training on a CPU: the result of softmax attention, faster.

A tile is a few heads and 128 queries, small enough that its scores stay in the processor's cache between the products. It reads
only the keys up to its last query, so nearly half of the score matrix is never computed; the probabilities are saved in
the storage dtype for a hand-written backward pass. It is an opaque operator, so that compiled code may contain it.
Queries must be scaled; masks and biases are not supported.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

QUERIES = 128
SCORES = 16 * QUERIES * 512  # scores per tile: 2 MB of bfloat16


def tiles(heads: int, tokens: int) -> Iterator[tuple[slice, int, int, slice]]:
    """The heads of each tile, its first and last query, and the slice where its probabilities are saved."""
    together, saved = max(1, SCORES // (QUERIES * tokens)), 0
    for head in range(0, heads, together):
        some = slice(head, min(head + together, heads))
        for start in range(0, tokens, QUERIES):
            end = min(start + QUERIES, tokens)
            count = (some.stop - some.start) * (end - start) * end
            yield some, start, end, slice(saved, saved + count)
            saved += count


@torch.library.custom_op("ropewalk::causal_attention", mutates_args=())
def _forward(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    out, saved = torch.empty_like(v), _new_probabilities(q)
    future = torch.full((QUERIES, QUERIES), float("-inf"), dtype=q.dtype, device=q.device).triu(1)
    for heads, start, end, place in tiles(*q.shape[:2]):
        size = end - start
        scores = torch.bmm(q[heads, start:end], k[heads, :end].transpose(1, 2))
        scores[..., start:].add_(future[:size, :size])
        probabilities = saved[place].view_as(scores)
        torch.softmax(scores, -1, out=probabilities)
        torch.bmm(probabilities, v[heads, :end], out=out[heads, start:end])
    return out, saved


def _new_probabilities(q: Tensor) -> Tensor:
    """An empty tensor for the probabilities of all tiles."""
    heads, tokens, _ = q.shape
    ends = [min(start + QUERIES, tokens) for start in range(0, tokens, QUERIES)]
    return q.new_empty(heads * sum((end - start) * end for start, end in zip([0, *ends], ends, strict=False)))


@_forward.register_fake
def _forward_shape(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(v), _new_probabilities(q)


@torch.library.custom_op("ropewalk::causal_attention_backward", mutates_args=())
def _backward(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, saved: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
    for heads, start, end, place in tiles(*q.shape[:2]):
        g = grad[heads, start:end]
        p = saved[place].view(len(g), end - start, end)
        dv[heads, :end].baddbmm_(p.transpose(1, 2), g)
        ds = torch._softmax_backward_data(torch.bmm(g, v[heads, :end].transpose(1, 2)), p, -1, p.dtype)
        torch.bmm(ds, k[heads, :end], out=dq[heads, start:end])
        dk[heads, :end].baddbmm_(ds.transpose(1, 2), q[heads, start:end])
    return dq, dk, dv


@_backward.register_fake
def _backward_shape(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, saved: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs, output[1])


def _gradient(ctx, grad: Tensor, _: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[no-untyped-def]
    q, k, v, saved = ctx.saved_tensors
    return _backward(grad.contiguous(), q, k, v, saved)


_forward.register_autograd(_gradient, setup_context=_save)


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T + causal mask) v: scaled contiguous q, k (B, H, T, D), v (B, H, T, E) -> (B, H, T, E)."""
    return _forward(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1))[0].view_as(v)
