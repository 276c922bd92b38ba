"""Hooks that replace the rotation of a base model's attentions by one at real-valued positions.

Per layer: a hook before each attention reads its input, sums increments and passes the model's own rotation at the
new positions. Shared: a hook after the model's rotary embedding does the same once for all layers, reading the
embeddings. The integer `position_ids` of the model are left alone: p = position_ids + running sum of r, and the sum restarts
wherever they fail to increase, which covers left padding and packed documents. Hooks are bound methods of one object and
keep nothing between passes, so that a copied or unpickled model has hooks of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import Cache

from ropewalk.core import positions
from ropewalk.core.encoding import Band
from ropewalk.core.host import Edit, apply_edit
from ropewalk.core.rows import Row, layer_rows
from ropewalk.errors import UserError
from ropewalk.hf.cache_state import CACHE_NAME, layer_state
from ropewalk.hf.inspect_model import HostStructure, RotaryLayer
from ropewalk.hf.offload import loaded
from ropewalk.hf.rotation import rotation_in_band

CACHE_ARGUMENTS = ("cache", "past_key_values", "layer_past", "past_key_value")
NAME = "increments"
"""The name of the submodule that holds increments, in each attention, or in the decoder where all layers share them."""


class Increments(nn.Module):
    """A parametrization as part of a base model: its weights and r are float32, whatever the base is cast to.

    On a base that computes in bfloat16, by its weights or under autocast, the hidden layer does so too.
    """

    def __init__(self, parametrization: nn.Module, rows: int) -> None:
        super().__init__()
        self.parametrization = parametrization.float()
        self.num_rows = rows

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, C) -> r (B, T, G), float32."""
        if any(hasattr(part, "base_layer") for part in self.parametrization.children()):
            raise UserError(
                "another adapter has wrapped the increments themselves (LoRA on all-linear, added after the graft), which would "
                "freeze them; add that adapter first and graft the model it returns."
            )
        kind = x.device.type
        computed = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        with torch.autocast(kind, enabled=False), loaded(self):
            r = self.parametrization(
                x.to(torch.bfloat16 if computed == torch.bfloat16 else torch.float32),
                x.new_zeros(x.shape[:2], dtype=torch.long),  # a graft does not read the token ids
            )
        return r.expand(*x.shape[:2], self.num_rows)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Increments:
        def move(t: Tensor) -> Tensor:
            moved = fn(t)
            narrowed = t.is_floating_point() and moved.dtype != t.dtype
            return t.to(moved.device) if narrowed else moved

        return super()._apply(move, recurse)


@dataclass
class Recording:
    """What one pass changes (`edit`) and what it leaves behind: r per module, positions by layer."""

    edit: Edit | None = None
    r: list[Tensor] = field(default_factory=list)
    p: dict[int, Tensor] = field(default_factory=dict)


