"""Which model it is: a fingerprint of a base model's architecture and weights, cheap at any size.

It samples every floating-point weight at a few places, rounded to bfloat16, so that the same checkpoint loaded in
float32 or bfloat16 is the same model. Quantized weights are left out.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from ropewalk.hf.hooks import NAME
from ropewalk.hf.offload import stored

SAMPLES = 16
ADAPTERS = (f".{NAME}.", ".lora_", ".modules_to_save.", ".original_module.")
"""Parts of the names of parameters that belong to adapters and not to the base."""


def identity(model: nn.Module) -> dict[str, str]:
    """{"architecture", "shapes", "weights"}: class name, and two sha256 in hexadecimal."""
    shapes, weights = hashlib.sha256(), hashlib.sha256()
    for name, parameter in sorted(base_parameters(model).items()):
        shapes.update(f"{name} {tuple(parameter.shape)}\n".encode())
        if _is_plain(parameter):
            weights.update(name.encode())
            weights.update(_sample(parameter).view(torch.int16).numpy().tobytes())
    return {
        "architecture": _architecture(model),
        "shapes": shapes.hexdigest(),
        "weights": weights.hexdigest(),
    }


def base_parameters(model: nn.Module) -> dict[str, Any]:
    """The base's parameters under the names they have without adapters."""
    found = {}
    for prefix, module in model.named_modules():
        for own, parameter in module.named_parameters(recurse=False):
            name = f"{prefix}.{own}" if prefix else own
            if not any(part in f".{name}" for part in ADAPTERS):
                plain = name.removeprefix("base_model.model.").replace(".base_layer.", ".")
                while plain.startswith("base_model.model."):
                    plain = plain.removeprefix("base_model.model.")
                found[plain] = stored(module, own, parameter)
    return found


def is_quantized(model: nn.Module) -> bool:
    """Whether some weights are kept in fewer bits, whatever the method."""
    described: Any = model
    return getattr(described, "quantization_method", None) is not None or not all(
        _is_plain(parameter) for parameter in base_parameters(model).values()
    )


def full_tensor(tensor: Any) -> Tensor:
    """The whole of a tensor, detached, also where it is sharded over processes (all of them must call this)."""
    return (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).detach()


def _is_plain(parameter: Any) -> bool:
    """Whether a weight is an ordinary tensor of floating-point numbers, or a sharded one."""
    ordinary = type(parameter.data) is Tensor or hasattr(parameter, "full_tensor")
    return ordinary and parameter.is_floating_point()


def _architecture(model: Any) -> str:
    while hasattr(model, "get_base_model"):
        model = model.get_base_model()
    return type(model).__name__


def _sample(parameter: Any) -> Tensor:
    flat = full_tensor(parameter).reshape(-1)
    at = torch.linspace(0, flat.numel() - 1, min(SAMPLES, flat.numel()), dtype=torch.float64).long()
    return flat[at.to(flat.device)].to("cpu", torch.bfloat16)
