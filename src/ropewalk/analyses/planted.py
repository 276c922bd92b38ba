"""Planted pairs: is the gap inside a planted phrase or entity unlike other gaps of equal surprisal?

The planted language knows its pairs exactly. The gap before a pair's second word is compared with gaps of the same
text: before other words (is a pair more of a unit than any two words?) and within words (is it as close as the inside
of a word?). Every gap is matched to one with the same token and a surprisal within a caliper, because the second word
of an entity is expected and a common word is not; the token before the gap differs. The unit is the pair, averaged
over its occurrences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.draws import by_draw
from ropewalk.analyses.entities import MIN_PAIRS, deeper, scaled, share, smaller
from ropewalk.analyses.gold import Gold
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace

CALIPER = 0.5
"""Nats: a gap whose token is further away in surprisal is no match."""
CONTROLS = ("between words", "within a word")
PRIMARY = ("entity", CONTROLS[0])
COLUMNS = {
    "pair": "pair",
    "control": "against",
    "row": "row",
    "pairs": "pairs",
    "share": "share smaller",
    "difference": "mean difference",
    "holm": "p (Holm)",
}
WHAT = "Share of entities with a smaller inner gap than matched gaps between words, deeper half"
VERDICTS = {"above": "smaller than between words", "below": "larger than between words"}


@dataclass(frozen=True, eq=False)
class Truth:
    """A planted text: its words and sentences, its phrases (P, 2) and entities (E, 2) as byte spans."""

    gold: Gold
    phrases: np.ndarray
    entities: np.ndarray


@dataclass(frozen=True, eq=False)
class GapOffsets:
    """Byte offsets of gaps: before the second word of each pair, before other words, within words."""

    pairs: dict[str, np.ndarray]
    names: dict[str, np.ndarray]
    controls: dict[str, np.ndarray]


def gap_offsets(truth: Truth) -> GapOffsets:
    """Gaps of the text; the first word of a sentence and its full stop are left out."""
    text, words = truth.gold.text.encode(), truth.gold.words
    begins = set(truth.gold.sentences[:, 0].tolist())
    stops = set(truth.gold.sentences[:, 1].tolist())
    inner: dict[str, list[int]] = {}
    names: dict[str, list[bytes]] = {}
    starts = words[:, 0]
    for kind, spans in (("phrase", truth.phrases), ("entity", truth.entities)):
        for start, end in spans.tolist():
            second = int(starts[np.searchsorted(starts, end) - 1])
            if second > start:
                inner.setdefault(kind, []).append(second)
                names.setdefault(kind, []).append(text[start:end])
    taken = {at for found in inner.values() for at in found}
    between, within = [], []
    for start, end in words.tolist():
        if end in stops:
            continue
        first = begins and start - 1 in stops
        if start not in taken and start not in begins and not first:
            between.append(start)
        within += [at for at in range(start + 1, end) if _begins_symbol(text, start, at)]
    return GapOffsets(
        {kind: np.array(found) for kind, found in inner.items()},
        {kind: np.unique(np.array(found), return_inverse=True)[1] for kind, found in names.items()},
        {CONTROLS[0]: np.array(between), CONTROLS[1]: np.array(within)},
    )


def _begins_symbol(text: bytes, start: int, at: int) -> bool:
    """Whether a symbol of the planted language begins here: two letters, or one character of several bytes."""
    return (text[at] & 0xC0) != 0x80 if text[start] >= 0x80 else (at - start) % 2 == 0


def planted(models: Sequence[Trace], truth: Truth, random: Sequence[Trace] = ()) -> Result:
    """models: the planted text in models of one kind, one per seed; random: the same text's random networks.

    Primary endpoint: share of entities whose inner gap is smaller than matched gaps between words, over the rows of
    the deeper half of the model, each in units of its own standard deviation.
    """
    known = gap_offsets(truth)
    if any(t.text != truth.gold.text or t.rows != models[0].rows for t in models):
        raise UserError("expected traces of the planted text in models of one kind; trace them again.")
    rows: list[dict[str, Any]] = []
    primary, matched = None, []
    for kind in ("entity", "phrase"):
        for control in CONTROLS:
            found = [_differences(t, known, kind, control) for t in models]
            keep = np.logical_and.reduce([np.isfinite(d).all(1) for d, _ in found])
            d = np.stack([differences[keep] for differences, _ in found])
            matched.append(f"{kind}, {control}: {np.mean([part for _, part in found]):.0%}")
            rows += _rows(kind, control, models[0], d)
            if (kind, control) == PRIMARY:
                drawn = [_null_shares(t, known, kind, control, keep) for t in random]
                primary = _primary(d, deeper(models[0].rows), drawn)
    return Result(
        "planted",
        "The gap inside planted entities and phrases",
        COLUMNS,
        tuple(rows),
        ("share",),
        primary,
        Chart("bars", "row", "share", by="pair", base=0.5, where={"control": CONTROLS[0]}),
        (
            f"{len(models)} model(s). A match has the same token and is within {CALIPER} nats of surprisal; matched: "
            f"{'; '.join(matched)}. The unit is the pair, averaged over its occurrences; intervals cover pairs"
            f"{' and models' if len(models) > 1 else ''}. Holm over rows. Every row but the primary endpoint is "
            "exploratory.",
        ),
    )


def _rows(kind: str, control: str, trace: Trace, d: np.ndarray) -> list[dict[str, Any]]:
    """One kind of pair against one control, d (S, P, N)."""
    p = [statistics.signed_rank(d[:, :, n].mean(0)) if d.shape[1] else np.nan for n in range(len(trace.rows))]
    rows = []
    for n, (row, adjusted) in enumerate(zip(trace.rows, statistics.holm(p), strict=True)):
        e = share(d[:, :, n])
        rows.append(
            {
                "pair": kind,
                "control": control,
                "row": str(row),
                "pairs": d.shape[1],
                "share": e.value,
                "share_low": e.low,
                "share_high": e.high,
                "difference": float(d[:, :, n].mean()) if d.shape[1] else None,
                "holm": adjusted,
            }
        )
    return rows


def _differences(trace: Trace, known: GapOffsets, kind: str, control: str) -> tuple[np.ndarray, float]:
    """(P, N): mean increment of each pair's inner gaps less that of their matches, NaN without a match; and
    the share of gaps that was matched."""
    token = np.full(len(trace.text.encode()), -1)
    token[trace.spans[:, 0]] = np.arange(len(trace.tokens))
    at, other = token[known.pairs[kind]], token[known.controls[control]]
    match = _nearest(trace, at, other)
    good = match >= 0
    d = trace.increments[:, at[good]] - trace.increments[:, match[good]]
    names = known.names[kind]
    size = int(names.max()) + 1
    counts = np.bincount(names[good], minlength=size)
    with np.errstate(invalid="ignore"):
        found = np.stack([np.bincount(names[good], row, size) / counts for row in d], 1)
    return found, float(good.mean())


def _nearest(trace: Trace, at: np.ndarray, other: np.ndarray) -> np.ndarray:
    """For each token of `at`, the equal token of `other` with the nearest surprisal; -1 beyond the caliper."""
    match = np.full(len(at), -1)
    for token in np.unique(trace.tokens[at]):
        mine = np.flatnonzero(trace.tokens[at] == token)
        theirs = other[trace.tokens[other] == token]
        if not len(theirs):
            continue
        theirs = theirs[np.argsort(trace.surprisal[theirs], kind="stable")]
        s, ordered = trace.surprisal[at[mine]], trace.surprisal[theirs]
        above = np.clip(np.searchsorted(ordered, s), 0, len(ordered) - 1)
        below = np.maximum(above - 1, 0)
        chosen = np.where(np.abs(ordered[below] - s) <= np.abs(ordered[above] - s), below, above)
        close = np.abs(ordered[chosen] - s) <= CALIPER
        match[mine[close]] = theirs[chosen[close]]
    return match


def _primary(d: np.ndarray, deep: list[int], drawn: list[np.ndarray]) -> Endpoint:
    """d (S, P, N); drawn: per model the shares that random networks reach."""
    e = share(scaled(d, deep))
    if d.shape[1] < MIN_PAIRS:
        return Endpoint(WHAT, e, 0.5, "too few pairs were matched")
    threshold = statistics.null_threshold(e.value, np.mean(drawn, 0) if drawn else np.empty(0), 0.5)
    return Endpoint(WHAT, e, threshold, VERDICTS.get(statistics.decide(e, threshold, 0.5), "undecided"))


def _null_shares(trace: Trace, known: GapOffsets, kind: str, control: str, keep: np.ndarray) -> np.ndarray:
    """The share that each draw of random networks reaches (draws,), over the deeper half as the increments."""
    d, _ = _differences(trace, known, kind, control)
    found = []
    for own in by_draw(trace.rows):
        deep = deeper([trace.rows[n] for n in own])
        found.append(float(smaller(scaled(d[None, keep][:, :, own], deep)).mean()))
    return np.array(found)
