"""Traces with NumPy: what a base install without PyTorch does, and the fast way to a short text's trace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ropewalk.native.numpy_checkpoint import read_numpy_decoder
from ropewalk.native.numpy_decoder import NumpyDecoder, nats
from ropewalk.native.pretrained import find_model
from ropewalk.tokens.host_text import encode_for
from ropewalk.tokens.tokenizer import Start
from ropewalk.traces.builder import TraceBuilder
from ropewalk.traces.trace import Trace

LONGEST = 1024
"""Tokens, the prefix included: with more, PyTorch is faster even though it takes a second to import."""


def run(host: NumpyDecoder, builders: Sequence[TraceBuilder]) -> None:
    """Reads every window of every builder."""
    with np.errstate(all="ignore"):
        for builder in builders:
            for window in builder.windows():
                increments, logits = host(window.tokens)
                builder.add_window(window, increments, logits, nats)


def trace(model: str | Path, text: str, *, start: Start = "auto") -> Trace | None:
    """What `ropewalk.trace` makes of a native model's folder or bundled name, equal up to rounding.

    None where NumPy cannot read the model, the text is long, or anything is wrong with either. It raises nothing:
    `ropewalk.trace` answers the same question with PyTorch, or refuses it in a sentence.
    """
    try:
        if len(text.encode()) >= LONGEST:
            return None
        host = read_numpy_decoder(find_model(model))
        builder = TraceBuilder(host, text, encode_for(host, text, start=start), start)
        run(host, [builder])
        return builder.trace(host)
    except Exception:  # ropewalk.trace reports whatever it is
        return None
