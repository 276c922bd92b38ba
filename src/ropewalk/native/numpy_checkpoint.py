"""Reads a native model's folder for NumPy, without torch. See `ropewalk.native.model_folder`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from ropewalk.core.increment_config import NETWORKS
from ropewalk.errors import UserError
from ropewalk.native import model_folder
from ropewalk.native.config import DecoderConfig
from ropewalk.native.model_folder import WEIGHTS, Shapes
from ropewalk.native.numpy_decoder import NumpyDecoder, unusual
from ropewalk.system.files import read_whole


def read_numpy_decoder(folder: str | Path) -> NumpyDecoder:
    """The decoder in a model folder, in float32. UserError for a folder that is none, and for one that needs PyTorch."""
    folder = Path(folder)
    config = model_folder.read_config(folder)
    path = folder / WEIGHTS
    header = model_folder.read_header(path)
    shape = model_folder.decoder_config(config, folder, header)
    if what := unusual(shape):
        raise UserError(f"{folder} has {what}, which needs PyTorch; run: pip install 'ropewalk[torch]'")
    expected = parameter_shapes(shape)
    model_folder.check_header(path, header, expected)
    try:
        data = read_whole(path)
        model_folder.check_weights(path, config, hashlib.sha256(data).hexdigest(), expected)
        weights = {name: _float32(tensor) for name, tensor in deserialize(data)}
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{path} is not a readable safetensors file ({error}); copy it again.") from error
    return NumpyDecoder(
        shape, weights, model_folder.provenance(config, folder), model_folder.tokenizer(config, folder)
    )


def parameter_shapes(config: DecoderConfig) -> Shapes:
    """The shape of every tensor of a model that NumPy runs, by name."""
    size, kv, mlp = config.hidden_size, config.kv_heads * config.head_size, config.mlp_size
    layer: Shapes = {"attention_norm": (size,), "mlp_norm": (size,)}
    layer |= {"attention.q": (size, size), "attention.o": (size, size)}
    layer |= {"attention.k": (kv, size), "attention.v": (kv, size)}
    layer |= {"mlp.gate": (mlp, size), "mlp.up": (mlp, size), "mlp.down": (size, mlp)}
    shapes: Shapes = {"embedding": (config.vocab_size, size), "norm.weight": (size,)}
    for i in range(config.num_layers):
        shapes |= {f"layers.{i}.{name}.weight": each for name, each in layer.items()}
    for i in range(config.num_increment_modules):
        shapes |= {f"increment_modules.{i}.{name}": each for name, each in _module_shapes(config).items()}
    return shapes


def _module_shapes(config: DecoderConfig) -> Shapes:
    """The shape of every tensor of one increment module."""
    settings, size = config.increments, config.hidden_size
    num_rows = config.kv_heads if settings.per_head else 1
    if settings.parametrization in NETWORKS:
        shapes: Shapes = {
            "hidden.weight": (settings.hidden_size, size),
            "hidden.bias": (settings.hidden_size,),
        }
        shapes |= {"output.weight": (num_rows, settings.hidden_size), "output.bias": (num_rows,)}
        return shapes | ({} if settings.parametrization == "positive" else {"norm": (size,)})
    if settings.parametrization == "frozen":
        return {"table": (config.vocab_size, num_rows)}
    if settings.parametrization == "table":
        return {"weight": (config.vocab_size, num_rows)}
    return {"bias": (num_rows,)} if settings.parametrization == "constant" else {}


def _float32(tensor: dict[str, Any]) -> np.ndarray:
    """A tensor of a safetensors file as a float32 array."""
    data, dtype = tensor["data"], tensor["dtype"]
    if dtype == "BF16":  # the upper half of a float32
        values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float32)
    return values.reshape(tensor["shape"])
