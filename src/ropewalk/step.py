"""One more token: the decoder's pass for a single new token per row, in as few operations as possible.

A step reads every weight once for almost no arithmetic, so on a CPU its time goes into the order in which a matrix
is read and into the number of calls. Matrices that read a norm are therefore laid out by columns, with the norm's
gain in them, side by side where they read the same; queries and keys turn together. The numbers are those of the
decoder's own pass but for rounding. Knows what a Decoder is made of, nothing of choosing tokens.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import zip_longest
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ropewalk import attention
from ropewalk.cache import Cache
from ropewalk.decoder import Decoder, Layer, Norm
from ropewalk.encoding import Rope
from ropewalk.increments import Absolute, Network


def fits(model: Decoder, cache: Cache) -> bool:
    """True where a `Step` may go on from `cache`: rotary float32 models on a CPU, no decay, rows without padding."""
    plain = model.config.encoding == "rope" and model.config.decay is None
    exact = model.compute_dtype == torch.float32 and model.embedding.device.type == "cpu"
    return plain and exact and cache.n is not None and cache.documents is None


class Step:
    """Goes on from a cache that has read the prompt. The weights it lays out anew, about two thirds of the model's,
    are taken once, when it is made."""

    def __init__(self, model: Decoder, cache: Cache) -> None:
        self.model, self.cache, config = model, cache, model.config
        self.layers = list(cast(Iterable[Layer], model.layers))
        self.walks = [_Walk(law) if isinstance(law, Network) else None for law in model.laws]
        self.into_attention, self.into_feed = [], []
        for layer, walk in zip_longest(self.layers, self.walks):
            heads, feed = layer.attention, layer.feed
            own = [walk.inner] if walk else []
            query = heads.q.weight * heads.scale
            self.into_attention.append(
                torch.cat([*own, _columns(layer.attention_norm, query, heads.k, heads.v)], 1)
            )
            self.into_feed.append(_columns(layer.feed_norm, feed.gate, feed.up))
        self.into_logits = _columns(model.norm, model.embedding)
        self.floor = torch.tensor(math.sqrt(config.width * config.eps))
        frequencies = cast(Rope, self.layers[0].attention.encoding).frequencies
        self.turns = torch.stack([-frequencies, frequencies])
        self.line_of_head = torch.cat(
            [torch.arange(config.heads) * config.keys // config.heads, torch.arange(config.keys)]
        )

    def __call__(self, tokens: Tensor) -> Tensor:
        """tokens (B,) -> logits (B, V) of the token after them."""
        with _one_thread() if len(tokens) == 1 else nullcontext():
            return self._pass(tokens)

    def _pass(self, tokens: Tensor) -> Tensor:
        cache, model, config = self.cache, self.model, self.model.config
        n, size = cast(Tensor, cache.n), config.head_size
        cache.n = n + 1
        batch, encoded = len(tokens), (config.heads + config.keys) * size
        x = F.embedding(tokens, model.embedding)
        for i, layer in enumerate(self.layers):
            length, long = self._lengths(x)
            y = torch.mm(x / long, self.into_attention[i])
            if i < len(model.laws):
                walk = self.walks[i]
                if walk:
                    r = walk.bend(y, length, long)[:, None]
                    y = y[:, walk.hidden :]
                else:
                    r = model.laws[i](x[:, None], tokens[:, None])
                cos, sin = self._angles(i, r, n[:, None])
            pairs = y[:, :encoded].unflatten(1, (-1, 2, size // 2))
            qk = torch.addcmul(pairs * cos, pairs.flip(2), sin).view(batch, 1, -1, size)
            q, k = qk[:, :, : config.heads], qk[:, :, config.heads :]
            k, v = cache.layers[i].extend(k, y[:, encoded:].unflatten(1, (1, -1, size)))
            mixed = attention.mix(q, k, v)
            x = torch.addmm(x, mixed.reshape(batch, -1), layer.attention.o.weight.t())
            gate, up = torch.mm(x / self._lengths(x)[1], self.into_feed[i]).chunk(2, -1)
            x = torch.addmm(x, F.silu(gate).mul_(up), layer.feed.down.weight.t())
        return torch.mm(x / self._lengths(x)[1], self.into_logits)

    def _lengths(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The length of x (B, C), (B, 1), alone and as RMSNorm divides by it: what is left of the norm, sqrt(C)
        times its gain, is in the matrix behind."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return length, torch.hypot(length, self.floor)

    def _angles(self, i: int, r: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
        """Walk i goes on by r (B, 1, G): cosines and sines (B, 1 or H + K, 2, D/2), of minus the angle and of the
        angle, so that a pair's halves (a, b) turn to (a, b) cos + (b, a) sin."""
        law, carry = self.model.laws[i], cast(Tensor, self.cache.carries[i])
        carried = law.offset(r, n).to(carry.dtype)[:, 0] if isinstance(law, Absolute) else carry + r[:, 0]
        self.cache.carries[i] = carried
        p = (n + (carried if self.model.gap == "before" else carry)).float()
        angle = p.view(len(p), -1, 1, 1) * self.turns
        if angle.shape[1] > 1:
            angle = angle[:, self.line_of_head]
        return angle.cos(), angle.sin()


class _Walk:
    """An increment network whose first matrix is read together with the attention's, whose norm differs."""

    def __init__(self, law: Network) -> None:
        width = law.inner.in_features
        weight, self.hidden = law.inner.weight, law.inner.out_features
        self.floor = None
        if law.norm is not None:
            weight = weight * (law.norm * math.sqrt(width))
            self.floor = torch.tensor(math.sqrt(width * torch.finfo(torch.float32).eps))
        self.inner, self.bias, self.law = weight.t(), law.inner.bias, law
        self.outer, self.last = law.outer.weight.t() / 2, law.outer.bias

    def bend(self, y: Tensor, length: Tensor, long: Tensor) -> Tensor:
        """r (B, G); y begins with x inner / long."""
        times = long if self.floor is None else long / torch.hypot(length, self.floor)
        h = torch.addcmul(self.bias, y[:, : self.hidden], times)
        twice = torch.addcmul(h, h, torch.erf(h * math.sqrt(0.5)))  # GELU
        return self.law.bend(torch.addmm(self.last, twice, self.outer))


@contextmanager
def _one_thread() -> Iterator[None]:
    """One row is too little work for several threads: to wake them takes longer than what they would save. Only
    where no other thread of Python runs, since they share the number."""
    many = torch.get_num_threads()
    if many == 1 or threading.active_count() > 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(many)


def _columns(norm: Norm, *matrices: torch.nn.Module | Tensor) -> Tensor:
    """Matrices (out, in) side by side as (in, all outs), the gain of the norm before them and sqrt(in) in them."""
    weights = [each if isinstance(each, Tensor) else cast(Tensor, each.weight) for each in matrices]
    return (torch.cat(weights) * (norm.weight * math.sqrt(len(norm.weight)))).t().contiguous()
