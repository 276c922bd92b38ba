"""The graft: learned increments on any Hugging Face decoder that rotates, attached by hooks and taken off
again.

    with ropewalk.hf.graft(model) as grafted:  # one line per layer; d = 1, nothing has changed yet
        ...                                    # train grafted.parameters(), model.generate(...)
    # the model is what it was

No host code is edited or copied. A graft is a `ropewalk.core.host.Host`, so everything that measures takes it.
It does not know tokenizers: captures of a graft bring their own tokens (see `ropewalk.hf.reading`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from ropewalk.core import increments, positions
from ropewalk.core.increment_config import IncrementConfig
from ropewalk.core.init import init_weights
from ropewalk.errors import UserError, first_problem
from ropewalk.hf.grafted import Grafted
from ropewalk.hf.hooks import NAME, GraftHooks, Increments
from ropewalk.hf.inspect_model import HostStructure, inspect_model


def graft(
    model: nn.Module,
    parametrization: str = "bounded",
    per: Literal["layer", "shared"] = "layer",
    per_head: bool = False,
    gap: positions.Gap = "before",
    *,
    hidden_size: int = 64,
    max_increment: float = 10.0,
    init: Literal["identity", "random"] = "identity",
    seed: int = 0,
) -> Graft:
    """Attaches increments to a Hugging Face causal language model and returns the handle that takes them off.

    With `init="identity"` the model's outputs are bit-identical until the increments are trained. parametrization:
    "bounded", "positive", "signed", "constant" or "integer" (d = 1, for probes and baselines). per_head: one row per key/value head
    and not per layer. gap: see `ropewalk.core.positions`. UserError for a host or a combination that
    cannot be grafted.
    """
    try:
        config = IncrementConfig(
            parametrization=parametrization,
            per=per,
            per_head=per_head,
            gap=gap,
            hidden_size=hidden_size,
            max_increment=max_increment,
            init=init,
        )
    except ValidationError as error:
        raise UserError(f"this graft does not hold: {first_problem(error)}.") from error
    return Graft(model, config, seed)


class Graft(Grafted):
    """Increments on a host. Use `graft` to make one; `detach` (or leaving `with`) restores the host
    exactly.
    """

    def __init__(self, model: nn.Module, config: IncrementConfig, seed: int = 0) -> None:
        if getattr(model, "ropewalk_graft", None) is not None:
            raise UserError(f"{type(model).__name__} already carries a graft; detach that one first.")
        anatomy = inspect_model(model)
        owners = owners_of(anatomy, config)
        self.increment_modules = nn.ModuleList(build(anatomy, config) for _ in owners)
        init_weights(self.increment_modules, seed)
        for owner, parametrization in zip(owners, self.increment_modules, strict=True):
            owner.add_module(NAME, parametrization.to(next(owner.parameters()).device))
        super().__init__(model, config, anatomy, attach(anatomy, config, active))
        self._owners = owners
        self._frozen: list[nn.Parameter] = []
        model.__dict__["ropewalk_graft"] = self
        if len(self.rows) > len(owners):
            self._try()

    def __enter__(self) -> Graft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()

    def detach(self) -> nn.Module:
        """Takes hooks and increments off and gives the host back as it was; doing it twice does no harm."""
        self.seam.remove()
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
        """Leaves only the increments to train; `detach` thaws what this froze."""
        own = {id(p) for p in self.parameters()}
        for parameter in self.model.parameters():
            if parameter.requires_grad and id(parameter) not in own:
                parameter.requires_grad_(False)
                self._frozen.append(parameter)
        return self

    def save(self, folder: str | Path) -> Path:
        """Writes the increments alone, see `ropewalk.hf.adapter`."""
        from ropewalk.hf import adapter

        return adapter.save(self, Path(folder))

    def _try(self) -> None:
        """One pass over a few tokens, to refuse at once what could not rotate by single heads."""
        training = self.model.training
        try:
            with torch.no_grad():
                self.model.eval()
                self(torch.ones(1, 2, dtype=torch.int64))
        except Exception as error:
            self.detach()
            if isinstance(error, UserError):
                raise UserError(f"{self.anatomy.name}: {error}") from error
            raise UserError(
                f"{self.anatomy.name} cannot take lines per key head; graft it with per_head=False."
            ) from error
        finally:
            self.model.train(training)


def owners_of(anatomy: HostStructure, config: IncrementConfig) -> list[nn.Module]:
    """The modules that increments become children of: the decoder, or the attention of each place."""
    return [anatomy.decoder] if config.per == "shared" else [place.attention for place in anatomy.places]


def attach(
    anatomy: HostStructure, config: IncrementConfig, of: Callable[[nn.Module, Tensor], Tensor | None]
) -> GraftHooks:
    """Hooks on a host. `of` gives an owner's increments for its input, None where it has none."""
    seam = GraftHooks(anatomy, config.gap, anatomy.num_kv_heads if config.per_head else 1, of)
    if config.per == "shared":
        seam.shared(anatomy.places[0].slot)
    else:
        seam.per_layer(anatomy.places)
    return seam


def build(anatomy: HostStructure, config: IncrementConfig) -> Increments:
    """One parametrization for one place of a host, undrawn weights and all."""
    if issubclass(increments.MODULES[config.parametrization], increments.Frozen | increments.Absolute):
        raise UserError(
            f"the {config.parametrization} parametrization needs more than what an attention reads, so a graft cannot have it; choose "
            "bounded, positive, signed or constant."
        )
    parametrization = increments.build_increments(
        config, width=anatomy.width, num_kv_heads=anatomy.num_kv_heads, vocabulary=1
    )
    return Increments(parametrization, anatomy.num_kv_heads if config.per_head else 1)


def active(owner: nn.Module, x: Tensor) -> Tensor | None:
    """The increments that an owner carries, for its input."""
    parametrization = owner._modules.get(NAME)
    return None if parametrization is None else parametrization(x)
