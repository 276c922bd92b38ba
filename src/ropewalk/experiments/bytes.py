"""Experiment: the published table of increments by byte kind."""

from __future__ import annotations

import numpy as np

from ropewalk.analyses.result import Result
from ropewalk.analyses.spacing import by_byte, order
from ropewalk.experiments._base import Experiment, Inputs
from ropewalk.measure import random_networks
from ropewalk.measure.byte_table import context_free


def run(inputs: Inputs) -> list[Result]:
    models = inputs.native
    found = [context_free(model) for model in models]
    config = models[0].config.increments
    untrained = [
        context_free(random_networks.untrained(models[0], 1_000 + seed))[1]
        for seed in range(random_networks.DRAWS)
    ]
    tables = np.stack([table for _, table in found])
    largest = config.max_increment if config.parametrization == "bounded" else None
    return [by_byte(found[0][0], tables, largest, np.stack(untrained)), order(found[0][0], tables)]


EXPERIMENT = Experiment(
    name="bytes",
    help="Increment of each kind of byte, without context: the published table.",
    documentation=(
        "The shared row and layer 0 read the embedding and nothing else, so each byte has one increment there. The table "
        "has the mean, the least and the largest of each kind; a second one compares the order of all kinds with the "
        "published one."
    ),
    primary="Mean increment of space and newline over that of a-z, in the first row",
    null="Untrained models of the same shape; and 1",
    run=run,
)
