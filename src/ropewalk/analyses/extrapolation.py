"""Extrapolation: how the loss develops where a window is longer than any in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.result import Chart, Endpoint, Result

MULTIPLES = (1, 2, 4, 8)
COLUMNS = {
    "variant": "variant",
    "segment": "position, training lengths",
    "multiple": "up to",
    "loss": "nats per byte",
    "rise": "rise over the second half of 1x",
}
VERDICTS = {"above": "worse beyond the training length", "below": "better beyond the training length"}


def extrapolation(losses: Mapping[str, Sequence[np.ndarray]], context: int) -> Result:
    """losses: variant -> one (W, T) per seed, nats at each position, on the same windows, T a multiple of the
    training length `context`.

    Primary endpoint: the first variant's loss in the last segment minus that within the training length.
    """
    rows: list[dict[str, Any]] = []
    primary = None
    for name, seeds in losses.items():
        rows += _rows(name, seeds, context)
        if primary is None:
            rise = _rise(seeds, context, int(rows[-1]["multiple"]))
            primary = Endpoint(
                f"{name}: rise of the loss up to {rows[-1]['multiple']}x, nats per byte",
                rise,
                0.0,
                VERDICTS.get(rise.verdict(), "undecided"),
            )
    return Result(
        "extrapolation",
        "Loss beyond the training length",
        COLUMNS,
        tuple(rows),
        ("loss", "rise"),
        primary,
        Chart("lines", "multiple", "loss", by="variant"),
        (
            f"Training length {context}. Windows start anywhere in held-out text. Intervals cover windows and seeds. "
            "Every variant but the first is exploratory.",
        ),
    )


def _rows(name: str, seeds: Sequence[np.ndarray], context: int) -> list[dict[str, Any]]:
    count, length = seeds[0].shape
    weights = statistics.draw_resample_counts(count)
    rows = []
    for start, end in zip((0, *MULTIPLES), MULTIPLES, strict=False):
        if end * context > length:
            break
        low = start * context if start else context // 2
        e = statistics.window_mean(np.stack([s[:, low : end * context].mean(1) for s in seeds]), weights)
        rise = _rise(seeds, context, end)
        rows.append(
            {
                "variant": name,
                "segment": f"{low / context:g}x to {end}x",
                "multiple": end,
                "loss": e.value,
                "loss_low": e.low,
                "loss_high": e.high,
                "rise": rise.value,
                "rise_low": rise.low,
                "rise_high": rise.high,
            }
        )
    return rows


def _rise(seeds: Sequence[np.ndarray], context: int, end: int) -> statistics.Estimate:
    """The loss of the segment that ends at `end` training lengths minus that of the second half of the first."""
    start = max(context // 2, end // 2 * context)
    values = [s[:, start : end * context].mean(1) - s[:, context // 2 : context].mean(1) for s in seeds]
    return statistics.window_mean(np.stack(values), statistics.draw_resample_counts(len(seeds[0])))
