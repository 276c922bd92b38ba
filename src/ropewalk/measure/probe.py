"""The probe: how much a frozen model's predictions depend on each gap between its tokens.

For the gap before token t, in a row (a layer, or one of its key/value heads), the sensitivity is the Fisher information of
that gap in the model's own predictions at the W positions from t on, divided by W: S(t) = 1/W sum_p Var_p(d logits / d
gap), nats per token for a small squared change of the gap. `exact` computes it by forward-mode differentiation; otherwise
it is the mean square of the derivative of random scores whose covariance is that of the log-probability of labels drawn from
the model, with a standard error. A text is read once, and one backward pass per draw serves all of its gaps. Nothing is trained: gaps enter through the host's `edit`. A sensitivity does not say which spacing a model
would prefer.

Two modes. Without a plan the text is read as it is and every gap is measured, in one pass or in windows that overlap:
fast, but an early gap has less text before it and more after it than a late one. With a `ProbePlan` each gap is read in a
segment of its own with the same number of tokens before it and after it, so that gaps can be compared with each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.errors import UserError
from ropewalk.measure.hosts import opened_host, with_rows_per_layer
from ropewalk.measure.probe_segments import Progress, Segment
from ropewalk.native.numpy_decoder import NumpyDecoder
from ropewalk.system.seeds import check_seed
from ropewalk.tokens.host_text import encode_for
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.tokens.tokenizer import Start
from ropewalk.traces.trace import Trace

if TYPE_CHECKING:
    from ropewalk.core.host import Host

UNIT = "squared nats per token and squared token-equivalent"
DRAWS = 16
WINDOW, OVERLAP = 256, 128
"""Tokens of a window in which a long text is read without a plan, and how many of them it shares with the next."""


@dataclass(frozen=True)
class ProbePlan:
    """Gaps that are measured with equal context.

    window: W, the positions predicted after a gap; past: the tokens before it; draws: random scores. gaps: the token of
    each gap. batch: segments at a time.
    """

    window: int
    past: int
    draws: int
    gaps: tuple[int, ...]
    batch: int = 16

    @property
    def length(self) -> int:
        """Tokens in a segment."""
        return self.past + self.window

    def cost(self) -> str:
        """What the probe will read, in one line."""
        count = len(self.gaps)
        return (
            f"{count} gaps, each with {self.past} tokens before it and {self.window} after: {count * self.length:,} tokens "
            f"forward, {count * self.window * (self.draws + 1):,} backward"
        )


@dataclass(frozen=True)
class ProbeResult:
    """What the probe found; arrays are (N, T), T the measured gaps.

    trace: the sensitivities, kind "sensitivity". error: their standard errors, 0 where they are exact. observed: the
    derivative of the text's own log-probability, nats per token-equivalent, whose expectation is zero in a calibrated
    model. agreement: the rank correlation of the sensitivities from two halves of the draws, mean over rows; None where
    they are exact or there are fewer than four gaps. complete: the share of the gaps that were measured before the person
    interrupted, 1 for all.
    """

    trace: Trace
    error: np.ndarray
    observed: np.ndarray
    agreement: float | None = None
    complete: float = 1.0

    def whole_text(self, tokens: TokenizedText) -> Trace:
        """The trace over all of the text's tokens, NaN for gaps that were not measured, as pictures and files show it."""
        first = int(self.trace.context["first_token"])
        around = ((0, 0), (first, len(tokens.ids) - first - len(self.trace.tokens)))
        error = self.trace.error
        return replace(
            self.trace,
            tokens=tokens.ids,
            spans=tokens.spans,
            values=np.pad(self.trace.values, around, constant_values=np.nan),
            error=None if error is None else np.pad(error, around, constant_values=np.nan),
            surprisal=np.empty(0),
            entropy=np.empty(0),
            entropy_after=np.empty(0),
        )

    def mean_over_rows(self) -> np.ndarray:
        """(T,): the mean over rows, each divided by its own mean first, because rows differ by orders of magnitude."""
        values = self.trace.values.astype(np.float64)
        scaled = values / np.maximum(values.mean(1, keepdims=True), 1e-300)
        return np.asarray(scaled.mean(0))


