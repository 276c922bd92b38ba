"""Experiment: the loss beyond the training length."""

from __future__ import annotations

from ropewalk.analyses.extrapolation import MULTIPLES, extrapolation
from ropewalk.analyses.result import Result
from ropewalk.experiments._base import Experiment, Inputs
from ropewalk.measure.extrapolation import loss_by_position
from ropewalk.measure.windows import cut


def run(inputs: Inputs) -> list[Result]:
    tokens, context = inputs.held_out(), inputs.models[0].context_length
    reach = max((m for m in MULTIPLES if len(tokens) >= 2 * (m * context + 1)), default=1)
    windows = cut(tokens, reach * context, inputs.windows)
    losses = {
        name: [loss_by_position(model, windows) for model in models]
        for name, models in inputs.variants.items()
    }
    return [extrapolation(losses, context)]


EXPERIMENT = Experiment(
    name="extrapolation",
    help="Loss by position, up to eight training lengths.",
    documentation=(
        "Windows of held-out text longer than any in training, as far as the text reaches; the loss of each segment "
        "against that of the second half of the training length."
    ),
    primary="The first variant's loss in the last segment minus that within the training length",
    null="0",
    run=run,
    needs=("tokens",),
    optional=("baseline",),
    compares=True,
)
