"""Where a Hugging Face decoder can be grafted: its rotary embedding and the attentions that turn by it.

Nothing is known of families by name. An attention is a module inside a decoder layer that is given the
rotary embedding's output; whether it uses it is found out by turning that output and looking whether
attention moves, in one forward pass over a few tokens. Whatever does not fit is refused, with the host's
name and what to do instead.
"""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ropewalk.errors import UserError

DRIFTING = ("longrope", "dynamic")
TOKENS = 6


class GraftWarning(UserWarning):
    """Something about a host that a person should know before believing what a graft on it shows."""


@dataclass(frozen=True)
class Place:
    """One attention that turns by the rotary embedding: its layer, counted from 0, and the kind of its
    layer.
    """

    index: int
    attention: nn.Module
    layer_type: str | None

    @property
    def slot(self) -> int:
        """Where the layer keeps its keys in a cache."""
        return int(getattr(self.attention, "layer_idx", None) or self.index)


@dataclass(frozen=True)
class HostStructure:
    """A host taken apart. `places` has the layers that rotate, `still` the indices of those that do not."""

    model: nn.Module
    decoder: nn.Module
    rotary: nn.Module
    layers: tuple[nn.Module, ...]
    places: tuple[Place, ...]
    still: tuple[int, ...]

    @property
    def config(self) -> Any:
        return self.decoder.config

    @property
    def width(self) -> int:
        """The width of the residual stream."""
        return int(self.config.hidden_size)

    @property
    def num_kv_heads(self) -> int:
        if getattr(self.config, "multi_query", False) and not getattr(
            self.config, "new_decoder_architecture", False
        ):
            return 1
        return int(getattr(self.config, "num_key_value_heads", None) or self.config.num_attention_heads)

    @property
    def name(self) -> str:
        return type(self.model).__name__


def inspect_model(model: nn.Module) -> HostStructure:
    """Takes a host apart, or raises UserError that names it and says why it cannot be grafted."""
    name = type(model).__name__
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        raise UserError(f"{name} is an encoder-decoder; a graft needs a decoder-only model, such as a Llama.")
    decoder, rotary, layers = _decoder(model)
    config: Any = decoder.config
    if getattr(config, "num_kv_shared_layers", 0):
        raise UserError(
            f"{name} has layers that reuse the keys of others (num_kv_shared_layers = "
            f"{config.num_kv_shared_layers}), whose positions cannot be their own; graft another "
            "model."
        )
    found = [(i, attention) for i, layer in enumerate(layers) for attention in _attentions(layer)]
    if not found:
        raise UserError(
            f"{name}: no attention inside its layers is given position_embeddings, so there is nothing to "
            "graft onto; "
            "expected a layout like that of Llama in transformers 5."
        )
    turning = _turning(model, [attention for _, attention in found], name)
    typed = "layer_type" in inspect.signature(plain_forward(rotary)).parameters
    types = getattr(config, "layer_types", None)
    places = tuple(
        Place(i, attention, types[i] if typed and types else None)
        for i, attention in found
        if attention in turning
    )
    if not places:
        raise UserError(
            f"{name}: none of its attentions moves with positions (ALiBi, or none at all); graft a RoPE "
            "model."
        )
    _warn_about_drift(config, name)
    still = tuple(i for i in range(len(layers)) if i not in {place.index for place in places})
    return HostStructure(model, decoder, rotary, tuple(layers), places, still)


def plain_forward(rotary: nn.Module) -> Any:
    """The rotary's own forward without decorators: no `no_grad`, no updates of its frequencies."""
    return inspect.unwrap(type(rotary).forward)


def _decoder(model: nn.Module) -> tuple[nn.Module, nn.Module, nn.ModuleList]:
    name = type(model).__name__
    found = []
    for module in model.modules():
        children = dict(module.named_children())
        stacks = [child for child in children.values() if isinstance(child, nn.ModuleList) and len(child)]
        reads = any(isinstance(child, nn.Embedding) for child in children.values())
        if "rotary_emb" in children and stacks and reads:
            found.append((module, children["rotary_emb"], stacks[0]))
    if not found:
        raise UserError(
            f"{name} has no rotary embedding beside its layers (GPT-J and CodeGen rotate inside each "
            "attention, GPT-2 "
            "not at all); a graft needs one, as Llama, Qwen, Mistral, Gemma, OLMo, Phi or GPT-NeoX have it."
        )
    if len(found) > 1:
        raise UserError(
            f"{name} holds {len(found)} decoders with a rotary embedding; graft one of them by itself."
        )
    return found[0]


def _attentions(layer: nn.Module) -> list[nn.Module]:
    return [
        module
        for module in layer.modules()
        if module is not layer and "position_embeddings" in inspect.signature(type(module).forward).parameters
    ]


@torch.no_grad()
def _turning(model: Any, attentions: list[nn.Module], name: str) -> set[nn.Module]:
    """The attentions whose output moves when the rotation they are given is turned."""
    weight = next(model.parameters())
    if weight.device.type == "meta":
        return {a for a in attentions if getattr(a, "use_rope", True) not in (False, 0)}
    moved: set[nn.Module] = set()
    seen: set[nn.Module] = set()

    def look(attention: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
        seen.add(attention)
        given = kwargs.get("position_embeddings")
        if given is None:
            return
        turned = {**kwargs, "position_embeddings": _rolled(given)}
        with torch.no_grad():
            other = attention.forward(*args, **turned)
        if not torch.equal(_first(output), _first(other)):
            moved.add(attention)

    handles = [a.register_forward_hook(look, with_kwargs=True) for a in attentions]
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        reading = model.get_input_embeddings()
        tokens = torch.arange(1, 1 + TOKENS, device=reading.weight.device)[None] % reading.num_embeddings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the host says of its own first pass is not about the graft
            model(input_ids=tokens, use_cache=False)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{name} could not read {TOKENS} tokens with its rotation turned ({type(error).__name__}: "
            f"{error}); its "
            "attention is laid out in a way that ropewalk does not know."
        ) from error
    finally:
        for handle in handles:
            handle.remove()
        for module in training:
            module.training = True
    return moved


def _rolled(given: Any) -> Any:
    if isinstance(given, Tensor):
        return given.roll(1, 1)
    return type(given)(x.roll(1, 1) for x in given)


def _first(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


def _warn_about_drift(config: Any, name: str) -> None:
    parameters = getattr(config, "rope_parameters", None) or {}
    tables = [parameters, *(value for value in parameters.values() if isinstance(value, dict))]
    kinds = {str(table.get("rope_type")) for table in tables} & set(DRIFTING)
    for kind in sorted(kinds):
        warnings.warn(
            f"{name} uses {kind} RoPE, whose frequencies change with the length: past its original context, "
            "cached "
            "decoding differs from a full pass already without a graft; stay within it, or set "
            "use_cache=False.",
            GraftWarning,
            stacklevel=4,
        )
