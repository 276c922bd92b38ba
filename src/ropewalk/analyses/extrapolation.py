"""Extrapolation: how the loss goes on where a window is longer than any in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.result import Chart, Endpoint, Result

MULTIPLES = (1, 2, 4, 8)


def extrapolation(losses: Mapping[str, Sequence[np.ndarray]], context: int) -> Result:
    """losses: kind of model -> one (W, T) per seed, nats at each position, on the same windows, T a multiple of
    the training length `context`.

    Primary endpoint: the first kind's loss in the last stretch minus that within the training length.
    """
    rows: list[dict[str, Any]] = []
    primary = None
    for name, seeds in losses.items():
        count, length = seeds[0].shape
        weights = statistics.draws(count)
        inside = np.stack([s[:, context // 2 : context].mean(1) for s in seeds])
        for start, end in zip((0, *MULTIPLES), MULTIPLES, strict=False):
            if end * context > length:
                break
            low = start * context if start else context // 2
            values = np.stack([s[:, low : end * context].mean(1) for s in seeds])
            e = _mean(values, weights)
            rise = _mean(values - inside, weights)
            rows.append(
                {
                    "kind": name,
                    "stretch": f"{low / context:g}x to {end}x",
                    "multiple": end,
                    "loss": e.value,
                    "loss_low": e.low,
                    "loss_high": e.high,
                    "rise": rise.value,
                    "rise_low": rise.low,
                    "rise_high": rise.high,
                }
            )
        if primary is None:
            word = {"above": "worse beyond the training length", "below": "better beyond the training length"}
            primary = Endpoint(
                f"{name}: rise of the loss up to {rows[-1]['multiple']}x, nats per byte",
                rise,
                0.0,
                word.get(rise.verdict(), "undecided"),
            )
    return Result(
        "extrapolation",
        "Loss beyond the training length",
        {
            "kind": "kind",
            "stretch": "position, training lengths",
            "multiple": "up to",
            "loss": "nats per byte",
            "rise": "rise over the second half of 1x",
        },
        tuple(rows),
        ("loss", "rise"),
        primary,
        Chart("lines", "multiple", "loss", by="kind"),
        (
            f"Training length {context}. Windows start anywhere in held-out text. Intervals draw windows and seeds "
            "again. Every kind but the first is exploratory.",
        ),
    )


def _mean(values: np.ndarray, weights: np.ndarray) -> statistics.Estimate:
    samples = statistics.crossed(values @ weights.T / values.shape[1])
    return statistics.interval(float(values.mean()), samples)
