"""Key-value look-up: how often are the questions answered correctly, by each variant, and where does it fail?

Intervals of accuracies cover documents and models. A difference between two variants is one number per seed: its
interval is Student's over paired seeds, because another training run differs more than another document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.errors import UserError
from ropewalk.measure.lookup import Answers

COLUMNS = {
    "variant": "variant",
    "questions": "questions",
    "models": "models",
    "accuracy": "accuracy",
    "chance_level": "chance level",
    "nats": "nats per answer",
    "difference": "minus the baseline",
    "holm": "p different (Holm)",
    "verdict": "verdict",
}
DISTANCES = 3
"""Groups of equal size by distance."""


def lookup(
    answers: Mapping[str, Mapping[int, Answers]], baseline: str | None = None, seen: str = ""
) -> Result:
    """answers: variant -> seed -> its answers to the same questions. seen: what the runs saw, such as "20 MB".

    Primary endpoint: mean accuracy of the first variant minus the baseline's, over paired seeds; without a baseline,
    its accuracy against chance. Verdicts of the table are corrected by Holm over variants. UserError for models that
    were asked different questions.
    """
    first = next(iter(next(iter(answers.values())).values()))
    if any(not np.array_equal(a.distance, first.distance) for by in answers.values() for a in by.values()):
        raise UserError("the models answered different questions; compare models of one look-up task.")
    base = answers.get(baseline, {}) if baseline is not None else {}
    resample_counts = statistics.draw_resample_counts(int(first.document.max()) + 1)
    chance_level = 1 / (first.pairs - 1)
    rows = [
        _accuracy_row(variant, name, by_seed, chosen, chance_level, resample_counts)
        for variant, by_seed in answers.items()
        for name, chosen in _slices(first)
    ]
    whole = {str(row["variant"]): row for row in rows if row["questions"] == "all"}
    differences = {
        variant: _differences(by_seed, base)
        for variant, by_seed in answers.items()
        if variant != baseline and by_seed.keys() & base.keys()
    }
    _judge(whole, differences, f" at {seen}" if seen else "")
    variant = next((name for name in answers if name != baseline), next(iter(answers)))
    return Result(
        "lookup",
        "Questions about key-value pairs",
        COLUMNS,
        tuple(rows),
        ("accuracy", "difference"),
        _primary(variant, baseline if variant in differences else None, whole[variant]),
        Chart("bars", "questions", "accuracy", by="variant", base=float(chance_level.mean())),
        (
            f"{len(first.right)} questions about {int(first.document.max()) + 1} documents. The right letter is ranked "
            "among the document's letters without the key. Distance: bytes between the answer and the pair that holds "
            "it, in thirds. Differences are over paired seeds, with Student's interval; intervals of accuracies cover "
            "documents and models. Every row but the primary endpoint is exploratory.",
        ),
    )


def _accuracy_row(
    variant: str,
    name: str,
    by_seed: Mapping[int, Answers],
    chosen: np.ndarray,
    chance_level: np.ndarray,
    resample_counts: np.ndarray,
) -> dict[str, Any]:
    found = [_accuracy(a, chosen, resample_counts) for a in by_seed.values()]
    e = statistics.over_seeds(
        np.array([value for value, _ in found]),
        np.stack([samples for _, samples in found]),
        resample_counts.shape[1],
        (0, 1),
    )
    return {
        "variant": variant,
        "questions": name,
        "models": len(by_seed),
        "accuracy": e.value,
        "accuracy_low": e.low,
        "accuracy_high": e.high,
        "chance_level": float(chance_level[chosen].mean()),
        "nats": float(np.mean([a.nats[chosen].mean() for a in by_seed.values()])),
    }


def _judge(whole: Mapping[str, dict[str, Any]], differences: Mapping[str, np.ndarray], at: str) -> None:
    """Fills in each variant's difference and verdict: against the baseline, or against chance without pairs."""
    estimates = {variant: statistics.paired(d) for variant, d in differences.items()}
    adjusted = dict(zip(estimates, statistics.holm([e.p() for e in estimates.values()]), strict=True))
    for variant, row in whole.items():
        e = estimates.get(variant)
        if e is None:
            row["verdict"] = "above chance" if row["accuracy_low"] > row["chance_level"] else f"undecided{at}"
            continue
        decided = adjusted[variant] < statistics.ALPHA
        word = ("better" if e.value > 0 else "worse") if decided else f"undecided{at}"
        row |= {
            "difference": e.value,
            "difference_low": e.low,
            "difference_high": e.high,
            "holm": adjusted[variant],
            "verdict": word if len(differences[variant]) > 1 else f"one pair, no verdict{at}",
        }


def _slices(asked: Answers) -> Iterator[tuple[str, np.ndarray]]:
    """All questions, then by number of steps, of pairs, and by distance."""
    yield "all", np.ones(len(asked.right), bool)
    for hops in np.unique(asked.hops):
        yield f"{hops} step{'s' if hops > 1 else ''}", asked.hops == hops
    for pairs in np.unique(asked.pairs):
        yield f"{pairs} pairs", asked.pairs == pairs
    ends = np.quantile(asked.distance, np.linspace(0, 1, DISTANCES + 1))
    for low, high in pairwise(ends.tolist()):
        above = asked.distance > low if low > ends[0] else asked.distance >= low
        if (chosen := above & (asked.distance <= high)).any():
            yield f"distance {asked.distance[chosen].min()} to {asked.distance[chosen].max()}", chosen


def _accuracy(a: Answers, chosen: np.ndarray, resample_counts: np.ndarray) -> tuple[float, np.ndarray]:
    return statistics.mean(a.right[chosen].astype(np.float64), a.document[chosen], resample_counts)


def _differences(own: Mapping[int, Answers], base: Mapping[int, Answers]) -> np.ndarray:
    """Accuracy minus the baseline's, for the seeds that both have."""
    return np.array([own[s].right.mean() - base[s].right.mean() for s in sorted(own.keys() & base.keys())])


def _primary(variant: str, baseline: str | None, row: dict[str, Any]) -> Endpoint:
    if baseline is None:
        e = statistics.Estimate(row["accuracy"], row["accuracy_low"], row["accuracy_high"])
        return Endpoint(f"{variant}: accuracy over all questions", e, row["chance_level"], row["verdict"])
    e = statistics.Estimate(row["difference"], row["difference_low"], row["difference_high"])
    return Endpoint(f"{variant} minus {baseline}, accuracy over all questions", e, 0.0, row["verdict"])
