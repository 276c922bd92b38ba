"""Increments over a host's vocabulary: of every token by itself, or averaged over text.

Increments that all layers share read the embedding alone, so the network by itself gives the whole table; the model
does not run. Others depend on what came before and are averaged over windows of text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ropewalk.core.host import Host, increments_of
from ropewalk.errors import UserError
from ropewalk.measure.random_networks import RandomNetworks


@torch.inference_mode()
def every_token(host: Host, vocab_size: int, *, batch: int = 512) -> np.ndarray:
    """(V, N) increments of each token by itself. UserError for hosts whose layers have their own."""
    if any(row.layer is not None for row in host.rows):
        raise UserError(
            "this model's layers read what came before, so a token has no increment by itself; give some text to average "
            "over."
        )
    embed = _embedding(host)
    first_ids = torch.arange(min(8, vocab_size))[:, None]
    if embed is not None and not torch.allclose(
        embed(first_ids), increments_of(host(first_ids))[:, :, 0], atol=1e-5
    ):
        embed = None  # the host changes its embeddings before its layers read them
    found = []
    for first in range(0, vocab_size, batch):
        ids = torch.arange(first, min(first + batch, vocab_size))[:, None]
        d = increments_of(host(ids))[:, :, 0] if embed is None else embed(ids)
        found.append(d.double().cpu().numpy())
    return np.concatenate(found)


@torch.inference_mode()
def random_every_token(host: Host, vocab_size: int, draws: int, *, batch: int = 4096) -> np.ndarray:
    """(V, D): what random networks on the input of shared increments give for each token by itself."""
    random = RandomNetworks(host, draws)
    model: Any = getattr(host, "model", None)
    found = []
    for first in range(0, vocab_size, batch):
        ids = torch.arange(first, min(first + batch, vocab_size))[:, None]
        if model is None:
            d = increments_of(random(ids))[:, :, 0]
        else:
            x = model.get_input_embeddings()(ids.to(model.device)).float().cpu()
            d = 1.0 + torch.cat([network(x, ids) for network in random.networks[0]], -1)[:, 0]
        found.append(d.double().cpu().numpy())
    return np.concatenate(found)


@torch.inference_mode()
def in_context(
    host: Host, windows: Iterable[Tensor], vocab_size: int, *, skip: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Mean increments (V, N) over windows (B, T) of tokens, and how often each token occurred (V,).

    skip: tokens left out at the start of each window: the first one, which no gap precedes, or a prefix. Tokens that never
    occurred have 0.
    """
    sums = torch.zeros(vocab_size, len(host.rows), dtype=torch.float64)
    counts = torch.zeros(vocab_size, dtype=torch.int64)
    for ids in windows:
        d = increments_of(host(ids)).double().cpu()[:, :, skip:]
        flat = ids[:, skip:].flatten()
        counts += torch.bincount(flat, minlength=vocab_size)
        sums.index_add_(0, flat, d.transpose(1, 2).flatten(0, 1))
    return (sums / counts.clamp(min=1)[:, None]).numpy(), counts.numpy()


def _embedding(host: Any) -> Any:
    """ids (B, 1) -> d (B, N) by embedding and network alone, for grafts; None for other hosts."""
    modules, model = getattr(host, "increment_modules", None), getattr(host, "model", None)
    if modules is None or model is None:
        return None
    embeddings = model.get_input_embeddings()

    def d(ids: Tensor) -> Tensor:
        return 1.0 + modules[0](embeddings(ids.to(host.device)))[:, 0]

    return d
