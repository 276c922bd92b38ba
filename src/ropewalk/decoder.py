"""The native decoder: tokens -> increments -> positions -> encoding -> attention -> logits, readable top to
bottom.

Pre-norm, RMSNorm, SwiGLU, no biases, tied embeddings. Weights are float32 and are cast to `compute_dtype`
where they are used; positions and angles stay float32 whatever it is. Knows nothing of training, text or
files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Any, cast

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor, nn

from ropewalk import attention, increments, positions
from ropewalk.cache import Cache, LayerMemory
from ropewalk.decay import DECAYS
from ropewalk.encoding import ENCODINGS
from ropewalk.errors import UserError
from ropewalk.host import Edit, Output, apply_edit
from ropewalk.increments import Absolute, IncrementConfig
from ropewalk.kernels.linear import linear
from ropewalk.lines import Line, layer_lines


class DecoderConfig(BaseModel):
    """The shape of a native decoder. The defaults are the published model: 6.4 million parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    vocabulary: int = Field(default=257, ge=2)
    context: int = Field(default=512, ge=2)
    width: int = Field(default=256, ge=2)
    heads: int = Field(default=8, ge=1)
    key_heads: int | None = Field(default=None, ge=1)
    layers: int = Field(default=6, ge=1)
    inner: int | None = Field(default=None, ge=1)
    theta: float = Field(default=10_000.0, gt=0)
    eps: float = Field(default=1e-5, gt=0)
    encoding: str = "rope"
    decay: str | None = None
    increments: IncrementConfig = IncrementConfig()

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str) -> str:
        if name not in ENCODINGS:
            raise ValueError(f"unknown encoding '{name}': choose one of {', '.join(ENCODINGS)}")
        return name

    @field_validator("decay")
    @classmethod
    def _known_decay(cls, name: str | None) -> str | None:
        if name is not None and name not in DECAYS:
            raise ValueError(f"unknown decay '{name}': choose one of {', '.join(DECAYS)}, or leave it out")
        return name

    @model_validator(mode="after")
    def _divisible(self) -> DecoderConfig:
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} must be a multiple of 2 x heads = {2 * self.heads}")
        if self.heads % self.keys:
            raise ValueError(f"heads {self.heads} must be a multiple of key_heads {self.keys}")
        return self

    @property
    def keys(self) -> int:
        return self.key_heads or self.heads

    @property
    def head_size(self) -> int:
        return self.width // self.heads

    @property
    def swiglu(self) -> int:
        return self.inner or 4 * self.width

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines, layer by layer."""
        count = self.keys if self.increments.lines == "key_head" and self.increments.law != "unit" else 1
        layers = [None] if self.increments.shared else list(range(self.layers))
        return tuple(line for layer in layers for line in layer_lines(layer, count))


class Weight(nn.Module):
    """A float32 matrix (out, in), applied in the dtype of its input."""

    def __init__(self, out: int, inp: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, inp))

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight.to(x.dtype))


class Norm(nn.Module):
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
        width, size = config.width, config.head_size
        self.heads, self.keys, self.size, self.scale = config.heads, config.keys, size, size**-0.5
        self.q = Weight(config.heads * size, width)
        self.k = Weight(config.keys * size, width)
        self.v = Weight(config.keys * size, width)
        self.o = Weight(width, config.heads * size)
        self.encoding = ENCODINGS[config.encoding](size, config.keys, config.theta)
        self.decay = DECAYS[config.decay](width, config.heads) if config.decay else None

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        documents: Tensor | None = None,
        memory: LayerMemory | None = None,
        taps: dict[str, Tensor] | None = None,
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
            bias = attention.mask(seen, tokens, decayed)
        if taps is not None:
            taps["attention"] = attention.probabilities(q, k, bias=bias)
        mixed = attention.mix(q, k, v, bias=bias, training=self.training)
        return self.o(mixed.reshape(batch, tokens, -1))


class SwiGLU(nn.Module):
    """down(silu(gate x) * up x)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate = Weight(inner, width)
        self.up = Weight(inner, width)
        self.down = Weight(width, inner)

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
        self.attention_norm = Norm(config.width, config.eps)
        self.attention = Attention(config)
        self.feed_norm = Norm(config.width, config.eps)
        self.feed = SwiGLU(config.width, config.swiglu)

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        documents: Tensor | None = None,
        memory: LayerMemory | None = None,
        taps: dict[str, Tensor] | None = None,
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cos, sin, documents, memory, taps)
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
        self.embedding = nn.Parameter(torch.empty(config.vocabulary, config.width))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.laws = nn.ModuleList(
            increments.build(
                config.increments, width=config.width, key_heads=config.keys, vocabulary=config.vocabulary
            )
            for _ in range(1 if config.increments.shared else config.layers)
        )
        self.norm = Norm(config.width, config.eps)
        self.compute_dtype = torch.float32
        self.block = block
        self.stride = stride
        if seed is not None:
            initialise(self, seed)

    @property
    def lines(self) -> tuple[Line, ...]:
        return self.config.lines

    @property
    def context(self) -> int:
        return self.config.context

    @property
    def gap(self) -> positions.Gap:
        return self.config.increments.gap

    def describe(self) -> dict[str, Any]:
        """Name, hash and law of the model, as a Trace records them."""
        law = self.config.increments
        told: dict[str, Any] = {
            key: self.provenance[key] for key in ("name", "hash", "version") if key in self.provenance
        }
        bounds = {"ceiling": law.ceiling} if law.law == "bounded" else {}
        told |= {"law": law.law, "per": "shared" if law.shared else "layer", **bounds}
        precise = self.compute_dtype == torch.float32
        return told if precise else {**told, "precision": str(self.compute_dtype).removeprefix("torch.")}

    def new_cache(self) -> Cache:
        """An empty memory for cached decoding."""
        return Cache.empty(len(self.layers), len(self.laws))

    def forward(
        self,
        tokens: Tensor,
        n: Tensor | None = None,
        *,
        documents: Tensor | None = None,
        edit: Edit | None = None,
        taps: Collection[str] = (),
        cache: Cache | None = None,
    ) -> Output:
        """tokens (B, T) -> logits (B, T, V), increments and taps; see `ropewalk.host.Host`.

        taps: "residual.I" (B, T, C), the input of layer I; "positions.I" (B, T, G); "attention.I" (B, H, T,
        S), the weights of layer I. All inputs may live on another device than the model. Raises UserError for
        positions that restart without documents, for unknown taps, and for tokens outside the vocabulary
        (looked for on the CPU).
        """
        if tokens.device.type == "cpu" and bool(((tokens < 0) | (tokens >= self.config.vocabulary)).any()):
            raise UserError(
                f"expected tokens from 0 to {self.config.vocabulary - 1}, got some from {int(tokens.min())} "
                f"to {int(tokens.max())}; use the vocabulary that the model was trained with."
            )
        device = self.embedding.device
        tokens, n = tokens.to(device), None if n is None else n.to(device)
        documents = None if documents is None else documents.to(device)
        n, starts, documents = _integer_positions(tokens, n, documents, cache)
        if self.training and edit is None and cache is None and documents is None and not taps:
            return self._plain(tokens, n)
        wanted, found = _known_taps(taps, len(self.layers)), dict[str, Tensor]()
        x = F.embedding(tokens, self.embedding).to(self.compute_dtype)
        walked: list[Tensor] = []
        for i, layer in enumerate(cast(Iterable[Layer], self.layers)):
            if f"residual.{i}" in wanted:
                found[f"residual.{i}"] = x
            if i < len(self.laws):
                law, encoding = self.laws[i], layer.attention.encoding
                own = self.lines if len(self.laws) == 1 else tuple(ln for ln in self.lines if ln.layer == i)
                carry = cache.carries[i] if cache else None
                r = apply_edit(edit, own, advance(law, x, tokens, n, carry))
                absolute, gap = isinstance(law, Absolute), self.config.increments.gap
                p, end = positions.walk(r, n, gap=gap, starts=starts, carry=carry, absolute=absolute)
                cos, sin = encoding.angles(p)
                if cache:
                    cache.carries[i] = end
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
            if i < len(self.laws):
                x, r, cos, sin = self.stride(layer, self.laws[i], x, tokens, n, self.config.increments.gap)
                walked.append(r)
            else:
                x = self.block(layer, x, cos, sin)
        return Output(self._logits(x), tuple(walked))

    def _logits(self, x: Tensor) -> Tensor:
        return linear(self.norm(x), self.embedding.to(x.dtype))


