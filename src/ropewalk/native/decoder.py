"""The native decoder: tokens -> increments -> positions -> encoding -> attention -> logits.

Pre-norm, RMSNorm, SwiGLU, no biases, tied embeddings. Weights are float32 and are cast to `compute_dtype` where they
are used; positions and angles are float32 whatever it is. This is the reference forward pass: training, gradients,
edits, activations, document masks and the KV cache need it, and every other pass is tested against it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ropewalk.core import attention, increments, positions
from ropewalk.core.decay import DECAYS, ForgetGate, SharedForgetGate, append_decay
from ropewalk.core.encoding import ENCODINGS, Pope
from ropewalk.core.host import Edit, Output, apply_edit
from ropewalk.core.increments import Absolute
from ropewalk.core.init import init_weights
from ropewalk.core.kernels.linear import linear
from ropewalk.errors import UserError
from ropewalk.native.config import DecoderConfig
from ropewalk.native.host_properties import HostProperties
from ropewalk.native.kv_cache import KVCache, LayerKVCache

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from ropewalk.tokens.tokenizer_file import FileTokenizer


class Linear(nn.Module):
    """A float32 matrix (out, in), applied in the dtype of its input."""

    def __init__(self, out_features: int, in_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))

    def forward(self, x: Float[Tensor, "*x I"]) -> Float[Tensor, "*x O"]:
        return linear(x, self.weight.to(x.dtype))


class RMSNorm(nn.Module):
    """RMSNorm with a learned gain."""

    def __init__(self, hidden_size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*x C"]) -> Float[Tensor, "*x C"]:
        return F.rms_norm(x, x.shape[-1:], self.weight.to(x.dtype), self.eps)


class Attention(nn.Module):
    """Attention of one layer: projects queries, keys and values, encodes positions, mixes the values."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        hidden_size, head_size = config.hidden_size, config.head_size
        self.num_heads, self.num_kv_heads = config.num_heads, config.kv_heads
        self.head_size, self.scale = head_size, head_size**-0.5
        self.q = Linear(config.num_heads * head_size, hidden_size)
        self.k = Linear(config.kv_heads * head_size, hidden_size)
        self.v = Linear(config.kv_heads * head_size, hidden_size)
        self.o = Linear(hidden_size, config.num_heads * head_size)
        self.encoding = ENCODINGS[config.encoding](
            head_size, config.kv_heads, config.rope_theta, config.increments.band
        )
        self.decay = DECAYS[config.decay](hidden_size, config.num_heads) if config.decay in DECAYS else None

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        cos: Float[Tensor, "B T G ..."],
        sin: Float[Tensor, "B T G ..."],
        document_ids: Int[Tensor, "B S"] | None = None,
        kv_cache: LayerKVCache | None = None,
        activations: dict[str, Tensor] | None = None,
        shared_decay: Float[Tensor, "B T H"] | None = None,
    ) -> Float[Tensor, "B T C"]:
        batch, tokens, _ = x.shape
        if (
            self.training
        ):  # one matrix product is faster to differentiate; in decoding, concatenating would cost more
            weight = torch.cat([self.q.weight, self.k.weight, self.v.weight]).to(x.dtype)
            heads = F.linear(x, weight).view(batch, tokens, -1, self.head_size)
            q, k, v = heads.split([self.num_heads, self.num_kv_heads, self.num_kv_heads], 2)
        else:
            q, k, v = (each(x).view(batch, tokens, -1, self.head_size) for each in (self.q, self.k, self.v))
        q, k = self.encoding(q, k, cos, sin, self.scale)
        if kv_cache is not None:
            k, v = kv_cache.extend(k, v)
        bias = decay = None
        a = shared_decay if self.decay is None else self.decay(x)
        if a is not None:
            decay = a.float().cumsum(1) if kv_cache is None else kv_cache.extend_decay(a)
        if decay is not None and document_ids is None and kv_cache is None and activations is None:
            q, k = append_decay(q, k, decay)
            v = attention.repeat_heads(v, self.num_heads)
        elif decay is not None or document_ids is not None:
            if document_ids is None:
                document_ids = torch.zeros(batch, k.shape[1], dtype=torch.long, device=x.device)
            bias = attention.attention_bias(document_ids, tokens, decay)
        if activations is not None:
            activations["attention"] = attention.attention_weights(q, k, bias=bias)
        mixed = attention.attend(q, k, v, bias=bias, training=self.training)
        return self.o(mixed.reshape(batch, tokens, -1))


