"""The graft: learned increments on any Hugging Face decoder with RoPE, attached by hooks and removable.

    with ropewalk.graft(model, tokenizer=tokenizer) as grafted:  # one row per layer; d = 1, nothing has changed yet
        ...                                                      # train grafted.parameters(), model.generate(...)
    # the model is what it was

No code of the base model is edited or copied. A graft is a `ropewalk.Host`, so everything that measures takes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from ropewalk.core import increments
from ropewalk.core.increment_config import ON_A_GRAFT, IncrementConfig
from ropewalk.core.init import init_weights
from ropewalk.errors import UserError, first_problem
from ropewalk.hf import adapter_file
from ropewalk.hf.grafted import Grafted
from ropewalk.hf.hooks import NAME, GraftHooks, Increments
from ropewalk.hf.inspect_model import HostStructure, inspect_model
from ropewalk.hf.offload import module_device


def graft(
    model: nn.Module | Grafted,
    config: IncrementConfig | None = None,
    *,
    tokenizer: Any = None,
    seed: int = 0,
    **settings: object,
) -> Graft:
    """Attaches increments to a Hugging Face causal language model and returns the handle that removes them.

    config: which increments; or its fields as keywords, as in `graft(model, per="shared", gap="after")`, see
    `ropewalk.IncrementConfig`. With init="identity" the model's outputs are bit-identical until the increments are
    trained. tokenizer: how the model reads text, for traces and probes. A model opened by `ropewalk.load` brings its own.
    UserError for a model or a combination that cannot be grafted.
    """
    if isinstance(model, Graft) and model.config.parametrization == "integer":
        tokenizer = model.tokenizer if tokenizer is None else tokenizer
        model = model.detach()
    if isinstance(model, Grafted):
        raise UserError(f"{model.structure.name} already has increments; detach them first.")
    if not isinstance(model, nn.Module):
        raise UserError(
            f"expected a transformers model to graft onto, got {type(model).__name__}; open one with ropewalk.load."
        )
    try:
        chosen = (config or IncrementConfig()).model_dump() | settings
        return Graft(model, IncrementConfig.model_validate(chosen), seed, tokenizer=tokenizer)
    except ValidationError as error:
        raise UserError(f"these increments cannot be grafted: {first_problem(error)}.") from error


class Graft(Grafted):
    """Increments on a base model. Use `graft` to make one; `detach` (or leaving `with`) restores the base exactly."""

    def __init__(
        self, model: nn.Module, config: IncrementConfig, seed: int = 0, *, tokenizer: Any = None
    ) -> None:
        if graft_of(model) is not None:
            raise UserError(f"{type(model).__name__} already has a graft; detach that one first.")
        structure = inspect_model(model)
        owners = owners_of(structure, config)
        if any(NAME in owner._modules for owner in owners):
            raise UserError(f"{structure.name} has a PEFT adapter with increments; unload that one first.")
        self.increment_modules = nn.ModuleList(build(structure, config) for _ in owners)
        init_weights(self.increment_modules, seed)
        for owner, module in zip(owners, self.increment_modules, strict=True):
            owner.add_module(NAME, module.to(module_device(owner)))
        super().__init__(model, config, structure, attach(structure, config), tokenizer=tokenizer)
        self._owners = owners
        self._frozen: list[nn.Parameter] = []
        model.__dict__["ropewalk_graft"] = self
        if len(self.rows) > len(owners):
            self._try_single_heads()

    def __enter__(self) -> Graft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()

    def detach(self) -> nn.Module:
        """Removes hooks and increments and returns the base model as it was; calling it twice does no harm."""
        self.hooks.remove()
        for owner in self._owners:
            owner._modules.pop(NAME, None)
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        self._frozen.clear()
        self.model.__dict__.pop("ropewalk_graft", None)
        return self.model

    def parameters(self) -> Iterator[nn.Parameter]:
        """The increments' own parameters, float32."""
        return self.increment_modules.parameters()

    def freeze_base(self) -> Graft:
        """Leaves only the increments to train; `detach` reverses it."""
        own = {id(p) for p in self.parameters()}
        for parameter in self.model.parameters():
            if parameter.requires_grad and id(parameter) not in own:
                parameter.requires_grad_(False)
                self._frozen.append(parameter)
        return self

    def save(self, folder: str | Path) -> Path:
        """Writes the increments alone, see `ropewalk.hf.adapter_file`."""
        return adapter_file.save(self, Path(folder))

    def _try_single_heads(self) -> None:
        """One pass over a few tokens, to refuse at once a model that cannot rotate single heads."""
        training = self.model.training
        try:
            with torch.no_grad():
                self.model.eval()
                self(torch.ones(1, 2, dtype=torch.int64))
        except Exception as error:
            self.detach()
            if isinstance(error, UserError):
                raise UserError(f"{self.structure.name}: {error}") from error
            raise UserError(
                f"{self.structure.name} cannot take rows per key/value head; graft it with per_head=False."
            ) from error
        finally:
            self.model.train(training)


def graft_of(model: Any) -> Graft | None:
    """The graft of a model, also on a copy or an unpickled one."""
    found: Graft | None = getattr(model, "__dict__", {}).get("ropewalk_graft")
    return found


def owners_of(structure: HostStructure, config: IncrementConfig) -> list[nn.Module]:
    """The modules that increments become children of: the decoder, or the attention of each rotating layer."""
    return (
        [structure.decoder]
        if config.per == "shared"
        else [layer.attention for layer in structure.rotary_layers]
    )


def attach(structure: HostStructure, config: IncrementConfig) -> GraftHooks:
    """Hooks on a base model, for the increments that its modules hold or will hold."""
    rows = structure.num_kv_heads if config.per_head else 1
    hooks = GraftHooks(structure, config.gap, rows, config.band)
    if config.per == "shared":
        hooks.attach_shared()
    else:
        hooks.attach_per_layer(structure.rotary_layers)
    return hooks


def build(structure: HostStructure, config: IncrementConfig) -> Increments:
    """One parametrization module for a base model, its weights not initialized yet."""
    if config.parametrization not in ON_A_GRAFT:
        raise UserError(
            f"the {config.parametrization} parametrization needs more than what an attention module reads, so a graft cannot have "
            f"it; choose one of {', '.join(ON_A_GRAFT)}."
        )
    if config.reads == "embedding" and config.per == "layer":
        raise UserError(
            'the layers of a graft read their own input; use reads = "layer", or per = "shared", which reads the embedding.'
        )
    module = increments.build_increments(
        config, hidden_size=structure.hidden_size, num_kv_heads=structure.num_kv_heads, vocab_size=1
    )
    return Increments(module, structure.num_kv_heads if config.per_head else 1)
