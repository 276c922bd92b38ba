"""Finds where a Hugging Face decoder can be grafted: its rotary embedding and the attention modules that use it.

Works without a list of families. An attention is a module inside a decoder layer that takes the rotary embedding's
output; one forward pass over a few tokens shows whether the module uses that output. UserError names a model that does not fit and what
to do instead.
"""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ropewalk.errors import UserError
from ropewalk.hf.offload import module_device

LENGTH_DEPENDENT = ("longrope", "dynamic")
TEST_TOKENS = 6


class GraftWarning(UserWarning):
    """Something about a model that changes how far a graft on it can be trusted."""


@dataclass(frozen=True)
class RotaryLayer:
    """A layer whose attention rotates: its index from 0, its attention, and the kind of layer where models mix kinds."""

    index: int
    attention: nn.Module
    layer_type: str | None

    @property
    def cache_index(self) -> int:
        """Where the layer keeps its keys in a cache."""
        return int(getattr(self.attention, "layer_idx", None) or self.index)


@dataclass(frozen=True)
class HostStructure:
    """The parts of a base model: its decoder, rotary embedding and layers, and which of the layers rotate."""

    model: nn.Module
    decoder: nn.Module
    rotary: nn.Module
    layers: tuple[nn.Module, ...]
    rotary_layers: tuple[RotaryLayer, ...]
    layers_without_rope: tuple[int, ...]

    @property
    def config(self) -> Any:
        return self.decoder.config

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
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
    """The structure of a base model. UserError names a model that cannot be grafted, and says why."""
    name = type(model).__name__
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        raise UserError(f"{name} is an encoder-decoder; a graft needs a decoder-only model, such as a Llama.")
    decoder, rotary, layers = _decoder(model)
    config: Any = decoder.config
    if getattr(config, "num_kv_shared_layers", 0):
        raise UserError(
            f"{name} has layers that reuse the keys of others (num_kv_shared_layers = {config.num_kv_shared_layers}), "
            "whose positions cannot be their own; graft another model."
        )
    found = [(i, attention) for i, layer in enumerate(layers) for attention in _attentions(layer)]
    if not found:
        raise UserError(
            f"{name}: no attention inside its layers is given position_embeddings, so there is nothing to graft onto; "
            "expected a layout like that of Llama in transformers 5."
        )
    rotating = _rotating(model, [attention for _, attention in found], name)
    typed = "layer_type" in inspect.signature(plain_forward(rotary)).parameters
    types = getattr(config, "layer_types", None)
    rotary_layers = tuple(
        RotaryLayer(i, attention, types[i] if typed and types else None)
        for i, attention in found
        if attention in rotating
    )
    if not rotary_layers:
        raise UserError(
            f"{name}: none of its attentions moves with positions (ALiBi, or none at all); graft a RoPE model."
        )
    _warn_about_length_dependence(config, name)
    without = tuple(i for i in range(len(layers)) if i not in {layer.index for layer in rotary_layers})
    return HostStructure(model, decoder, rotary, tuple(layers), rotary_layers, without)


def plain_forward(rotary: nn.Module) -> Any:
    """The rotary's own forward without decorators: no `no_grad`, no updates of its frequencies."""
    return inspect.unwrap(type(rotary).forward)


def _decoder(model: nn.Module) -> tuple[nn.Module, nn.Module, nn.ModuleList]:
    name = type(model).__name__
    found = []
    for module in model.modules():
        children = dict(module.named_children())
        stacks = [child for child in children.values() if isinstance(child, nn.ModuleList) and len(child)]
        embeds = any(isinstance(child, nn.Embedding) for child in children.values())
        if "rotary_emb" in children and stacks and embeds:
            found.append((module, children["rotary_emb"], stacks[0]))
    if not found:
        raise UserError(
            f"{name} has no rotary embedding outside its layers (GPT-J and CodeGen rotate inside each attention, GPT-2 "
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
def _rotating(model: Any, attentions: list[nn.Module], name: str) -> set[nn.Module]:
    """The attentions whose output changes when the rotation they are given does."""
    embedding = model.get_input_embeddings()
    if embedding.weight.device.type == "meta" and not hasattr(embedding, "_hf_hook"):
        return {a for a in attentions if getattr(a, "use_rope", True) not in (False, 0)}
    rotating: set[nn.Module] = set()

    def compare(attention: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
        given = kwargs.get("position_embeddings")
        if given is None:
            return
        changed = {**kwargs, "position_embeddings": _rolled(given)}
        with torch.no_grad():
            other = attention.forward(*args, **changed)
        if not torch.equal(_first(output), _first(other)):
            rotating.add(attention)

    handles = [a.register_forward_hook(compare, with_kwargs=True) for a in attentions]
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        tokens = (
            torch.arange(1, 1 + TEST_TOKENS, device=module_device(embedding))[None] % embedding.num_embeddings
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the model's warnings about this pass do not concern the user
            model(input_ids=tokens, use_cache=False)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{name} could not read {TEST_TOKENS} tokens with its rotation changed ({type(error).__name__}: {error}); "
            "its attention has a layout that ropewalk does not support."
        ) from error
    finally:
        for handle in handles:
            handle.remove()
        for module in training:
            module.training = True
    return rotating


def _rolled(given: Any) -> Any:
    if isinstance(given, Tensor):
        return given.roll(1, 1)
    return type(given)(x.roll(1, 1) for x in given)


def _first(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


def _warn_about_length_dependence(config: Any, name: str) -> None:
    parameters = getattr(config, "rope_parameters", None) or {}
    tables = [parameters, *(value for value in parameters.values() if isinstance(value, dict))]
    kinds = {str(table.get("rope_type")) for table in tables} & set(LENGTH_DEPENDENT)
    for kind in sorted(kinds):
        warnings.warn(
            f"{name} uses {kind} RoPE, whose frequencies change with the length: past its original context, cached "
            "decoding differs from a full pass already without a graft; stay within it, or set use_cache=False.",
            GraftWarning,
            stacklevel=4,
        )
