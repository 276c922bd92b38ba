"""Experiment: how much a trained model's loss rises when its increments are replaced."""

from __future__ import annotations

import numpy as np

from ropewalk.analyses.byte_kinds import byte_kind_numbers
from ropewalk.analyses.knockout import knockout
from ropewalk.analyses.result import Result
from ropewalk.experiments._base import Experiment, Inputs
from ropewalk.measure.knockout import jitter, measure_knockouts
from ropewalk.measure.windows import cut


def run(inputs: Inputs) -> list[Result]:
    windows = cut(inputs.held_out(), inputs.models[0].context_length, inputs.windows)
    found = [measure_knockouts(model, windows, byte_kind_numbers) for model in inputs.models]
    std = {layer: float(np.sqrt(np.mean([k.std[layer] ** 2 for k in found]))) for layer in found[0].std}
    return [knockout(found, [jitter(model, windows, std) for model in inputs.baselines])]


EXPERIMENT = Experiment(
    name="knockout",
    help="Cost of replacing increments: by 1, by means, by shuffled ones.",
    documentation=(
        "The increments of all layers, or of one, are replaced: by 1, by the mean of their row, of the byte's kind or of "
        "the byte itself, by the window's own values exchanged, by those of another text. A cost shows that the model "
        "depends on its increments; the cost of the mean by byte shows what a table of bytes cannot replace. Integer-RoPE "
        "models get noise of the same standard deviation in each layer."
    ),
    primary="Total cost of shuffling all increments within byte kinds, nats per byte",
    null="0",
    run=run,
    needs=("tokens",),
    optional=("baseline",),
)
