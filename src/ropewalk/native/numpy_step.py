"""One step of cached decoding in NumPy: the decoder's forward pass for one new token per sequence.

It is here for speed on a CPU. A step reads every weight once for almost no arithmetic, so its time is memory traffic and
call overhead: a NumPy call costs a third of a torch call. It runs on one thread: a second one gains little on an idle
machine and waits for seconds on a busy one. Weights are stored by columns; those after a norm contain the norm's gain and
are concatenated; queries and keys rotate together. The results are those of the decoder but for rounding.
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

MAX_BATCH = 16
"""Sequences up to which one thread is enough."""

THREAD_LIMIT = threading.Lock()
ROOT_HALF = np.float32(math.sqrt(0.5))


def supports(model: Decoder, kv_cache: KVCache) -> bool:
    """Whether `NumpyStep` can continue from `kv_cache`: RoPE, float32, on a CPU, no decay, a small batch, no padding."""
    if not isinstance(model, Decoder):
        return False
    plain = model.config.encoding == "rope" and model.config.decay is None
    exact = model.compute_dtype == torch.float32 and model.embedding.device.type == "cpu"
    position = kv_cache.next_position
    small = position is not None and len(position) <= MAX_BATCH
    return plain and exact and small and kv_cache.document_ids is None


class NumpyStep:
    """Continues from `kv_cache` with a copy of it; rearranges the weights once, at construction."""

    @torch.no_grad()
    def __init__(self, model: Decoder, kv_cache: KVCache) -> None:
        config = model.config
        self.num_heads, self.num_kv_heads, self.head_size = (
            config.num_heads,
            config.kv_heads,
            config.head_size,
        )
        self.mlp_size, self.eps = config.mlp_size, np.float32(config.hidden_size * config.norm_eps)
        self.position_ids = _array(cast(Tensor, kv_cache.next_position)).copy()
        own_input = config.increments.reads == "layer"
        modules = [
            _Network(module, model, offset)
            if own_input and isinstance(module, Network)
            else _Table(module, model, offset)
            for module, offset in zip(
                model.increment_modules, cast(list[Tensor], kv_cache.offsets), strict=True
            )
        ]
        layers = list(cast(Iterable[Layer], model.layers))
        self.layers = [_Layer(*parts) for parts in zip_longest(layers, kv_cache.layers, modules)]
        self.embedding, self.to_logits = _array(model.embedding), _after_norm(model.norm, model.embedding)
        frequencies = _array(cast(Rope, layers[0].attention.encoding).frequencies)
        self.signed_frequencies = np.stack([-frequencies, frequencies])
        fast = np.arange(len(frequencies)) < len(frequencies) / 2
        self.moving = {"all": None, "fast": fast, "slow": ~fast}[config.increments.band]
        kv_heads = np.arange(self.num_kv_heads)
        self.row_of_head = np.append(np.repeat(kv_heads, self.num_heads // self.num_kv_heads), kv_heads)

    def __call__(self, tokens: Tensor) -> Tensor:
        """tokens (B,) -> logits (B, V) of the token after them."""
        with _one_thread(), np.errstate(all="ignore"):  # `sample` checks the logits
            return torch.from_numpy(self._pass(tokens.numpy()))

    def _pass(self, tokens: np.ndarray) -> np.ndarray:
        batch, encoded = len(tokens), (self.num_heads + self.num_kv_heads) * self.head_size
        x = self.embedding[tokens]
        for layer in self.layers:
            square, norm = self._norms(x)
            y = np.dot(x / norm, layer.to_attention)
            if layer.increments:
                cos, sin = self._angles(
                    layer.increments.positions(tokens, self.position_ids, y, square, norm)
                )
                y = y[:, layer.increments.width :]
            pairs = y[:, :encoded].reshape(batch, -1, 2, self.head_size // 2)
            rotated = (pairs * cos + pairs[:, :, ::-1] * sin).reshape(batch, -1, self.head_size)
            q, k = rotated[:, : self.num_heads], rotated[:, self.num_heads :]
            k, v = layer.kv_cache.extend(k, y[:, encoded:].reshape(batch, -1, self.head_size))
            weights = _softmax(q.reshape(batch, self.num_kv_heads, -1, self.head_size) @ k)
            x = x + np.dot((weights @ v).reshape(batch, -1), layer.from_attention)
            y = np.dot(x / self._norms(x)[1], layer.to_mlp)
            gate, up = y[:, : self.mlp_size], y[:, self.mlp_size :]
            x = x + np.dot(gate / (1 + np.exp(-gate)) * up, layer.from_mlp)
        self.position_ids += 1
        return np.dot(x / self._norms(x)[1], self.to_logits)

    def _norms(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The squared norm of x (B, C), (B, 1), and the norm with epsilon that RMSNorm divides by; the rest of RMSNorm,
        sqrt(C) times its gain, is part of the next matrix."""
        square = np.einsum("bc,bc->b", x, x)[:, None]
        return square, np.sqrt(square + self.eps)

    def _angles(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions (B, G) -> cosines and sines (B, 1 or H + K, 2, D/2) of minus the angle and of the angle, so that the
        halves (a, b) of a pair rotate to (a, b) cos + (b, a) sin."""
        moving = p[:, :, None, None]
        if self.moving is not None:
            still = self.position_ids.astype(np.float32)[:, None, None, None]
            moving = np.where(self.moving, moving, still)
        angle = moving * self.signed_frequencies
        if angle.shape[1] > 1:
            angle = angle[:, self.row_of_head]
        return np.cos(angle), np.sin(angle)


class _Increments:
    """An increment module and its running sum, token by token.

    weight (C, `width`): the part that reads the residual stream in the same product as the attention of its layer.
    """

    weight: np.ndarray
    width: int

    def __init__(self, module: nn.Module, model: Decoder, offset: Tensor) -> None:
        self.module, self.offset, self.before = module, _array(offset), model.gap == "before"

    def positions(
        self, tokens: np.ndarray, n: np.ndarray, y: np.ndarray, square: np.ndarray, norm: np.ndarray
    ) -> np.ndarray:
        """Positions (B, G), float32, of the tokens (B,) at the integer positions n (B,).

        y (B, ...) starts with x @ weight / norm for the residual stream x (B, C); square is its squared norm and norm the
        one with the epsilon of the attention's RMSNorm, both (B, 1).
        """
        r, last = self._r(tokens, y, square, norm), self.offset
        if isinstance(self.module, Absolute):
            offset = self.module.offset(torch.from_numpy(r)[:, None], torch.from_numpy(n)[:, None])
            self.offset = offset[:, 0].numpy().astype(last.dtype)
        else:
            self.offset = last + r
        return (n[:, None] + (self.offset if self.before else last)).astype(np.float32)

    def _r(self, tokens: np.ndarray, y: np.ndarray, square: np.ndarray, norm: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class _Network(_Increments):
    """An increment network."""

    def __init__(self, module: Network, model: Decoder, offset: Tensor) -> None:
        super().__init__(module, model, offset)
        hidden, output = module.hidden, module.output
        size, weight = hidden.in_features, hidden.weight
        self.eps = None
        if module.norm is not None:
            weight = weight * (module.norm * math.sqrt(size))
            self.eps = np.float32(size * torch.finfo(torch.float32).eps)
        self.weight, self.width, self.bias = _array(weight).T, hidden.out_features, _array(hidden.bias)
        self.half_output, self.output_bias = _columns(output.weight / 2), _array(output.bias)
        self.activation = module.activation

    def _r(self, tokens: np.ndarray, y: np.ndarray, square: np.ndarray, norm: np.ndarray) -> np.ndarray:
        scale = norm if self.eps is None else norm / np.sqrt(square + self.eps)
        h = y[:, : self.width] * scale + self.bias
        # GELU; torch.nn.functional.gelu would start threads
        twice = h + h * torch.erf(torch.from_numpy(h * ROOT_HALF)).numpy()
        return self.activation(torch.from_numpy(np.dot(twice, self.half_output) + self.output_bias)).numpy()


class _Table(_Increments):
    """A parametrization that depends on the token only."""

    def __init__(self, module: nn.Module, model: Decoder, offset: Tensor) -> None:
        super().__init__(module, model, offset)
        every = torch.arange(len(model.embedding))[None]
        self.table = _array(module(model.embedding[every], every)[0])
        self.weight, self.width = np.empty((model.config.hidden_size, 0), np.float32), 0

    def _r(self, tokens: np.ndarray, y: np.ndarray, square: np.ndarray, norm: np.ndarray) -> np.ndarray:
        return self.table[tokens]


class _Layer:
    """One layer's matrices, keys and values, and its increment module, None where it shares an earlier one."""

    def __init__(self, layer: Layer, kv_cache: LayerKVCache, increments: _Increments | None) -> None:
        heads, mlp = layer.attention, layer.mlp
        query = heads.q.weight * heads.scale
        to_attention = _after_norm(layer.attention_norm, query, heads.k.weight, heads.v.weight)
        self.to_attention = np.hstack([increments.weight, to_attention]) if increments else to_attention
        self.to_mlp = _after_norm(layer.mlp_norm, mlp.gate.weight, mlp.up.weight)
        self.from_attention, self.from_mlp = _columns(heads.o.weight), _columns(mlp.down.weight)
        self.increments, self.kv_cache = increments, _LayerCache(kv_cache)


class _LayerCache:
    """One layer's keys (B, K, D, S) and values (B, K, S, D), in the layout of the products, in buffers that double."""

    def __init__(self, kv_cache: LayerKVCache) -> None:
        k, v = (
            _array(cast(Tensor, each.buffer))[:, : each.length] for each in (kv_cache.keys, kv_cache.values)
        )
        self.length = k.shape[1]
        self.keys, self.values = _grown(k.transpose(0, 2, 3, 1), 3), _grown(v.transpose(0, 2, 1, 3), 2)

    def extend(self, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Appends one token's (B, K, D) and returns all keys and values so far."""
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
    """Limits matrix libraries to one thread, unless a step in another thread does so already: the limit holds for the
    process, and the step that set it restores it."""
    if not THREAD_LIMIT.acquire(blocking=False):
        yield
        return
    try:
        with _libraries().limit(limits=1):
            yield
    finally:
        THREAD_LIMIT.release()


def _grown(buffer: np.ndarray, axis: int) -> np.ndarray:
    """A copy that holds twice as many tokens along an axis."""
    padding = [(0, 0)] * buffer.ndim
    padding[axis] = (0, max(buffer.shape[axis], GROWTH))
    return np.pad(buffer, padding)


def _array(x: Tensor) -> np.ndarray:
    """The tensor as an array that shares its memory."""
    return x.detach().numpy()


def _columns(weight: Tensor) -> np.ndarray:
    """(out, in) as (in, out)."""
    return _array(weight.t().contiguous())


def _after_norm(norm: RMSNorm, *weights: Tensor) -> np.ndarray:
    """Concatenated matrices as (in, all outs), times the gain of the norm before them and sqrt(in)."""
    return _columns(torch.cat(weights) * (norm.weight * math.sqrt(len(norm.weight))))


def _softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores - np.maximum.reduce(scores, -1, keepdims=True))
    return e / np.add.reduce(e, -1, keepdims=True)
