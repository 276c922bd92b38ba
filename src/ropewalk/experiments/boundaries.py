"""Experiment: do increments know where Chinese words start?"""

from __future__ import annotations

from ropewalk.analyses.boundaries import boundaries
from ropewalk.analyses.gain import gain
from ropewalk.analyses.gaps import Characters, characters
from ropewalk.analyses.gold import Gold, by_jieba
from ropewalk.analyses.result import Result
from ropewalk.experiments._base import Experiment, Inputs
from ropewalk.experiments._gold_parts import halves_of, read_part


def run(inputs: Inputs) -> list[Result]:
    dev, test = inputs.gold()
    parts = [read_part(model, dev, test) for model in inputs.models]
    cuts = _jieba(dev, test) if inputs.jieba else None
    return [boundaries(parts, {"jieba": cuts[1]} if cuts else None), gain(parts, cuts)]


def _jieba(dev: Gold, test: Gold | None) -> tuple[Characters, Characters]:
    """jieba's cuts of both parts."""
    own, scored = halves_of(dev, test)
    first, second = (characters(by_jieba(gold)) for gold in (dev, test or dev))
    return (
        first if own is None else first.of(own),
        second if scored is None else second.of(scored),
    )


EXPERIMENT = Experiment(
    name="boundaries",
    help="Word boundaries between Chinese characters, against segmented sentences.",
    documentation=(
        "Each gap between two Chinese characters is a word boundary or not. Row, sign and threshold are chosen on the "
        "development sentences; the test sentences are scored once, for increments, for the model's own surprisal and "
        "entropies, and for random networks. A second table says what increments add to a logistic model that has all "
        "these signals."
    ),
    primary="Test AUC of the increments, row and sign chosen on development",
    null="Random networks on the model's residual streams, chosen and scored alike; and 0.5",
    run=run,
    needs=("gold",),
)
