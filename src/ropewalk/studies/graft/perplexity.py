"""Perplexity of grafts beside their baselines, as the published table of a graft has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.result import Chart, Result
from ropewalk.studies.graft.claims import PERPLEXITY
from ropewalk.training.graft.paired import Side

COLUMNS = {
    "variant": "variant",
    "seeds": "seeds",
    "perplexity": "perplexity",
    "baseline": "perplexity of the baseline",
    "difference": "difference, nats per token",
    "smallest": "smallest mean increment of a row",
    "mean": "mean increment",
    "largest": "largest mean increment of a row",
    "std": "standard deviation within a row",
    "published": "published: perplexity, baseline",
}


def perplexity(sides: Mapping[str, Mapping[int, Side]], baseline: str, seen: str) -> Result:
    """sides: variant -> seed -> what was measured; those of `baseline` have integer positions. seen: how much each model read."""
    rows = []
    for variant, by_seed in sides.items():
        seeds = sorted(by_seed.keys() & sides[baseline].keys())
        if variant == baseline or not seeds:
            continue
        rows.append(_row(variant, [by_seed[s] for s in seeds], [sides[baseline][s] for s in seeds]))
        figures = PERPLEXITY.get(baseline) if variant == f"{baseline} shared" else None
        rows[-1]["published"] = "" if figures is None else f"{figures[0]}, {figures[1]}"
    return Result(
        "perplexity",
        f"Perplexity of held-out text, {baseline}",
        COLUMNS,
        tuple(rows),
        ("difference",),
        chart=Chart("bars", "variant", "difference", base=0.0),
        notes=(
            f"exp of the mean loss per token, mean over seeds; {seen} in each training run. Differences are paired by seed; "
            "intervals over seeds (Student), none with a single seed. Published: SmolLM2-1.7B, 1,024 tokens of context, 66 M "
            "tokens of training (LoRA) and 26 M (full), one seed; its own baseline.",
        ),
    )


def _row(variant: str, grafted: list[Side], plain: list[Side]) -> dict[str, Any]:
    e = statistics.paired(np.array([a.loss - b.loss for a, b in zip(grafted, plain, strict=True)]))
    means = np.array([[row["mean"] for row in side.spacing] for side in grafted])
    return {
        "variant": variant,
        "seeds": len(grafted),
        "perplexity": float(np.exp([side.loss for side in grafted]).mean()),
        "baseline": float(np.exp([side.loss for side in plain]).mean()),
        "difference": e.value,
        "difference_low": e.low,
        "difference_high": e.high,
        "smallest": float(means.mean(0).min()),
        "mean": float(means.mean()),
        "largest": float(means.mean(0).max()),
        "std": float(np.mean([[row["std"] for row in side.spacing] for side in grafted])),
    }
