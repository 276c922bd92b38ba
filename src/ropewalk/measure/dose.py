"""Dose response: single gaps are made wider or narrower, and the loss of the tokens behind them is recorded.

A dose of 2 doubles the gap before one token in every row, a dose of 0.5 halves it; everything else stays as the model
spaces it. The response is the mean loss of the next `AFTER` tokens minus that of the untouched run, nats per token.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ropewalk.core.host import Edit, Host
from ropewalk.core.rows import Row

AFTER = 16
BATCH = 16


def dose_response(host: Host, tokens: np.ndarray, at: np.ndarray, doses: Sequence[float]) -> np.ndarray:
    """tokens (T,); at (G,): the token whose gap is changed. Returns (G, len(doses)), nats per token.

    Each gap is read in a window of its own that ends `AFTER` tokens behind it and is as long as the host's context
    allows. The token that the gap precedes is predicted before the gap is read; the `AFTER` tokens behind it are scored.
    """
    past = host.context_length - AFTER
    found = np.empty((len(at), len(doses)))
    order = np.argsort(np.minimum(at, past), kind="stable")  # windows of one length share a pass
    for first in range(0, len(order), BATCH):
        places = order[first : first + BATCH]
        for depth in np.unique(np.minimum(at[places], past)):
            group = places[np.minimum(at[places], past) == depth]
            windows = np.stack([tokens[g - depth : g + AFTER + 1] for g in at[group]])
            batch = torch.from_numpy(windows.astype(np.int64))
            clean = _loss(host, batch, int(depth), None)
            for i, dose in enumerate(doses):
                found[group, i] = _loss(host, batch, int(depth), _scaled(int(depth), dose)) - clean
    return found


def _scaled(place: int, dose: float) -> Edit:
    def edit(row: Row, d: Tensor) -> Tensor:
        changed = d.clone()
        changed[:, place] *= dose
        return changed

    return edit


def _loss(host: Host, batch: Tensor, place: int, edit: Edit | None) -> np.ndarray:
    """Mean loss of the tokens behind `place`, (B,)."""
    with torch.inference_mode():
        logits = host(batch, edit=edit).logits[:, place:-1].float().cpu()
        loss = F.cross_entropy(logits.transpose(1, 2), batch[:, place + 1 :], reduction="none")
    return loss.double().mean(1).numpy()
