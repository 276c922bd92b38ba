"""ropewalk measures how far apart a language model thinks its tokens are.

    host = ropewalk.load("per-layer")                  # or a Hugging Face name, a folder, a .gguf file
    print(ropewalk.trace(host, "The cat sat on the mat."))

Public names load on first use: `import ropewalk` loads neither torch, transformers nor matplotlib, and changes nothing in
the process.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ropewalk.core.host import Host as Host
    from ropewalk.core.host import Output as Output
    from ropewalk.core.increment_config import IncrementConfig as IncrementConfig
    from ropewalk.core.rows import Row as Row
    from ropewalk.errors import UserError as UserError
    from ropewalk.hf.grafting import Graft as Graft
    from ropewalk.hf.grafting import graft as graft
    from ropewalk.loading import load as load
    from ropewalk.measure.capture import trace as trace
    from ropewalk.measure.capture import trace_many as trace_many
    from ropewalk.measure.generation import generate as generate
    from ropewalk.measure.probe import ProbeResult as ProbeResult
    from ropewalk.measure.probe import probe as probe
    from ropewalk.native.config import DecoderConfig as DecoderConfig
    from ropewalk.native.decoder import Decoder as Decoder
    from ropewalk.tokens.tokenized_text import TokenizedText as TokenizedText
    from ropewalk.tokens.tokenizer import Tokenizer as Tokenizer
    from ropewalk.traces.trace import Trace as Trace

__version__ = "0.2.0.dev0"

_MODULES = {
    "Decoder": "native.decoder",
    "DecoderConfig": "native.config",
    "Graft": "hf.grafting",
    "Host": "core.host",
    "IncrementConfig": "core.increment_config",
    "Output": "core.host",
    "ProbeResult": "measure.probe",
    "Row": "core.rows",
    "TokenizedText": "tokens.tokenized_text",
    "Tokenizer": "tokens.tokenizer",
    "Trace": "traces.trace",
    "UserError": "errors",
    "generate": "measure.generation",
    "graft": "hf.grafting",
    "load": "loading",
    "probe": "measure.probe",
    "trace": "measure.capture",
    "trace_many": "measure.capture",
}
"""Where each public name is defined."""

__all__ = ["__version__", *sorted(_MODULES)]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'ropewalk' has no attribute '{name}'")
    if name in ("Graft", "graft"):  # checks for transformers and says what to install
        importlib.import_module("ropewalk.hf")
    return getattr(importlib.import_module(f"ropewalk.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
