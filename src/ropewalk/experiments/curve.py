"""Experiment: how the knowledge of word boundaries grows over training."""

from __future__ import annotations

from ropewalk.analyses.learning_curve import Point, learning_curve
from ropewalk.analyses.result import Result
from ropewalk.experiments._base import Experiment, Inputs
from ropewalk.experiments._gold_parts import read_part
from ropewalk.experiments._provenance import run_of


def run(inputs: Inputs) -> list[Result]:
    points = []
    for model in inputs.native:
        trained = run_of(model)
        part = read_part(model, *inputs.gold(), with_random=False)
        points.append(Point(trained.seed, trained.bytes / 1e6, part))
    return [learning_curve(points)]


EXPERIMENT = Experiment(
    name="curve",
    help="AUC of word boundaries against bytes seen, over the checkpoints of training runs.",
    documentation=(
        "The models are checkpoints of one or more training runs (RUN/checkpoints/step-N). Each is scored as in `boundaries`, "
        "and the entropy before the character. Exploratory: it has no primary endpoint."
    ),
    primary="none",
    null="none",
    run=run,
    needs=("gold",),
)
