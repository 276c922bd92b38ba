"""Capture: runs a host over a text and keeps one increment per token and line, as a Trace.

Beside them, per token and in nats: surprisal, the entropy before the token and the entropy after it. A text
longer than the host's context is read in windows that overlap by half, so that every token is read with at
least half a context behind it (the first window excepted); memory does not grow with the text beyond the
numbers kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ropewalk import machine
from ropewalk.errors import UserError
from ropewalk.host import Edit, Host, increments_of
from ropewalk.loss import surprisal_and_entropy
from ropewalk.text import END, byte_spans, encode
from ropewalk.traces import Trace

Start = Literal["document", "text"]
NUMBER = 16  # bytes that a number takes while a trace is made of it

TOGETHER = 4096
"""Tokens in one pass: enough to keep a processor busy, little enough to stay in its caches."""


@dataclass(frozen=True)
class Tokens:
    """A text as a host reads it: ids (T,), byte spans (T, 2), and the symbol that starts a document."""

    ids: np.ndarray
    spans: np.ndarray
    start: int | None


def byte_tokens(text: str) -> Tokens:
    """The tokens of the native models: UTF-8 bytes, with the end-of-document symbol before the first."""
    return Tokens(np.array(encode(text), dtype=np.int64), byte_spans(text), END)


def trace(
    host: Host,
    text: str,
    *,
    tokens: Tokens | None = None,
    start: Start = "document",
    edit: Edit | None = None,
    together: int = TOGETHER,
) -> Trace:
    """The increments of `text` in every line of `host`, kind "increment", unit "token-equivalents".

    tokens: how the host reads the text; UTF-8 bytes when None. start: "document" puts the start symbol before
    the text, so that the first token too has a surprisal and a gap before it; "text" begins with the text
    itself. edit: an intervention on the increments, see `ropewalk.host`; called once per pass. together: the
    most tokens in one pass; a pass holds one window at least. UserError for an empty text and for tokens outside
    the host's vocabulary.
    """
    (made,) = trace_many(host, [text], tokens=[tokens], start=start, edit=edit, together=together)
    return made


def trace_many(
    host: Host,
    texts: Sequence[str],
    *,
    tokens: Sequence[Tokens | None] | None = None,
    start: Start = "document",
    edit: Edit | None = None,
    together: int = TOGETHER,
) -> list[Trace]:
    """The traces of many texts, in their order; arguments as in `trace`, equal to it but for rounding.

    Windows of about one length share a pass, each a row of its own, padded behind, where a causal model does not
    look: short texts cost less so than packed into one long window, whose mask they would pay for.
    """
    given = tokens or [None] * len(texts)
    gathered = [_Gathered(host, text, own, start) for text, own in zip(texts, given, strict=True)]
    pieces = [(each, *window) for each in gathered for window in windows(len(each.sequence), host.context)]
    pieces.sort(key=lambda piece: piece[3] - piece[1])
    with torch.inference_mode():
        for batch in _batches(pieces, together):
            longest = max(last - first for _, first, _, last in batch)
            rows = torch.zeros(len(batch), longest, dtype=torch.int64)
            for row, (each, first, _, last) in zip(rows, batch, strict=True):
                row[: last - first] = each.sequence[first:last]
            output = host(rows, edit=edit)
            increments = increments_of(output).numpy(force=True)
            for row, (each, first, keep, last) in enumerate(batch):
                length = last - first
                each.take(increments[row, :, :length], output.logits[row, :length].cpu(), first, keep)
    return [each.trace(host, start) for each in gathered]


class _Gathered:
    """What is known so far of one text's tokens, the start symbol before them included."""

    def __init__(self, host: Host, text: str, tokens: Tokens | None, start: Start) -> None:
        self.text, self.tokens = text, tokens or byte_tokens(text)
        if len(self.tokens.ids) == 0:
            raise UserError("the text is empty: expected at least one character; give some text.")
        prefix = [self.tokens.start] if start == "document" and self.tokens.start is not None else []
        self.skip = len(prefix)
        self.sequence = torch.from_numpy(np.concatenate([np.array(prefix, np.int64), self.tokens.ids]))
        count = len(self.sequence)
        machine.require(
            NUMBER * count * (len(host.lines) + 4), f"a trace of {count:,} tokens", "trace it in parts"
        )
        self.values = np.empty((len(host.lines), len(self.sequence)), np.float32)
        self.signals = np.full((3, len(self.sequence)), np.nan, np.float32)

    def take(self, increments: np.ndarray, logits: torch.Tensor, first: int, keep: int) -> None:
        """A window's increments (N, T) and logits (T, V), `first` being its first token, from `keep` on."""
        last = first + len(logits)
        self.values[:, keep:last] = increments[:, keep - first :]
        old = max(keep, first + 1)
        expected = logits[old - first - 1 :]  # of the tokens old..last, and of the one after
        following = torch.cat([self.sequence[old:last], self.sequence[-1:]])
        lost, uncertain = surprisal_and_entropy(expected, following)
        self.signals[0, old:last] = lost[:-1]
        self.signals[1, old:last] = uncertain[:-1]
        self.signals[2, keep:last] = uncertain[keep - last :]

    def trace(self, host: Host, start: Start) -> Trace:
        if not np.isfinite(self.values).all():
            raise UserError(
                "the model gave increments that are not finite numbers; it diverged, so trace another one."
            )
        window = host.context
        count = len(list(windows(len(self.sequence), window)))
        surprisal, entropy, after = self.signals[:, self.skip :]
        return Trace(
            text=self.text,
            tokens=self.tokens.ids,
            spans=self.tokens.spans,
            lines=host.lines,
            values=self.values[:, self.skip :],
            kind="increment",
            unit="token-equivalents",
            gap=host.gap,
            surprisal=surprisal,
            entropy=entropy,
            entropy_after=after,
            context={"start": start, "window": window, "overlap": window // 2, "windows": count},
            provenance=host.describe(),
        )


Piece = tuple[_Gathered, int, int, int]


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


def windows(total: int, context: int) -> Iterator[tuple[int, int, int]]:
    """(first, keep, last): read tokens first..last, keep what was measured from `keep` on."""
    last = min(total, context)
    yield 0, 0, last
    while last < total:
        keep, last = last, min(total, last + context - context // 2)
        yield max(0, last - context), keep, last