def plan_probe(
    tokens: TokenizedText,
    *,
    window: int = 16,
    past: int = 32,
    draws: int = DRAWS,
    batch: int = 16,
    context_length: int | None = None,
) -> ProbePlan:
    """The gaps of a text that have `past` tokens before them and `window` after.

    UserError when there are none, when a number makes no sense, or when a segment does not fit into `context_length`.
    """
    if min(window, past, batch) < 1 or draws < 2:
        raise UserError(
            f"the probe needs a window, a past and a batch of at least 1 and 2 draws, got {window}, {past}, {batch} and "
            f"{draws}."
        )
    if context_length is not None and past + window + 1 > context_length:
        raise UserError(
            f"past + window = {past + window} tokens do not fit into the model's context of {context_length}; lower one."
        )
    first, last = past, len(tokens.ids) - window - 1
    if last < first:
        third = max(1, len(tokens.ids) // 3)
        raise UserError(
            f"the text has {len(tokens.ids)} tokens and a gap needs {past} before it and {window + 1} from it on; give a "
            f"longer text, leave out the plan, or choose smaller numbers, such as past {third} and window {third}."
        )
    return ProbePlan(window, past, draws, tuple(range(first, last + 1)), batch)


def probe(
    host: Host | Any,
    text: str,
    plan: ProbePlan | None = None,
    *,
    tokens: TokenizedText | None = None,
    tokenizer: Any = None,
    start: Start = "auto",
    draws: int = DRAWS,
    exact: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> ProbeResult:
    """Measures how much the predictions of `host` depend on each gap of a text: of every gap, or of those of a plan.

    host, tokens, tokenizer and start as in `ropewalk.trace`. draws: random scores per text without a plan. The trace holds the measured
    tokens only. Host parameters are left without gradients. UserError for a text of fewer than two tokens.
    """
    from ropewalk.measure.probe_passes import exact_sensitivities, sampled_sensitivities

    if isinstance(host, NumpyDecoder):
        raise UserError(
            "the probe needs PyTorch; run: pip install 'ropewalk[torch]', and load the model again."
        )
    with opened_host(host, tokenizer) as opened:
        encoded = encode_for(opened, text, tokenizer, start) if tokens is None else tokens
        if start == "none":
            encoded = TokenizedText(encoded.ids, encoded.spans)
        rows_host = with_rows_per_layer(opened)
        draws = plan.draws if plan is not None else draws
        if (not hasattr(draws, "__index__") or draws < 2) and not exact:
            raise UserError(f"the probe needs at least 2 draws, got {draws}; or ask for exact sensitivities.")
        segments = list(
            _planned(encoded, plan) if plan is not None else _windows(encoded, rows_host.context_length)
        )
        gaps = [gap for segment in segments for gap, _ in segment.gaps]
        if exact:
            squares, observed = exact_sensitivities(rows_host, segments, progress)
        else:
            batch = 1 if plan is None else plan.batch
            squares, observed = sampled_sensitivities(
                rows_host, segments, draws, batch, check_seed(seed), progress
            )
        return _result(rows_host, text, encoded, gaps, squares, observed, plan, start)


def _result(
    host: Host,
    text: str,
    tokens: TokenizedText,
    gaps: list[int],
    squares: np.ndarray,
    observed: np.ndarray,
    plan: ProbePlan | None,
    start: Start,
) -> ProbeResult:
    """squares (draws, N, T), a single draw where they are exact."""
    if not np.isfinite(squares).all():
        raise UserError("the model's gradients are not finite numbers; try it in float32.")
    draws, wanted = len(squares), len(gaps)
    gaps = gaps[: squares.shape[2]]  # fewer where the person interrupted
    exact = draws == 1
    error = np.zeros_like(squares[0]) if exact else squares.std(0, ddof=1) / np.sqrt(draws)
    agreement = None if exact else half_agreement(squares)
    trace = Trace(
        text=text,
        tokens=tokens.ids[gaps],
        spans=tokens.spans[gaps],
        rows=host.rows,
        values=squares.mean(0),
        error=None if exact else error,
        kind="sensitivity",
        unit=UNIT,
        gap="before",
        context={
            "mode": "whole text" if plan is None else "equal context",
            "method": "exact" if exact else "sampled",
            "window": None if plan is None else plan.window,
            "past": None if plan is None else plan.past,
            "draws": None if exact else draws,
            "first_token": gaps[0],
            "start": start,
            "prefix": list(tokens.prefix),
            "gaps_not_measured": wanted - len(gaps),
            "agreement_of_halves": agreement,
            "standard_error": np.round(error, 12).tolist(),
            "observed_gradient": np.round(observed, 12).tolist(),
        },
        provenance=host.describe(),
    )
    return ProbeResult(trace, error, observed, agreement, len(gaps) / wanted)


def half_agreement(squares: np.ndarray) -> float | None:
    """Rank correlation over gaps of two halves of the draws (K, N, T), mean over rows; None for fewer than four gaps."""
    if squares.shape[2] < 4 or len(squares) < 2:
        return None
    halves = [half.mean(0).argsort(1).argsort(1).astype(np.float64) for half in (squares[::2], squares[1::2])]
    centered = [ranks - ranks.mean(1, keepdims=True) for ranks in halves]
    norm = np.sqrt((centered[0] ** 2).sum(1) * (centered[1] ** 2).sum(1))
    return float(((centered[0] * centered[1]).sum(1) / norm).mean())


def _planned(tokens: TokenizedText, plan: ProbePlan) -> Iterator[Segment]:
    """One segment per gap: prefix, past, window and one label more."""
    prefix = np.array(tokens.prefix, np.int64)
    index = len(prefix) + plan.past
    for gap in plan.gaps:
        part = tokens.ids[gap - plan.past : gap + plan.window + 1]
        yield Segment(np.concatenate([prefix, part]), ((gap, index),), (index + plan.window,))


def _windows(tokens: TokenizedText, context_length: int) -> Iterator[Segment]:
    """The text in windows; each gap is measured where it has most text around it."""
    prefix = np.array(tokens.prefix, np.int64)
    skip, count = len(prefix), len(tokens.ids)
    length = min(WINDOW, context_length - skip)
    if count < 2:
        raise UserError("a single token has no gap to measure; give a text of at least two tokens.")
    stride = max(1, length - OVERLAP) if length > OVERLAP else max(1, length // 2)
    firsts = [0] if count <= length else [*range(0, count - length, stride), count - length]
    edge = (length - stride) // 2
    low = 0 if skip else 1
    for n, first in enumerate(firsts):
        last = min(count, first + length)
        high = count if n + 1 == len(firsts) else max(low, firsts[n + 1] + edge)
        chosen = tuple((gap, skip + gap - first) for gap in range(low, min(high, last)))
        low = max(low, min(high, last))
        if chosen:
            part = np.concatenate([prefix, tokens.ids[first:last]])
            yield Segment(part, chosen, (len(part),) * len(chosen))
