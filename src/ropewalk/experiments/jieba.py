"""Experiment: the published test of Chinese word boundaries, against jieba in windows of 512 bytes."""

from __future__ import annotations

import numpy as np

from ropewalk.analyses.draws import stack_draws
from ropewalk.analyses.jieba_gaps import WINDOW, Window, jieba_gaps, windows
from ropewalk.analyses.result import Result
from ropewalk.core.host import Host
from ropewalk.experiments._base import Experiment, Inputs
from ropewalk.measure.capture import trace
from ropewalk.measure.random_networks import RandomNetworks


def run(inputs: Inputs) -> list[Result]:
    """Windows are as long as the models' contexts where those are shorter than the published ones."""
    models = inputs.native
    found = windows(inputs.text, min(WINDOW, models[0].context_length))
    read = [_at_gaps(model, found) for model in models]
    networks = [RandomNetworks(model) for model in models]
    random = [stack_draws(_at_gaps(one, found), one.rows) for one in networks]
    labels = np.concatenate([window.labels for window in found])
    number = np.repeat(np.arange(len(found)), [len(window.at) for window in found])
    return [jieba_gaps(models[0].rows, read, random, labels, number)]


def _at_gaps(host: Host, found: list[Window]) -> np.ndarray:
    """The increments of every row at the gaps of all windows, (N, n). A token is a byte."""
    return np.concatenate(
        [trace(host, window.text, start="none").increments[:, window.at] for window in found], 1
    )


EXPERIMENT = Experiment(
    name="jieba",
    help="Word boundaries between Chinese characters by the published protocol, against jieba.",
    documentation=(
        "The text is cut into windows of at most 512 bytes; each gap between two Chinese characters of a window is labeled by "
        "jieba and scored by the increment at the right-hand character's first byte, in every row by itself. `boundaries` is "
        "the stricter test: gold segmentation, a choice on development sentences, other signals."
    ),
    primary="none",
    null="Random networks on the model's residual streams; and 0.5",
    run=run,
    needs=("text",),
)
