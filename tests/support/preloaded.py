"""What the server of `fresh` imports once for all its processes. The package itself is imported by each of them."""

from __future__ import annotations

import contextlib
import importlib

import torch

MODULES = (
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
    "transformers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama",
    "peft",
    "accelerate",
)

torch.set_num_threads(1)
torch.optim.AdamW([torch.zeros(1, requires_grad=True)]).step()  # what a first step imports
for name in MODULES:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
