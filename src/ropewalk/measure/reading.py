"""Reads a text once and returns its trace together with the model's top predictions at each position."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ropewalk.core.host import Edit, Host, Output
from ropewalk.measure.capture import trace
from ropewalk.measure.hosts import opened_host
from ropewalk.tokens.host_text import encode_for
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.tokens.tokenizer import Start
from ropewalk.traces.builder import window_length, windows

if TYPE_CHECKING:
    from ropewalk.traces.trace import Trace

TOP_K = 8
"""Predictions that are kept for each position."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A trace of T tokens and the model's top K predictions, (T + 1, K): before each token, and after the last.

    ids: int64, -1 where the model was not asked (before the first token of a text without a prefix). probabilities: their
    probabilities, float32.
    """

    trace: Trace
    ids: np.ndarray
    probabilities: np.ndarray


def read(
    host: Host | Any,
    text: str,
    *,
    tokens: TokenizedText | None = None,
    tokenizer: Any = None,
    start: Start = "auto",
    edit: Callable[[int], Edit | None] = lambda place: None,
) -> Reading:
    """Reads `text`; arguments as in `ropewalk.trace`, but `edit` makes the edit of each pass from the index
    of the pass's first token."""
    with opened_host(host, tokenizer) as opened:
        encoded = encode_for(opened, text, tokenizer, start) if tokens is None else tokens
        skip = 0 if start == "none" else len(encoded.prefix)
        length = window_length(opened) - (skip if encoded.repeat_prefix else 0)
        places = list(windows(len(encoded.ids) + skip, length))
        recorder = _Recorder(opened, places, lambda first: edit(first - skip))
        result = trace(
            recorder, text, tokens=encoded, start=start, tokens_per_pass=1
        )  # a window a pass, in order
    ids, probabilities = (np.concatenate(parts) for parts in (recorder.ids, recorder.probabilities))
    if not skip:
        ids = np.concatenate([np.full_like(ids[:1], -1), ids])
        probabilities = np.concatenate([np.zeros_like(probabilities[:1]), probabilities])
    count = len(encoded.ids) + 1
    return Reading(result, ids[-count:], probabilities[-count:])


class _Recorder:
    """Wraps a host: edits each pass and records the top predictions of the tokens that are kept.

    places: (first, keep, last) of each pass, see `ropewalk.traces.builder.windows`; edit: given the first of a pass.
    """

    def __init__(
        self, host: Host, places: list[tuple[int, int, int]], edit: Callable[[int], Edit | None]
    ) -> None:
        self.host, self.places, self.edit_of = host, places, edit
        self.rows, self.tokenizer, self.vocab_size = host.rows, host.tokenizer, host.vocab_size
        self.context_length, self.gap, self.describe = host.context_length, host.gap, host.describe
        self.ids: list[np.ndarray] = []
        self.probabilities: list[np.ndarray] = []

    def __call__(
        self,
        tokens: torch.Tensor,
        position_ids: torch.Tensor | None = None,
        *,
        document_ids: torch.Tensor | None = None,
        edit: Edit | None = None,
        activations: Collection[str] = (),
        kv_cache: object | None = None,
    ) -> Output:
        first, keep, last = self.places[len(self.ids)]
        output = self.host(
            tokens,
            position_ids,
            document_ids=document_ids,
            edit=self.edit_of(first),
            activations=activations,
            kv_cache=kv_cache,
        )
        logits = output.logits[0, keep - last :].float()
        probabilities, ids = logits.softmax(-1).topk(min(TOP_K, logits.shape[-1]))
        self.ids.append(ids.numpy(force=True))
        self.probabilities.append(probabilities.numpy(force=True))
        return output
