"""Experiment: do models trained with different seeds space a text alike?"""

from __future__ import annotations

from ropewalk.analyses.agreement import agreement
from ropewalk.analyses.result import Result
from ropewalk.experiments._base import Experiment, Inputs
from ropewalk.measure.capture import trace
from ropewalk.measure.random_networks import random_networks


def run(inputs: Inputs) -> list[Result]:
    models = inputs.models
    random = [random_networks(model, inputs.text, seed=i) for i, model in enumerate(models)]
    return [agreement([trace(model, inputs.text) for model in models], random)]


EXPERIMENT = Experiment(
    name="agreement",
    help="Agreement of two or more trained models on one text, within byte kinds.",
    documentation=(
        "Rows of each pair of models are matched on one half of the sentences by their correlation within byte kinds, "
        "and scored on the other half. Pairs share models, so the interval is a jackknife over models; three are needed "
        "for a verdict."
    ),
    primary="Mean correlation of matched rows on the second half, over all pairs of models",
    null="Random networks on the models' residual streams, matched and scored alike",
    run=run,
    needs=("text",),
    min_models=2,
)
