"""Chance: random networks of the parametrization's own shape on every residual stream, in place of the trained ones.

Whatever a trained increment reads off the residual stream, part of it any network would show, and so would the
parametrization at its start. `Drawn` is a host like any other, so that every measurement can be made of it: line L2.h5 is draw
5 on the input of layer 2.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, cast

import torch
from torch import Tensor

from ropewalk.core import increments
from ropewalk.core.host import Edit, Output
from ropewalk.core.increment_config import IncrementConfig
from ropewalk.core.increments import Network
from ropewalk.core.init import init_weights
from ropewalk.core.rows import Row
from ropewalk.measure.capture import trace
from ropewalk.native.decoder import Decoder
from ropewalk.traces.builder import Start
from ropewalk.traces.trace import Trace

DRAWS = 19  # the highest of 19 is what chance exceeds one time in twenty


class Drawn:
    """A trained decoder or graft that walks as it has learned to, and reports `draws` random networks on what each
    of its parametrizations reads.

    One line per draw and walk. Laws that are no network are drawn as random bounded networks. An edit changes
    nothing: the walk is the model's own.
    """

    def __init__(self, model: Any, draws: int = DRAWS, seed: int = 0) -> None:
        config = getattr(model.config, "increments", model.config)
        self.parametrization = (
            config.parametrization
            if issubclass(increments.MODULES[config.parametrization], Network)
            else "bounded"
        )
        told = config.model_copy(
            update={"parametrization": self.parametrization, "init": "random", "per_head": False}
        )
        self.model, self.draws, self.seed = model, draws, seed
        self.read, width = _law_inputs(model)
        self.nets = [
            [_network(told, width, seed * 1_000_003 + d * 1_009 + layer) for d in range(draws)]
            for layer in range(len(self.read))
        ]

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(Row(i, d) for i in range(len(self.nets)) for d in range(self.draws))

    @property
    def context_length(self) -> int:
        return self.model.context_length

    @property
    def gap(self) -> Literal["before", "after"]:
        return self.model.gap

    def describe(self) -> dict[str, Any]:
        return {
            **self.model.describe(),
            "parametrization": f"random {self.parametrization}",
            "seed": self.seed,
        }

    def __call__(
        self,
        tokens: Tensor,
        n: Tensor | None = None,
        *,
        documents: Tensor | None = None,
        edit: Edit | None = None,
        activations: Collection[str] = (),
        cache: object | None = None,
    ) -> Output:
        output = self.model(tokens, n, documents=documents, activations=[*activations, *self.read])
        drawn = tuple(
            torch.cat([net(output.activations[tap].float(), tokens) for net in members], -1)
            for tap, members in zip(self.read, self.nets, strict=True)
        )
        return Output(output.logits, drawn, {name: output.activations[name] for name in activations})


def untrained(model: Decoder, seed: int) -> Decoder:
    """A model of the same shape at the start of its training, its parametrization drawn at random."""
    parametrization = model.config.increments.model_copy(update={"start": "random"})
    return Decoder(model.config.model_copy(update={"increments": parametrization}), seed=seed).eval()


def random_networks(
    model: Any, text: str, *, draws: int = DRAWS, seed: int = 0, start: Start = "document"
) -> Trace:
    """`draws` random networks on the input of every layer that has a parametrization, kind "increment"."""
    return trace(Drawn(model, draws, seed), text, start=start)


def _law_inputs(model: Any) -> tuple[tuple[str, ...], int]:
    """The taps that hold what a host's parametrizations read, and their width."""
    if hasattr(model, "law_inputs"):
        return model.increment_inputs
    return tuple(f"residual.{i}" for i in range(len(model.increment_modules))), model.config.hidden_size


def _network(config: IncrementConfig, width: int, seed: int) -> Network:
    net = cast(Network, increments.build_increments(config, width=width, num_kv_heads=1, vocabulary=1))
    init_weights(net, seed, std=width**-0.5)
    return net.eval()
