"""The seam between a host and its increments: hooks that replace the rotation an attention is given.

Per layer, a hook before each attention reads its input, walks and hands over the host's own rotation at the
new positions. Shared, a hook after the model's rotary embedding does the same once for all layers, reading
the embeddings. The host's integer `position_ids` are left alone: p = position_ids + running sum of r, and
the sum restarts wherever they fail to increase, which covers left padding and packed documents. Hooks keep
nothing between passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ropewalk.core import positions
from ropewalk.core.host import Edit, apply_edit
from ropewalk.core.rows import Row, layer_rows
from ropewalk.errors import UserError
from ropewalk.hf.cache_state import layer_state
from ropewalk.hf.inspect_model import HostStructure, Place
from ropewalk.hf.rotation import rotation

CACHES = ("past_key_values", "layer_past", "past_key_value")
NAME = "increments"


class Increments(nn.Module):
    """A parametrization as part of a host: its weights and r are float32, whatever the host is cast to.

    A host that computes in bfloat16, by its weights or under autocast, has the parametrization's hidden layer do so too.
    """

    def __init__(self, parametrization: nn.Module, rows: int) -> None:
        super().__init__()
        self.parametrization = parametrization.float()
        self.count = rows

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, C) -> r (B, T, G), float32."""
        kind = x.device.type
        computed = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        with torch.autocast(kind, enabled=False):
            r = self.parametrization(
                x.to(torch.bfloat16 if computed == torch.bfloat16 else torch.float32), x[..., 0]
            )
        return r.expand(*x.shape[:2], self.count)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Increments:
        def move(t: Tensor) -> Tensor:
            moved = fn(t)
            narrowed = t.is_floating_point() and moved.dtype != t.dtype
            return t.to(moved.device) if narrowed else moved

        return super()._apply(move, recurse)


@dataclass
class Recording:
    """What one pass was asked to change and to keep."""

    edit: Edit | None = None
    r: list[Tensor] = field(default_factory=list)
    p: dict[int, Tensor] = field(default_factory=dict)


