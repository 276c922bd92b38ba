"""Experiment: the gap inside planted entities and phrases."""

from __future__ import annotations

from ropewalk.analyses.gold import by_planted
from ropewalk.analyses.planted import Truth, planted
from ropewalk.analyses.result import Result
from ropewalk.corpus import PlantedConfig
from ropewalk.experiments._base import Experiment, Inputs
from ropewalk.experiments._provenance import built_in
from ropewalk.measure.capture import trace
from ropewalk.measure.random_networks import random_networks

DOCUMENTS = 40
SEED = 1_003


def run(inputs: Inputs) -> list[Result]:
    """The language is the one that the first model was trained on, or the usual one without spaces."""
    settings = built_in(inputs.native[0], "planted") or {"script": "unspaced"}
    truth = Truth(*by_planted(PlantedConfig.model_validate(settings), DOCUMENTS, seed=SEED))
    traces = [trace(model, truth.gold.text) for model in inputs.models]
    random = [random_networks(model, truth.gold.text) for model in inputs.models]
    return [planted(traces, truth, random)]


EXPERIMENT = Experiment(
    name="planted",
    help="The gap inside planted entities, for models trained on the planted language.",
    documentation=(
        "The planted language knows its words, phrases and entities exactly. The gap before an entity's second word is "
        "matched to gaps between other words, and within words, of the same token and equal surprisal."
    ),
    primary="Share of entities with a smaller inner gap than matched gaps between words, deeper half of the rows",
    null="Random networks on the model's residual streams; and one half",
    run=run,
)
