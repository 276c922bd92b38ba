"""What is gathered of one text while a host reads it, window by window, until it is a Trace.

Arrays only: whoever runs the host brings its numbers, and the function that makes nats of its logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

import numpy as np

from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.system import available_memory
from ropewalk.tokens.tokenized_text import TokenizedText, tokenize_bytes
from ropewalk.traces.trace import Trace

Start = Literal["document", "text"]
NUMBER = 16  # bytes that a number takes while a trace is made of it

Nats = Callable[[Any, np.ndarray], tuple[Any, Any]]
"""nats(logits (T, V), following (T,)) -> surprisals (T,) and entropies (T,), as numpy reads them."""


class HostDescription(Protocol):
    """What a Trace says of the host that read its text; see `ropewalk.core.host.Host`."""

    @property
    def rows(self) -> tuple[Row, ...]: ...

    @property
    def context_length(self) -> int: ...

    @property
    def gap(self) -> Literal["before", "after"]: ...

    def describe(self) -> dict[str, Any]: ...


class TraceBuilder:
    """What is known so far of one text's tokens, the start symbol before them included: `sequence` (T,) int64.

    UserError for an empty text, and for one whose numbers do not fit into memory.
    """

    def __init__(self, host: HostDescription, text: str, tokens: TokenizedText | None, start: Start) -> None:
        self.text, self.tokens = text, tokens or tokenize_bytes(text)
        if len(self.tokens.ids) == 0:
            raise UserError("the text is empty: expected at least one character; give some text.")
        prefix = [self.tokens.start] if start == "document" and self.tokens.start is not None else []
        self.skip = len(prefix)
        self.sequence = np.concatenate([np.array(prefix, np.int64), self.tokens.ids])
        count = len(self.sequence)
        available_memory.require_memory(
            NUMBER * count * (len(host.rows) + 4), f"a trace of {count:,} tokens", "trace it in parts"
        )
        self.values = np.empty((len(host.rows), len(self.sequence)), np.float32)
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

    def trace(self, host: HostDescription, start: Start) -> Trace:
        """The Trace, once every window was taken. UserError for increments that are not finite."""
        if not np.isfinite(self.values).all():
            raise UserError(
                "the model gave increments that are not finite numbers; it diverged, so trace another one."
            )
        window = host.context_length
        count = len(list(windows(len(self.sequence), window)))
        surprisal, entropy, after = self.signals[:, self.skip :]
        return Trace(
            text=self.text,
            tokens=self.tokens.ids,
            spans=self.tokens.spans,
            rows=host.rows,
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