@dataclass
class GraftHooks:
    """Hooks on one host. `of` gives a module's increments for its input, or None where none are active."""

    anatomy: HostStructure
    gap: positions.Gap
    rows: int
    of: Callable[[nn.Module, Tensor], Tensor | None]
    recording: Recording | None = None
    handles: list[RemovableHandle] = field(default_factory=list)

    def per_layer(self, places: Sequence[Place]) -> None:
        """Hooks before the attention of each place; the rotary embedding marks its output with the
        integers it saw.
        """
        self.handles.append(self.anatomy.rotary.register_forward_hook(_mark, with_kwargs=True))
        for place in places:

            def before(
                attention: nn.Module, args: tuple, kwargs: dict[str, Any], place: Place = place
            ) -> Any:
                x = args[0] if args else kwargs["hidden_states"]
                r = self.of(attention, x)
                if r is None:
                    return None
                n = _integers(kwargs)
                held = layer_state(_cache(kwargs), place.slot)
                p = self._walk(r, n, held, layer_rows(place.index, self.rows), place.index)
                given = rotation(self.anatomy.rotary, x, p, place.layer_type)
                return args, {**kwargs, "position_embeddings": given}

            self.handles.append(place.attention.register_forward_pre_hook(before, with_kwargs=True))

    def shared(self, slot: int) -> None:
        """Hooks around the decoder and after its rotary embedding; the sum lives in the cache layer
        `slot`.
        """
        state: dict[str, Any] = {}

        def enter(decoder: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
            state.clear()
            _refuse_reentrant(self.anatomy)
            state["cache"] = _cache(kwargs)

        def turn(rotary: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> Any:
            x, n, layer_type = _rotary_arguments(args, kwargs)
            if "p" not in state:
                r = self.of(self.anatomy.decoder, x)
                if r is None:
                    return None
                cache = state.get("cache")
                held = layer_state(cache, slot) if cache is not None and len(cache.layers) > slot else None
                offset = held.carried() if held is not None else None
                state["p"] = self._positions(r, n, offset, layer_rows(None, self.rows), 0, state)
            return rotation(rotary, x, state["p"], layer_type)

        def leave(decoder: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
            cache = getattr(output, "past_key_values", None)
            if cache is None:
                cache = state.get("cache")
            if cache is not None and "ends" in state:
                layer_state(cache, slot).keep(state["ends"])
            state.clear()

        decoder, rotary = self.anatomy.decoder, self.anatomy.rotary
        self.handles += [
            decoder.register_forward_pre_hook(enter, with_kwargs=True),
            rotary.register_forward_hook(turn, with_kwargs=True),
            decoder.register_forward_hook(leave, with_kwargs=True),
        ]

    def remove(self) -> None:
        """Takes all hooks off the host."""
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def _walk(self, r: Tensor, n: Tensor, held: Any, rows: tuple[Row, ...], layer: int) -> Tensor:
        kept: dict[str, Tensor] = {}
        p = self._positions(r, n, held.carried() if held is not None else None, rows, layer, kept)
        if held is not None:
            held.keep(kept["ends"])
        return p

    def _positions(
        self,
        r: Tensor,
        n: Tensor,
        offset: Tensor | None,
        rows: tuple[Row, ...],
        layer: int,
        kept: dict[str, Any],
    ) -> Tensor:
        if self.recording is not None:
            r = apply_edit(self.recording.edit, rows, r)
            self.recording.r.append(r)
        n = n.to(r.device).expand(r.shape[0], -1)
        running, kept["ends"] = positions.offsets(r, gap=self.gap, starts=starts(n, offset), offset=offset)
        p = (n[..., None] + running).float()
        if self.recording is not None:
            self.recording.p[layer] = p
        return p


def starts(n: Tensor, offset: Tensor | None) -> Tensor:
    """(B, T) bool: where integer positions (B, T) fail to increase, and at the first token of all."""
    first = torch.ones_like(n[:, :1], dtype=torch.bool) if offset is None else n[:, :1] == 0
    return torch.cat([first, n[:, 1:] <= n[:, :-1]], 1)


def _cache(kwargs: dict[str, Any]) -> Any:
    return next((kwargs[name] for name in CACHES if kwargs.get(name) is not None), None)


def _mark(rotary: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
    """Leaves the integer positions on the rotation, for attentions that are given nothing else."""
    _, n, _ = _rotary_arguments(args, kwargs)
    marked: Any = output if isinstance(output, Tensor) else output[0]
    marked.integers = n


def _integers(kwargs: dict[str, Any]) -> Tensor:
    n = kwargs.get("position_ids")
    if n is None:
        given = kwargs.get("position_embeddings")
        n = (
            getattr(given if isinstance(given, Tensor) else given[0], "integers", None)
            if given is not None
            else None
        )
    if n is None or n.dim() != 2:
        shape = "none" if n is None else tuple(n.shape)
        raise UserError(
            f"an attention of this host needs position_ids (B, T), got {shape}; such hosts are not supported."
        )
    return n


def _rotary_arguments(args: tuple, kwargs: dict[str, Any]) -> tuple[Tensor, Tensor, str | None]:
    names = ("x", "position_ids", "layer_type")
    given: list[Any] = [kwargs.get(name, args[i] if i < len(args) else None) for i, name in enumerate(names)]
    x, n, layer_type = given
    if n is None or n.dim() != 2:
        raise UserError(
            "this host's rotary embedding is not given position_ids (B, T); such hosts are not supported."
        )
    return x, n, layer_type


def checkpointing(anatomy: HostStructure) -> Literal["no", "yes", "reentrant"]:
    """Whether the next pass of a host will be recomputed in its backward pass, and how."""
    for layer in anatomy.layers:
        if getattr(layer, "gradient_checkpointing", False) and layer.training and torch.is_grad_enabled():
            keywords = getattr(getattr(layer, "_gradient_checkpointing_func", None), "keywords", None) or {}
            return "reentrant" if keywords.get("use_reentrant") else "yes"
    return "no"


def _refuse_reentrant(anatomy: HostStructure) -> None:
    if checkpointing(anatomy) == "reentrant":
        raise UserError(
            "shared increments cannot be trained under reentrant gradient checkpointing; enable it with "
            "use_reentrant = False in its kwargs."
        )
