"""What a step of the published shape cannot do without, run alone: its matrix products, and causal attention.

A step that did nothing else would take this long; the peak is measured on larger, square matrices, which are faster.
"""

from __future__ import annotations

import numpy as np
import torch
from contestants import MICRO, SHAPE, WINDOWS, Step
from harness import DEVICE

from ropewalk.core import attention
from ropewalk.core.increment_config import IncrementConfig
from ropewalk.core.kernels import causal_attention

PRODUCTS, ATTENTION = "floor: its matrix products alone", "floor: its attention alone"
MIXING = "floor: the products of its attention alone"
NETWORKS = "floor: six increment networks' products alone"


def products() -> Step:
    """Every matrix of integer RoPE's step."""
    return _products(_matrices())


def networks() -> Step:
    """The first matrix of a network in every layer; the second has one column."""
    return _products([(SHAPE["hidden_size"], IncrementConfig().hidden_size)] * SHAPE["num_layers"])


def _products(shapes: list[tuple[int, int]]) -> Step:
    """Forward, gradient of the input and of the weight of each matrix (in, out), in bfloat16."""
    tokens = MICRO * SHAPE["context_length"]
    x = {size: _random(tokens, size) for pair in shapes for size in pair}
    weights = {pair: _random(pair[1], pair[0]) for pair in shapes}

    def step() -> None:
        for _ in range(WINDOWS // MICRO):
            for into, out in shapes:
                torch.nn.functional.linear(x[into], weights[into, out])
                torch.mm(x[out], weights[into, out])
                torch.mm(x[out].t(), x[into])

    return step


def vectors(count: int) -> Step:
    """A vector times every matrix, laid out by columns and by NumPy's library as in decoding, in float32, `count` times."""
    shapes = ((torch.randn(1, into), torch.randn(into, out)) for into, out in _matrices())
    pairs = [(x.numpy(), matrix.numpy()) for x, matrix in shapes]

    def step() -> None:
        for _ in range(count):
            for x, matrix in pairs:
                np.dot(x, matrix)

    return step


def attentive() -> Step:
    """Causal attention forward and backward in every layer, as `ropewalk train` computes it, in bfloat16."""
    size = SHAPE["hidden_size"] // SHAPE["num_heads"]
    q, k, v = (
        _random(MICRO, SHAPE["context_length"], SHAPE["num_heads"], size).requires_grad_() for _ in range(3)
    )

    def step() -> None:
        for _ in range(WINDOWS // MICRO * SHAPE["num_layers"]):
            mixed = attention.attend(q, k, v, training=True)
            torch.autograd.grad(mixed, (q, k, v), mixed.detach())

    return step


def mixing() -> Step:
    """The six products of each tile of causal attention, forward and backward, in every layer, in bfloat16."""
    heads, size = MICRO * SHAPE["num_heads"], SHAPE["hidden_size"] // SHAPE["num_heads"]
    q, k, v, g = (_random(heads, SHAPE["context_length"], size) for _ in range(4))

    def step() -> None:
        for _ in range(WINDOWS // MICRO * SHAPE["num_layers"]):
            for some, start, end, _ in causal_attention.tiles(heads, SHAPE["context_length"]):
                scores = torch.bmm(q[some, start:end], k[some, :end].transpose(1, 2))
                torch.bmm(scores, v[some, :end])
                slopes = torch.bmm(g[some, start:end], v[some, :end].transpose(1, 2))
                torch.bmm(slopes, k[some, :end])
                torch.bmm(scores.transpose(1, 2), g[some, start:end])
                torch.bmm(slopes.transpose(1, 2), q[some, start:end])

    return step


def _matrices() -> list[tuple[int, int]]:
    """(in, out) of every matrix of integer RoPE's step; those that read the same are one."""
    width, inner = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    layer = [(width, 3 * width), (width, width), (width, 2 * inner), (inner, width)]
    return layer * SHAPE["num_layers"] + [(width, SHAPE["vocab_size"])]


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, device=DEVICE).bfloat16()
