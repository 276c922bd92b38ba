"""The graft: learned increments on any Hugging Face decoder that rotates, attached by hooks and taken off again.

    with ropewalk.hf.graft(model) as grafted:      # one line per layer, d = 1 for every token: nothing changed yet
        ...                                        # train grafted.parameters(), generate with model.generate(...)
    # the model is what it was

No host code is edited or copied. A graft is a `ropewalk.host.Host`, so everything that measures takes it. It does not
know tokenizers: captures of a graft bring their own tokens (see `ropewalk.hf.reading`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor, nn

import ropewalk
from ropewalk import increments, positions
from ropewalk.decoder import initialise
from ropewalk.errors import UserError, first_problem
from ropewalk.hf.anatomy import Anatomy, examine
from ropewalk.hf.seam import NAME, Increments, Recording, Seam
from ropewalk.host import Edit, Output
from ropewalk.increments import IncrementConfig
from ropewalk.lines import Line, layer_lines


def graft(
    model: nn.Module,
    law: str = "bounded",
    per: Literal["layer", "shared"] = "layer",
    lines: Literal["one", "key_head"] = "one",
    gap: positions.Gap = "before",
    *,
    hidden: int = 64,
    ceiling: float = 10.0,
    start: Literal["identity", "random"] = "identity",
    seed: int = 0,
) -> Graft:
    """Attaches increments to a Hugging Face causal language model and returns the handle that takes them off.

    With `start="identity"` the model's outputs are bit-identical until the increments are trained. law: "bounded",
    "positive", "signed", "constant" or "unit" (d = 1, for probes and baselines). lines: one per layer, or one per key
    head. gap: see `ropewalk.positions`. UserError for a host or a combination that cannot be grafted.
    """
    try:
        config = IncrementConfig(
            law=law, per=per, lines=lines, gap=gap, hidden=hidden, ceiling=ceiling, start=start
        )
    except ValidationError as error:
        raise UserError(f"this graft does not hold: {first_problem(error)}.") from error
    return Graft(model, config, seed)


class Graft:
    """Increments on a host. Use `graft` to make one; `detach` (or leaving `with`) restores the host exactly."""

    def __init__(self, model: nn.Module, config: IncrementConfig, seed: int = 0) -> None:
        if getattr(model, "ropewalk_graft", None) is not None:
            raise UserError(f"{type(model).__name__} already carries a graft; detach that one first.")
        if config.law == "frozen":
            raise UserError(
                "the frozen law needs a table per token, which a graft has not; choose another law."
            )
        self.model, self.config = model, config
        self.anatomy = examine(model)
        self._frozen: list[nn.Parameter] = []
        count = self.anatomy.key_heads if config.lines == "key_head" else 1
        owners = (
            [self.anatomy.decoder] if config.per == "shared" else [p.attention for p in self.anatomy.places]
        )
        self.laws = nn.ModuleList(build(self.anatomy, config) for _ in owners)
        with torch.device("cpu"):
            initialise(self.laws, seed)
        for owner, law in zip(owners, self.laws, strict=True):
            device = next(owner.parameters()).device
            owner.add_module(NAME, law.to(device) if device.type != "meta" else law)
        self.seam = Seam(self.anatomy, config.gap, count, active)
        self._owners = owners
        if config.per == "shared":
            self.seam.shared(self.anatomy.places[0].slot)
        else:
            self.seam.per_layer(self.anatomy.places)
        object.__setattr__(model, "ropewalk_graft", self)
        if count > 1:
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
        return self.laws.parameters()

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

    @property
    def lines(self) -> tuple[Line, ...]:
        count = self.anatomy.key_heads if self.config.lines == "key_head" else 1
        layers = [None] if self.config.per == "shared" else [place.index for place in self.anatomy.places]
        return tuple(line for layer in layers for line in layer_lines(layer, count))

    @property
    def context(self) -> int:
        return int(getattr(self.anatomy.config, "max_position_embeddings", None) or 2048)

    @property
    def gap(self) -> positions.Gap:
        return self.config.gap

    @property
    def device(self) -> torch.device:
        return self.model.get_input_embeddings().weight.device

    def describe(self) -> dict[str, Any]:
        """Name and class of the host, its identity, and the law grafted onto it, as a Trace records them."""
        from ropewalk.hf.identity import identity

        bounds = {"ceiling": self.config.ceiling} if self.config.law == "bounded" else {}
        named = str(getattr(self.anatomy.config, "_name_or_path", "") or self.anatomy.name)
        return {
            "name": Path(named).name,
            "architecture": self.anatomy.name,
            "hash": identity(self.model)["weights"],
            "version": ropewalk.__version__,
            "law": self.config.law,
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
        taps: Collection[str] = (),
        cache: Any = None,
    ) -> Output:
        """tokens (B, T) -> logits, increments and taps; see `ropewalk.host.Host`.

        taps: "residual.I", the input of layer I; "positions.I", where layer I is grafted (I = 0 where all share);
        "attention.I", on hosts loaded with attn_implementation="eager". cache: a transformers cache.
        """
        if (
            edit is not None
            and self.model.training
            and getattr(self.model, "is_gradient_checkpointing", False)
        ):
            raise UserError(
                "an edit is not seen again when gradient checkpointing recomputes; disable checkpointing."
            )
        wanted = self._known(taps)
        if documents is not None:
            n = positions.restart(positions.document_starts(documents)) if n is None else n
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
                    hook = partial(_residual, found, f"residual.{i}")
                    handle = self.anatomy.layers[i].register_forward_pre_hook(hook, with_kwargs=True)
                    hooks.callback(handle.remove)
                output = self.model(
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

    def _known(self, taps: Collection[str]) -> dict[str, list[int]]:
        walks = [0] if self.config.per == "shared" else [place.index for place in self.anatomy.places]
        every = list(range(len(self.anatomy.layers)))
        eager = getattr(self.anatomy.config, "_attn_implementation", None) == "eager"
        known = {"residual": every, "positions": walks, "attention": every if eager else []}
        wanted: dict[str, list[int]] = {kind: [] for kind in known}
        for tap in taps:
            kind, _, index = tap.partition(".")
            if kind not in known or not index.isdigit() or int(index) not in known[kind]:
                raise UserError(
                    f"unknown tap '{tap}': this host has residual.I for its {len(every)} layers, positions.I for "
                    f'{", ".join(map(str, walks))}, and attention.I if loaded with attn_implementation="eager".'
                )
            wanted[kind].append(int(index))
        return wanted

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
                f'{self.anatomy.name} cannot take lines per key head; graft it with lines="one".'
            ) from error
        finally:
            self.model.train(training)


def build(anatomy: Anatomy, config: IncrementConfig) -> Increments:
    """One law for one place of a host, undrawn weights and all."""
    law = increments.build(config, width=anatomy.width, key_heads=anatomy.key_heads, vocabulary=1)
    return Increments(law, anatomy.key_heads if config.lines == "key_head" else 1)


def active(owner: nn.Module, x: Tensor) -> Tensor | None:
    """The increments that an owner carries, for its input."""
    law = owner._modules.get(NAME)
    return None if law is None else law(x)


def _residual(
    found: dict[str, Tensor], name: str, layer: nn.Module, args: tuple, kwargs: dict[str, Any]
) -> None:
    found[name] = args[0] if args else kwargs["hidden_states"]
