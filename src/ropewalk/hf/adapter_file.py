"""A graft as a folder: the increments alone, as safetensors, and JSON that says which model they belong to.

    increments.safetensors   float32, named I.hidden.weight and so on, I counting the layers in ropewalk.json
    ropewalk.json            format, schema, version, the graft's settings, the base model's identity, a hash
    README.md                a model card for the hub

Needs no PEFT. Nothing is unpickled. A folder is there whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

import ropewalk
from ropewalk.errors import UserError
from ropewalk.hf.identity import base_parameters, full_tensor, identity, is_quantized
from ropewalk.hf.model_card import CARD, model_card
from ropewalk.system.files import read_json, sha256
from ropewalk.system.folders import write_folder

FORMAT, SCHEMA = "ropewalk-graft", 2
CONFIG, WEIGHTS = "ropewalk.json", "increments.safetensors"


def save(
    graft: Any,
    folder: str | Path,
    *,
    write: bool = True,
    source: str | None = None,
    requires: str | None = None,
    more: Callable[[Path], None] | None = None,
    **provenance: Any,
) -> Path:
    """Writes the increments of a `Graft`; `provenance` is anything JSON to keep with them.

    source: where the base is, the model's own record when None. requires: the folder inside this one ("lora", "base") that
    holds what was trained together with the increments. more: writes that folder into the one it is given, so that all of it
    is there or nothing. Where weights are sharded every process must call this, and only one of them may `write`.
    """
    folder = Path(folder)
    tensors = increment_tensors(graft)
    config = {
        "format": FORMAT,
        "schema": SCHEMA,
        "version": ropewalk.__version__,
        "increments": graft.config.model_dump(mode="json", exclude={"table"}),
        "layers": list(graft.layers),
        "base": {
            "name": graft.describe()["name"],
            "source": source or str(getattr(graft.structure.config, "_name_or_path", "") or ""),
            **identity(graft.model),
            "vocabulary": vocabulary_shapes(graft.model),
            "quantized": is_quantized(graft.model),
        },
        "requires": requires,
        "provenance": provenance,
    }

    def fill(temporary: Path) -> None:
        save_file(tensors, temporary / WEIGHTS)
        record = {**config, "sha256": sha256(temporary / WEIGHTS)}
        (temporary / CONFIG).write_text(json.dumps(record, indent=1))
        (temporary / CARD).write_text(model_card(record), encoding="utf-8")
        if more is not None:
            more(temporary)

    if write:
        write_folder(folder, fill)
    return folder


def read(folder: str | Path) -> dict[str, Any]:
    """The checked ropewalk.json of an adapter folder. UserError for another format, or for damage."""
    folder = Path(folder)
    record = read_json(folder / CONFIG)
    if record.get("format") != FORMAT or record.get("schema") != SCHEMA:
        raise UserError(
            f"{folder / CONFIG} is no graft that this version reads (format {record.get('format')!r}, schema "
            f"{record.get('schema')!r}); name a folder made by Graft.save, or upgrade ropewalk."
        )
    base = record.get("base")
    if not isinstance(base, dict) or not {"name", "source", "architecture", "shapes", "weights"} <= set(base):
        raise UserError(
            f"{folder / CONFIG} does not say which base model it belongs to; copy the adapter again."
        )
    if sha256(folder / WEIGHTS) != record.get("sha256"):
        raise UserError(
            f"{folder / WEIGHTS} is not the file that {CONFIG} describes; copy the adapter again."
        )
    return record


def is_adapter(folder: str | Path) -> bool:
    """Whether a folder holds a graft's increments."""
    folder = Path(folder)
    return (folder / CONFIG).is_file()


def increment_tensors(graft: Any) -> dict[str, torch.Tensor]:
    """The increments' tensors on the CPU by their names in the file, whole where they are sharded."""
    return {
        name_in_file(name): full_tensor(tensor).to("cpu", torch.float32).contiguous()
        for name, tensor in graft.increment_modules.state_dict().items()
    }


def name_in_file(name: str) -> str:
    """The name in the file of a tensor in a graft's increment_modules."""
    return name.replace(".parametrization.", ".")


def vocabulary_shapes(model: Any) -> dict[str, list[int]]:
    """The shapes of a model's embedding and output matrices, which resizing a vocabulary changes."""
    return {
        name: list(parameter.shape)
        for name, parameter in base_parameters(model).items()
        if "embed" in name or "lm_head" in name
    }
