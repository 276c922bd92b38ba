"""Reads a model folder, as `ropewalk.native.checkpoint` writes it, without torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load

from ropewalk.native.config import DecoderConfig
from ropewalk.native.numpy_decoder import NumpyDecoder
from ropewalk.system.files import read_whole

LARGEST = 64_000_000
"""Bytes of weights: beyond it, torch computes so much faster that loading it is worth the time."""

NETWORKS = ("positive", "bounded", "signed", "random", "free", "coordinate")

Shapes = dict[str, tuple[int, ...]]


class Unknown(Exception):
    """A model that NumPy does not run, or a folder that `ropewalk.native.checkpoint` may refuse with a reason."""


def read_numpy_decoder(folder: Path) -> NumpyDecoder:
    """The model in a folder, once its weights have the hash in its config.

    Raises Unknown for a model of another kind, and whatever reading raises for a folder that is not a model.
    """
    config = json.loads(read_whole(folder / "config.json"))
    path = folder / "model.safetensors"
    if (config["format"], config["schema"]) != ("ropewalk-decoder", 3):
        raise Unknown("its format")
    shape = DecoderConfig.model_validate(config["model"], strict=True)
    if shape.encoding != "rope" or shape.decay is not None:
        raise Unknown("its config")
    if path.stat().st_size > LARGEST:
        raise Unknown("its size")
    data, digest = read_whole(path), config["weights"]["sha256"]
    weights = {name: each.astype(np.float32) for name, each in load(data).items()}
    provenance = {**config["provenance"], "name": folder.resolve().name, "hash": digest}
    model = NumpyDecoder(shape, weights, provenance)
    if hashlib.sha256(data).hexdigest() != digest or {n: w.shape for n, w in weights.items()} != _shapes(
        model
    ):
        raise Unknown("its weights")
    return model


def _shapes(model: NumpyDecoder) -> Shapes:
    """The shape of every tensor of a model, by name."""
    config = model.config
    size, kv, mlp = config.hidden_size, config.kv_heads * config.head_size, config.mlp_size
    layer: Shapes = {"attention_norm": (size,), "mlp_norm": (size,)}
    layer |= {"attention.q": (size, size), "attention.o": (size, size)}
    layer |= {"attention.k": (kv, size), "attention.v": (kv, size)}
    layer |= {"mlp.gate": (mlp, size), "mlp.up": (mlp, size), "mlp.down": (size, mlp)}
    shapes: Shapes = {"embedding": (config.vocab_size, size), "norm.weight": (size,)}
    for i in range(config.num_layers):
        shapes |= {f"layers.{i}.{name}.weight": each for name, each in layer.items()}
    for i in range(model.num_modules):
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
    return {"bias": (num_rows,)} if settings.parametrization == "constant" else {}
