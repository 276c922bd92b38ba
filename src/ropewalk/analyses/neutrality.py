"""Neutrality: does a variant change the loss? Two questions, two answers.

"Different": the mean paired difference leaves zero, after Holm's correction over variants. "Equivalent": two one-sided
tests over at least `PAIRS` seeds place it within `MARGIN`, which was fixed before any run, and the increments
vary: constant ones, such as those at initialization, are integer RoPE up to a scale. A difference can be both, or neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.errors import UserError

MARGIN = 0.003
"""Nats per byte."""
PAIRS = 3
"""Seeds that an equivalence needs."""
MIN_VARIATION = 0.01
"""Standard deviation within rows, over the row's mean, below which increments hardly vary."""
COLUMNS = {
    "variant": "variant",
    "pairs": "seeds",
    "loss": "nats per byte",
    "variation": "coefficient of variation",
    "difference": "minus {baseline}",
    "holm": "p different (Holm)",
    "tost": "p equivalent",
    "equivalent": "equivalent",
    "different": "different",
    "verdict": "verdict",
}


def neutrality(
    losses: Mapping[str, Mapping[int, float]],
    baseline: str,
    *,
    variation: Mapping[str, float] | None = None,
    seen: str = "",
    name: str = "neutrality",
) -> Result:
    """losses: variant -> seed -> held-out loss, nats per byte; all from the same data and bytes. variation: standard
    deviation of increments within rows over their mean, of each variant that learns increments; a change of scale is
    no variation. seen: what the runs saw, such as "20 MB".

    Primary endpoint: the first variant's mean paired difference from `baseline`. UserError when no variant shares a
    seed with the baseline.
    """
    if baseline not in losses:
        raise UserError(f"there is no '{baseline}' to compare with; the runs are {', '.join(losses)}.")
    differences = {
        variant: np.array([by_seed[s] - losses[baseline][s] for s in seeds])
        for variant, by_seed in losses.items()
        if variant != baseline and (seeds := sorted(by_seed.keys() & losses[baseline].keys()))
    }
    if not differences:
        raise UserError(f"no variant shares a seed with '{baseline}'; train them with the same seeds.")
    adjusted = statistics.holm([statistics.paired(d).p() for d in differences.values()])
    rows = [
        _row(variant, losses[variant], d, holm, (variation or {}).get(variant), seen)
        for (variant, d), holm in zip(differences.items(), adjusted, strict=True)
    ]
    first = rows[0]
    e = statistics.Estimate(first["difference"], first["difference_low"], first["difference_high"])
    base = list(losses[baseline].values())
    return Result(
        name,
        f"Held-out loss against {baseline}",
        {key: heading.format(baseline=baseline) for key, heading in COLUMNS.items()},
        tuple(rows),
        ("difference",),
        Endpoint(f"{first['variant']} minus {baseline}, nats per byte", e, 0.0, first["verdict"]),
        Chart("bars", "variant", "difference", base=0.0),
        (
            f"{baseline}: {np.mean(base):.4f} nats per byte over {len(base)} seeds. Pairs share seed, data and bytes. "
            f"Different: p below 5 % after Holm's correction over variants. Equivalent: within +-{MARGIN} nats per "
            f"byte by two one-sided tests at 5 % over at least {PAIRS} seeds, of increments that vary: their "
            f"standard deviation within rows is at least {MIN_VARIATION} of the row's mean. Every variant but the first is "
            "exploratory.",
        ),
    )


def _row(
    variant: str, loss: Mapping[int, float], d: np.ndarray, holm: float, variation: float | None, seen: str
) -> dict[str, Any]:
    e = statistics.paired(d)
    close = statistics.paired_tost_p(d, MARGIN)
    constant = variation is not None and variation < MIN_VARIATION
    equivalent = bool(close < statistics.ALPHA) and len(d) >= PAIRS and not constant
    different = bool(holm < statistics.ALPHA)
    verdict = in_words(e, different, equivalent, seen)
    if close < statistics.ALPHA and not equivalent:
        verdict += ": the increments hardly vary" if constant else f": equivalence needs {PAIRS} seeds"
    return {
        "variant": variant,
        "pairs": len(d),
        "loss": float(np.mean(list(loss.values()))),
        "difference": e.value,
        "difference_low": e.low,
        "difference_high": e.high,
        "holm": holm,
        "tost": close,
        "equivalent": equivalent,
        "variation": variation,
        "different": different,
        "verdict": verdict,
    }


def in_words(e: statistics.Estimate, different: bool, equivalent: bool, seen: str = "") -> str:
    """Both answers in words."""
    at = f" at {seen}" if seen else ""
    word = ("worse" if e.value > 0 else "better") if different else ""
    if np.isnan(e.low):
        return f"one pair, no verdict{at}"
    if equivalent:
        return f"equivalent, though {word}" if word else "equivalent"
    return word or f"undecided{at}"
