"""The native decoder: tokens -> increments -> positions -> encoding -> attention -> logits, readable top to
bottom.

Pre-norm, RMSNorm, SwiGLU, no biases, tied embeddings. Weights are float32 and are cast to `compute_dtype`
where they are used; positions and angles stay float32 whatever it is. Knows nothing of training, text or
files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ropewalk.core import attention, increments, positions
from ropewalk.core.decay import DECAYS
from ropewalk.core.encoding import ENCODINGS
from ropewalk.core.host import Edit, Output, apply_edit
from ropewalk.core.increments import Absolute
from ropewalk.core.init import init_weights
from ropewalk.core.kernels.linear import linear
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.native.config import DecoderConfig
from ropewalk.native.kv_cache import KVCache, LayerKVCache


class Linear(nn.Module):
    """A float32 matrix (out, in), applied in the dtype of its input."""

    def __init__(self, out: int, inp: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, inp))

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight.to(x.dtype))


class RMSNorm(nn.Module):
    """RMSNorm with a learned gain."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight.to(x.dtype), self.eps)


class Attention(nn.Module):
    """Queries, keys and values of one layer, encoded at their positions and mixed."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width, size = config.hidden_size, config.head_size
        self.heads, self.keys, self.size, self.scale = config.num_heads, config.kv_heads, size, size**-0.5
        self.q = Linear(config.num_heads * size, width)
        self.k = Linear(config.kv_heads * size, width)
        self.v = Linear(config.kv_heads * size, width)
        self.o = Linear(width, config.num_heads * size)
        self.encoding = ENCODINGS[config.encoding](size, config.kv_heads, config.rope_theta)
        self.decay = DECAYS[config.decay](width, config.num_heads) if config.decay else None

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        documents: Tensor | None = None,
        memory: LayerKVCache | None = None,
        activations: dict[str, Tensor] | None = None,
    ) -> Tensor:
        batch, tokens, _ = x.shape
        if (
            self.training
        ):  # one product is faster to differentiate; to copy the matrices costs a decoding step
            weight = torch.cat([self.q.weight, self.k.weight, self.v.weight]).to(x.dtype)
            heads = F.linear(x, weight).view(batch, tokens, -1, self.size)
            q, k, v = heads.split([self.heads, self.keys, self.keys], 2)
        else:
            q, k, v = (each(x).view(batch, tokens, -1, self.size) for each in (self.q, self.k, self.v))
        q, k = self.encoding(q, k, cos, sin, self.scale)
        if memory is not None:
            k, v = memory.extend(k, v)
        bias = None
        if self.decay is not None or documents is not None:
            decayed = None
            if self.decay is not None:
                a = self.decay(x)
                decayed = a.float().cumsum(1) if memory is None else memory.extend_decay(a)
            seen = documents if documents is not None else x.new_zeros(batch, k.shape[1])
            bias = attention.attention_bias(seen, tokens, decayed)
        if activations is not None:
            activations["attention"] = attention.attention_weights(q, k, bias=bias)
        mixed = attention.attend(q, k, v, bias=bias, training=self.training)
        return self.o(mixed.reshape(batch, tokens, -1))


class SwiGLU(nn.Module):
    """down(silu(gate x) * up x)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate = Linear(inner, width)
        self.up = Linear(inner, width)
        self.down = Linear(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:  # as in Attention
            weight = torch.cat([self.gate.weight, self.up.weight]).to(x.dtype)
            gate, up = F.linear(x, weight).chunk(2, -1)
        else:
            gate, up = self.gate(x), self.up(x)
        return self.down(F.silu(gate) * up)


class Layer(nn.Module):
    """Attention and SwiGLU, each added to the residual stream after its own norm."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.attention = Attention(config)
        self.feed_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.feed = SwiGLU(config.hidden_size, config.mlp_size)

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        documents: Tensor | None = None,
        memory: LayerKVCache | None = None,
        activations: dict[str, Tensor] | None = None,
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cos, sin, documents, memory, activations)
        return x + self.feed(self.feed_norm(x))


class Decoder(nn.Module):
    """A causal language model whose layers choose their own token spacing: the native host.

    `compute_dtype` is the dtype of the residual stream. `stride` and `block` are what plain training runs; the
    execution room may put compiled versions of the same functions in their place, used in plain training
    passes only. With `seed=None` the weights are left undrawn, for a loader to fill. `provenance` says where
    the weights come from.
    """

    def __init__(self, config: DecoderConfig, seed: int | None = 0) -> None:
        super().__init__()
        self.config = config
        self.provenance: dict[str, Any] = {}
        self.embedding = nn.Parameter(torch.empty(config.vocab_size, config.hidden_size))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.increment_modules = nn.ModuleList(
            increments.build_increments(
                config.increments,
                width=config.hidden_size,
                num_kv_heads=config.kv_heads,
                vocabulary=config.vocab_size,
            )
            for _ in range(1 if config.increments.shared else config.num_layers)
        )
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.compute_dtype = torch.float32
        self.block = run_layer
        self.stride = layer_with_increments
        if seed is not None:
            init_weights(self, seed)

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.config.rows

    @property
    def context_length(self) -> int:
        return self.config.context_length

    @property
    def gap(self) -> positions.Gap:
        return self.config.increments.gap

    def describe(self) -> dict[str, Any]:
        """Name, hash and parametrization of the model, as a Trace records them."""
        parametrization = self.config.increments
        told: dict[str, Any] = {
            key: self.provenance[key] for key in ("name", "hash", "version") if key in self.provenance
        }
        bounds = (
            {"max_increment": parametrization.max_increment}
            if parametrization.parametrization == "bounded"
            else {}
        )
        told |= {
            "parametrization": parametrization.parametrization,
            "per": "shared" if parametrization.shared else "layer",
            **bounds,
        }
        precise = self.compute_dtype == torch.float32
        return told if precise else {**told, "precision": str(self.compute_dtype).removeprefix("torch.")}

    def new_cache(self) -> KVCache:
        """An empty memory for cached decoding."""
        return KVCache.empty(len(self.layers), len(self.increment_modules))

    def forward(
        self,
        tokens: Tensor,
        n: Tensor | None = None,
        *,
        documents: Tensor | None = None,
        edit: Edit | None = None,
        activations: Collection[str] = (),
        cache: KVCache | None = None,
    ) -> Output:
        """tokens (B, T) -> logits (B, T, V), increments and taps; see `ropewalk.core.host.Host`.

        taps: "residual.I" (B, T, C), the input of layer I; "positions.I" (B, T, G); "attention.I" (B, H, T,
        S), the weights of layer I. All inputs may live on another device than the model. Raises UserError for
        positions that restart without documents, for unknown taps, and for tokens outside the vocabulary
        (looked for on the CPU).
        """
        if tokens.device.type == "cpu" and bool(((tokens < 0) | (tokens >= self.config.vocab_size)).any()):
            raise UserError(
                f"expected tokens from 0 to {self.config.vocab_size - 1}, got some from {int(tokens.min())} "
                f"to {int(tokens.max())}; use the vocabulary that the model was trained with."
            )
        device = self.embedding.device
        tokens, n = tokens.to(device), None if n is None else n.to(device)
        documents = None if documents is None else documents.to(device)
        n, starts, documents = _integer_positions(tokens, n, documents, cache)
        if self.training and edit is None and cache is None and documents is None and not activations:
            return self._plain(tokens, n)
        wanted, found = _known_taps(activations, len(self.layers)), dict[str, Tensor]()
        x = F.embedding(tokens, self.embedding).to(self.compute_dtype)
        walked: list[Tensor] = []
        for i, layer in enumerate(cast(Iterable[Layer], self.layers)):
            if f"residual.{i}" in wanted:
                found[f"residual.{i}"] = x
            if i < len(self.increment_modules):
                parametrization, encoding = self.increment_modules[i], layer.attention.encoding
                own = (
                    self.rows
                    if len(self.increment_modules) == 1
                    else tuple(ln for ln in self.rows if ln.layer == i)
                )
                offset = cache.offsets[i] if cache else None
                r = apply_edit(edit, own, compute_increments(parametrization, x, tokens, n, offset))
                absolute, gap = isinstance(parametrization, Absolute), self.config.increments.gap
                p, end = positions.positions_from_increments(
                    r, n, gap=gap, starts=starts, offset=offset, absolute=absolute
                )
                cos, sin = encoding.angles(p)
                if cache:
                    cache.offsets[i] = end
                walked.append(r)
            if f"positions.{i}" in wanted:
                found[f"positions.{i}"] = p
            memory = cache.layers[i] if cache else None
            seen: dict[str, Tensor] | None = {} if f"attention.{i}" in wanted else None
            x = layer(x, cos, sin, documents, memory, seen)
            if seen is not None:
                found[f"attention.{i}"] = seen["attention"]
        return Output(self._logits(x), tuple(walked), found)

    def _plain(self, tokens: Tensor, n: Tensor) -> Output:
        """The same pass for training, in pieces that may be compiled: no documents, edit, taps or memory."""
        x = F.embedding(tokens, self.embedding).to(self.compute_dtype)
        walked: list[Tensor] = []
        for i, layer in enumerate(cast(Iterable[Layer], self.layers)):
            if i < len(self.increment_modules):
                x, r, cos, sin = self.stride(
                    layer, self.increment_modules[i], x, tokens, n, self.config.increments.gap
                )
                walked.append(r)
            else:
                x = self.block(layer, x, cos, sin)
        return Output(self._logits(x), tuple(walked))

    def _logits(self, x: Tensor) -> Tensor:
        return linear(self.norm(x), self.embedding.to(x.dtype))


def run_layer(layer: Layer, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """One layer without documents, memory or taps."""
    out: Tensor = layer(x, cos, sin)
    return out


def layer_with_increments(
    layer: Layer, parametrization: nn.Module, x: Tensor, tokens: Tensor, n: Tensor, gap: positions.Gap
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`block` after a walk of its own from the beginning of a window: its output, increments r, cosines and sines."""
    r = compute_increments(parametrization, x, tokens, n)
    p, _ = positions.positions_from_increments(r, n, gap=gap, absolute=isinstance(parametrization, Absolute))
    cos, sin = layer.attention.encoding.angles(p)
    return run_layer(layer, x, cos, sin), r, cos, sin


def compute_increments(
    parametrization: nn.Module, x: Tensor, tokens: Tensor, n: Tensor, offset: Tensor | None = None
) -> Tensor:
    """r = d - 1 of a stretch (B, T, G), also of parametrizations that place tokens without a sum."""
    r = parametrization(x, tokens)
    return (
        positions.increments_from_offsets(parametrization.offset(r, n), offset)
        if isinstance(parametrization, Absolute)
        else r
    )


def _integer_positions(
    tokens: Tensor, n: Tensor | None, documents: Tensor | None, cache: KVCache | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """n, the document starts among these tokens, and the documents of all tokens so far (None: one)."""
    starts = None if documents is None else positions.document_starts(documents)
    if n is not None:
        restarts = n[:, 1:] <= n[:, :-1]
        if bool((restarts if starts is None else restarts & ~starts[:, 1:]).any()):
            raise UserError(
                "positions restart inside a row where no document starts, so tokens would look across "
                "the restart; pass documents (B, T) that start there, or positions that only increase."
            )
    else:
        n = positions.restarted_position_ids(starts) if starts is not None else _count(tokens)
        n = n if cache is None or cache.n is None else n + cache.n[:, None]
    if cache is None:
        return n, starts, documents
    if cache.n is not None:
        if documents is not None:
            raise UserError(
                "documents belong to the first stretch of a cached decoding; later stretches go on."
            )
        if cache.documents is not None:
            last = cache.documents[:, -1:].expand(-1, tokens.shape[1])
            cache.documents = documents = torch.cat([cache.documents, last], 1)
    else:
        cache.documents = documents
    cache.n = n[:, -1] + 1
    return n, starts, documents


def _count(tokens: Tensor) -> Tensor:
    return torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape)


def _known_taps(activations: Collection[str], layers: int) -> set[str]:
    known = {f"{kind}.{i}" for kind in ("residual", "positions", "attention") for i in range(layers)}
    if unknown := sorted(set(activations) - known):
        raise UserError(
            f"unknown tap '{unknown[0]}': this model has residual.I, positions.I and attention.I, "
            f"I from 0 to {layers - 1}."
        )
    return set(activations)
