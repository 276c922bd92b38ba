"""Modules whose weights accelerate keeps elsewhere (`cpu_offload`, `device_map="auto"`) until their forward runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

META = torch.device("meta")


def module_device(module: nn.Module) -> torch.device:
    """Where a module computes, also while its weights are offloaded."""
    first = next((tensor.device for tensor in [*module.parameters(), *module.buffers()]), torch.device("cpu"))
    if first != META:
        return first
    for part in module.modules():
        device = getattr(getattr(part, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device if not isinstance(device, int) else f"cuda:{device}")
    return torch.device("cpu") if _offloaded(module) else META


@contextmanager
def loaded(module: nn.Module) -> Iterator[None]:
    """Brings a module's offloaded weights to its device, for code that reads them without calling its submodules."""
    hooked: list[tuple[Any, nn.Module]] = [
        (part._hf_hook, part) for part in module.modules() if hasattr(part, "_hf_hook") and _holds_meta(part)
    ]
    for hook, part in hooked:
        hook.pre_forward(part)
    try:
        yield
    finally:
        for hook, part in hooked:
            hook.post_forward(part, None)


def stored(module: nn.Module, name: str, parameter: Tensor) -> Tensor:
    """A parameter of `module` by its own name, from where accelerate keeps it if it is offloaded."""
    weights = getattr(getattr(module, "_hf_hook", None), "weights_map", None)
    return weights[name] if parameter.device == META and weights is not None else parameter


def _holds_meta(module: nn.Module) -> bool:
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return any(tensor.device == META for tensor in own)


def _offloaded(module: nn.Module) -> bool:
    return any(hasattr(part, "_hf_hook") for part in module.modules())
