"""A grafted model as a host: rows, edits, activations and documents, for everything that measures.

Activations (hook points): "residual.I" is the input of layer I, "input.I" that of its attention, both (B, T, C);
"positions.I" are the positions (B, T, G) that layer I rotates by; "attention.I" are its weights (B, H, T, T), of models
loaded with attn_implementation="eager".
"""

from __future__ import annotations

import inspect
from collections.abc import Collection
from contextlib import ExitStack
from functools import cached_property, partial
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
from ropewalk.hf.cache_state import CACHE_NAME
from ropewalk.hf.hooks import GraftHooks, Recording, checkpointing
from ropewalk.hf.identity import identity
from ropewalk.hf.inspect_model import HostStructure
from ropewalk.hf.offload import module_device
from ropewalk.tokens.host_text import as_tokenizer
from ropewalk.tokens.tokenizer import Tokenizer


class Grafted:
    """A Hugging Face model with hooks on it; see `ropewalk.core.host.Host`.

    tokenizer: how the model reads text, one of ours or of transformers. layers: the layers that have increments, all that
    rotate when None.
    """

    def __init__(
        self,
        model: nn.Module,
        config: IncrementConfig,
        structure: HostStructure,
        hooks: GraftHooks,
        *,
        tokenizer: Any = None,
        layers: tuple[int, ...] | None = None,
    ) -> None:
        self.model, self.config, self.structure, self.hooks = model, config, structure, hooks
        self.tokenizer: Tokenizer | None = None if tokenizer is None else as_tokenizer(tokenizer)
        self.layers = layers or tuple(layer.index for layer in structure.rotary_layers)
        self.run: Any = model  # what a pass calls: the model, or its DDP or FSDP wrapper

    @property
    def rows(self) -> tuple[Row, ...]:
        count = self.structure.num_kv_heads if self.config.per_head else 1
        layers = [None] if self.config.per == "shared" else self.layers
        return tuple(row for layer in layers for row in layer_rows(layer, count))

    @property
    def context_length(self) -> int:
        return int(getattr(self.structure.config, "max_position_embeddings", None) or 2048)

    @property
    def vocab_size(self) -> int:
        """How many tokens the model's embedding knows."""
        model: Any = self.model
        return int(model.get_input_embeddings().num_embeddings)

    @property
    def increment_inputs(self) -> tuple[tuple[str, ...], int]:
        """The activations that its parametrizations read, and their width."""
        width = self.structure.hidden_size
        return (
            ("residual.0",) if self.config.per == "shared" else tuple(f"input.{i}" for i in self.layers)
        ), width

    @property
    def gap(self) -> positions.Gap:
        return self.config.gap

    @property
    def device(self) -> torch.device:
        model: Any = self.model
        return module_device(model.get_input_embeddings())

    def describe(self) -> dict[str, Any]:
        """Name, class and identity of the base model, and the increments grafted onto it, as a Trace records them."""
        bounds = (
            {"max_increment": self.config.max_increment} if self.config.parametrization == "bounded" else {}
        )
        named = str(getattr(self.structure.config, "_name_or_path", "") or self.structure.name)
        return {
            "name": Path(named).name,
            "architecture": self.structure.name,
            "hash": identity(self.model)["weights"],
            "version": ropewalk.__version__,
            "parametrization": self.config.parametrization,
            "per": self.config.per,
            **bounds,
        }

    def new_cache(self) -> Any:
        """An empty key/value cache for this model."""
        from transformers import DynamicCache

        return DynamicCache(config=self.structure.config)

    def __call__(
        self,
        tokens: Tensor,
        position_ids: Tensor | None = None,
        *,
        document_ids: Tensor | None = None,
        edit: Edit | None = None,
        activations: Collection[str] = (),
        kv_cache: Any = None,
        last: int | None = None,
    ) -> Output:
        """tokens (B, T) -> logits, increments and activations; see `ropewalk.core.host.Host`.

        kv_cache: a transformers cache. last: make logits of the last tokens alone, which saves memory. UserError for unknown
        activations and for tokens that the model does not know.
        """
        if edit is not None and checkpointing(self.structure) != "no":
            raise UserError(
                "an edit is lost when gradient checkpointing recomputes a pass; disable checkpointing."
            )
        _check_tokens(tokens, self.vocab_size)
        wanted = self._known(activations)
        if document_ids is not None and position_ids is None:
            position_ids = positions.restarted_position_ids(positions.document_starts(document_ids))
        elif (
            document_ids is None
            and position_ids is not None
            and bool((position_ids[:, 1:] <= position_ids[:, :-1]).any())
        ):
            raise UserError(
                "positions restart inside a row but no documents were given; pass document_ids as well."
            )
        found: dict[str, Tensor] = {}
        recording = Recording(edit)
        self.hooks.recording = recording
        try:
            with ExitStack() as handles:
                for i in wanted["residual"]:
                    _record_input(handles, self.structure.layers[i], found, f"residual.{i}")
                for layer in self.structure.rotary_layers:
                    if layer.index in wanted["input"]:
                        _record_input(handles, layer.attention, found, f"input.{layer.index}")
                output = self.run(
                    input_ids=tokens.to(self.device),
                    position_ids=None if position_ids is None else position_ids.to(self.device),
                    **{CACHE_NAME: kv_cache},
                    use_cache=kv_cache is not None,
                    **({"output_attentions": True} if wanted["attention"] else {}),
                    **({"logits_to_keep": last} if last is not None and self._keeps_logits else {}),
                )
        finally:
            self.hooks.recording = None
        found.update({f"positions.{i}": recording.p[i] for i in wanted["positions"]})
        found.update({f"attention.{i}": output.attentions[i] for i in wanted["attention"]})
        logits = output.logits
        if last is not None and logits.shape[1] != last:
            logits = logits[:, -last:]
        return Output(logits, tuple(recording.r), found)

    @cached_property
    def _keeps_logits(self) -> bool:
        """Whether the model can make the logits of some tokens alone."""
        model: Any = self.model
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        return "logits_to_keep" in inspect.signature(base.forward).parameters

    def _known(self, activations: Collection[str]) -> dict[str, list[int]]:
        rotating = [layer.index for layer in self.structure.rotary_layers]
        summed = [0] if self.config.per == "shared" else list(self.layers)
        every = list(range(len(self.structure.layers)))
        eager = getattr(self.structure.config, "_attn_implementation", None) == "eager"
        known = {
            "residual": every, "input": rotating, "positions": summed, "attention": every if eager else [],
        }  # fmt: skip
        wanted: dict[str, list[int]] = {kind: [] for kind in known}
        for name in activations:
            kind, _, index = name.partition(".")
            if kind not in known or not index.isdigit() or int(index) not in known[kind]:
                raise UserError(
                    f"unknown activation '{name}': this model has residual.I for its {len(every)} layers, input.I for "
                    f"{', '.join(map(str, rotating))}, positions.I for {', '.join(map(str, summed))}, and attention.I if "
                    'loaded with attn_implementation="eager".'
                )
            wanted[kind].append(int(index))
        return wanted


def _check_tokens(tokens: Tensor, vocab_size: int) -> None:
    if (
        tokens.device.type == "cpu"
        and tokens.numel()
        and not 0 <= int(tokens.min()) <= int(tokens.max()) < vocab_size
    ):
        raise UserError(
            f"expected tokens from 0 to {vocab_size - 1}, got some from {int(tokens.min())} to {int(tokens.max())}; use the "
            "tokenizer that the model was trained with."
        )


def _record_input(handles: ExitStack, module: nn.Module, found: dict[str, Tensor], name: str) -> None:
    handle = module.register_forward_pre_hook(partial(_keep_input, found, name), with_kwargs=True)
    handles.callback(handle.remove)


def _keep_input(
    found: dict[str, Tensor], name: str, module: nn.Module, args: tuple, kwargs: dict[str, Any]
) -> None:
    found[name] = args[0] if args else kwargs["hidden_states"]
