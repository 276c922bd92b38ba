"""Checkpoints: a folder with weights as safetensors and everything else as JSON, written atomically.

A model folder is read as `ropewalk.native.model_folder` says. A training checkpoint adds `optimizer.safetensors` and
`training.json`. Sizes are checked against the architecture before anything is allocated.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ropewalk.errors import UserError
from ropewalk.native import model_folder
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder
from ropewalk.native.model_folder import CONFIG, FORMAT, SCHEMA, WEIGHTS, Shapes, cannot_build, read_config
from ropewalk.system.files import read_json, sha256
from ropewalk.system.folders import write_folder
from ropewalk.system.sharded_tensors import gather_tensors
from ropewalk.tokens.tokenizer_file import FILE as TOKENIZER

OPTIMIZER, TRAINING = "optimizer.safetensors", "training.json"


def save_decoder(
    folder: str | Path,
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
    folder = Path(folder)
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
        if model.own_tokenizer is not None:
            (temporary / TOKENIZER).write_bytes(model.own_tokenizer.content)
            config["tokenizer"] = sha256(temporary / TOKENIZER)
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
    header = model_folder.read_header(path)
    shape = model_folder.decoder_config(config, folder, header)
    expected = _parameter_shapes(shape, folder)
    model_folder.check_header(path, header, expected)
    model_folder.check_weights(path, config, sha256(path), expected)
    state = {name: tensor.float() for name, tensor in read_tensors(path).items()}
    decoder = Decoder(shape, seed=None)
    decoder.load_state_dict(state)
    decoder.provenance = model_folder.provenance(config, folder)
    decoder.own_tokenizer = model_folder.tokenizer(config, folder)
    return decoder.eval()


def read_training(
    folder: str | Path, model: Decoder
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """A checkpoint for `model`, which is left as it is: (weights, optimizer state, training state).

    The training state holds what `save` was given, and the checkpoint's `provenance`.
    """
    folder = Path(folder)
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


def read_tensors(path: str | Path) -> dict[str, Tensor]:
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


def _parameter_shapes(config: DecoderConfig, folder: Path) -> Shapes:
    """The shape of every tensor of a decoder, which is built on the meta device: nothing is allocated."""
    try:
        with torch.device("meta"):
            skeleton = Decoder(config, seed=None)
    except (ValueError, RuntimeError, OverflowError, TypeError) as error:
        raise cannot_build(folder, error) from error
    return {name: tuple(tensor.shape) for name, tensor in skeleton.state_dict().items()}