def block(layer: Layer, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """One layer without documents, memory or taps."""
    out: Tensor = layer(x, cos, sin)
    return out


def stride(
    layer: Layer, law: nn.Module, x: Tensor, tokens: Tensor, n: Tensor, gap: positions.Gap
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`block` after a walk of its own from the beginning of a window: its output, increments r, cosines and sines."""
    r = advance(law, x, tokens, n)
    p, _ = positions.walk(r, n, gap=gap, absolute=isinstance(law, Absolute))
    cos, sin = layer.attention.encoding.angles(p)
    return block(layer, x, cos, sin), r, cos, sin


def advance(law: nn.Module, x: Tensor, tokens: Tensor, n: Tensor, carry: Tensor | None = None) -> Tensor:
    """r = d - 1 of a stretch (B, T, G), also of laws that place tokens without a sum."""
    r = law(x, tokens)
    return positions.differences(law.offset(r, n), carry) if isinstance(law, Absolute) else r


def initialise(model: nn.Module, seed: int, std: float = 0.02) -> None:
    """Draws every matrix from N(0, std) in a random stream of its own, named by the seed and the parameter.

    So two models of one seed share every weight whose name and shape they share, whatever else they contain.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and not name.endswith("phase_bias"):
                digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
                stream = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
                parameter.normal_(0.0, std, generator=stream)
            elif name.endswith("bias"):
                parameter.zero_()
        for module in model.modules():
            if callable(start := getattr(module, "start", None)):
                start()


def _integer_positions(
    tokens: Tensor, n: Tensor | None, documents: Tensor | None, cache: Cache | None
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
        n = positions.restart(starts) if starts is not None else _count(tokens)
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


def _known_taps(taps: Collection[str], layers: int) -> set[str]:
    known = {f"{kind}.{i}" for kind in ("residual", "positions", "attention") for i in range(layers)}
    if unknown := sorted(set(taps) - known):
        raise UserError(
            f"unknown tap '{unknown[0]}': this model has residual.I, positions.I and attention.I, "
            f"I from 0 to {layers - 1}."
        )
    return set(taps)
