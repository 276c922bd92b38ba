"""The trace of a short text at once, without torch, where the model is one that NumPy can read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ropewalk.native.numpy_checkpoint import read_numpy_decoder
from ropewalk.native.numpy_decoder import nats
from ropewalk.native.pretrained import find_model
from ropewalk.traces.builder import Start, TraceBuilder, windows
from ropewalk.traces.trace import Trace

LONGEST = 1024
"""Tokens, the one before the text included: with more, what torch takes to load is the smaller part."""


def trace(model: str | Path, text: str, *, start: Start = "document") -> Trace | None:
    """What `ropewalk.measure.capture.trace` makes of a native model's folder or bundled name, equal but for rounding.

    None where NumPy cannot: another kind of model, a long text, anything that is wrong with either. Nothing is
    raised: the same question asked with torch is answered, or refused in a sentence.
    """
    try:
        if len(text.encode()) >= LONGEST:
            return None
        host = read_numpy_decoder(find_model(model))
        gathered = TraceBuilder(host, text, None, start)
        with np.errstate(all="ignore"):
            for first, keep, last in windows(len(gathered.sequence), host.context_length):
                gathered.take(*host(gathered.sequence[first:last]), nats, first, keep)
        return gathered.trace(host, start)
    except Exception:  # whatever it is, the other way tells it
        return None
