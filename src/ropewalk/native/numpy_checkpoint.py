"""A model folder, as `ropewalk.native.checkpoint` writes it, read without torch, or left to those who say what is wrong."""

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
"""Bytes of weights: with more, what torch takes to load is the smaller part."""

READABLE = ("positive", "bounded", "signed")
"""Parametrizations that the NumPy decoder computes."""

Shapes = dict[str, tuple[int, ...]]


class Unknown(Exception):
    """A model that the decoder may read, or refuse in a sentence."""


def read_numpy_decoder(folder: Path) -> NumpyDecoder:
    """The model of a folder whose weights have the hash that its config tells.

    Unknown for a model of another kind; anything that reading and comparing raise for a folder that is none.
    """
    config = json.loads(read_whole(folder / "config.json"))
    path = folder / "model.safetensors"
    if (config["format"], config["schema"]) != ("ropewalk-decoder", 2):
        raise Unknown("its format")
    shape = DecoderConfig.model_validate(config["model"], strict=True)
    if not _readable(shape):
        raise Unknown("its config")
    if path.stat().st_size > LARGEST:
        raise Unknown("its size")
    data, told = read_whole(path), config["weights"]["sha256"]
    weights = {name: each.astype(np.float32) for name, each in load(data).items()}
    provenance = {**config["provenance"], "name": folder.resolve().name, "hash": told}
    model = NumpyDecoder(shape, weights, provenance)
    if hashlib.sha256(data).hexdigest() != told or {n: w.shape for n, w in weights.items()} != _shapes(model):
        raise Unknown("its weights")
    return model


def _readable(config: DecoderConfig) -> bool:
    """True for what the NumPy decoder computes."""
    parametrization = config.increments.parametrization
    return config.encoding == "rope" and config.decay is None and parametrization in READABLE


def _shapes(model: NumpyDecoder) -> Shapes:
    """Every tensor of a model by its name, and its shape."""
    config = model.config
    width, hidden = config.hidden_size, config.increments.hidden_size
    kv, inner = config.kv_heads * config.head_size, config.mlp_size
    outputs = len(model.rows) // model.num_modules
    layer: Shapes = {"attention_norm": (width,), "feed_norm": (width,)}
    layer |= {"attention.q": (width, width), "attention.o": (width, width)}
    layer |= {"attention.k": (kv, width), "attention.v": (kv, width)}
    layer |= {"feed.gate": (inner, width), "feed.up": (inner, width), "feed.down": (width, inner)}
    network: Shapes = {"inner.weight": (hidden, width), "inner.bias": (hidden,)}
    network |= {"outer.weight": (outputs, hidden), "outer.bias": (outputs,)}
    network |= {} if config.increments.parametrization == "positive" else {"norm": (width,)}
    shapes: Shapes = {"embedding": (config.vocab_size, width), "norm.weight": (width,)}
    for i in range(config.num_layers):
        shapes |= {f"layers.{i}.{name}.weight": each for name, each in layer.items()}
    for i in range(model.num_modules):
        shapes |= {f"increment_modules.{i}.{name}": each for name, each in network.items()}
    return shapes
