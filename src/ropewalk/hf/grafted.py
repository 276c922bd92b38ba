"""A grafted model as a host: lines, edits, taps and documents, for everything that measures.

Knows the seam and the shape of the model, not how increments came to be on it.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import ropewalk
from ropewalk.core import positions
from ropewalk.core.host import Edit, Output
from ropewalk.core.increment_config import IncrementConfig
from ropewalk.core.rows import Row, layer_rows
from ropewalk.errors import UserError
from ropewalk.hf.hooks import GraftHooks, Recording, checkpointing
from ropewalk.hf.inspect_model import HostStructure


class Grafted:
    """A Hugging Face model with a seam in it; see `ropewalk.core.host.Host`."""

    def __init__(
        self, model: nn.Module, config: IncrementConfig, anatomy: HostStructure, seam: GraftHooks
    ) -> None:
        self.model, self.config, self.anatomy, self.seam = model, config, anatomy, seam
        self.run: Any = model  # what a pass calls: the model, or what several processes wrap it in

    @property
    def rows(self) -> tuple[Row, ...]:
        count = self.anatomy.num_kv_heads if self.config.per_head else 1
        layers = [None] if self.config.per == "shared" else [place.index for place in self.anatomy.places]
        return tuple(row for layer in layers for row in layer_rows(layer, count))

    @property
    def context_length(self) -> int:
        return int(getattr(self.anatomy.config, "max_position_embeddings", None) or 2048)

    @property
    def increment_inputs(self) -> tuple[tuple[str, ...], int]:
        """The taps that hold what its parametrizations read, and how wide that is."""
        if self.config.per == "shared":
            return ("residual.0",), self.anatomy.width
        return tuple(f"input.{place.index}" for place in self.anatomy.places), self.anatomy.width

    @property
    def gap(self) -> positions.Gap:
        return self.config.gap

    @property
    def device(self) -> torch.device:
        model: Any = self.model
        return model.get_input_embeddings().weight.device

    def describe(self) -> dict[str, Any]:
        """Name and class of the host, its identity, and the parametrization grafted onto it, as a Trace records them."""
        from ropewalk.hf.identity import identity

        bounds = (
            {"max_increment": self.config.max_increment} if self.config.parametrization == "bounded" else {}
        )
        named = str(getattr(self.anatomy.config, "_name_or_path", "") or self.anatomy.name)
        return {
            "name": Path(named).name,
            "architecture": self.anatomy.name,
            "hash": identity(self.model)["weights"],
            "version": ropewalk.__version__,
            "parametrization": self.config.parametrization,
            "per": self.config.per,
            **bounds,
        }

    def __call__(
        self,
        tokens: Tensor,
        n: Tensor | None = None,
        *,
        documents: Tensor | None = None,
        edit: Edit | None = None,
        activations: Collection[str] = (),
        cache: Any = None,
    ) -> Output:
        """tokens (B, T) -> logits, increments and taps; see `ropewalk.core.host.Host`.

        taps: "residual.I", the input of layer I; "input.I", that of its attention; "positions.I", where layer
        I is grafted (I = 0 where all share); "attention.I", on hosts loaded with
        attn_implementation="eager". cache: a transformers cache.
        """
        if edit is not None and checkpointing(self.anatomy) != "no":
            raise UserError(
                "an edit is not seen again when gradient checkpointing recomputes; disable checkpointing."
            )
        wanted = self._known(activations)
        if documents is not None:
            n = positions.restarted_position_ids(positions.document_starts(documents)) if n is None else n
        elif n is not None and bool((n[:, 1:] <= n[:, :-1]).any()):
            raise UserError(
                "positions restart inside a row but no documents were given; pass documents as well."
            )
        found: dict[str, Tensor] = {}
        recording = Recording(edit)
        self.seam.recording = recording
        try:
            with ExitStack() as hooks:
                for i in wanted["residual"]:
                    hook = partial(_input, found, f"residual.{i}")
                    handle = self.anatomy.layers[i].register_forward_pre_hook(hook, with_kwargs=True)
                    hooks.callback(handle.remove)
                for place in self.anatomy.places:
                    if place.index in wanted["input"]:
                        hook = partial(_input, found, f"input.{place.index}")
                        handle = place.attention.register_forward_pre_hook(hook, with_kwargs=True)
                        hooks.callback(handle.remove)
                output = self.run(
                    input_ids=tokens.to(self.device),
                    position_ids=None if n is None else n.to(self.device),
                    past_key_values=cache,
                    use_cache=cache is not None,
                    **({"output_attentions": True} if wanted["attention"] else {}),
                )
        finally:
            self.seam.recording = None
        found.update({f"positions.{i}": recording.p[i] for i in wanted["positions"]})
        found.update({f"attention.{i}": output.attentions[i] for i in wanted["attention"]})
        return Output(output.logits, tuple(recording.r), found)

    def _known(self, activations: Collection[str]) -> dict[str, list[int]]:
        places = [place.index for place in self.anatomy.places]
        walks = [0] if self.config.per == "shared" else places
        every = list(range(len(self.anatomy.layers)))
        eager = getattr(self.anatomy.config, "_attn_implementation", None) == "eager"
        known = {
            "residual": every, "input": places, "positions": walks, "attention": every if eager else [],
        }  # fmt: skip
        wanted: dict[str, list[int]] = {kind: [] for kind in known}
        for tap in activations:
            kind, _, index = tap.partition(".")
            if kind not in known or not index.isdigit() or int(index) not in known[kind]:
                raise UserError(
                    f"unknown tap '{tap}': this host has residual.I for its {len(every)} layers, input.I for "
                    f"{', '.join(map(str, places))}, positions.I for "
                    f"{', '.join(map(str, walks))}, and attention.I if loaded with "
                    f'attn_implementation="eager".'
                )
            wanted[kind].append(int(index))
        return wanted


def _input(
    found: dict[str, Tensor], name: str, layer: nn.Module, args: tuple, kwargs: dict[str, Any]
) -> None:
    found[name] = args[0] if args else kwargs["hidden_states"]
