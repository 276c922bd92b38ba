"""Loads an adapter folder (see `ropewalk.hf.adapter_file`) onto the base model that it was trained on."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.errors import UserError, first_problem
from ropewalk.hf import adapter_file
from ropewalk.hf.adapter_file import WEIGHTS, name_in_file
from ropewalk.hf.grafting import Graft, build, owners_of
from ropewalk.hf.identity import identity, is_quantized
from ropewalk.hf.inspect_model import GraftWarning, inspect_model


def load(model: nn.Module, folder: str | Path, *, strict: bool = True, tokenizer: Any = None) -> Graft:
    """Grafts the increments in a folder onto `model`, which must be the base they were trained on.

    strict: refuse a model with other weights or a resized vocabulary; with False only warn. Any other mismatch is a UserError.
    """
    folder = Path(folder)
    record = adapter_file.read(folder)
    if record.get("requires") == "lora" and strict and not hasattr(model, "peft_config"):
        raise UserError(
            f"{folder} was trained together with the LoRA in {folder / 'lora'}, which this model does not have; open both "
            "with ropewalk.load, or pass strict=False."
        )
    check_base(model, record["base"], folder, strict)
    try:
        config = IncrementConfig.model_validate_json(json.dumps(record.get("increments")), strict=True)
        expected = _shapes(model, config)
        tensors = load_file(folder / WEIGHTS)
    except (ValueError, SafetensorError, RuntimeError, OverflowError, TypeError) as error:
        raise UserError(f"{folder} is damaged ({first_problem(error)}); copy the adapter again.") from error
    if {name: tensor.shape for name, tensor in tensors.items()} != expected:
        raise UserError(
            f"{folder / WEIGHTS} does not fit {type(model).__name__}; load it onto its own base model."
        )
    graft = Graft(model, config, tokenizer=tokenizer)
    graft.increment_modules.load_state_dict(
        {name: tensors[name_in_file(name)] for name in graft.increment_modules.state_dict()}
    )
    return graft


def check_base(model: nn.Module, base: dict[str, Any], folder: Path, strict: bool) -> None:
    """UserError when `model` is not the base that was recorded."""
    here = identity(model)
    quantized = is_quantized(model) or base.get("quantized", False)
    trained = f"{folder} was trained on {base['name']}"
    if here["architecture"] != base["architecture"]:
        raise UserError(
            f"{trained} ({base['architecture']}), not on this {here['architecture']}; load that model first."
        )
    if here["shapes"] != base["shapes"] and not quantized:
        differs = _resized(model, base.get("vocabulary"))
        if strict or not differs:
            raise UserError(
                f"{trained}, whose weights have other shapes than this {here['architecture']}"
                + (
                    f" ({differs}); load that model, or pass strict=False."
                    if differs
                    else "; load that model first."
                )
            )
        warnings.warn(f"{trained} with another vocabulary: {differs}.", GraftWarning, stacklevel=3)
    elif here["weights"] != base["weights"] and not quantized:
        other = f"{trained} with other weights than this {here['architecture']} has"
        if strict:
            raise UserError(f"{other}; load that model, or pass strict=False to load it anyway.")
        warnings.warn(f"{other}; its increments may mean nothing here.", GraftWarning, stacklevel=3)


def _resized(model: nn.Module, before: Any) -> str:
    """Which embedding or output matrices were resized, in words; "" where it is not the vocabulary that differs."""
    now = adapter_file.vocabulary_shapes(model)
    if not isinstance(before, dict) or set(before) != set(now):
        return ""
    return ", ".join(
        f"{name} is {now[name]}, was {before[name]}" for name in sorted(now) if now[name] != before[name]
    )


def _shapes(model: nn.Module, config: IncrementConfig) -> dict[str, torch.Size]:
    """The shapes of a graft's tensors by their names in the file; nothing is allocated for them."""
    structure = inspect_model(model)
    with torch.device("meta"):
        modules = nn.ModuleList(build(structure, config) for _ in owners_of(structure, config))
    return {name_in_file(name): tensor.shape for name, tensor in modules.state_dict().items()}
