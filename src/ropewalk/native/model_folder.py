"""A native model's folder, read and checked without torch.

It holds `config.json` (architecture, provenance, hash and size of the weights) and `model.safetensors`, and
`tokenizer.json` where the model does not read bytes. Nothing is unpickled; names, shapes and dtypes are compared with the architecture before a tensor is read. `native.checkpoint` makes
the PyTorch decoder of it, `native.numpy_checkpoint` the NumPy one. UserError for whatever is wrong.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ropewalk.errors import UserError, first_problem
from ropewalk.native.config import DecoderConfig
from ropewalk.system.available_memory import require_memory
from ropewalk.system.files import read_json, refuse_pipe

if TYPE_CHECKING:
    from ropewalk.tokens.tokenizer_file import FileTokenizer

FORMAT = "ropewalk-decoder"
SCHEMA = 3
CONFIG, WEIGHTS = "config.json", "model.safetensors"
DTYPES = ("F32", "F16", "BF16")
LONGEST_HEADER = 10_000_000

Shapes = dict[str, tuple[int, ...]]
Header = dict[str, dict[str, Any]]


def read_config(folder: Path) -> dict[str, Any]:
    """The checked `config.json` of a model folder."""
    config = read_json(folder / CONFIG)
    if config.get("format") != FORMAT:
        raise UserError(
            f"{folder / CONFIG} is not a ropewalk model (format is {config.get('format')!r}); name its folder."
        )
    if config.get("schema") != SCHEMA:
        raise UserError(
            f"{folder / CONFIG} has schema {config.get('schema')!r} and this version reads {SCHEMA}; "
            "upgrade ropewalk."
        )
    entry = config.get("weights")
    if (
        not isinstance(entry, dict)
        or not isinstance(entry.get("sha256"), str)
        or not isinstance(config.get("provenance"), dict)
    ):
        raise UserError(
            f"{folder / CONFIG} lacks the hash of its weights or its provenance; copy the model again."
        )
    return config


def decoder_config(config: dict[str, Any], folder: Path, header: Header) -> DecoderConfig:
    """The architecture in a `config.json`; a damaged one may not ask for more layers than the weights have tensors."""
    try:
        shape = DecoderConfig.model_validate(config["model"], strict=True)
        if shape.num_layers > len(header):
            raise ValueError(f"{shape.num_layers} layers, but the weights are {len(header)} tensors")
        return shape
    except (ValidationError, KeyError, ValueError, OverflowError, TypeError) as error:
        raise cannot_build(folder, error) from error


def cannot_build(folder: Path, error: Exception) -> UserError:
    """The sentence for an architecture that is none."""
    return UserError(
        f"{folder / CONFIG} describes a model that this version cannot build: {first_problem(error)}."
    )


def read_header(path: Path) -> Header:
    """Name -> {dtype, shape, data_offsets} of every tensor in a safetensors file, none of which is read."""
    refuse_pipe(path)
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size, LONGEST_HEADER):
                raise ValueError
            header = json.loads(file.read(length))
        return {name: entry for name, entry in header.items() if name != "__metadata__"}
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; a model folder holds {CONFIG} and {WEIGHTS}.") from error
    except (OSError, ValueError, struct.error, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is damaged or truncated; copy the model again.") from error


def check_header(path: Path, header: Header, expected: Shapes) -> None:
    """Compares the names, shapes and dtypes in a header with the architecture."""
    for name in sorted(header.keys() | expected.keys()):
        found = header.get(name)
        entry = found if isinstance(found, dict) else {}
        got = entry.get("shape")
        if name not in expected or got != list(expected[name]):
            raise UserError(
                f"{path} does not fit its {CONFIG}: '{name}' is {got or 'missing'}, "
                f"expected {list(expected[name]) if name in expected else 'no such tensor'}; "
                "copy the model again."
            )
        if entry.get("dtype") not in DTYPES:
            raise UserError(
                f"{path} holds '{name}' as {entry.get('dtype')}, expected one of {', '.join(DTYPES)}."
            )


def count_parameters(path: Path, header: Header) -> int:
    """The number of parameters in a header."""
    try:
        return sum(math.prod(entry["shape"]) for entry in header.values())
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged or truncated; copy the model again.") from error


def check_weights(path: Path, config: dict[str, Any], digest: str, expected: Shapes) -> None:
    """Compares the hash of the weights with the one in the config; they must fit in memory, three times over."""
    if digest != config["weights"]["sha256"]:
        raise UserError(
            f"{path} is not the file that {CONFIG} describes (its hash differs); copy the model again."
        )
    needed = 3 * 4 * sum(map(math.prod, expected.values()))
    require_memory(needed, f"the model {path.parent}", "close other programs")


def tokenizer(config: dict[str, Any], folder: Path) -> FileTokenizer | None:
    """The checked tokenizer of a folder; None for a byte model."""
    recorded = config.get("tokenizer")
    if recorded is None:
        return None
    from ropewalk.tokens.tokenizer_file import FILE, read_tokenizer

    found = read_tokenizer(folder / FILE)
    if hashlib.sha256(found.content).hexdigest() != recorded:
        raise UserError(
            f"{folder / FILE} is not the file that {CONFIG} describes (its hash differs); copy the model again."
        )
    return found


def provenance(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Where the weights come from, as a Trace records it: what the config says, the folder's name and the hash."""
    return {
        **config["provenance"],
        "name": folder.resolve().name,
        "hash": config["weights"]["sha256"],
    }
