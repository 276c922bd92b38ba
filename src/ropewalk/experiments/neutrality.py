"""Experiment: does a variant change the held-out loss?"""

from __future__ import annotations

import numpy as np

from ropewalk.analyses.neutrality import neutrality
from ropewalk.analyses.result import Result
from ropewalk.errors import UserError
from ropewalk.experiments._base import Experiment, Inputs, native
from ropewalk.experiments._provenance import increment_variation, run_of, sentences
from ropewalk.measure.windows import tokens_of


def run(inputs: Inputs) -> list[Result]:
    """UserError for runs of other data or length, and without a baseline."""
    if not inputs.baselines or inputs.baseline is None:
        raise UserError("neutrality needs integer-RoPE models to compare with; name some of the same seeds.")
    variants = {name: native(models) for name, models in inputs.variants.items() if models}
    losses = {
        name: {run_of(m).seed: float(m.provenance.get("validation") or np.nan) for m in models}
        for name, models in variants.items()
    }
    data = {(run_of(m).bytes, run_of(m).data) for models in variants.values() for m in models}
    if len(data) > 1:
        raise UserError(
            "the runs saw different data or different numbers of bytes; compare runs of one recipe."
        )
    tokens = tokens_of(sentences()) if inputs.tokens is None else inputs.tokens
    variation = {
        name: increment_variation(models, tokens)
        for name, models in variants.items()
        if models[0].config.increments.parametrization != "integer"
    }
    seen = f"{next(iter(data))[0] / 1e6:.3g} MB"
    return [neutrality(losses, inputs.baseline, variation=variation, seen=seen)]


EXPERIMENT = Experiment(
    name="neutrality",
    help="Held-out loss against integer RoPE, paired by seed: different, equivalent, or undecided.",
    documentation=(
        "Losses as the runs recorded them, over paired seeds of the same data and length. Two questions: do they differ, "
        "after Holm's correction over variants; are they equivalent within a margin fixed beforehand, by two one-sided "
        "tests. Equivalence counts only for increments that vary within their rows."
    ),
    primary="The first variant's mean paired difference from the baseline, nats per byte",
    null="0; for equivalence, the margin",
    run=run,
    needs=("baseline",),
    optional=("tokens",),
    compares=True,
)
