"""The loss at every distance from the window's start, beyond the length a model was trained on."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ropewalk.core.host import Host


def loss_by_position(host: Host, windows: Tensor) -> np.ndarray:
    """Nats per token at each position of `windows` (W, T + 1): (W, T) float64; one window at a time."""
    found = np.empty((len(windows), windows.shape[1] - 1))
    with torch.inference_mode():
        for i, window in enumerate(windows):
            logits = host(window[None, :-1]).logits[0]
            loss = F.cross_entropy(logits.float().cpu(), window[1:], reduction="none")
            found[i] = loss.double().numpy(force=True)
    return found
