"""What native models record of their training: seed, bytes seen, corpus, and the settings of a built-in source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ropewalk.analyses import name_pairs
from ropewalk.core.host import increments_of
from ropewalk.errors import UserError
from ropewalk.measure import windows
from ropewalk.native.decoder import Decoder

WINDOWS = 8
"""Windows over which the variation of increments is measured."""


@dataclass(frozen=True)
class Run:
    """A model's training. data: the hash of its corpus."""

    seed: int
    bytes: int
    data: str


def run_of(model: Decoder) -> Run:
    """The training of a model. UserError when it does not say."""
    provenance = model.provenance
    try:
        recipe = provenance["recipe"]
        count = int(provenance["step"]) * recipe["train"]["batch_size"] * recipe["model"]["context_length"]
        return Run(recipe["train"]["seed"], count, provenance["corpus"]["hash"])
    except (KeyError, TypeError) as error:
        raise UserError(
            f"the model '{provenance.get('name')}' does not say how it was trained; name models of `ropewalk train`."
        ) from error


def built_in(model: Decoder, name: str) -> dict[str, Any]:
    """The settings of the built-in source of this name that a model was trained on; empty if it was on another."""
    sources = corpus_of(model).get("sources", [])
    return (sources and sources[0].get(name)) or {}


def corpus_of(model: Decoder) -> dict[str, Any]:
    """The corpus section of a model's recipe; empty if there is none."""
    return model.provenance.get("recipe", {}).get("corpus", {})


def increment_variation(models: Sequence[Decoder], tokens: Any) -> float:
    """Standard deviation of increments within rows over the row's mean, root mean square over rows and models.

    A change of scale is no variation.
    """
    found = []
    for model in models:
        with torch.inference_mode():
            cut = windows.cut(tokens, model.context_length, WINDOWS)[:, :-1]
            d = increments_of(model(cut)).double().transpose(0, 1).flatten(1)
        found.append(float((d.std(1, unbiased=False) / d.mean(1)).square().mean()))
    return float(sum(found) / len(found)) ** 0.5


def sentences() -> str:
    """Text in two languages that may be quoted: every pair of words in every template."""
    return "\n".join(
        template.format(pair.joined())
        for pair in name_pairs.pairs()
        for template in name_pairs.TEMPLATES[pair.language]
    )
