"""Causality: what a trained model pays for increments that are not its own.

Any change of positions harms a trained model, so a cost shows that the model depends on its increments, not
that their content matters; only models trained from scratch without the content can show that (`neutrality`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.measure.knockout import Knockouts

PRIMARY = ("shuffled within kind", "all", False)


def causality(found: Sequence[Knockouts], jitter: Sequence[np.ndarray] = ()) -> Result:
    """found: one per model (seed), on the same windows. jitter: costs (W,) of noise of the same spread on
    integer-RoPE models.

    Primary endpoint: total cost of shuffling the increments of all layers within each byte kind.
    """
    weights = statistics.draws(len(found[0].clean))
    rows: list[dict[str, Any]] = []
    p = []
    for key in found[0].costs:
        e, samples = _cost(np.stack([k.costs[key] for k in found]), weights)
        p.append(statistics.bootstrap_p(samples))
        rows.append(
            {
                "replacement": key[0],
                "target": key[1],
                "cost": "direct" if key[2] else "total",
                "nats": e.value,
                "nats_low": e.low,
                "nats_high": e.high,
            }
        )
    for row, adjusted in zip(rows, statistics.holm(p), strict=True):
        row["holm"] = adjusted
    if len(jitter):
        e, _ = _cost(np.stack(list(jitter)), weights)
        rows.append(
            {
                "replacement": "noise of equal spread on integer RoPE",
                "target": "all",
                "cost": "total",
                "nats": e.value,
                "nats_low": e.low,
                "nats_high": e.high,
            }
        )
    primary, _ = _cost(np.stack([k.costs[PRIMARY] for k in found]), weights)
    word = {"above": "the model depends on them", "below": "the model does better without them"}
    spread = float(np.mean([k.spread for k in found]))
    return Result(
        "causality",
        "What other increments than its own cost a trained model",
        {
            "replacement": "replacement",
            "target": "layers",
            "cost": "cost",
            "nats": "nats per byte",
            "holm": "p (Holm)",
        },
        tuple(rows),
        ("nats",),
        Endpoint(
            "Total cost of shuffling all increments within byte kind, nats per byte",
            primary,
            0.0,
            word.get(primary.verdict(), "undecided"),
        ),
        Chart("bars", "replacement", "nats", by="target", base=0.0, where={"cost": "total"}),
        (
            f"{len(found)} model(s), {len(found[0].clean)} windows of mean loss "
            f"{np.mean([k.clean.mean() for k in found]):.4f}. Direct: the increments of the other layers are held; "
            f"total: later layers compute theirs anew. Increments spread {spread:.3f} about their line's mean. "
            "A cost here shows dependence, not that content matters. Every other row is exploratory.",
        ),
    )


def _cost(costs: np.ndarray, weights: np.ndarray) -> tuple[statistics.Estimate, np.ndarray]:
    """costs (S, W)."""
    samples = statistics.crossed(costs @ weights.T / costs.shape[1])
    return statistics.interval(float(costs.mean()), samples), samples
