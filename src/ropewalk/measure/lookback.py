"""Mean attended distance of each head, in tokens, and the mean increment of the row that it uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ropewalk.core.host import increments_of
from ropewalk.native.decoder import Decoder

BATCH = 4


@dataclass(frozen=True, eq=False)
class Lookback:
    """W windows in one model.

    distance (W, L, H): mean attended distance of each head, in tokens, the window's first token left out as a target.
    increments (W, L, H): mean increment of the row that gives the head its positions.
    """

    distance: np.ndarray
    increments: np.ndarray


def read_lookback(model: Decoder, windows: Tensor) -> Lookback:
    """Reads `windows` (W, T) with the attention weights of every layer."""
    config = model.config
    activations = [f"attention.{i}" for i in range(config.num_layers)]
    distances, increments = [], []
    t = torch.arange(windows.shape[1], dtype=torch.float32)
    apart = (t[:, None] - t[None, :]).clamp(min=0)
    with torch.inference_mode():
        for part in windows.split(BATCH):
            output = model(part, activations=activations)
            weights = torch.stack(  # (B, L, H, T, T - 1)
                [output.activations[name][..., 1:].cpu() for name in activations], 1
            )
            far = (weights * apart[:, 1:]).sum((-1, -2)) / weights.sum((-1, -2))
            distances.append(far.numpy())
            d = increments_of(output)[..., 1:].mean(-1).cpu()
            modules = len(model.increment_modules)
            groups = len(model.rows) // modules
            d = d.view(len(part), modules, groups).repeat_interleave(config.num_heads // groups, -1)
            increments.append(d.expand(-1, config.num_layers, -1).numpy())
    return Lookback(
        np.concatenate(distances).astype(np.float64), np.concatenate(increments).astype(np.float64)
    )
