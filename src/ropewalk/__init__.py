"""ropewalk measures how far apart a language model thinks its tokens are.

Public names load on first use, so that `import ropewalk` stays light. Waiting threads sleep instead of spinning
unless OMP_WAIT_POLICY says otherwise: a spinning thread makes a step fifteen times slower on shared cores.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

__version__ = "0.1.0"

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

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
