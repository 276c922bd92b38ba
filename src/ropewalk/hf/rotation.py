"""The base model's own rotation at real-valued positions.

Its rotary embedding is called without the decorators that stop gradients and change frequencies, so every
layout (halves, interleaved, complex, partial, scaled) stays as the model has it. Rows of single key/value heads pass
through as `PerHead`, which replaces cosines and sines shared by all heads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ropewalk.core.encoding import Band
from ropewalk.errors import UserError
from ropewalk.hf.inspect_model import plain_forward
from ropewalk.hf.offload import loaded

SMALL = 2.0**-10
"""A position at which every angle is small, so that its sine has the order of its frequency."""


def rotation_in_band(
    rotary: nn.Module, x: Tensor, p: Tensor, n: Tensor, layer_type: str | None, band: Band
) -> Any:
    """`rotation` where only the faster or the slower half of the model's frequencies turns with p; the other half turns with
    the integer positions n (B, T)."""
    if band == "all":
        return rotation(rotary, x, p, layer_type)
    at = torch.tensor([[[0.0], [SMALL]]], device=p.device)
    probed = rotation(rotary, x[:1, :2].float(), at, layer_type)
    angle = probed.angle() if isinstance(probed, Tensor) else probed[1]
    frequencies = angle[0, 1].abs()
    fast = frequencies > frequencies.sort().values[(len(frequencies) - 1) // 2]
    moving = fast if band == "fast" else ~fast
    turned = rotation(rotary, x, p, layer_type)
    integers = rotation(rotary, x, n[..., None].float().expand_as(p), layer_type)
    if isinstance(turned, Tensor):
        return torch.where(moving, turned, integers)
    return tuple(_chosen(moving, a, b) for a, b in zip(turned, integers, strict=True))


def _chosen(moving: Tensor, a: Any, b: Any) -> Any:
    if isinstance(a, PerHead):
        return PerHead(torch.where(moving, a.value, b.value))
    return torch.where(moving, a, b)


def rotation(rotary: nn.Module, x: Tensor, p: Tensor, layer_type: str | None) -> Any:
    """The output of the model's rotary embedding at positions p (B, T, G) float32; x gives dtype and device."""
    batch, tokens, rows = p.shape
    more = () if layer_type is None else (layer_type,)
    flat = p[..., 0] if rows == 1 else p.transpose(1, 2).reshape(batch * rows, tokens)
    with loaded(rotary):
        output = plain_forward(rotary)(rotary, x, flat, *more)
    if rows == 1:
        return output
    if not isinstance(output, tuple):
        raise UserError(
            "this model rotates by complex numbers shared by all heads; graft it with per_head=False."
        )
    return tuple(PerHead(value.reshape(batch, rows, tokens, -1)) for value in output)


class PerHead:
    """Cosines or sines of several rows, (B, G, T, D), used by a model as if they were one (B, T, D).

    Multiplied with queries or keys (B, H, T, D), each row serves the H/G heads that read it. UserError for anything else
    that a model may do with cosines.
    """

    def __init__(self, value: Tensor) -> None:
        self.value = value

    @property
    def shape(self) -> torch.Size:
        batch, _, tokens, channels = self.value.shape
        return torch.Size((batch, tokens, channels))

    @property
    def dtype(self) -> torch.dtype:
        return self.value.dtype

    @property
    def device(self) -> torch.device:
        return self.value.device

    def unsqueeze(self, dim: int) -> PerHead:
        """Adds the axis of the heads, which is there already."""
        if dim != 1:
            raise _unsupported(f"unsqueeze({dim})")
        return self

    def to(self, *args: Any, **kwargs: Any) -> PerHead:
        return PerHead(self.value.to(*args, **kwargs))

    def float(self) -> PerHead:
        return PerHead(self.value.float())

    def repeat_interleave(self, times: int, dim: int) -> PerHead:
        if dim != -1:
            raise _unsupported(f"repeat_interleave(dim={dim})")
        return PerHead(self.value.repeat_interleave(times, -1))

    def __getitem__(self, key: Any) -> PerHead:
        last = isinstance(key, tuple) and len(key) == 2 and key[0] is Ellipsis and isinstance(key[1], slice)
        if not last:
            raise _unsupported("indexing")
        return PerHead(self.value[key])

    def __rmul__(self, other: Tensor) -> Tensor:
        return other * self.for_heads_of(other)

    __mul__ = __rmul__

    def for_heads_of(self, x: Tensor) -> Tensor:
        """The rows repeated for the heads of x (B, H, T, D)."""
        rows = self.value.shape[1]
        if x.dim() != 4 or x.shape[1] % rows:
            raise _unsupported(f"product with shape {tuple(x.shape)}")
        return self.value.repeat_interleave(x.shape[1] // rows, 1)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Tensor:
        if func not in (torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__) or kwargs or len(args) != 2:
            raise _unsupported(getattr(func, "__name__", str(func)))
        own, other = args if isinstance(args[0], PerHead) else args[::-1]
        return own.__rmul__(other)


def _unsupported(what: str) -> UserError:
    return UserError(
        f"this model rotates in a way that has no single heads ({what}); graft it with per_head=False."
    )
