"""Runs a PyTorch host over the windows of many texts and fills their trace builders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ropewalk.core.host import Edit, Host, increments_of
from ropewalk.core.loss import surprisal_and_entropy
from ropewalk.system import allocator
from ropewalk.traces.builder import TraceBuilder, Window

LOGITS_AT_ONCE = 1 << 24
"""Logits whose nats are computed at a time: 64 MB in float32."""


@torch.inference_mode()
def run(host: Host, builders: Sequence[TraceBuilder], edit: Edit | None, tokens_per_pass: int) -> None:
    """Reads every window of every builder. Windows of similar length share a pass, padded at their ends."""
    allocator.keep_freed_memory()
    pieces = [(builder, window) for builder in builders for window in builder.windows()]
    pieces.sort(key=lambda piece: len(piece[1].tokens))
    for batch in _batches(pieces, tokens_per_pass):
        longest = max(len(window.tokens) for _, window in batch)
        tokens = torch.zeros(len(batch), longest, dtype=torch.int64)
        for row, (_, window) in zip(tokens, batch, strict=True):
            row[: len(window.tokens)] = torch.from_numpy(window.tokens)
        output = host(tokens, edit=edit)
        increments = increments_of(output).numpy(force=True)
        for row, (builder, window) in enumerate(batch):
            length = len(window.tokens)
            logits = output.logits[row, window.predicting : length]
            builder.add_window(window, increments[row, :, :length], *nats(logits, window.following))


Piece = tuple[TraceBuilder, Window]


def _batches(pieces: list[Piece], tokens_per_pass: int) -> Iterator[list[Piece]]:
    """Pieces in order of their length, as many as fit into `tokens_per_pass` once padded."""
    batch: list[Piece] = []
    for piece in pieces:
        if batch and (len(batch) + 1) * len(piece[1].tokens) > tokens_per_pass:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


def nats(logits: Tensor, following: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Surprisal of the tokens `following` (S,) logits (S, V), and the entropy before each."""
    targets = torch.from_numpy(following).to(logits.device)
    size = max(1, LOGITS_AT_ONCE // logits.shape[-1])
    parts = [
        surprisal_and_entropy(some, own)
        for some, own in zip(logits.split(size), targets.split(size), strict=True)
    ]
    surprisal, entropy = (torch.cat(part).numpy(force=True) for part in zip(*parts, strict=True))
    return surprisal, entropy
