"""Checkpoints: a folder with weights as safetensors and everything else as JSON, written atomically.

A model folder holds `config.json` (architecture, provenance, hash and size of the weights) and `model.safetensors`. A
training checkpoint adds `optimizer.safetensors` and `training.json`. Nothing is unpickled; sizes are checked against the
architecture before anything is allocated.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ropewalk.errors import UserError, first_problem
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder
from ropewalk.system import available_memory
from ropewalk.system.files import read_json, sha256
from ropewalk.system.folders import write_folder
from ropewalk.system.sharded_tensors import gather_tensors

FORMAT = "ropewalk-decoder"
SCHEMA = 3
CONFIG, WEIGHTS, OPTIMIZER, TRAINING = (
    "config.json",
    "model.safetensors",
    "optimizer.safetensors",
    "training.json",
)
DTYPES = ("F32", "F16", "BF16")
LONGEST_HEADER = 10_000_000


def save_decoder(
    folder: Path,
    model: Decoder,
    provenance: dict[str, Any],
    *,
    dtype: torch.dtype = torch.float32,
    training: tuple[dict[str, Tensor], dict[str, Any]] | None = None,
    write: bool = True,
) -> None:
    """Writes a model folder atomically; `training` is (optimizer state, anything json) for a resumable
    checkpoint.

    An existing folder of that name is replaced only once the new one is complete. Where several processes hold
    the model, all must call this, and one of them may `write`.
    """
    tensors = weights(model, dtype, write)
    if not write:
        return

    def fill(temporary: Path) -> None:
        save_file(tensors, temporary / WEIGHTS)
        config = {
            "format": FORMAT,
            "schema": SCHEMA,
            "model_type": "ropewalk",  # transformers finds its classes by this, see ropewalk.hf.native_as_hf
            "model": model.config.model_dump(mode="json", exclude={"increments": {"table"}}),
            "weights": {"sha256": sha256(temporary / WEIGHTS), "bytes": (temporary / WEIGHTS).stat().st_size},
            "provenance": provenance,
        }
        if training is not None:
            save_file(training[0], temporary / OPTIMIZER)
            state = {**training[1], "optimizer": sha256(temporary / OPTIMIZER)}
            (temporary / TRAINING).write_text(json.dumps(state, indent=1))
        (temporary / CONFIG).write_text(json.dumps(config, indent=1))

    write_folder(folder, fill)


def load_decoder(model: str | Path) -> Decoder:
    """The decoder in a model folder, in float32 and evaluation mode; its provenance is on `.provenance`.

    `model` is a folder, or the name of a bundled model. UserError says what is wrong with a folder that is
    not one.
    """
    from ropewalk.native.pretrained import find_model

    folder = find_model(model)
    config = read_config(folder)
    path = folder / WEIGHTS
    header = _read_header(path)
    expected = {
        name: tuple(t.shape) for name, t in skeleton(config, folder, len(header)).state_dict().items()
    }
    _check_header(path, header, expected)
    if sha256(path) != config["weights"]["sha256"]:
        raise UserError(
            f"{path} is not the file that {CONFIG} describes (its hash differs); copy the model again."
        )
    needed = 3 * 4 * sum(map(math.prod, expected.values()))
    available_memory.require_memory(needed, f"the model {folder}", "close other programs")
    state = {name: tensor.float() for name, tensor in read_tensors(path).items()}
    decoder = Decoder(DecoderConfig.model_validate(config["model"]), seed=None)
    decoder.load_state_dict(state)
    decoder.provenance = {
        **config["provenance"],
        "name": folder.resolve().name,
        "hash": config["weights"]["sha256"],
    }
    return decoder.eval()


def read_training(
    folder: Path, model: Decoder
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """A checkpoint for `model`, which is left as it is: (weights, optimizer state, training state).

    The training state holds what `save` was given, and the checkpoint's `provenance`.
    """
    saved = load_decoder(folder)
    if saved.config.model_dump(exclude={"increments": {"table"}}) != model.config.model_dump(
        exclude={"increments": {"table"}}
    ):
        raise UserError(
            f"the checkpoint {folder} holds another architecture than the recipe describes; "
            "resume with the recipe it was started with, or name a new output folder."
        )
    state = read_json(folder / TRAINING)
    if sha256(folder / OPTIMIZER) != state.get("optimizer"):
        raise UserError(f"{folder / OPTIMIZER} is damaged (its hash differs); delete this checkpoint folder.")
    moments = read_tensors(folder / OPTIMIZER)
    return saved.state_dict(), moments, {**state, "provenance": saved.provenance}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or a UserError."""
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; name a safetensors file.") from error
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{path} is not a readable safetensors file ({error}); copy it again.") from error


def weights(model: Decoder, dtype: torch.dtype, keep: bool = True) -> dict[str, Tensor]:
    """The state of the model as contiguous CPU tensors of one dtype, for the processes that `keep` it."""
    return {name: t.to(dtype) for name, t in gather_tensors(model.state_dict(), keep).items()}


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


def skeleton(config: dict[str, Any], folder: Path, tensors: int) -> Decoder:
    """The decoder that a config describes, on the meta device: nothing is allocated yet.

    tensors: how many tensors the weights hold, lest a damaged config ask for a billion layers.
    """
    try:
        shape = DecoderConfig.model_validate(config["model"])
        if shape.num_layers > tensors:
            raise ValueError(f"{shape.num_layers} layers, but the weights are {tensors} tensors")
        with torch.device("meta"):
            return Decoder(shape, seed=None)
    except (ValidationError, KeyError, ValueError, RuntimeError, OverflowError, TypeError) as error:
        raise UserError(
            f"{folder / CONFIG} describes a model that this version cannot build: {first_problem(error)}."
        ) from error


def _read_header(path: Path) -> dict[str, Any]:
    """Name -> {dtype, shape, data_offsets} of every tensor in a safetensors file, none of which is read."""
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


def _check_header(path: Path, header: dict[str, Any], expected: dict[str, tuple[int, ...]]) -> None:
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
