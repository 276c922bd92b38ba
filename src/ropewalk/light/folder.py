"""A model folder, as `ropewalk.checkpoint` writes it, read without torch, or left to those who say what is wrong."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load

from ropewalk.files import read_whole
from ropewalk.light.decoder import Light

LARGEST = 64_000_000
"""Bytes of weights: with more, what torch takes to load is the smaller part."""

WORDS: dict[str, tuple[str | None, ...]] = {
    "encoding": ("rope",),
    "decay": (None,),
    "law": ("positive", "bounded", "signed"),
    "per": ("layer", "shared"),
    "lines": ("one", "key_head"),
    "gap": ("before", "after"),
    "start": ("identity", "random"),
}
WHOLE = {"vocabulary": 2, "context": 2, "width": 2, "heads": 1, "layers": 1, "hidden": 1, "reach": 2}
OPTIONAL = {"key_heads": 1, "inner": 1}  # whole numbers too, or None
ABOVE = {"theta": 0, "eps": 0, "ceiling": 1, "spread": 0}
Shapes = dict[str, tuple[int, ...]]


class Unknown(Exception):
    """A model that the decoder may read, or refuse in a sentence."""


def read(folder: Path) -> Light:
    """The model of a folder whose weights have the hash that its config tells.

    Unknown for a model of another kind; anything that reading and comparing raise for a folder that is none.
    """
    config = json.loads(read_whole(folder / "config.json"))
    path = folder / "model.safetensors"
    law = config["model"]["increments"]
    shape = {key: value for key, value in config["model"].items() if key != "increments"}
    if (config["format"], config["schema"]) != ("ropewalk-decoder", 1) or not _known(shape | law):
        raise Unknown("its config")
    if path.stat().st_size > LARGEST:
        raise Unknown("its size")
    data, told = read_whole(path), config["weights"]["sha256"]
    weights = {name: each.astype(np.float32) for name, each in load(data).items()}
    provenance = {**config["provenance"], "name": folder.resolve().name, "hash": told}
    model = Light(shape, law, weights, provenance)
    if hashlib.sha256(data).hexdigest() != told or {n: w.shape for n, w in weights.items()} != _shapes(model):
        raise Unknown("its weights")
    return model


def _known(told: dict[str, Any]) -> bool:
    """True for settings that are all there, all known, and of the values that the decoder accepts."""
    return (
        told.keys() == WORDS.keys() | WHOLE.keys() | OPTIONAL.keys() | ABOVE.keys()
        and all(told[name] in words for name, words in WORDS.items())
        and all(type(told[name]) is int and told[name] >= least for name, least in WHOLE.items())
        and all(told[n] is None or (type(told[n]) is int and told[n] >= m) for n, m in OPTIONAL.items())
        and all(least < told[name] < math.inf for name, least in ABOVE.items())
        and told["width"] % (2 * told["heads"]) == 0
        and told["heads"] % (told["key_heads"] or 1) == 0
    )


def _shapes(model: Light) -> Shapes:
    """Every tensor of a model by its name, and its shape."""
    width, hidden = model.shape["width"], model.law["hidden"]
    keys, inner = model.keys * model.size, model.shape["inner"] or 4 * width
    lines = len(model.lines) // model.walks
    layer: Shapes = {"attention_norm": (width,), "feed_norm": (width,)}
    layer |= {"attention.q": (width, width), "attention.o": (width, width)}
    layer |= {"attention.k": (keys, width), "attention.v": (keys, width)}
    layer |= {"feed.gate": (inner, width), "feed.up": (inner, width), "feed.down": (width, inner)}
    law: Shapes = {"inner.weight": (hidden, width), "inner.bias": (hidden,)}
    law |= {"outer.weight": (lines, hidden), "outer.bias": (lines,)}
    law |= {} if model.law["law"] == "positive" else {"norm": (width,)}
    shapes: Shapes = {"embedding": (model.shape["vocabulary"], width), "norm.weight": (width,)}
    for i in range(model.shape["layers"]):
        shapes |= {f"layers.{i}.{name}.weight": each for name, each in layer.items()}
    for i in range(model.walks):
        shapes |= {f"laws.{i}.{name}": each for name, each in law.items()}
    return shapes
