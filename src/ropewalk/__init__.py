"""ropewalk measures how far apart a language model thinks its tokens are.

Public names load on first use, so that `import ropewalk` stays light. Unless OMP_WAIT_POLICY says otherwise, waiting
threads spin for about ten microseconds, as long as the next piece of work usually takes to come, and then sleep: without
that a training step takes a quarter longer, and threads that spin on make it fifteen times slower on shared cores.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

__version__ = "0.1.0"

if "OMP_WAIT_POLICY" not in os.environ:  # read when torch is imported
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

_HOMES = {
    "Decoder": "decoder",
    "DecoderConfig": "decoder",
    "IncrementConfig": "increments",
    "Line": "lines",
    "Trace": "traces",
    "UserError": "errors",
    "generate": "generation",
    "load": "checkpoint",
    "trace": "measure.capture",
    "trace_many": "measure.capture",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ropewalk' has no attribute '{name}'")
    return getattr(importlib.import_module(f"ropewalk.{_HOMES[name]}"), name)
