"""ropewalk on Hugging Face models: grafts, adapters, GGUF files, the native decoder as a transformers model.

Importing this package loads transformers and registers the native model with its Auto classes, and the adapter with
PEFT where PEFT is installed. `import ropewalk` alone loads neither.
"""

from __future__ import annotations

import importlib.util

from ropewalk.errors import UserError

try:
    import transformers
except ImportError as error:
    raise UserError(
        "Hugging Face models need transformers, which is not installed; run: pip install 'ropewalk[hf]'"
    ) from error

from ropewalk.hf import llama_export
from ropewalk.hf.adapter import load
from ropewalk.hf.grafting import Graft, graft, graft_of
from ropewalk.hf.inspect_model import GraftWarning
from ropewalk.hf.native_as_hf import RopewalkForCausalLM
from ropewalk.hf.sharing import push_to_hub

if importlib.util.find_spec("peft") is not None:
    importlib.import_module("ropewalk.hf.peft")

__all__ = [
    "Graft", "GraftWarning", "RopewalkForCausalLM", "graft", "graft_of", "llama_export", "load", "push_to_hub", "transformers",
]  # fmt: skip
