"""Native models for the commands that need one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropewalk.errors import UserError

if TYPE_CHECKING:
    from ropewalk.native.decoder import Decoder

KINDS = {"adapter": "a graft", "peft": "a PEFT adapter", "huggingface": "a Hugging Face model"}


def native_model(name: str, command: str) -> Decoder:
    """The native model of this name. UserError, before anything is loaded, for a model of another kind."""
    from ropewalk.loading import kind_of, load
    from ropewalk.native.pretrained import find_model

    kind = kind_of(name)
    if kind != "native":
        if not (Path(name).is_dir() or name.endswith(".gguf")):
            find_model(name)  # raises if there is no such model
        raise UserError(
            f"{name} is {KINDS[kind]}; `ropewalk {command}` needs a native model, such as per-layer or one that "
            "`ropewalk train` made."
        )
    decoder: Any = load(name, backend="torch")
    return decoder
