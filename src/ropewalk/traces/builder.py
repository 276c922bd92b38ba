"""Builds a Trace from what a host computes, window by window.

Works on arrays: the caller runs the host on each window and turns its logits into nats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.system import available_memory
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.tokens.tokenizer import Start
from ropewalk.traces.trace import Trace

BYTES_PER_NUMBER = 16
"""Memory that a number takes while a trace is built."""

LOGITS_BYTES = 1 << 31
"""Bytes of a window's float32 logits: hosts with large vocabularies read shorter windows."""


class HostDescription(Protocol):
    """What a Trace records of the host that read its text; see `ropewalk.core.host.Host`."""

    @property
    def rows(self) -> tuple[Row, ...]: ...

    @property
    def context_length(self) -> int: ...

    @property
    def gap(self) -> Literal["before", "after"]: ...

    def describe(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Window:
    """Tokens for one pass: those of the sequence from `first` on, after `extra` tokens of a repeated prefix.

    Measurements are kept from token `keep` of the sequence on. Of the pass's logits (T, V), those from `predicting` on
    predict `following` (S,), of which the last is a placeholder: no token follows the end of the window.
    """

    tokens: np.ndarray
    first: int
    keep: int
    extra: int
    predicting: int
    following: np.ndarray


class TraceBuilder:
    """The measurements of one text so far. `sequence` (T,) int64 are its tokens with the prefix before them.

    UserError for an empty text, and for one whose numbers do not fit into memory.
    """

    def __init__(
        self, host: HostDescription, text: str, tokens: TokenizedText, start: Start = "auto"
    ) -> None:
        if len(tokens.ids) == 0:
            raise UserError("the text is empty: expected at least one character; give some text.")
        prefix = () if start == "none" else tokens.prefix
        self.text, self.tokens, self.start, self.prefix = text, tokens, start, prefix
        self.sequence = np.concatenate([np.array(prefix, np.int64), tokens.ids])
        self.window = window_length(host)
        count = len(self.sequence)
        available_memory.require_memory(
            BYTES_PER_NUMBER * count * (len(host.rows) + 4),
            f"a trace of {count:,} tokens",
            "trace it in parts",
        )
        self.values = np.empty((len(host.rows), count), np.float32)
        self.signals = np.full((3, count), np.nan, np.float32)

    def windows(self) -> Iterator[Window]:
        """The windows to read, in their order."""
        repeated = np.array(self.prefix if self.tokens.repeat_prefix else (), np.int64)
        for first, keep, last in windows(len(self.sequence), self.window - len(repeated)):
            extra = repeated if first else repeated[:0]
            predicted = max(keep, first + 1)
            yield Window(
                tokens=np.concatenate([extra, self.sequence[first:last]]),
                first=first,
                keep=keep,
                extra=len(extra),
                predicting=len(extra) + predicted - first - 1,
                following=np.concatenate([self.sequence[predicted:last], self.sequence[-1:]]),
            )

    def add_window(
        self, window: Window, increments: np.ndarray, surprisal: np.ndarray, entropy: np.ndarray
    ) -> None:
        """Adds a window's increments (N, T), and surprisal and entropy (S,), in nats, of the tokens it predicts."""
        keep, last = window.keep, window.first + len(window.tokens) - window.extra
        self.values[:, keep:last] = increments[:, keep - last :]
        predicted = last - len(surprisal) + 1
        self.signals[0, predicted:last] = surprisal[:-1]
        self.signals[1, predicted:last] = entropy[:-1]
        self.signals[2, keep:last] = entropy[keep - last :]

    def trace(self, host: HostDescription) -> Trace:
        """The Trace, once every window was added. UserError for increments that are not finite."""
        if not np.isfinite(self.values).all():
            raise UserError(
                "the model's increments are not finite numbers: its training diverged; use an earlier checkpoint."
            )
        skip = len(self.prefix)
        surprisal, entropy, after = self.signals[:, skip:]
        return Trace(
            text=self.text,
            tokens=self.tokens.ids,
            spans=self.tokens.spans,
            rows=host.rows,
            values=self.values[:, skip:],
            kind="increment",
            unit="token-equivalents",
            gap=host.gap,
            surprisal=surprisal,
            entropy=entropy,
            entropy_after=after,
            context={
                "start": self.start,
                "prefix": list(self.prefix),
                "window": self.window,
                "overlap": self.window // 2,
                "windows": sum(1 for _ in self.windows()),
            },
            provenance=host.describe(),
        )


def window_length(host: HostDescription) -> int:
    """Tokens in a window: the host's context, or fewer where the logits of so many would not fit into memory."""
    vocab_size = getattr(host, "vocab_size", None) or 1
    return min(host.context_length, max(512, LOGITS_BYTES // (4 * vocab_size)))


def windows(total: int, context: int) -> Iterator[tuple[int, int, int]]:
    """(first, keep, last): read tokens first..last, keep what was measured from `keep` on."""
    last = min(total, context)
    yield 0, 0, last
    while last < total:
        keep, last = last, min(total, last + context - context // 2)
        yield max(0, last - context), keep, last
