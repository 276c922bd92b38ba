"""Random networks: what any increment network on the same residual stream would show, without training.

Part of what a trained increment reads off the residual stream any network would show, and so would its own
parametrization at initialization. `RandomNetworks` is a host like any other, so that every measurement can be made
of it: its row L2.h5 is draw 5 on the input of layer 2.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from ropewalk.core import increments
from ropewalk.core.host import Edit, Host, Output
from ropewalk.core.increment_config import IncrementConfig
from ropewalk.core.increments import Network
from ropewalk.core.init import init_weights
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.measure.capture import trace
from ropewalk.native.decoder import Decoder
from ropewalk.tokens.tokenizer import Start, Tokenizer
from ropewalk.traces.trace import Trace

DRAWS = 99
"""Enough for a two-sided rank test: the second highest of 99 is exceeded by chance one time in fifty."""


@runtime_checkable
class GraftLike(Protocol):
    """A host that says which activations its increment networks read, and how wide those are."""

    config: IncrementConfig

    @property
    def increment_inputs(self) -> tuple[tuple[str, ...], int]: ...


class RandomNetworks:
    """A host that reports `draws` random networks on the inputs of a trained one's increment networks.

    The forward pass uses the trained increments; the random ones are only reported. One row per draw and module.
    Parametrizations that are no network are replaced by random "bounded" ones. `edit` is ignored. draws: `DRAWS` when
    None.
    """

    def __init__(self, host: Host, draws: int | None = None, seed: int = 0) -> None:
        self.read, width, config = _increment_inputs(host)
        known = issubclass(increments.MODULES[config.parametrization], Network)
        self.parametrization = config.parametrization if known else "bounded"
        config = config.model_copy(
            update={"parametrization": self.parametrization, "init": "random", "per_head": False}
        )
        self.host, self.draws, self.seed = host, DRAWS if draws is None else draws, seed
        self.networks = [
            [_network(config, width, seed * 1_000_003 + draw * 1_009 + layer) for draw in range(self.draws)]
            for layer in range(len(self.read))
        ]

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(Row(layer, draw) for layer in range(len(self.networks)) for draw in range(self.draws))

    @property
    def context_length(self) -> int:
        return self.host.context_length

    @property
    def gap(self) -> Literal["before", "after"]:
        return self.host.gap

    @property
    def tokenizer(self) -> Tokenizer | None:
        """That of the trained host."""
        return getattr(self.host, "tokenizer", None)

    @property
    def vocab_size(self) -> int:
        return self.host.vocab_size

    def describe(self) -> dict[str, Any]:
        return {
            **self.host.describe(),
            "parametrization": f"random {self.parametrization}",
            "seed": self.seed,
        }

    def __call__(
        self,
        tokens: Tensor,
        position_ids: Tensor | None = None,
        *,
        document_ids: Tensor | None = None,
        edit: Edit | None = None,
        activations: Collection[str] = (),
        kv_cache: object | None = None,
    ) -> Output:
        output = self.host(
            tokens, position_ids, document_ids=document_ids, activations=[*activations, *self.read]
        )
        drawn = tuple(
            torch.cat([network(output.activations[name].float().cpu(), tokens) for network in members], -1)
            for name, members in zip(self.read, self.networks, strict=True)
        )
        return Output(output.logits, drawn, {name: output.activations[name] for name in activations})


def untrained(model: Decoder, seed: int) -> Decoder:
    """A model of the same shape before training, its increments drawn at random."""
    config = model.config.increments.model_copy(update={"init": "random"})
    return Decoder(model.config.model_copy(update={"increments": config}), seed=seed).eval()


def random_networks(
    host: Host, text: str, *, draws: int | None = None, seed: int = 0, start: Start = "auto"
) -> Trace:
    """`draws` random networks on the input of every layer that has increments, kind "increment"."""
    return trace(RandomNetworks(host, draws, seed), text, start=start)


def _increment_inputs(host: Host) -> tuple[tuple[str, ...], int, IncrementConfig]:
    """The activations that a host's increment networks read, their width, and the networks' settings."""
    if isinstance(host, Decoder):
        return (*host.increment_inputs, host.config.increments)
    if isinstance(host, GraftLike):
        return (*host.increment_inputs, host.config)
    raise UserError("random networks need a model with increments; graft some onto this one first.")


def _network(config: IncrementConfig, width: int, seed: int) -> Network:
    network = cast(
        Network, increments.build_increments(config, hidden_size=width, num_kv_heads=1, vocab_size=1)
    )
    init_weights(network, seed, std=width**-0.5)
    return network.eval()