class GraftHooks:
    """The hooks on one base model, whose modules hold their increments as a child called `NAME`."""

    def __init__(self, structure: HostStructure, gap: positions.Gap, rows: int, band: Band = "all") -> None:
        self.structure, self.gap, self.rows, self.band = structure, gap, rows, band
        self.recording: Recording | None = None
        self.handles: list[RemovableHandle] = []
        self._shared_pass: dict[str, Any] = {}
        self._attended = False

    def attach_per_layer(self, layers: Sequence[RotaryLayer]) -> None:
        """Hooks the attention of each layer; the rotary embedding marks its output with the integers it was given.

        A pass in which no attention is called was made by a tool that puts its own attentions in their place: it is refused.
        """
        decoder = self.structure.decoder
        self.handles += [
            self.structure.rotary.register_forward_hook(_mark_integers, with_kwargs=True),
            decoder.register_forward_pre_hook(self._begin_pass),
            decoder.register_forward_hook(self._end_pass),
        ]
        for layer in layers:
            hook = partial(self._before_attention, layer)
            self.handles.append(layer.attention.register_forward_pre_hook(hook, with_kwargs=True))

    def attach_shared(self) -> None:
        """Hooks the decoder and its rotary embedding; the sum is kept in the cache of the first rotating layer."""
        decoder, rotary = self.structure.decoder, self.structure.rotary
        self.handles += [
            decoder.register_forward_pre_hook(self._before_decoder, with_kwargs=True),
            rotary.register_forward_hook(self._after_rotary, with_kwargs=True),
            decoder.register_forward_hook(self._after_decoder, with_kwargs=True),
        ]

    def remove(self) -> None:
        """Removes all hooks from the model."""
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def _before_attention(
        self, layer: RotaryLayer, attention: nn.Module, args: tuple, kwargs: dict[str, Any]
    ) -> Any:
        if not torch.compiler.is_compiling():
            self._attended = True
        x = args[0] if args else kwargs["hidden_states"]
        r = _increments(attention, x)
        if r is None:
            return None
        n = _integers(kwargs)
        held = layer_state(_cache(kwargs), layer.cache_index)
        offset = None if held is None else held.offset(x.shape[0])
        p, ends = self._positions(r, n, offset, layer_rows(layer.index, self.rows), layer.index)
        if held is not None:
            held.keep(ends)
        changed = rotation_in_band(self.structure.rotary, x, p, n, layer.layer_type, self.band)
        return args, {**kwargs, "position_embeddings": changed}

    def _begin_pass(self, decoder: nn.Module, args: tuple) -> None:
        if not torch.compiler.is_compiling():
            self._attended = False

    def _end_pass(self, decoder: nn.Module, args: tuple, output: Any) -> None:
        if not torch.compiler.is_compiling() and not self._attended:
            raise UserError(
                f"the attentions of this {self.structure.name} were replaced after the graft (TransformerLens does so), so its "
                'increments would be ignored; graft it with per="shared", or use ropewalk\'s own activations.'
            )

    def _before_decoder(self, decoder: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        self._shared_pass.clear()
        _refuse_reentrant(self.structure)
        self._shared_pass["cache"] = _cache(kwargs)

    def _after_rotary(self, rotary: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> Any:
        x, n, layer_type = _rotary_arguments(args, kwargs)
        state = self._shared_pass
        if "p" not in state:
            r = _increments(self.structure.decoder, x)
            if r is None:
                return None
            cache, index = state.get("cache"), self._shared_index
            held = layer_state(cache, index) if cache is not None and len(cache.layers) > index else None
            offset = None if held is None else held.offset(r.shape[0])
            state["p"], state["ends"] = self._positions(r, n, offset, layer_rows(None, self.rows), 0)
        return rotation_in_band(rotary, x, state["p"], n, layer_type, self.band)

    def _after_decoder(self, decoder: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
        cache = getattr(output, CACHE_NAME, None)
        if cache is None:
            cache = self._shared_pass.get("cache")
        if cache is not None and "ends" in self._shared_pass:
            layer_state(cache, self._shared_index).keep(self._shared_pass["ends"])
        self._shared_pass.clear()

    @property
    def _shared_index(self) -> int:
        return self.structure.rotary_layers[0].cache_index

    def _positions(
        self, r: Tensor, n: Tensor, offset: Tensor | None, rows: tuple[Row, ...], layer: int
    ) -> tuple[Tensor, Tensor]:
        """Positions p (B, T, G) float32, and the running sums after each token."""
        if self.recording is not None:
            r = apply_edit(self.recording.edit, rows, r)
            self.recording.r.append(r)
        n = n.to(r.device).expand(r.shape[0], -1)
        running, ends = positions.offsets(r, gap=self.gap, starts=restarts(n, offset), initial_sum=offset)
        p = (n[..., None] + running).float()
        if self.recording is not None:
            self.recording.p[layer] = p
        return p, ends


def _increments(owner: nn.Module, x: Tensor) -> Tensor | None:
    """r (B, T, G) of an owner for its input x (B, T, C); None where it has none, or none are active."""
    module = owner._modules.get(NAME)
    return None if module is None else module(x)


def restarts(n: Tensor, offset: Tensor | None) -> Tensor:
    """(B, T) bool: where integer positions (B, T) fail to increase, and at the first token of all."""
    first = torch.ones_like(n[:, :1], dtype=torch.bool) if offset is None else n[:, :1] == 0
    return torch.cat([first, n[:, 1:] <= n[:, :-1]], 1)


def checkpointing(structure: HostStructure) -> Literal["no", "yes", "reentrant"]:
    """Whether the next pass of a model will be recomputed in its backward pass, and how."""
    for layer in structure.layers:
        if getattr(layer, "gradient_checkpointing", False) and layer.training and torch.is_grad_enabled():
            keywords = getattr(getattr(layer, "_gradient_checkpointing_func", None), "keywords", None) or {}
            return "reentrant" if keywords.get("use_reentrant") else "yes"
    return "no"


def _cache(kwargs: dict[str, Any]) -> Any:
    cache = next((kwargs[name] for name in CACHE_ARGUMENTS if kwargs.get(name) is not None), None)
    if cache is not None and cache is kwargs.get("cache") and not isinstance(cache, Cache):
        raise UserError(
            "continuous batching (generate_batch) does not carry the running positions of increments; call "
            "model.generate, which batches prompts by left padding."
        )
    return cache


def _mark_integers(rotary: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
    """Leaves the integer positions on the rotation, for attentions that are given nothing else."""
    _, n, _ = _rotary_arguments(args, kwargs)
    marked: Any = output if isinstance(output, Tensor) else output[0]
    marked.integers = n


def _integers(kwargs: dict[str, Any]) -> Tensor:
    n = kwargs.get("position_ids")
    if n is None:
        given = kwargs.get("position_embeddings")
        first = given if isinstance(given, Tensor) or given is None else given[0]
        n = getattr(first, "integers", None)
    if n is None or n.dim() != 2:
        shape = "none" if n is None else tuple(n.shape)
        raise UserError(
            f"an attention of this model needs position_ids (B, T), got {shape}; such models are not supported."
        )
    return n


def _rotary_arguments(args: tuple, kwargs: dict[str, Any]) -> tuple[Tensor, Tensor, str | None]:
    names = ("x", "position_ids", "layer_type")
    given: list[Any] = [kwargs.get(name, args[i] if i < len(args) else None) for i, name in enumerate(names)]
    x, n, layer_type = given
    if n is None or n.dim() != 2:
        raise UserError(
            "this model's rotary embedding is not given position_ids (B, T); such models are not supported."
        )
    return x, n, layer_type


def _refuse_reentrant(structure: HostStructure) -> None:
    if checkpointing(structure) == "reentrant":
        raise UserError(
            "shared increments cannot be trained under reentrant gradient checkpointing; enable it with "
            "use_reentrant = False in its kwargs."
        )
