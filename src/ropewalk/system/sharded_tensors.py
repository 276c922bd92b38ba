"""Tensors that FSDP2 shards over processes: gathering them whole, and placing whole ones. Elsewhere they are left as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def full_tensor(tensor: Any) -> Tensor:
    """All of a tensor, also where processes hold parts of it (all of them must ask); the same one elsewhere."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def gather_tensors(tensors: Mapping[str, Tensor], keep: bool = True) -> dict[str, Tensor]:
    """Whole tensors on the CPU, for those who `keep` them; every process must ask."""
    kept = {}
    for name, tensor in tensors.items():
        found = full_tensor(tensor)
        if keep:
            kept[name] = found.detach().cpu().contiguous()
    return kept


def broadcast_like(value: Tensor | None, like: Any) -> Tensor:
    """The first process's whole tensor, on the device of `like`, and in parts where that one is in parts.

    value: what the first one has; None elsewhere.
    """
    if value is None:
        value = torch.empty(like.shape, dtype=like.dtype)
    value = value.to(like.device, like.dtype)
    if hasattr(like, "full_tensor"):
        from torch.distributed.tensor import distribute_tensor

        return distribute_tensor(value, like.device_mesh, like.placements)
    if dist.is_initialized():
        dist.broadcast(value, 0)
    return value
