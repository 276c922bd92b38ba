"""One more token: the decoder's pass for a single new token per row, in NumPy.

A step reads every weight once for almost no arithmetic, so on a CPU its time goes into reading matrices and into the
number and the price of calls: one of NumPy costs a third of one of torch, and its matrix library reads faster. It does
so by one thread: two gain little on an idle machine, and wait for each other on a busy one for seconds.
Matrices are laid out by columns, those that read a norm with the norm's gain in them and side by side; queries and keys
turn together. The numbers are those of the decoder's own pass but for rounding. Knows what a Decoder is made of,
nothing of choosing tokens.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import cast

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn

from ropewalk.core.encoding import Rope
from ropewalk.core.increments import Absolute, Network
from ropewalk.native.decoder import Decoder, Layer, RMSNorm
from ropewalk.native.kv_cache import GROWTH, KVCache, LayerKVCache

FEW = 16
"""Rows up to which one thread is enough."""

CHANGING = threading.Lock()
ROOT_HALF = np.float32(math.sqrt(0.5))


def fits(model: Decoder, cache: KVCache) -> bool:
    """True where a `Step` may go on from `cache`: rotary float32 models on a CPU, no decay, few rows, no padding."""
    plain = model.config.encoding == "rope" and model.config.decay is None
    exact = model.compute_dtype == torch.float32 and model.embedding.device.type == "cpu"
    return plain and exact and cache.n is not None and len(cache.n) <= FEW and cache.documents is None


class Step:
    """Goes on from what `cache` has read, with a memory of its own; the weights are laid out anew once, when it is
    made."""

    @torch.no_grad()
    def __init__(self, model: Decoder, cache: KVCache) -> None:
        config = model.config
        self.heads, self.keys, self.size = config.num_heads, config.kv_heads, config.head_size
        self.inner, self.floor = config.mlp_size, np.float32(config.hidden_size * config.norm_eps)
        self.n = _array(cast(Tensor, cache.n)).copy()
        walks = [
            _Network(parametrization, model, offset)
            if isinstance(parametrization, Network)
            else _Table(parametrization, model, offset)
            for parametrization, offset in zip(
                model.increment_modules, cast(list[Tensor], cache.offsets), strict=True
            )
        ]
        layers = list(cast(Iterable[Layer], model.layers))
        self.layers = [_Layer(*told) for told in zip_longest(layers, cache.layers, walks)]
        self.embedding, self.into_logits = _array(model.embedding), _behind(model.norm, model.embedding)
        frequencies = _array(cast(Rope, layers[0].attention.encoding).frequencies)
        self.turns = np.stack([-frequencies, frequencies])
        self.line_of_head = np.append(np.arange(self.heads) * self.keys // self.heads, np.arange(self.keys))

    def __call__(self, tokens: Tensor) -> Tensor:
        """tokens (B,) -> logits (B, V) of the token after them."""
        diverged = np.errstate(all="ignore")  # who reads the logits tells it
        with _one_thread(), diverged:
            return torch.from_numpy(self._pass(tokens.numpy()))

    def _pass(self, tokens: np.ndarray) -> np.ndarray:
        batch, encoded = len(tokens), (self.heads + self.keys) * self.size
        x = self.embedding[tokens]
        for layer in self.layers:
            square, long = self._lengths(x)
            y = np.dot(x / long, layer.into_attention)
            if layer.walk:
                cos, sin = self._angles(layer.walk.go_on(tokens, self.n, y, square, long))
                y = y[:, layer.walk.hidden :]
            pairs = y[:, :encoded].reshape(batch, -1, 2, self.size // 2)
            turned = (pairs * cos + pairs[:, :, ::-1] * sin).reshape(batch, -1, self.size)
            q, k = turned[:, : self.heads], turned[:, self.heads :]
            k, v = layer.memory.extend(k, y[:, encoded:].reshape(batch, -1, self.size))
            weights = _softmax(q.reshape(batch, self.keys, -1, self.size) @ k)
            x = x + np.dot((weights @ v).reshape(batch, -1), layer.out_of_attention)
            y = np.dot(x / self._lengths(x)[1], layer.into_feed)
            gate, up = y[:, : self.inner], y[:, self.inner :]
            x = x + np.dot(gate / (1 + np.exp(-gate)) * up, layer.out_of_feed)
        self.n += 1
        return np.dot(x / self._lengths(x)[1], self.into_logits)

    def _lengths(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The square of the length of x (B, C), (B, 1), and the length as RMSNorm divides by it: what is left of the
        norm, sqrt(C) times its gain, is in the matrix behind."""
        square = np.einsum("bc,bc->b", x, x)[:, None]
        return square, np.sqrt(square + self.floor)

    def _angles(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions (B, G) -> cosines and sines (B, 1 or H + K, 2, D/2), of minus the angle and of the angle, so that a
        pair's halves (a, b) turn to (a, b) cos + (b, a) sin."""
        angle = p[:, :, None, None] * self.turns
        if angle.shape[1] > 1:
            angle = angle[:, self.line_of_head]
        return np.cos(angle), np.sin(angle)


class _Walk:
    """Where a walk stands: positions that a parametrization of its own carries on, token by token.

    `inner` (C, `hidden`) is the part of a parametrization that reads the residual stream together with the attention of its layer.
    """

    inner: np.ndarray
    hidden: int

    def __init__(self, parametrization: nn.Module, model: Decoder, carried: Tensor) -> None:
        self.parametrization, self.carried, self.before = (
            parametrization,
            _array(carried),
            model.gap == "before",
        )

    def go_on(
        self, tokens: np.ndarray, n: np.ndarray, y: np.ndarray, square: np.ndarray, long: np.ndarray
    ) -> np.ndarray:
        """p (B, G), float32, of the tokens (B,) at the integer positions n (B,). Of the stream x, (B, C), it is given
        y, which begins with x `inner` / long, the length that its norm divides by, and the square of the plain one."""
        r, last = self._r(tokens, y, square, long), self.carried
        if isinstance(self.parametrization, Absolute):
            offset = self.parametrization.offset(torch.from_numpy(r)[:, None], torch.from_numpy(n)[:, None])
            self.carried = offset[:, 0].numpy().astype(last.dtype)
        else:
            self.carried = last + r
        return (n[:, None] + (self.carried if self.before else last)).astype(np.float32)

    def _r(self, tokens: np.ndarray, y: np.ndarray, square: np.ndarray, long: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class _Network(_Walk):
    """An increment network."""

    def __init__(self, parametrization: Network, model: Decoder, carried: Tensor) -> None:
        super().__init__(parametrization, model, carried)
        width, weight = parametrization.inner.in_features, parametrization.inner.weight
        self.floor = None
        if parametrization.norm is not None:
            weight = weight * (parametrization.norm * math.sqrt(width))
            self.floor = np.float32(width * torch.finfo(torch.float32).eps)
        self.inner, self.hidden, self.bias = (
            _array(weight).T,
            parametrization.inner.out_features,
            _array(parametrization.inner.bias),
        )
        self.outer, self.last = _columns(parametrization.outer.weight / 2), _array(parametrization.outer.bias)
        self.bend = parametrization.bend

    def _r(self, tokens: np.ndarray, y: np.ndarray, square: np.ndarray, long: np.ndarray) -> np.ndarray:
        times = long if self.floor is None else long / np.sqrt(square + self.floor)
        h = y[:, : self.hidden] * times + self.bias
        # GELU; torch's own would wake its threads
        twice = h + h * torch.erf(torch.from_numpy(h * ROOT_HALF)).numpy()
        return self.bend(torch.from_numpy(np.dot(twice, self.outer) + self.last)).numpy()


class _Table(_Walk):
    """A parametrization that knows the token only."""

    def __init__(self, parametrization: nn.Module, model: Decoder, carried: Tensor) -> None:
        super().__init__(parametrization, model, carried)
        every = torch.arange(len(model.embedding))[None]
        self.table = _array(parametrization(model.embedding[every], every)[0])
        self.inner, self.hidden = np.empty((model.config.hidden_size, 0), np.float32), 0

    def _r(self, tokens: np.ndarray, y: np.ndarray, square: np.ndarray, long: np.ndarray) -> np.ndarray:
        return self.table[tokens]


class _Layer:
    """One layer's matrices and memory, and its walk, None where it shares an earlier one."""

    def __init__(self, layer: Layer, read: LayerKVCache, walk: _Walk | None) -> None:
        heads, feed = layer.attention, layer.feed
        query = heads.q.weight * heads.scale
        into = _behind(layer.attention_norm, query, heads.k.weight, heads.v.weight)
        self.into_attention = np.hstack([walk.inner, into]) if walk else into
        self.into_feed = _behind(layer.feed_norm, feed.gate.weight, feed.up.weight)
        self.out_of_attention, self.out_of_feed = _columns(heads.o.weight), _columns(feed.down.weight)
        self.walk, self.memory = walk, _Memory(read)


class _Memory:
    """One layer's keys (B, K, D, S) and values (B, K, S, D), as attention multiplies them, in buffers that double when
    they are full."""

    def __init__(self, read: LayerKVCache) -> None:
        k, v = (_array(cast(Tensor, each.buffer))[:, : each.length] for each in (read.keys, read.values))
        self.length = k.shape[1]
        self.keys, self.values = _grown(k.transpose(0, 2, 3, 1), 3), _grown(v.transpose(0, 2, 1, 3), 2)

    def extend(self, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Adds one token's (B, K, D) and returns all keys and values so far."""
        if self.length == self.keys.shape[3]:
            self.keys, self.values = _grown(self.keys, 3), _grown(self.values, 2)
        self.keys[..., self.length], self.values[:, :, self.length] = k, v
        self.length += 1
        return self.keys[..., : self.length], self.values[:, :, : self.length]


@functools.cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Holds matrix libraries to one thread, unless a step in another of Python's threads does so already: their number
    is the process's, and whoever changes it changes it back."""
    if not CHANGING.acquire(blocking=False):
        yield
        return
    try:
        with _libraries().limit(limits=1):
            yield
    finally:
        CHANGING.release()


def _grown(buffer: np.ndarray, axis: int) -> np.ndarray:
    """A copy with room for as many tokens again along an axis."""
    room = [(0, 0)] * buffer.ndim
    room[axis] = (0, max(buffer.shape[axis], GROWTH))
    return np.pad(buffer, room)


def _array(x: Tensor) -> np.ndarray:
    """The tensor's own memory as NumPy sees it."""
    return x.detach().numpy()


def _columns(weight: Tensor) -> np.ndarray:
    """(out, in) as (in, out)."""
    return _array(weight.t().contiguous())


def _behind(norm: RMSNorm, *weights: Tensor) -> np.ndarray:
    """Matrices (out, in) side by side as (in, all outs), the gain of the norm before them and sqrt(in) in them."""
    return _columns(torch.cat(weights) * (norm.weight * math.sqrt(len(norm.weight))))


def _softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores - np.maximum.reduce(scores, -1, keepdims=True))
    return e / np.add.reduce(e, -1, keepdims=True)
