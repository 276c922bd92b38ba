"""Weight initialization: one random stream per parameter, so models with the same seed share the weights they share."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def init_weights(model: nn.Module, seed: int, std: float = 0.02) -> None:
    """Draws every matrix from N(0, std), each from a random stream that depends on the seed and the parameter's name.

    Two models with the same seed share every weight whose name and shape they share. Biases are set to zero. A module
    with a method `after_init` is called once all weights are drawn.
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
            if callable(after_init := getattr(module, "after_init", None)):
                after_init()
