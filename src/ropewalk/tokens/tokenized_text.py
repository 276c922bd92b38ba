"""A text as a host reads it: token ids and byte spans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TokenizedText:
    """Token ids (T,) int64, half-open byte spans (T, 2) int64, and the tokens that a host reads before the text.

    A token without text has an empty span. Every byte of the text lies in exactly one span. repeat_prefix: a long text that
    is read in windows has the prefix before each of them, as models expect that were trained so.
    """

    ids: np.ndarray
    spans: np.ndarray
    prefix: tuple[int, ...] = ()
    repeat_prefix: bool = False

    @property
    def sequence(self) -> np.ndarray:
        """The prefix and the text's tokens, (P + T,) int64: what a host is given."""
        return np.concatenate([np.array(self.prefix, np.int64), self.ids])
