"""Experiment: how wide the gap before each kind of character is, in context."""

from __future__ import annotations

from ropewalk.analyses.result import Result
from ropewalk.analyses.spacing import by_character, extremes
from ropewalk.analyses.surface import surface
from ropewalk.experiments._base import Experiment, Inputs
from ropewalk.experiments._provenance import sentences
from ropewalk.measure.capture import trace
from ropewalk.measure.random_networks import random_networks


def run(inputs: Inputs) -> list[Result]:
    """Details of single characters and gaps come from the first model."""
    models = inputs.models
    traces = [trace(model, inputs.text) for model in models]
    random = [random_networks(model, inputs.text) for model in models]
    widest = extremes(traces[0]) if inputs.quote else extremes(trace(models[0], sentences()), count=5)
    return [surface(traces, random), by_character(traces[0]), widest]


EXPERIMENT = Experiment(
    name="spacing",
    help="Increments by kind of character in context; white space and punctuation against letters.",
    documentation=(
        "How well one number tells white space and punctuation from letters at a character's first token, row and sign "
        "chosen on the first half of the sentences; mean increments of each kind of character in every row; the widest "
        "and the narrowest gaps."
    ),
    primary="AUC of the row chosen on the first half, on the second half",
    null="Random networks on the model's residual streams, chosen and scored alike; and 0.5",
    run=run,
    needs=("text",),
)
