"""The probe: how much a frozen, untouched model's predictions depend on each gap between its tokens.

For the gap before token t, in a line (a layer, or a key head of one), the Fisher sensitivity over the next
W tokens is the expected squared derivative of their log-probability with respect to that gap, labels drawn
from the model itself, divided by W: nats per token for a small squared change of the gap. K draws give a
standard error. Every gap is measured in a stretch of its own, with the same number of tokens before it and
the same W after it, because a gap early in a text separates more pairs than a late one. Beside it stands
the derivative for the text as it is: its expectation is zero in a calibrated model, and it does not say
which spacing a model would prefer. Nothing is trained; gaps are real-valued leaves that enter through the
host's one intervention, `edit`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ropewalk.core.host import Edit, Host
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.tokens.tokenized_text import TokenizedText, tokenize_bytes
from ropewalk.traces.trace import Trace

UNIT = "squared nats per token and squared token-equivalent"
FACTORS = (0.0, 0.5, 2.0, 4.0)


@dataclass(frozen=True)
class Plan:
    """Which gaps are measured, and what that costs.

    window: W, the tokens predicted after a gap; past: the tokens before it; draws: K. gaps: the token of
    each gap that has both. batch: stretches at a time.
    """

    window: int
    past: int
    draws: int
    gaps: tuple[int, ...]
    batch: int = 16

    @property
    def length(self) -> int:
        """Tokens in a stretch."""
        return self.past + self.window

    def told(self) -> str:
        read = len(self.gaps) * self.length
        return (
            f"{len(self.gaps)} gaps, each with {self.past} tokens before it and {self.window} after: "
            f"{read:,} tokens "
            f"forward, {read * (self.draws + 1):,} backward"
        )


@dataclass(frozen=True)
class Probe:
    """What the probe found. All arrays are (N, T), T the measured gaps.

    trace: the sensitivities, kind "sensitivity"; error: their standard errors; observed: the derivative of
    the text's own log-probability, nats per token-equivalent, whose expectation is zero.
    """

    trace: Trace
    error: np.ndarray
    observed: np.ndarray


@dataclass(frozen=True)
class Stretch:
    """A finite change of one gap: loss_change in nats per token over the window, and the mean divergence in
    nats of
    the next-token distributions from the untouched ones. line None: all lines at once."""

    token: int
    row: Row | None
    increment: float
    loss_change: float
    divergence: float


def plan(
    tokens: TokenizedText,
    *,
    window: int = 16,
    past: int = 32,
    draws: int = 8,
    batch: int = 16,
    context: int | None = None,
) -> Plan:
    """The gaps of a text that have `past` tokens before them and `window` after.

    UserError when there are none, when a number makes no sense, or when a stretch does not fit into
    `context`.
    """
    if min(window, past, batch) < 1 or draws < 2:
        raise UserError(
            f"the probe needs a window, a past and a batch of at least 1 and 2 draws, got {window}, {past}, "
            f"{batch} "
            f"and {draws}."
        )
    if context is not None and past + window + 1 > context:
        raise UserError(
            f"past + window = {past + window} tokens do not fit into the model's context of {context}; "
            "lower one."
        )
    first, last = past, len(tokens.ids) - window - 1
    if last < first:
        raise UserError(
            f"the text has {len(tokens.ids)} tokens and a gap needs {past} before it and {window + 1} from "
            "it on; give a "
            f"longer text, or smaller numbers, such as past {max(1, len(tokens.ids) // 3)} and window "
            f"{max(1, len(tokens.ids) // 3)}."
        )
    return Plan(window, past, draws, tuple(range(first, last + 1)), batch)


def probe(host: Host, text: str, plan: Plan, *, tokens: TokenizedText | None = None, seed: int = 0) -> Probe:
    """Measures the gaps of `plan`; `tokens` as in `ropewalk.measure.capture.trace`.

    The trace holds the measured tokens only. Host parameters are left without gradients.
    """
    tokens = tokens or tokenize_bytes(text)
    lines, late = host.rows, int(host.gap == "after")
    shape = (len(lines), len(plan.gaps))
    squares, observed = np.zeros((plan.draws, *shape)), np.zeros(shape)
    chance = torch.Generator().manual_seed(seed)
    for at, rows, prefix in _stretches(tokens, plan):
        gap = prefix + plan.past
        leaves = {row: torch.zeros(len(rows), requires_grad=True) for row in lines}
        with torch.enable_grad():
            log = _log_probabilities(host, rows, _opening(leaves, gap - late), gap, plan.window)
            own = rows[:, gap + 1 : gap + 1 + plan.window].to(log.device)
            for draw in range(plan.draws + 1):
                if draw == plan.draws:
                    labels = own
                else:
                    flat = log.detach().exp().flatten(0, 1).cpu().double()
                    labels = torch.multinomial(flat, 1, generator=chance).view(own.shape).to(log.device)
                value = log.gather(-1, labels[..., None]).sum()
                grads = torch.autograd.grad(
                    value, [leaves[row] for row in lines], retain_graph=draw < plan.draws, allow_unused=True
                )
                found = np.stack(
                    [np.zeros(len(rows)) if g is None else g.double().cpu().numpy() for g in grads]
                )
                if draw == plan.draws:
                    observed[:, at] = found
                else:
                    squares[draw][:, at] = found**2 / plan.window
    if not np.isfinite(squares).all():
        raise UserError("the model's gradients are not finite numbers; try it in float32.")
    mean, error = squares.mean(0), squares.std(0, ddof=1) / np.sqrt(plan.draws)
    measured = list(plan.gaps)
    return Probe(
        Trace(
            text=text,
            tokens=tokens.ids[measured],
            spans=tokens.spans[measured],
            rows=lines,
            values=mean,
            kind="sensitivity",
            unit=UNIT,
            gap="before",
            context={
                "window": plan.window,
                "past": plan.past,
                "draws": plan.draws,
                "first_token": measured[0],
                "standard_error": np.round(error, 12).tolist(),
                "observed_gradient": np.round(observed, 12).tolist(),
            },
            provenance=host.describe(),
        ),
        error,
        observed,
    )


def stretches(
    host: Host,
    plan: Plan,
    tokens: TokenizedText,
    gaps: Sequence[int],
    *,
    factors: Sequence[float] = FACTORS,
    each_line: bool = False,
) -> list[Stretch]:
    """Sets single gaps to `factors` times their increments, in all lines at once and, with each_line, in
    each alone.

    gaps: tokens of the plan. UserError for others.
    """
    if strangers := sorted(set(gaps) - set(plan.gaps)):
        raise UserError(
            f"token {strangers[0]} is not among the measured gaps, {plan.gaps[0]} to {plan.gaps[-1]}; "
            "choose those."
        )
    chosen = Plan(plan.window, plan.past, plan.draws, tuple(gaps), plan.batch)
    groups: list[Row | None] = [None, *(host.rows if each_line and len(host.rows) > 1 else ())]
    found, late = [], int(host.gap == "after")
    with torch.no_grad():
        for at, rows, prefix in _stretches(tokens, chosen):
            gap = prefix + plan.past
            plain = _log_probabilities(host, rows, None, gap, plan.window)
            labels = rows[:, gap + 1 : gap + 1 + plan.window].to(plain.device)[..., None]
            for row in groups:
                for factor in factors:
                    changed = _log_probabilities(
                        host, rows, _scaling(row, gap - late, factor), gap, plan.window
                    )
                    loss = (plain - changed).gather(-1, labels).squeeze(-1).mean(-1)
                    divergence = (plain.exp() * (plain - changed)).sum(-1).mean(-1)
                    numbers = zip(chosen.gaps[at], loss.tolist(), divergence.tolist(), strict=True)
                    found += [Stretch(token, row, factor, *pair) for token, *pair in numbers]
    return found


def cost(plan: Plan, gaps: int, rows: int, factors: int = len(FACTORS), *, each_line: bool = False) -> str:
    """What `stretches` will read, in one line."""
    passes = 1 + factors * (1 + (rows if each_line and rows > 1 else 0))
    return f"{gaps} gaps stretched {passes - 1} times: {gaps * plan.length * passes:,} tokens forward"


def _stretches(tokens: TokenizedText, plan: Plan) -> Iterator[tuple[slice, Tensor, int]]:
    """(which gaps, their stretches (B, L), length of the prefix): start symbol, past, window and one
    label more.
    """
    ids = torch.from_numpy(np.array(tokens.ids))
    prefix = [] if tokens.start is None else [tokens.start]
    for first in range(0, len(plan.gaps), plan.batch):
        gaps = plan.gaps[first : first + plan.batch]
        rows = [
            torch.cat([torch.tensor(prefix, dtype=ids.dtype), ids[t - plan.past : t + plan.window + 1]])
            for t in gaps
        ]
        yield slice(first, first + len(gaps)), torch.stack(rows), len(prefix)


def _log_probabilities(host: Host, rows: Tensor, edit: Edit | None, gap: int, window: int) -> Tensor:
    """(B, W, V) float32: of the tokens after each of those from the gap's token on."""
    logits = host(rows[:, :-1], edit=edit).logits
    return torch.log_softmax(logits[:, gap : gap + window].float(), -1)


def _opening(leaves: dict[Row, Tensor], gap: int) -> Edit:
    def edit(row: Row, d: Tensor) -> Tensor:
        at = torch.zeros_like(d)
        at[:, gap] = 1.0
        return d + at * leaves[row].to(d.device)[:, None]

    return edit


def _scaling(chosen: Row | None, gap: int, factor: float) -> Edit:
    def edit(row: Row, d: Tensor) -> Tensor:
        if chosen is not None and row != chosen:
            return d
        times = torch.ones_like(d)
        times[:, gap] = factor
        return d * times

    return edit
