"""Experiment: the published test of two-word names, 79 pairs against their reversed order."""

from __future__ import annotations

import numpy as np

from ropewalk.analyses.published_names import TEMPLATES, distinct, names, published_names
from ropewalk.analyses.result import Result
from ropewalk.core.host import Host
from ropewalk.experiments._base import Experiment, Inputs
from ropewalk.measure.phrases import read_phrases
from ropewalk.measure.random_networks import RandomNetworks


def run(inputs: Inputs) -> list[Result]:
    pairs = names()
    read = [_both_orders(model, pairs) for model in inputs.native]
    random = [RandomNetworks(model) for model in inputs.models]
    drawn = [_both_orders(networks, pairs) for networks in random]
    real, reversed_order = (np.stack(one) for one in zip(*read, strict=True))
    differences = np.stack([one - other for one, other in drawn])
    return [
        published_names(
            inputs.models[0].rows, real, reversed_order, distinct(pairs), random[0].rows, differences
        )
    ]


def _both_orders(host: Host, pairs: list[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """The increments at the inner space, (P, N), in the real and in the reversed order."""
    real = read_phrases(host, [(first, " ", second) for first, second in pairs], TEMPLATES)
    reversed_order = read_phrases(host, [(second, " ", first) for first, second in pairs], TEMPLATES)
    return real.gap, reversed_order.gap


EXPERIMENT = Experiment(
    name="names",
    help="The inner space of 79 two-word names against the reversed order: the published list and test.",
    documentation=(
        "The published list and test: mean increment at the space inside a name and inside its reversed order, over five "
        "short templates, by Wilcoxon's signed-rank test in every row; once more without pairs that share a word. `entities` "
        "is the stricter test: another list, a control of equal surprisal, Chinese."
    ),
    primary="none",
    null="Random networks on the model's residual streams; and one half",
    run=run,
)
