"""Traces with NumPy: what a base install without PyTorch does, and the fast way to a short text's trace."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ropewalk.native.numpy_decoder import NumpyDecoder, nats
from ropewalk.traces.builder import TraceBuilder


def run(host: NumpyDecoder, builders: Sequence[TraceBuilder]) -> None:
    """Reads every window of every builder."""
    with np.errstate(all="ignore"):
        for builder in builders:
            for window in builder.windows():
                increments, logits = host(window.tokens)
                builder.add_window(window, increments, *nats(logits[window.predicting :], window.following))
