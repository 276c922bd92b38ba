"""Look-up: how often are the questions answered rightly, by each way of spacing, and where does it fail?

Accuracies draw documents and models again. A difference between two ways of spacing is one number per seed:
its interval is Student's over paired seeds, because another training differs more than another document.
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
    "chance": "by chance",
    "nats": "nats per answer",
    "difference": "minus the baseline",
    "holm": "p different (Holm)",
    "verdict": "verdict",
}
FAR = 3  # thirds of the distance


def lookup(
    answers: Mapping[str, Mapping[int, Answers]], baseline: str | None = None, seen: str = ""
) -> Result:
    """answers: variant -> seed -> its answers to the same questions.

    Primary endpoint: mean accuracy of the first variant minus the baseline's, over paired seeds; without a
    baseline, its accuracy against chance. UserError for models that were asked different questions.
    """
    first = next(iter(next(iter(answers.values())).values()))
    if any(not np.array_equal(a.distance, first.distance) for by in answers.values() for a in by.values()):
        raise UserError("the models answered different questions; compare models of one look-up task.")
    base = answers.get(baseline, {}) if baseline is not None else {}
    weights = statistics.draws(int(first.document.max()) + 1)
    chance = 1 / (first.pairs - 1)
    rows: list[dict[str, Any]] = []
    primary = None
    for variant, by_seed in answers.items():
        for name, chosen in _slices(first):
            found = [_accuracy(a, chosen, weights) for a in by_seed.values()]
            value = float(np.mean([v for v, _ in found]))
            samples = statistics.crossed(np.stack([s for _, s in found]))
            e = statistics.interval(value, samples)
            row: dict[str, Any] = {
                "variant": variant,
                "questions": name,
                "models": len(by_seed),
                "accuracy": value,
                "accuracy_low": e.low,
                "accuracy_high": e.high,
                "chance": float(chance[chosen].mean()),
                "nats": float(np.mean([a.nats[chosen].mean() for a in by_seed.values()])),
            }
            if name == "all":
                row |= _against(by_seed, base if variant != baseline else {}, chosen, e, row["chance"], seen)
                if primary is None:
                    primary = _primary(variant, baseline if row.get("paired") else None, row, e)
            rows.append(row)
    whole = [row for row in rows if "p" in row]
    for row, adjusted in zip(whole, statistics.holm([row["p"] for row in whole]), strict=True):
        row["holm"] = adjusted
    return Result(
        "lookup",
        "Questions about key-value pairs",
        COLUMNS,
        tuple(rows),
        ("accuracy", "difference"),
        primary,
        Chart("bars", "questions", "accuracy", by="variant", base=float(chance.mean())),
        (
            f"{len(first.right)} questions about {int(first.document.max()) + 1} documents. The right letter is set "
            "against the document's others but the key. Distance: bytes between the answer and the pair that holds "
            "it, in thirds. Differences are over paired seeds, with Student's interval; accuracies draw documents"
            " and models again. Every row but the primary endpoint is exploratory.",
        ),
    )


def _slices(asked: Answers) -> Iterator[tuple[str, np.ndarray]]:
    """All questions, then by number of steps, of pairs, and by distance."""
    yield "all", np.ones(len(asked.right), bool)
    for hops in np.unique(asked.hops):
        yield f"{hops} step{'s' if hops > 1 else ''}", asked.hops == hops
    for pairs in np.unique(asked.pairs):
        yield f"{pairs} pairs", asked.pairs == pairs
    ends = np.quantile(asked.distance, np.linspace(0, 1, FAR + 1))
    for low, high in pairwise(ends.tolist()):
        above = asked.distance > low if low > ends[0] else asked.distance >= low
        if (chosen := above & (asked.distance <= high)).any():
            yield f"distance {asked.distance[chosen].min()} to {asked.distance[chosen].max()}", chosen


def _accuracy(a: Answers, chosen: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    return statistics.mean(a.right[chosen].astype(np.float64), a.document[chosen], weights)


def _against(
    own: Mapping[int, Answers],
    base: Mapping[int, Answers],
    chosen: np.ndarray,
    accuracy: statistics.Estimate,
    chance: float,
    seen: str,
) -> dict[str, Any]:
    """The difference from the baseline over the seeds that both have; against chance where there are none."""
    at = f" at {seen}" if seen else ""
    seeds = sorted(own.keys() & base.keys())
    learned = accuracy.verdict(chance) == "above"
    if not seeds:
        return {"verdict": "above chance" if learned else f"undecided{at}"}
    d = np.array([own[s].right.mean() - base[s].right.mean() for s in seeds])
    e = statistics.paired(d)
    word = {"above": "better", "below": "worse"}.get(e.verdict(), f"undecided{at}")
    if len(seeds) < 2:
        word = f"one pair, no verdict{at}"
    return {
        "paired": True,
        "difference": e.value,
        "difference_low": e.low,
        "difference_high": e.high,
        "p": statistics.t_test(d),
        "verdict": word,
    }


def _primary(variant: str, baseline: str | None, row: dict[str, Any], e: statistics.Estimate) -> Endpoint:
    if baseline is None:
        return Endpoint(f"{variant}: accuracy over all questions", e, row["chance"], row["verdict"])
    d = statistics.Estimate(row["difference"], row["difference_low"], row["difference_high"])
    return Endpoint(f"{variant} minus {baseline}, accuracy over all questions", d, 0.0, row["verdict"])
