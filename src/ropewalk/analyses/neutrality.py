"""Neutrality: does a way of spacing change the loss? Two questions, two flags.

"Different": the 95 % interval of the mean paired difference leaves zero. "Equivalent": two one-sided tests place
it within the margin, stated here before any run. A difference can be both, or neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.errors import UserError

MARGIN = 0.003  # nats per byte


def neutrality(
    losses: Mapping[str, Mapping[int, float]], baseline: str, *, seen: str = "", name: str = "neutrality"
) -> Result:
    """losses: variant -> seed -> held-out loss, nats per byte; all from the same data and bytes.

    Primary endpoint: the first variant's mean paired difference from `baseline`. seen: what the runs saw, such
    as "20 MB". UserError when no variant shares a seed with the baseline.
    """
    if baseline not in losses:
        raise UserError(f"there is no '{baseline}' to compare with; the runs are {', '.join(losses)}.")
    rows: list[dict[str, Any]] = []
    p, primary = [], None
    for variant, by_seed in losses.items():
        seeds = sorted(by_seed.keys() & losses[baseline].keys())
        if not seeds or variant == baseline:
            continue
        d = np.array([by_seed[seed] - losses[baseline][seed] for seed in seeds])
        e = statistics.paired(d)
        close = statistics.equivalence(d, MARGIN)
        p.append(statistics.t_test(d))
        told = flags(e, close, seen)
        rows.append(
            {
                "variant": variant,
                "pairs": len(seeds),
                "loss": float(np.mean([by_seed[s] for s in seeds])),
                "difference": e.value,
                "difference_low": e.low,
                "difference_high": e.high,
                "tost": close,
                "equivalent": bool(close < 0.05),
                "different": e.verdict() != "undecided",
                "verdict": told,
            }
        )
        if primary is None:
            primary = Endpoint(f"{variant} minus {baseline}, nats per byte", e, 0.0, told)
    if not rows:
        raise UserError(f"no variant shares a seed with '{baseline}'; train them with the same seeds.")
    for row, adjusted in zip(rows, statistics.holm(p), strict=True):
        row["holm"] = adjusted
    base = losses[baseline]
    return Result(
        name,
        f"Held-out loss against {baseline}",
        {
            "variant": "variant",
            "pairs": "seeds",
            "loss": "nats per byte",
            "difference": f"minus {baseline}",
            "holm": "p different (Holm)",
            "tost": "p equivalent",
            "equivalent": "equivalent",
            "different": "different",
            "verdict": "verdict",
        },
        tuple(rows),
        ("difference",),
        primary,
        Chart("bars", "variant", "difference", base=0.0),
        (
            f"{baseline}: {np.mean(list(base.values())):.4f} nats per byte over {len(base)} seeds. Pairs share seed, "
            f"data and bytes. Equivalent: within +-{MARGIN} nats per byte by two one-sided tests at 5 %. Every "
            "variant but the first is exploratory.",
        ),
    )


def flags(e: statistics.Estimate, close: float, seen: str = "") -> str:
    """Both answers in words, from the interval and the p of equivalence."""
    at = f" at {seen}" if seen else ""
    different = {"above": "worse", "below": "better"}.get(e.verdict())
    if np.isnan(e.low):
        return f"one pair, no verdict{at}"
    if close < 0.05:
        return f"equivalent, though {different}" if different else "equivalent"
    return different or f"undecided{at}"
