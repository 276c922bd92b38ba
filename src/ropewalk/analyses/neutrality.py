"""Neutrality: does a way of spacing change the loss? Two questions, two flags.

"Different": the 95 % interval of the mean paired difference leaves zero. "Equivalent": two one-sided tests over at
least `PAIRS` seeds place it within the margin, stated here before any run, and the increments have moved: a parametrization that
still stands at its start is integer RoPE, whose loss it shares for no reason worth telling. A difference can be both,
or neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.errors import UserError

MARGIN = 0.003  # nats per byte
PAIRS = 3  # seeds that an equivalence needs
MOVED = 0.01  # root mean square of d - 1 below which increments have hardly left their start


def neutrality(
    losses: Mapping[str, Mapping[int, float]],
    baseline: str,
    *,
    moved: Mapping[str, float] | None = None,
    seen: str = "",
    name: str = "neutrality",
) -> Result:
    """losses: variant -> seed -> held-out loss, nats per byte; all from the same data and bytes. moved: root mean
    square of d - 1 of each variant that learns increments.

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
        spread = (moved or {}).get(variant)
        still = spread is not None and spread < MOVED
        equivalent = bool(close < 0.05) and len(seeds) >= PAIRS and not still
        told = flags(e, equivalent, seen)
        if close < 0.05 and not equivalent:
            told += ": the increments have hardly moved" if still else f": equivalence needs {PAIRS} seeds"
        rows.append(
            {
                "variant": variant,
                "pairs": len(seeds),
                "loss": float(np.mean([by_seed[s] for s in seeds])),
                "difference": e.value,
                "difference_low": e.low,
                "difference_high": e.high,
                "tost": close,
                "equivalent": equivalent,
                "moved": spread,
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
            "moved": "increments moved",
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
            f"data and bytes. Equivalent: within +-{MARGIN} nats per byte by two one-sided tests at 5 % over at "
            f"least {PAIRS} seeds, of increments that have moved: the root mean square of d - 1 is at least {MOVED}. "
            "Every variant but the first is exploratory.",
        ),
    )


def flags(e: statistics.Estimate, equivalent: bool, seen: str = "") -> str:
    """Both answers in words, from the interval and whether it is equivalent."""
    at = f" at {seen}" if seen else ""
    different = {"above": "worse", "below": "better"}.get(e.verdict())
    if np.isnan(e.low):
        return f"one pair, no verdict{at}"
    if equivalent:
        return f"equivalent, though {different}" if different else "equivalent"
    return different or f"undecided{at}"
