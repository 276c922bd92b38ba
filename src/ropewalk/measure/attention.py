"""What each token attends to: per row of a host, the tokens with the largest attention weights.

A row's weights are the mean over the heads that use the row: those of its layer, those of its key/value head, or all of the
model where the layers share one row. The tokens before the text count as one. The same weights at even spacing (every
increment 1, in all layers) say what the learned spacing changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ropewalk.core.host import Edit, Host
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.measure.hosts import eager_attention
from ropewalk.tokens.tokenized_text import TokenizedText

MOST = 8
"""Attended tokens that are kept for each token."""
WEIGHTS = 1 << 27
"""Attention weights that a pass may hold: 512 MB in float32."""
NONE, PREFIX = -2, -1


@dataclass(frozen=True, eq=False)
class Attention:
    """Arrays are (N, T, M): rows, tokens of the text, attended tokens by falling weight.

    tokens: int64, a token of the text, PREFIX for all tokens before the text, NONE where there are fewer. weights: float32, 0
    for NONE. even: the weights of the same tokens at even spacing, None for a host whose increments are all 1.
    """

    tokens: np.ndarray
    weights: np.ndarray
    even: np.ndarray | None


@torch.inference_mode()
def read_attention(host: Host | Any, tokens: TokenizedText, edit: Edit | None = None) -> Attention:
    """The attention of `host` over a text, read in one pass. edit: see `ropewalk.core.host`.

    UserError for a text that is too long for one pass, and for a host that does not return its attention.
    """
    layers = _attention_layers(host)
    sequence = np.concatenate([np.array(tokens.prefix, np.int64), tokens.ids])
    structure = getattr(host, "structure", None)
    config: Any = getattr(host if structure is None else structure, "config", None)
    heads = getattr(config, "num_heads", None) or getattr(config, "num_attention_heads", None) or 16
    longest = min(host.context_length, int((WEIGHTS / (len(layers) * heads)) ** 0.5))
    if len(sequence) > longest:
        raise UserError(
            f"attention can be read for at most {longest} tokens of this model, got {len(sequence)}; choose a shorter text."
        )
    with eager_attention(host):
        weights, learned = _weights(host, sequence, layers, len(tokens.prefix), edit)
        even = None
        if learned:
            even, _ = _weights(host, sequence, layers, len(tokens.prefix), lambda _, d: torch.ones_like(d))
    kept = min(MOST, weights.shape[-1])
    top, places = weights.topk(kept, dim=-1)
    index = places - 1
    index[top <= 0] = NONE
    return Attention(index.numpy(), top.numpy(), None if even is None else even.gather(-1, places).numpy())


def _weights(
    host: Any, sequence: np.ndarray, layers: list[int], skip: int, edit: Edit | None
) -> tuple[Tensor, bool]:
    """(N, T, 1 + T): the weights of each row, the prefix in column 0; and whether any increment differs from 1."""
    names = [f"attention.{layer}" for layer in layers]
    output = host(torch.from_numpy(sequence)[None], edit=edit, activations=names)
    found = {}
    for layer in layers:
        whole = output.activations[f"attention.{layer}"]
        if whole is None:
            raise UserError("this model does not return its attention weights; leave out the attention.")
        found[layer] = _without_prefix(whole[0].float().cpu(), skip)
    rows = torch.stack([_of_row(row, host.rows, found) for row in host.rows])
    return rows, any(bool((r != 0).any()) for r in output.increments)


def _without_prefix(weights: Tensor, skip: int) -> Tensor:
    """(H, T, 1 + T) from (H, prefix + T, prefix + T)."""
    own = weights[:, skip:]
    return torch.cat([own[..., :skip].sum(-1, keepdim=True), own[..., skip:]], -1)


def _of_row(row: Row, rows: tuple[Row, ...], found: dict[int, Tensor]) -> Tensor:
    members = list(found.values()) if row.layer is None else [found[row.layer]]
    count = sum(other.layer == row.layer for other in rows)
    number = row.head or 0
    return torch.stack([w.unflatten(0, (count, -1))[number].mean(0) for w in members]).mean(0)


def _attention_layers(host: Any) -> list[int]:
    """The layers whose attention rows of the host describe."""
    named = sorted({row.layer for row in host.rows if row.layer is not None})
    if named:
        return named
    structure = getattr(host, "structure", None)
    if structure is not None:
        return [layer.index for layer in structure.rotary_layers]
    return list(range(len(host.layers)))
