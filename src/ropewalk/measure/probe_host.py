"""A host with a line in every place where a gap can be moved, for probing what has none of its own.

Integer positions are one walk for all layers. An opened host computes the same and lets every layer, or
every key head, walk by itself. Learned increments stay as they are.
"""

from __future__ import annotations

from typing import Any

from ropewalk.core.host import Host
from ropewalk.core.increment_config import IncrementConfig
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder


def host_with_rows(model: Any, per_head: bool = False) -> Host:
    """A native decoder or a Hugging Face model as a host with lines per layer, or per key head of one.

    Models that have lines (grafts, decoders with a learned parametrization) are given back unchanged. A Hugging Face
    model is grafted with d = 1; its `detach` takes that off again. UserError for hosts that cannot be
    grafted.
    """
    decoder = getattr(model, "decoder", model)
    if isinstance(decoder, Decoder):
        return (
            _opened(decoder, per_head) if decoder.config.increments.parametrization == "integer" else decoder
        )
    if hasattr(model, "rows"):
        return model
    from ropewalk.hf import graft

    return graft(model, parametrization="integer", per="layer", per_head=per_head)


def _opened(decoder: Decoder, per_head: bool) -> Decoder:
    parametrization = IncrementConfig(
        parametrization="constant", per="layer", per_head=per_head, gap=decoder.gap
    )
    shape = decoder.config.model_dump() | {"increments": parametrization.model_dump()}
    twin = Decoder(DecoderConfig.model_validate(shape))
    twin.load_state_dict(decoder.state_dict(), strict=False)
    twin.provenance, twin.compute_dtype = decoder.provenance, decoder.compute_dtype
    return twin.to(decoder.embedding.device).eval()
