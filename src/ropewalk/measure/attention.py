"""What each token attends to: per row of a host, the tokens with the largest attention weights.

A row's weights are the mean over the heads that use the row: those of its layer, those of its key/value head, or all of the
model where the layers share one row. The tokens before the text count as one. The same weights at even spacing (every
increment 1, in all layers) say what the learned spacing changes.
"""

from __future__ import annotations

from collections.abc import Callable
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
from ropewalk.traces.builder import window_length, windows

TOP_K = 8
"""Attended tokens that are kept for each token."""
WEIGHTS = 1 << 27
"""Attention weights that a pass may hold: 512 MB in float32. A larger window is read in parts."""
NONE, PREFIX = -2, -1


@dataclass(frozen=True, eq=False)
class Attention:
    """Arrays are (N, T, M): rows, tokens of the text, attended tokens by falling weight.

    tokens: int64, a token of the text, PREFIX for all tokens before the text, NONE where there are fewer. weights: float32, 0
    for NONE. even: the weights of the same tokens at even spacing, None for a host whose increments are all 1. window:
    tokens of each of several windows, None where the text was read at once.
    """

    tokens: np.ndarray
    weights: np.ndarray
    even: np.ndarray | None
    window: int | None = None


@torch.inference_mode()
def read_attention(
    host: Host | Any, tokens: TokenizedText, edit: Callable[[int], Edit | None] = lambda place: None
) -> Attention:
    """The attention of `host` over a text. A long one is read in windows that overlap by half, as a trace is.

    edit: asked for each window, given the place in the text of its first token; see `ropewalk.core.host`. UserError for a
    host that does not return its attention.
    """
    layers = _attention_layers(host)
    skip = len(tokens.prefix)
    sequence = np.concatenate([np.array(tokens.prefix, np.int64), tokens.ids])
    again = np.array(tokens.prefix if tokens.repeat_prefix else (), np.int64)
    parts: list[tuple[Tensor, Tensor, Tensor | None]] = []
    window = _window(host, len(layers)) - len(again)
    with eager_attention(host):
        for first, keep, last in windows(len(sequence), window):
            extra = again if first else again[:0]
            own = len(extra) + max(0, skip - first)  # tokens of this window that are before the text
            given, asked = np.concatenate([extra, sequence[first:last]]), edit(first - len(extra) - skip)
            weights, learned = _weights(host, given, layers, own, asked)
            weights = weights[:, max(keep, skip) - last :]
            top, places = weights.topk(min(TOP_K, weights.shape[-1]), dim=-1)
            even = None
            if learned:
                whole, _ = _weights(host, given, layers, own, lambda _, d: torch.ones_like(d))
                even = whole[:, max(keep, skip) - last :].gather(-1, places)
            index = torch.where(places > 0, places - 1 + max(first - skip, 0), PREFIX)
            parts.append((index.masked_fill(top <= 0, NONE), top, even))
    found, kept = (torch.cat(some, 1).numpy() for some in ([p[0] for p in parts], [p[1] for p in parts]))
    changed = [part[2] for part in parts if part[2] is not None]
    without = torch.cat(changed, 1).numpy() if len(changed) == len(parts) else None
    return Attention(found, kept, without, window if len(parts) > 1 else None)


def _window(host: Any, layers: int) -> int:
    """Tokens of a window: as in a trace, or fewer where the weights of so many would not fit into memory."""
    structure = getattr(host, "structure", None)
    config: Any = getattr(host if structure is None else structure, "config", None)
    heads = getattr(config, "num_heads", None) or getattr(config, "num_attention_heads", None) or 16
    return min(window_length(host), int((WEIGHTS / (layers * heads)) ** 0.5))


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
    return rows, any(bool((r != 0).any()) for r in output.r)


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
