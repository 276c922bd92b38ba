"""Chance: random networks of the law's own shape on every residual stream, in place of the trained ones.

Whatever a trained increment reads off the residual stream, part of it any network would show. The draws are a
Trace: line L2.h5 is draw 5 on the input of layer 2.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from ropewalk import increments
from ropewalk.decoder import Decoder, initialise
from ropewalk.errors import UserError
from ropewalk.increments import Network
from ropewalk.lines import Line
from ropewalk.measure.capture import Start, byte_tokens, windows
from ropewalk.traces import Trace

DRAWS = 19  # the highest of 19 is what chance exceeds one time in twenty


def random_networks(
    model: Decoder, text: str, *, draws: int = DRAWS, seed: int = 0, start: Start = "document"
) -> Trace:
    """`draws` random networks on the input of every layer that has a law, kind "increment".

    UserError for a law that is no network. Models without one are read by random bounded networks.
    """
    config = model.config.increments
    law = config.law if issubclass(increments.LAWS[config.law], Network) else "bounded"
    told = config.model_copy(update={"law": law, "start": "random", "lines": "one"})
    layers = range(len(model.laws))
    nets = [
        [_network(told, model.config.width, seed * 1_000_003 + d * 1_009 + layer) for d in range(draws)]
        for layer in layers
    ]
    tokens = byte_tokens(text)
    if not len(tokens.ids):
        raise UserError("the text is empty: expected at least one character; give some text.")
    prefix = [tokens.start] if start == "document" and tokens.start is not None else []
    sequence = torch.from_numpy(np.concatenate([np.array(prefix, np.int64), tokens.ids]))
    values = np.empty((len(nets), draws, len(sequence)), np.float32)
    with torch.inference_mode():
        for first, keep, last in windows(len(sequence), model.context):
            part = sequence[None, first:last]
            taps = model(part, taps=[f"residual.{i}" for i in layers]).taps
            for i, members in enumerate(nets):
                x = taps[f"residual.{i}"]
                for d, net in enumerate(members):
                    values[i, d, keep:last] = 1.0 + net(x, part)[0, keep - first :, 0].numpy(force=True)
    return Trace(
        text=text,
        tokens=tokens.ids,
        spans=tokens.spans,
        lines=tuple(Line(i, d) for i in layers for d in range(draws)),
        values=values.reshape(len(nets) * draws, -1)[:, len(prefix) :],
        kind="increment",
        unit="token-equivalents",
        gap=model.gap,
        context={"start": start, "window": model.context},
        provenance={**model.describe(), "law": f"random {law}", "seed": seed},
    )


def _network(config: increments.IncrementConfig, width: int, seed: int) -> Network:
    net = cast(Network, increments.build(config, width=width, key_heads=1, vocabulary=1))
    initialise(net, seed, std=width**-0.5)
    return net.eval()
