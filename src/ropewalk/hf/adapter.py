"""A graft as a folder: the increments alone, as safetensors, and json that says which model they belong to.

    increments.safetensors   float32, named I.inner.weight and so on, I counting the places ropewalk.json
    format, schema, version, the graft's configuration, the base model's identity, a hash

Needs no PEFT. Nothing is unpickled. A folder is there whole or not at all.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

import ropewalk
from ropewalk.core.increment_config import IncrementConfig
from ropewalk.errors import UserError, first_problem
from ropewalk.hf.grafting import Graft, build, owners_of
from ropewalk.hf.identity import gathered, identity, quantised
from ropewalk.hf.inspect_model import GraftWarning, inspect_model
from ropewalk.system.files import read_json, sha256
from ropewalk.system.folders import write_folder

FORMAT, SCHEMA = "ropewalk-graft", 1
CONFIG, WEIGHTS = "ropewalk.json", "increments.safetensors"


def save(graft: Graft, folder: Path, *, write: bool = True, **provenance: Any) -> Path:
    """Writes a graft's increments; `provenance` is anything json to keep beside them.

    Where weights are sharded every process must call this, and only one of them may `write`.
    """
    tensors = state(graft)
    config = {
        "format": FORMAT,
        "schema": SCHEMA,
        "version": ropewalk.__version__,
        "increments": graft.config.model_dump(mode="json", exclude={"table"}),
        "places": [place.index for place in graft.anatomy.places],
        "base": {
            "name": graft.describe()["name"],
            **identity(graft.model),
            "quantised": quantised(graft.model),
        },
        "provenance": provenance,
    }

    def fill(temporary: Path) -> None:
        save_file(tensors, temporary / WEIGHTS)
        (temporary / CONFIG).write_text(
            json.dumps({**config, "sha256": sha256(temporary / WEIGHTS)}, indent=1)
        )

    if write:
        write_folder(folder, fill)
    return folder


def state(graft: Graft) -> dict[str, torch.Tensor]:
    """The increments' tensors on the CPU, gathered where they are sharded."""
    found = {}
    for name, tensor in graft.increment_modules.state_dict().items():
        found[_told(name)] = gathered(tensor).to("cpu", torch.float32).contiguous()
    return found


def load(model: nn.Module, folder: str | Path, *, strict: bool = True) -> Graft:
    """Grafts the increments in a folder onto `model`, which must be the base they were trained on.

    strict: refuse a model of the same shape with other weights; False only warns. UserError for anything
    else.
    """
    folder = Path(folder)
    told = read_json(folder / CONFIG)
    if told.get("format") != FORMAT or told.get("schema") != SCHEMA:
        raise UserError(
            f"{folder / CONFIG} is no graft that this version reads (format {told.get('format')!r}, schema "
            f"{told.get('schema')!r}); name a folder made by Graft.save, or upgrade ropewalk."
        )
    check_base(model, told.get("base"), folder, strict)
    if sha256(folder / WEIGHTS) != told.get("sha256"):
        raise UserError(
            f"{folder / WEIGHTS} is not the file that {CONFIG} describes; copy the adapter again."
        )
    try:
        config = IncrementConfig.model_validate(told.get("increments"))
        expected = _shapes(model, config)
        tensors = load_file(folder / WEIGHTS)
    except (ValueError, SafetensorError, RuntimeError, OverflowError, TypeError) as error:
        raise UserError(f"{folder} is damaged ({first_problem(error)}); copy the adapter again.") from error
    if {name: tensor.shape for name, tensor in tensors.items()} != expected:
        raise UserError(
            f"{folder / WEIGHTS} does not fit {type(model).__name__}; load it onto its own base model."
        )
    graft = Graft(model, config)
    graft.increment_modules.load_state_dict(
        {name: tensors[_told(name)] for name in graft.increment_modules.state_dict()}
    )
    return graft


def _shapes(model: nn.Module, config: IncrementConfig) -> dict[str, torch.Size]:
    """What the tensors of a graft are, by their names in the file; nothing is allocated for them."""
    anatomy = inspect_model(model)
    with torch.device("meta"):
        increment_modules = nn.ModuleList(build(anatomy, config) for _ in owners_of(anatomy, config))
    return {_told(name): tensor.shape for name, tensor in increment_modules.state_dict().items()}


def _told(name: str) -> str:
    """The name in the file of a tensor in a graft's increment_modules."""
    return name.replace(".parametrization.", ".")


def check_base(model: nn.Module, base: Any, place: Path, strict: bool) -> None:
    """UserError when `model` is not the base that was recorded."""
    here = identity(model)
    if not isinstance(base, dict) or not {"name", *here} <= set(base):
        raise UserError(
            f"{place / CONFIG} does not say which base model it belongs to; copy the adapter again."
        )
    rounded = quantised(model) or base.get("quantised", False)
    if here["architecture"] != base["architecture"] or (here["shapes"] != base["shapes"] and not rounded):
        raise UserError(
            f"{place} was trained on {base['name']} ({base['architecture']}), not on this "
            f"{here['architecture']}; "
            "load that model first."
        )
    if here["weights"] != base["weights"] and not rounded:
        text = (
            f"{place} was trained on {base['name']} with other weights than this {here['architecture']} has"
        )
        if strict:
            raise UserError(f"{text}; load that model, or pass strict=False to try it all the same.")
        warnings.warn(f"{text}; its increments may mean nothing here.", GraftWarning, stacklevel=3)
