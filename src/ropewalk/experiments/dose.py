"""Experiment: what does a wider or narrower gap do at a word boundary, and elsewhere?"""

from __future__ import annotations

import numpy as np

from ropewalk.analyses.dose import DOSES, dose, match_gaps
from ropewalk.analyses.gaps import gaps
from ropewalk.analyses.result import Result
from ropewalk.errors import UserError
from ropewalk.experiments._base import Experiment, Inputs
from ropewalk.measure.capture import trace
from ropewalk.measure.dose import AFTER, dose_response

GAPS = 500
"""Pairs of a boundary and a matched other gap, for each model."""


def run(inputs: Inputs) -> list[Result]:
    """All gold sentences are used: nothing is fitted. Pairs are matched in the first model, for all of them."""
    dev, test = inputs.gold()
    gold = test or dev
    read = trace(inputs.models[0], gold.text, start="none")
    known = gaps(read, gold)
    token = np.searchsorted(read.spans[:, 0], known.characters.starts[known.characters.candidate])
    inside = (token >= AFTER) & (token < len(read.tokens) - AFTER - 1)
    pairs = match_gaps(known.labels, known.first_tokens, known.signals["surprisal"], inside, count=GAPS)
    if not len(pairs):
        raise UserError(
            "no word boundary has a match: another gap with the same first byte, similar surprisal and "
            f"{AFTER} tokens on both sides; give more segmented sentences."
        )
    at = token[pairs]  # (P, 2): boundary, other
    found = []
    for model in inputs.models:
        response = dose_response(model, read.tokens, at.ravel(), DOSES)
        found.append(response.reshape(*at.shape, len(DOSES)))
    return [dose(found, known.sentence[pairs[:, 0]])]


EXPERIMENT = Experiment(
    name="dose",
    help="Loss of the next tokens when single gaps are widened or narrowed, at word boundaries and elsewhere.",
    documentation=(
        "Single gaps are multiplied by a dose, in every row at once, at gold word boundaries and at other gaps between "
        "Chinese characters of the same first byte and equal surprisal. If wider boundaries help, or narrower ones harm "
        "more than other gaps do, spacing at boundaries matters to the model, whether or not its increments know them."
    ),
    primary="Loss of the next 16 tokens when a gap is doubled: boundary minus matched other gap, nats per token",
    null="0",
    run=run,
    needs=("gold",),
)