class SwiGLU(nn.Module):
    """down(silu(gate x) * up x)."""

    def __init__(self, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.gate = Linear(intermediate_size, hidden_size)
        self.up = Linear(intermediate_size, hidden_size)
        self.down = Linear(hidden_size, intermediate_size)

    def forward(self, x: Float[Tensor, "*x C"]) -> Float[Tensor, "*x C"]:
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
        self.mlp_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.mlp = SwiGLU(config.hidden_size, config.mlp_size)

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        cos: Float[Tensor, "B T G ..."],
        sin: Float[Tensor, "B T G ..."],
        document_ids: Int[Tensor, "B S"] | None = None,
        kv_cache: LayerKVCache | None = None,
        activations: dict[str, Tensor] | None = None,
        shared_decay: Float[Tensor, "B T H"] | None = None,
    ) -> Float[Tensor, "B T C"]:
        x = x + self.attention(
            self.attention_norm(x), cos, sin, document_ids, kv_cache, activations, shared_decay
        )
        return x + self.mlp(self.mlp_norm(x))


class Decoder(HostProperties, nn.Module):
    """A causal language model with learned position increments: the native host.

    seed: None leaves the weights uninitialized, for a loader to fill. compute_dtype: the dtype of the residual stream.
    provenance: where the weights come from. own_tokenizer: None for byte models. layer_fn and layer_with_increments_fn: the
    two functions that plain training passes call; `ropewalk.training.execution` replaces them by compiled versions.
    """

    def __init__(self, config: DecoderConfig, seed: int | None = 0) -> None:
        super().__init__()
        self.config = config
        self.provenance: dict[str, Any] = {}
        self.own_tokenizer: FileTokenizer | None = None
        self.embedding = nn.Parameter(torch.empty(config.vocab_size, config.hidden_size))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.increment_modules = nn.ModuleList(
            increments.build_increments(
                config.increments,
                hidden_size=config.hidden_size,
                num_kv_heads=config.kv_heads,
                vocab_size=config.vocab_size,
            )
            for _ in range(config.num_increment_modules)
        )
        shared = config.decay == "shared-forget"
        self.shared_decay = SharedForgetGate(config.hidden_size, config.num_heads) if shared else None
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.compute_dtype = torch.float32
        self.layer_fn = run_layer
        self.layer_with_increments_fn = layer_with_increments
        if seed is not None:
            init_weights(self, seed)

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def increment_inputs(self) -> tuple[tuple[str, ...], int]:
        """The activations that the increment modules read, and their width."""
        first = self.config.increments.reads == "embedding"
        read = (0 if first else i for i in range(len(self.increment_modules)))
        return tuple(f"residual.{i}" for i in read), self.config.hidden_size

    @property
    def increment_parameters(self) -> set[str]:
        """The names of the parameters that only make increments; training gives them their own learning rate."""
        return {name for name, _ in self.named_parameters() if name.startswith("increment_modules.")}

    @property
    def matrix_parameters(self) -> set[str]:
        """The names of the weight matrices of the layers, which Muon can train."""
        return {
            name
            for name, p in self.named_parameters()
            if name.startswith("layers.") and p.dim() == 2 and name.endswith("weight")
        }

    @property
    def float32_modules(self) -> list[nn.Module]:
        """The modules that compute with float32 weights whatever `compute_dtype` is."""
        exact = [
            module for module in self.modules() if isinstance(module, ForgetGate | SharedForgetGate | Pope)
        ]
        return [*self.increment_modules, *exact]

    def describe(self) -> dict[str, Any]:
        """Name, hash and parametrization of the model, as a Trace records them."""
        described = super().describe()
        if self.compute_dtype == torch.float32:
            return described
        return {**described, "precision": str(self.compute_dtype).removeprefix("torch.")}

    def new_cache(self) -> KVCache:
        """An empty KV cache."""
        return KVCache.empty(len(self.layers), len(self.increment_modules))

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        position_ids: Int[Tensor, "#B T"] | None = None,
        *,
        document_ids: Int[Tensor, "B T"] | None = None,
        edit: Edit | None = None,
        activations: Collection[str] = (),
        kv_cache: KVCache | None = None,
    ) -> Output:
        """tokens (B, T) -> logits (B, T, V), increments and activations; see `ropewalk.core.host.Host`.

        activations: "residual.I" (B, T, C), the input of layer I; "positions.I" (B, T, G); "attention.I" (B, H, T, S),
        the attention weights of layer I. Inputs may be on another device than the model. Raises UserError for
        position_ids that restart without document_ids, for unknown activations, and for tokens outside the vocabulary
        (checked on the CPU).
        """
        if tokens.device.type == "cpu" and bool(((tokens < 0) | (tokens >= self.vocab_size)).any()):
            raise UserError(
                f"expected tokens from 0 to {self.vocab_size - 1}, got some from {int(tokens.min())} "
                f"to {int(tokens.max())}; use the vocabulary that the model was trained with."
            )
        tokens = tokens.to(self.device)
        position_ids = None if position_ids is None else position_ids.to(self.device)
        document_ids = None if document_ids is None else document_ids.to(self.device)
        position_ids, starts, document_ids = _integer_positions(tokens, position_ids, document_ids, kv_cache)
        if self.training and edit is None and kv_cache is None and document_ids is None and not activations:
            return self._training_pass(tokens, position_ids)
        wanted, found = _known_activations(activations, len(self.layers)), dict[str, Tensor]()
        x = embedded = F.embedding(tokens, self.embedding).to(self.compute_dtype)
        decay = None if self.shared_decay is None else self.shared_decay(embedded)
        emitted: list[Tensor] = []
        for i, layer in enumerate(cast(Iterable[Layer], self.layers)):
            if f"residual.{i}" in wanted:
                found[f"residual.{i}"] = x
            if i < len(self.increment_modules):
                read = embedded if self.config.increments.reads == "embedding" else x
                r, p = self._positions(i, read, tokens, position_ids, starts, edit, kv_cache)
                cos, sin = layer.attention.encoding.angles(p, position_ids)
                emitted.append(r)
            if f"positions.{i}" in wanted:
                found[f"positions.{i}"] = p
            recorded: dict[str, Tensor] | None = {} if f"attention.{i}" in wanted else None
            x = layer(x, cos, sin, document_ids, kv_cache.layers[i] if kv_cache else None, recorded, decay)
            if recorded is not None:
                found[f"attention.{i}"] = recorded["attention"]
        return Output(self._logits(x), tuple(emitted), found)

    def _positions(
        self,
        i: int,
        x: Tensor,
        tokens: Tensor,
        position_ids: Tensor,
        starts: Tensor | None,
        edit: Edit | None,
        kv_cache: KVCache | None,
    ) -> tuple[Tensor, Tensor]:
        """The increments r of module `i` after the edit, and the positions (B, T, G) that follow from them."""
        module, gap = self.increment_modules[i], self.config.increments.gap
        own = (
            self.rows
            if len(self.increment_modules) == 1
            else tuple(row for row in self.rows if row.layer == i)
        )
        offset = kv_cache.offsets[i] if kv_cache else None
        r = apply_edit(edit, own, compute_increments(module, x, tokens, position_ids, offset))
        p, end = positions.positions_from_increments(
            r, position_ids, gap=gap, starts=starts, initial_sum=offset, absolute=isinstance(module, Absolute)
        )
        if kv_cache:
            kv_cache.offsets[i] = end
        return r, p

    def _training_pass(self, tokens: Tensor, position_ids: Tensor) -> Output:
        """The pass in pieces that may be compiled: no documents, edit, activations or cache."""
        x, emitted = self.run_layers(tokens, position_ids)
        return Output(self._logits(x), emitted)

    def run_layers(self, tokens: Tensor, position_ids: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The residual stream after the last layer, before the final norm, and the increments r of each module."""
        x = embedded = F.embedding(tokens, self.embedding).to(self.compute_dtype)
        decay = None if self.shared_decay is None else self.shared_decay(embedded)
        emitted: list[Tensor] = []
        for i, layer in enumerate(cast(Iterable[Layer], self.layers)):
            if i < len(self.increment_modules):
                read = embedded if self.config.increments.reads == "embedding" else x
                x, r, cos, sin = self.layer_with_increments_fn(
                    layer,
                    self.increment_modules[i],
                    x,
                    read,
                    tokens,
                    position_ids,
                    self.config.increments.gap,
                    decay,
                )
                emitted.append(r)
            else:
                x = self.layer_fn(layer, x, cos, sin, decay)
        return x, tuple(emitted)

    def _logits(self, x: Tensor) -> Tensor:
        return linear(self.norm(x), self.embedding.to(x.dtype))


def run_layer(
    layer: Layer,
    x: Float[Tensor, "B T C"],
    cos: Float[Tensor, "B T G ..."],
    sin: Float[Tensor, "B T G ..."],
    shared_decay: Float[Tensor, "B T H"] | None = None,
) -> Float[Tensor, "B T C"]:
    """One layer without documents, cache or activations."""
    out: Tensor = layer(x, cos, sin, shared_decay=shared_decay)
    return out


def layer_with_increments(
    layer: Layer,
    module: nn.Module,
    x: Tensor,
    read: Tensor,
    tokens: Tensor,
    position_ids: Tensor,
    gap: positions.Gap,
    shared_decay: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`run_layer` after the layer's own increments: its output, increments r, cosines and sines. read: their input."""
    r = compute_increments(module, read, tokens, position_ids)
    p, _ = positions.positions_from_increments(
        r, position_ids, gap=gap, absolute=isinstance(module, Absolute)
    )
    cos, sin = layer.attention.encoding.angles(p, position_ids)
    return run_layer(layer, x, cos, sin, shared_decay), r, cos, sin


def compute_increments(
    module: nn.Module,
    x: Float[Tensor, "B T C"],
    tokens: Int[Tensor, "B T"],
    position_ids: Int[Tensor, "#B T"],
    offset: Float[Tensor, "B G"] | None = None,
) -> Float[Tensor, "B T G"]:
    """r = d - 1 of a segment, for absolute parametrizations too. offset: the running sum before the segment."""
    r = module(x, tokens)
    if isinstance(module, Absolute):
        return positions.increments_from_offsets(module.offset(r, position_ids), offset)
    return r


def _integer_positions(
    tokens: Tensor, position_ids: Tensor | None, document_ids: Tensor | None, kv_cache: KVCache | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """position_ids, the document starts among these tokens, and the document ids of all tokens so far (None: one)."""
    starts = None if document_ids is None else positions.document_starts(document_ids)
    if position_ids is not None:
        restarts = position_ids[:, 1:] <= position_ids[:, :-1]
        if bool((restarts if starts is None else restarts & ~starts[:, 1:]).any()):
            raise UserError(
                "position_ids restart where no document starts, so tokens would attend across the restart; pass "
                "document_ids (B, T) that change there, or position_ids that only increase."
            )
    else:
        counted = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape)
        position_ids = counted if starts is None else positions.restarted_position_ids(starts)
        if kv_cache is not None and kv_cache.next_position is not None:
            position_ids = position_ids + kv_cache.next_position[:, None]
    if kv_cache is None:
        return position_ids, starts, document_ids
    if kv_cache.next_position is not None:
        if document_ids is not None:
            raise UserError(
                "document_ids belong to the first segment of cached decoding; later segments continue it, so leave "
                "them out there."
            )
        if kv_cache.document_ids is not None:
            last = kv_cache.document_ids[:, -1:].expand(-1, tokens.shape[1])
            kv_cache.document_ids = document_ids = torch.cat([kv_cache.document_ids, last], 1)
    else:
        kv_cache.document_ids = document_ids
    kv_cache.next_position = position_ids[:, -1] + 1
    return position_ids, starts, document_ids


def _known_activations(activations: Collection[str], num_layers: int) -> set[str]:
    known = {f"{kind}.{i}" for kind in ("residual", "positions", "attention") for i in range(num_layers)}
    if unknown := sorted(set(activations) - known):
        raise UserError(
            f"unknown activation '{unknown[0]}': this model has residual.I, positions.I and attention.I, "
            f"I from 0 to {num_layers - 1}."
        )
    return set(activations)
