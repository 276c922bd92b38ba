"""A host with a line in every place where a gap can be moved, for probing what has none of its own.

Integer positions are one walk for all layers. An opened host computes the same and lets every layer, or
every key head, walk by itself. Learned increments stay as they are.
"""

from __future__ import annotations

from typing import Any, Literal

from ropewalk.decoder import Decoder, DecoderConfig
from ropewalk.host import Host
from ropewalk.increments import IncrementConfig

Lines = Literal["one", "key_head"]


def opened(model: Any, lines: Lines = "one") -> Host:
    """A native decoder or a Hugging Face model as a host with lines per layer, or per key head of one.

    Models that have lines (grafts, decoders with a learned law) are given back unchanged. A Hugging Face
    model is grafted with d = 1; its `detach` takes that off again. UserError for hosts that cannot be
    grafted.
    """
    decoder = getattr(model, "decoder", model)
    if isinstance(decoder, Decoder):
        return _opened(decoder, lines) if decoder.config.increments.law == "unit" else decoder
    if hasattr(model, "lines"):
        return model
    from ropewalk.hf import graft

    return graft(model, law="unit", per="layer", lines=lines)


def _opened(decoder: Decoder, lines: Lines) -> Decoder:
    law = IncrementConfig(law="constant", per="layer", lines=lines, gap=decoder.gap)
    shape = decoder.config.model_dump() | {"increments": law.model_dump()}
    twin = Decoder(DecoderConfig.model_validate(shape))
    twin.load_state_dict(decoder.state_dict(), strict=False)
    twin.provenance, twin.compute_dtype = decoder.provenance, decoder.compute_dtype
    return twin.to(decoder.embedding.device).eval()
