"""Capture: runs a host over a text and keeps one increment per token and line, as a Trace.

Beside them, per token and in nats: surprisal, the entropy before the token and the entropy after it. A text
longer than the host's context is read in windows that overlap by half, so that every token is read with at
least half a context behind it (the first window excepted); memory does not grow with the text beyond the
numbers kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ropewalk.core.host import Edit, Host, increments_of
from ropewalk.core.loss import surprisal_and_entropy
from ropewalk.system import allocator
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.traces.builder import Start, TraceBuilder, windows
from ropewalk.traces.trace import Trace

TOGETHER = 4096
"""Tokens in one pass: enough to keep a processor busy, little enough to stay in its caches."""


def trace(
    host: Host,
    text: str,
    *,
    tokens: TokenizedText | None = None,
    start: Start = "document",
    edit: Edit | None = None,
    together: int = TOGETHER,
) -> Trace:
    """The increments of `text` in every line of `host`, kind "increment", unit "token-equivalents".

    tokens: how the host reads the text; UTF-8 bytes when None. start: "document" puts the start symbol before
    the text, so that the first token too has a surprisal and a gap before it; "text" begins with the text
    itself. edit: an intervention on the increments, see `ropewalk.core.host`; called once per pass. together: the
    most tokens in one pass; a pass holds one window at least. UserError for an empty text and for tokens outside
    the host's vocabulary.
    """
    (made,) = trace_many(host, [text], tokens=[tokens], start=start, edit=edit, together=together)
    return made


def trace_many(
    host: Host,
    texts: Sequence[str],
    *,
    tokens: Sequence[TokenizedText | None] | None = None,
    start: Start = "document",
    edit: Edit | None = None,
    together: int = TOGETHER,
) -> list[Trace]:
    """The traces of many texts, in their order; arguments as in `trace`, equal to it but for rounding.

    Windows of about one length share a pass, each a row of its own, padded behind, where a causal model does not
    look: short texts cost less so than packed into one long window, whose mask they would pay for. A thread keeps
    up to 256 MB of what its passes free, see `ropewalk.system.allocator`.
    """
    allocator.keep_freed_memory()
    given = tokens or [None] * len(texts)
    gathered = [TraceBuilder(host, text, own, start) for text, own in zip(texts, given, strict=True)]
    pieces = [
        (each, *window) for each in gathered for window in windows(len(each.sequence), host.context_length)
    ]
    pieces.sort(key=lambda piece: piece[3] - piece[1])
    with torch.inference_mode():
        for batch in _batches(pieces, together):
            longest = max(last - first for _, first, _, last in batch)
            rows = torch.zeros(len(batch), longest, dtype=torch.int64)
            for row, (each, first, _, last) in zip(rows, batch, strict=True):
                row[: last - first] = torch.from_numpy(each.sequence[first:last])
            output = host(rows, edit=edit)
            increments = increments_of(output).numpy(force=True)
            for row, (each, first, keep, last) in enumerate(batch):
                length = last - first
                each.take(increments[row, :, :length], output.logits[row, :length].cpu(), _nats, first, keep)
    return [each.trace(host, start) for each in gathered]


Piece = tuple[TraceBuilder, int, int, int]


def _batches(pieces: list[Piece], together: int) -> Iterator[list[Piece]]:
    """Pieces in order of their length, as many as fit into `together` tokens once padded."""
    batch: list[Piece] = []
    for piece in pieces:
        if batch and (len(batch) + 1) * (piece[3] - piece[1]) > together:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


def _nats(logits: Tensor, following: np.ndarray) -> tuple[Tensor, Tensor]:
    return surprisal_and_entropy(logits, torch.from_numpy(following))
