"""Experiment: do heads with larger increments attend to nearer tokens?"""

from __future__ import annotations

from ropewalk.analyses.lookback import lookback
from ropewalk.analyses.result import Result
from ropewalk.experiments._base import Experiment, Inputs
from ropewalk.measure.lookback import read_lookback
from ropewalk.measure.windows import cut


def run(inputs: Inputs) -> list[Result]:
    models = inputs.native
    windows = cut(inputs.held_out(), models[0].context_length, inputs.windows)[:, :-1]
    return [lookback([read_lookback(model, windows) for model in models])]


EXPERIMENT = Experiment(
    name="lookback",
    help="Mean attended distance of every head against its increments.",
    documentation=(
        "Mean distance, in tokens, at which each head attends, and the mean increment of the row that gives it positions. "
        "Heads of a layer share its depth, so the test permutes layers in blocks and heads within layers."
    ),
    primary="Spearman's correlation over heads of mean increment and attended distance",
    null="Permutations of layers, in one order for all models, and of heads within layers",
    run=run,
    needs=("tokens",),
    per_head=True,
)
