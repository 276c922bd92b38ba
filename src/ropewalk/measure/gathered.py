"""What is gathered of one text while a host reads it, window by window, until it is a Trace.

Arrays only: whoever runs the host brings its numbers, and the function that makes nats of its logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from ropewalk import machine
from ropewalk.errors import UserError
from ropewalk.lines import Line
from ropewalk.text import END, byte_spans, encode
from ropewalk.traces import Trace

Start = Literal["document", "text"]
NUMBER = 16  # bytes that a number takes while a trace is made of it

Nats = Callable[[Any, np.ndarray], tuple[Any, Any]]
"""nats(logits (T, V), following (T,)) -> surprisals (T,) and entropies (T,), as numpy reads them."""


class Read(Protocol):
    """What a Trace says of the host that read its text; see `ropewalk.host.Host`."""

    @property
    def lines(self) -> tuple[Line, ...]: ...

    @property
    def context(self) -> int: ...

    @property
    def gap(self) -> Literal["before", "after"]: ...

    def describe(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Tokens:
    """A text as a host reads it: ids (T,), byte spans (T, 2), and the symbol that starts a document."""

    ids: np.ndarray
    spans: np.ndarray
    start: int | None


def byte_tokens(text: str) -> Tokens:
    """The tokens of the native models: UTF-8 bytes, with the end-of-document symbol before the first."""
    return Tokens(np.array(encode(text), dtype=np.int64), byte_spans(text), END)


class Gathered:
    """What is known so far of one text's tokens, the start symbol before them included: `sequence` (T,) int64.

    UserError for an empty text, and for one whose numbers do not fit into memory.
    """

    def __init__(self, host: Read, text: str, tokens: Tokens | None, start: Start) -> None:
        self.text, self.tokens = text, tokens or byte_tokens(text)
        if len(self.tokens.ids) == 0:
            raise UserError("the text is empty: expected at least one character; give some text.")
        prefix = [self.tokens.start] if start == "document" and self.tokens.start is not None else []
        self.skip = len(prefix)
        self.sequence = np.concatenate([np.array(prefix, np.int64), self.tokens.ids])
        count = len(self.sequence)
        machine.require(
            NUMBER * count * (len(host.lines) + 4), f"a trace of {count:,} tokens", "trace it in parts"
        )
        self.values = np.empty((len(host.lines), len(self.sequence)), np.float32)
        self.signals = np.full((3, len(self.sequence)), np.nan, np.float32)

    def take(self, increments: np.ndarray, logits: Any, nats: Nats, first: int, keep: int) -> None:
        """A window's increments (N, T) and logits (T, V), `first` being its first token, from `keep` on."""
        last = first + len(logits)
        self.values[:, keep:last] = increments[:, keep - first :]
        old = max(keep, first + 1)
        expected = logits[old - first - 1 :]  # of the tokens old..last, and of the one after
        following = np.concatenate([self.sequence[old:last], self.sequence[-1:]])
        lost, uncertain = nats(expected, following)
        self.signals[0, old:last] = lost[:-1]
        self.signals[1, old:last] = uncertain[:-1]
        self.signals[2, keep:last] = uncertain[keep - last :]

    def trace(self, host: Read, start: Start) -> Trace:
        """The Trace, once every window was taken. UserError for increments that are not finite."""
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


def windows(total: int, context: int) -> Iterator[tuple[int, int, int]]:
    """(first, keep, last): read tokens first..last, keep what was measured from `keep` on."""
    last = min(total, context)
    yield 0, 0, last
    while last < total:
        keep, last = last, min(total, last + context - context // 2)
        yield max(0, last - context), keep, last
