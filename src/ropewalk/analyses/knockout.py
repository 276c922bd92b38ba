"""Knock-outs (ablations): how much the loss of a trained model rises when its increments are replaced.

Any change of positions harms a trained model, so a cost shows that the model depends on its increments, not that their
content matters; only models trained from scratch without the content can show that (`neutrality`). What a table of
bytes cannot replace is content: the cost of "byte mean" is what the model would lose if its increments knew the byte
and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.neutrality import MARGIN
from ropewalk.analyses.result import Cell, Chart, Endpoint, Result
from ropewalk.measure.knockout import REPLACEMENTS, Knockouts

PRIMARY = ("shuffled within kind", "all", False)
CONTENT = ("byte mean", "all", False)
COLUMNS = {
    "replacement": "replacement",
    "target": "layers",
    "cost": "cost",
    "nats": "nats per byte",
    "holm": "p (Holm)",
    "verdict": "verdict",
}
VERDICTS = {"above": "the model depends on them", "below": "the model does better without them"}


def knockout(found: Sequence[Knockouts], jitter: Sequence[np.ndarray] = ()) -> Result:
    """found: one per model (seed), on the same windows. jitter: costs (W,) of noise with each layer's standard
    deviation on integer-RoPE models.

    Primary endpoint: total cost of shuffling the increments of all layers within each byte kind.
    """
    resample_counts = statistics.draw_resample_counts(len(found[0].clean))
    costs = {
        key: statistics.window_mean(np.stack([k.costs[key] for k in found]), resample_counts)
        for key in found[0].costs
    }
    adjusted = statistics.holm([e.p() for e in costs.values()])
    rows = [
        _row(*key, e) | {"holm": p, "verdict": _verdict(e, p)}
        for (key, e), p in zip(costs.items(), adjusted, strict=True)
    ]
    if len(jitter):
        noise = statistics.window_mean(np.stack(list(jitter)), resample_counts)
        rows.append(_row("noise of equal std on integer RoPE", "all", False, noise))
    primary = costs[PRIMARY]
    return Result(
        "knockout",
        "Cost of replacing the increments of a trained model",
        COLUMNS,
        tuple(rows),
        ("nats",),
        Endpoint(
            "Total cost of shuffling all increments within byte kind, nats per byte",
            primary,
            0.0,
            VERDICTS.get(primary.verdict(), "undecided"),
        ),
        Chart("bars", "replacement", "nats", by="target", base=0.0, where={"cost": "total"}),
        _notes(found, costs),
    )


def _row(replacement: str, target: str, direct: bool, e: statistics.Estimate) -> dict[str, Cell]:
    return {
        "replacement": replacement,
        "target": target,
        "cost": "direct" if direct else "total",
        "nats": e.value,
        "nats_low": e.low,
        "nats_high": e.high,
    }


def _verdict(e: statistics.Estimate, holm: float) -> str:
    """In words, after Holm's correction over the rows of the table."""
    return VERDICTS[("above" if e.value > 0 else "below")] if holm < statistics.ALPHA else "undecided"


def _content(e: statistics.Estimate) -> str:
    """In words: whether what the increments know beyond the byte lowers the loss."""
    if statistics.tost_p(e, MARGIN) < statistics.ALPHA:
        return f"equivalent to zero (within +-{MARGIN}, two one-sided tests at 5 %)"
    return "the model depends on it" if e.verdict() == "above" else "undecided"


def _notes(
    found: Sequence[Knockouts], costs: dict[tuple[str, str, bool], statistics.Estimate]
) -> tuple[str, ...]:
    std = np.sqrt(np.mean([np.mean(np.square(list(k.std.values()))) for k in found]))
    notes = [
        f"{len(found)} model(s), {len(found[0].clean)} windows of mean loss "
        f"{np.mean([k.clean.mean() for k in found]):.4f}. Direct: the increments of the other layers are kept; "
        f"total: later layers compute theirs from the changed activations. Standard deviation within rows: {std:.3f}. "
        "A cost here shows dependence, not that content matters. Every other row is exploratory.",
        "Replacements: " + "; ".join(f"{name}: {what}" for name, what in REPLACEMENTS.items()) + ".",
    ]
    if CONTENT in costs:
        e = costs[CONTENT]
        notes.append(
            f"What a table of bytes cannot replace: {e.value:.4f} [{e.low:.4f}, {e.high:.4f}] nats per byte: {_content(e)}."
        )
    return tuple(notes)
