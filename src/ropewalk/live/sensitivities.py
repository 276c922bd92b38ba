"""Sensitivities of one text in one model, refined a few draws at a time, so that a page can show them as they come in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np

from ropewalk.core.host import Host
from ropewalk.errors import UserError
from ropewalk.measure.hosts import with_rows_per_layer
from ropewalk.measure.probe import probe
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.traces.trace import Trace

DRAWS, ROUNDS = 2, 12
"""Draws of a round, few, so that a key is answered soon; and rounds until the picture stays as it is."""


class Sensitivities:
    """The mean over all rounds so far, with its standard error. `refine` adds a round."""

    def __init__(self, host: Host, text: str, tokens: TokenizedText) -> None:
        if len(tokens.ids) < 2:
            raise UserError("A text of one token has no gap to measure; type some more.")
        self.host, self.text, self.tokens = with_rows_per_layer(host), text, tokens
        self.rounds = 0
        self._first: Trace | None = None
        self._values: Any = 0.0
        self._variance: Any = 0.0

    @property
    def done(self) -> bool:
        return self.rounds >= ROUNDS

    def refine(self) -> Trace:
        """The sensitivities after one more round, or the finished ones."""
        if not self.done:
            found = probe(self.host, self.text, tokens=self.tokens, draws=DRAWS, seed=self.rounds)
            self._first = self._first or found.trace
            self._values = self._values + found.trace.values.astype(np.float64)
            self._variance = self._variance + found.error.astype(np.float64) ** 2
            self.rounds += 1
        first = cast(Trace, self._first)
        kept = {key: first.context[key] for key in ("mode", "method", "first_token", "start", "prefix")}
        missing = len(self.tokens.ids) - len(first.tokens)  # the first token, which has no gap before it
        around = ((0, 0), (missing, 0))
        return replace(
            first,
            tokens=self.tokens.ids,
            spans=self.tokens.spans,
            values=np.pad(self._values / self.rounds, around, constant_values=np.nan),
            error=np.pad(np.sqrt(self._variance) / self.rounds, around, constant_values=np.nan),
            surprisal=np.empty(0),
            entropy=np.empty(0),
            entropy_after=np.empty(0),
            context={**kept, "draws": DRAWS * self.rounds},
        )
