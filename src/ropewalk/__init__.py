"""ropewalk measures how far apart a language model thinks its tokens are.

Public names load on first use, so `import ropewalk` is quick and loads neither torch, transformers nor matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ropewalk.core.increment_config import IncrementConfig as IncrementConfig
    from ropewalk.core.rows import Row as Row
    from ropewalk.errors import UserError as UserError
    from ropewalk.measure.capture import trace as trace
    from ropewalk.measure.capture import trace_many as trace_many
    from ropewalk.native.checkpoint import load_decoder as load
    from ropewalk.native.config import DecoderConfig as DecoderConfig
    from ropewalk.native.decoder import Decoder as Decoder
    from ropewalk.native.generate import generate as generate
    from ropewalk.traces.trace import Trace as Trace

__version__ = "0.2.0.dev0"

_HOMES = {
    "Decoder": "native.decoder.Decoder",
    "DecoderConfig": "native.config.DecoderConfig",
    "IncrementConfig": "core.increment_config.IncrementConfig",
    "Row": "core.rows.Row",
    "Trace": "traces.trace.Trace",
    "UserError": "errors.UserError",
    "generate": "native.generate.generate",
    "load": "native.checkpoint.load_decoder",
    "trace": "measure.capture.trace",
    "trace_many": "measure.capture.trace_many",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ropewalk' has no attribute '{name}'")
    module, _, attribute = _HOMES[name].rpartition(".")
    return getattr(importlib.import_module(f"ropewalk.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
