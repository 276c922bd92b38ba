"""The trace of a short text at once, without torch, where the model is one that NumPy can read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ropewalk.bundled import find
from ropewalk.light.decoder import nats
from ropewalk.light.folder import read
from ropewalk.measure.gathered import Gathered, Start, windows
from ropewalk.traces import Trace

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
        host = read(find(model))
        gathered = Gathered(host, text, None, start)
        with np.errstate(all="ignore"):
            for first, keep, last in windows(len(gathered.sequence), host.context):
                gathered.take(*host(gathered.sequence[first:last]), nats, first, keep)
        return gathered.trace(host, start)
    except Exception:  # whatever it is, the other way tells it
        return None
