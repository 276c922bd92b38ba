"""Everything that can be measured, as a `ropewalk.Host`: native decoders, grafts, PEFT adapters, untouched transformers models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.errors import UserError

if TYPE_CHECKING:
    from ropewalk.core.host import Host
    from ropewalk.native.decoder import Decoder


@contextmanager
def opened_host(model: Any, tokenizer: Any = None) -> Iterator[Host]:
    """A model as a host. An untouched transformers model has d = 1 everywhere, and is left as it was.

    UserError for anything that is no model.
    """
    decoder = getattr(model, "decoder", None)
    if hasattr(decoder, "rows"):  # a native decoder as a transformers model
        yield decoder  # type: ignore[misc]
    elif hasattr(model, "rows") and hasattr(model, "describe"):
        yield model
    elif not hasattr(model, "named_modules"):
        raise UserError(f"expected a model, got {type(model).__name__}; open one with ropewalk.load.")
    else:
        from ropewalk.hf import graft, graft_of

        carried = graft_of(model)
        if carried is not None:
            yield carried
        elif hasattr(model, "peft_config"):
            from ropewalk.hf.peft import peft_host

            yield peft_host(model, tokenizer)
        else:
            with graft(model, parametrization="integer", tokenizer=tokenizer) as untouched:
                yield untouched


def has_increments(host: Host) -> bool:
    """Whether a host has learned increments; without them every gap is 1."""
    return host.describe().get("parametrization") != "integer"


def with_rows_per_layer(host: Host, per_head: bool | None = None) -> Host:
    """A host in which the gaps of every layer, or of every key/value head, can be moved by themselves.

    Hosts with learned increments are returned unchanged. One with integer positions computes the same as before; a graft is
    attached again, a native decoder is copied. per_head None: as the host is.
    """
    config: Any = getattr(host, "config", None)
    native: IncrementConfig | None = getattr(config, "increments", None)
    if native is not None and native.parametrization == "integer":
        return _per_layer_copy(host, bool(per_head))  # type: ignore[arg-type]
    integer = getattr(config, "parametrization", None) == "integer"
    if integer and per_head is not None and config.per_head != per_head:
        from ropewalk.hf import graft

        return graft(host, parametrization="integer", per_head=per_head)  # type: ignore[arg-type]
    return host


@contextmanager
def eager_attention(host: Any) -> Iterator[None]:
    """Explicit attention weights while a Hugging Face host runs; nothing changes for others."""
    model = getattr(host, "model", None)
    before = getattr(getattr(model, "config", None), "_attn_implementation", None)
    if before in (None, "eager") or not hasattr(model, "set_attn_implementation"):
        yield
        return
    model.set_attn_implementation("eager")  # type: ignore[union-attr]
    try:
        yield
    finally:
        model.set_attn_implementation(before)  # type: ignore[union-attr]


def _per_layer_copy(decoder: Decoder, per_head: bool) -> Decoder:
    from ropewalk.native.config import DecoderConfig
    from ropewalk.native.decoder import Decoder

    increments = IncrementConfig(parametrization="constant", per="layer", per_head=per_head, gap=decoder.gap)
    shape = decoder.config.model_dump() | {"increments": increments.model_dump()}
    copy = Decoder(DecoderConfig.model_validate(shape))
    copy.load_state_dict(decoder.state_dict(), strict=False)
    copy.provenance, copy.compute_dtype = decoder.provenance, decoder.compute_dtype
    copy.own_tokenizer = decoder.own_tokenizer
    return copy.to(decoder.embedding.device).eval()
