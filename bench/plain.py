"""A plain decoder as most people write one: torch's own attention, rotary by real or by complex numbers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Layer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.RMSNorm(width, 1e-5), nn.RMSNorm(width, 1e-5)
        self.qkv, self.o = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 2 * inner, bias=False), nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, turn: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        heads = self.qkv(self.first(x)).view(batch, tokens, 3 * self.heads, -1).transpose(1, 2)
        q, k, v = heads.chunk(3, 1)
        rotate = by_complex_numbers if turn.is_complex() else by_real_numbers
        q, k = rotate(q, turn), rotate(k, turn)
        mixed = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, is_causal=True)
        x = x + self.o(mixed.transpose(1, 2).reshape(batch, tokens, width))
        gate, up = self.up(self.second(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Plain(nn.Module):
    """Pre-norm, SwiGLU, tied embeddings, integer RoPE from a table made once."""

    turn: Tensor

    def __init__(self, shape: dict[str, int], complex_numbers: bool) -> None:
        super().__init__()
        width, heads, inner = shape["hidden_size"], shape["num_heads"], shape["intermediate_size"]
        self.embedding = nn.Embedding(shape["vocab_size"], width)
        self.layers = nn.ModuleList(Layer(width, heads, inner) for _ in range(shape["num_layers"]))
        self.norm = nn.RMSNorm(width, 1e-5)
        nn.init.normal_(self.embedding.weight, std=0.02)
        pairs = width // heads // 2
        angle = torch.outer(torch.arange(shape["context_length"]), 10_000.0 ** -(torch.arange(pairs) / pairs))
        turn = torch.polar(torch.ones_like(angle), angle)
        table = turn if complex_numbers else torch.stack([turn.real, turn.imag])
        self.register_buffer("turn", table, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, self.turn)
        return F.linear(self.norm(x), self.embedding.weight)


def by_complex_numbers(x: Tensor, turn: Tensor) -> Tensor:
    """Neighboring channels are one complex number."""
    return torch.view_as_real(torch.view_as_complex(x.float().unflatten(-1, (-1, 2))) * turn).flatten(-2)


def by_real_numbers(x: Tensor, turn: Tensor) -> Tensor:
    """Channel i turns with channel i + D/2."""
    (cos, sin), (a, b) = turn, x.float().chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
