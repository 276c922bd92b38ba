"""The passes of the probe: derivatives with respect to gaps, drawn at random or by forward-mode differentiation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from ropewalk.core.host import Host
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.measure.probe_segments import Progress, Segment

LOGITS = 1 << 27
"""Logits in one pass with gradients: 512 MB in float32."""


def sampled_sensitivities(
    host: Host,
    segments: Sequence[Segment],
    draws: int,
    batch: int,
    seed: int,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Squared derivatives for labels drawn from the model, (draws, N, T), and for the text's own labels, (N, T).

    Segments of one length are read `batch` at a time; a single segment is read in copies, one per draw.
    """
    random = torch.Generator().manual_seed(seed)
    total = sum(len(segment.gaps) for segment in segments)
    squares, observed = np.zeros((draws, len(host.rows), total)), np.zeros((len(host.rows), total))
    at = 0
    for group in _groups(segments, batch):
        count = sum(len(segment.gaps) for segment in group)
        found, own = (_copies if len(group) == 1 else _together)(host, group, draws, random)
        squares[:, :, at : at + count], observed[:, at : at + count] = found, own
        at += count
        if progress is not None:
            progress(at, total)
    return squares, observed


def _groups(segments: Sequence[Segment], batch: int) -> Iterator[list[Segment]]:
    for first in range(0, len(segments), batch):
        yield list(segments[first : first + batch])


def _copies(
    host: Host, group: list[Segment], draws: int, random: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One segment, read in as many copies as there are draws, so that one backward pass serves many draws."""
    (segment,) = group
    whole = torch.from_numpy(segment.tokens)
    tokens, own_labels = whole[: max(segment.ends)], whole[1 : max(segment.ends) + 1]
    squares, own = [], np.zeros(0)
    done, size = 0, max(1, LOGITS // (len(tokens) * _vocab_size(host)))
    while done < draws + 1:
        copies = min(size, draws + 1 - done)
        log, leaves = _forward(host, tokens.expand(copies, -1))
        labels, last = _draw(log, random), done + copies == draws + 1
        if last:  # the last copy has the text's own labels
            labels[-1, : len(own_labels)] = own_labels.to(labels.device)
        score = log.gather(-1, labels[..., None]).squeeze(-1)
        if last:  # no label is known after the last token of a text
            score = torch.cat([score[:-1].flatten(), score[-1, : len(own_labels)]])
        grads = _gradients(score, leaves, host, segment)
        scored = grads / np.sqrt(_counts(segment))
        if last:
            own, scored = grads[-1], scored[:-1]
        squares.append(scored**2)
        done += copies
    return np.concatenate(squares), own


def _together(
    host: Host, group: list[Segment], draws: int, random: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Segments of one length with one gap each, whose graph serves one backward pass per draw."""
    tokens = torch.from_numpy(np.stack([segment.tokens for segment in group]))
    (_, gap), end = group[0].gaps[0], group[0].ends[0]
    log, leaves = _forward(host, tokens[:, :-1])
    log = log[:, gap:end]
    own = tokens[:, gap + 1 : end + 1].to(log.device)
    squares, observed = [], np.zeros(0)
    place = gap - int(host.gap == "after")
    for draw in range(draws + 1):
        last = draw == draws
        labels = own if last else _draw(log, random)
        value = log.gather(-1, labels[..., None]).sum()
        grads = torch.autograd.grad(value, list(leaves.values()), retain_graph=not last, allow_unused=True)
        found = np.stack([_numbers(g, len(group), place) for g in grads])
        if last:
            observed = found
        else:
            squares.append(found**2 / (end - gap))
    return np.stack(squares), observed


def _forward(host: Host, tokens: Tensor) -> tuple[Tensor, dict[Row, Tensor]]:
    """Log-probabilities (B, L, V) float32 and the leaves (B, L) that were added to each row's increments."""
    leaves: dict[Row, Tensor] = {}

    def edit(row: Row, d: Tensor) -> Tensor:
        leaves[row] = torch.zeros_like(d, requires_grad=True)
        return d + leaves[row]

    with torch.enable_grad():
        log = torch.log_softmax(host(tokens, edit=edit).logits.float(), -1)
    return log, {row: leaves[row] for row in host.rows}


def _gradients(score: Tensor, leaves: dict[Row, Tensor], host: Host, segment: Segment) -> np.ndarray:
    """(B, N, gaps): the derivatives of each copy's summed score with respect to the gaps of a segment."""
    grads = torch.autograd.grad(score.sum(), list(leaves.values()), allow_unused=True)
    late = int(host.gap == "after")
    places = [index - late for _, index in segment.gaps]
    known = next((g for g in grads if g is not None), None)
    shape = known.shape if known is not None else next(iter(leaves.values())).shape
    whole = [torch.zeros(shape) if g is None else g for g in grads]
    return torch.stack([g.double().cpu()[:, places] for g in whole], 1).numpy()


def _numbers(gradient: Tensor | None, count: int, place: int) -> np.ndarray:
    return np.zeros(count) if gradient is None else gradient[:, place].double().cpu().numpy()


def _draw(log: Tensor, random: torch.Generator) -> Tensor:
    """Labels (B, L) drawn from log-probabilities (B, L, V)."""
    flat = log.detach().exp().flatten(0, 1).cpu()
    parts = [torch.multinomial(part, 1, generator=random) for part in flat.split(256)]
    return torch.cat(parts).view(log.shape[:-1]).to(log.device)


def _counts(segment: Segment) -> np.ndarray:
    return np.array(
        [end - index for (_, index), end in zip(segment.gaps, segment.ends, strict=True)], np.float64
    )


def _vocab_size(host: Any) -> int:
    return int(getattr(host, "vocab_size", None) or 256)


@torch.no_grad()
def exact_sensitivities(
    host: Host, segments: Sequence[Segment], progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The exact sensitivities (1, N, T), and the derivatives for the text's own labels, (N, T).

    Each gap takes one forward pass in dual numbers with a copy of the segment per row. UserError for hosts that cannot be
    differentiated forward.
    """
    total = sum(len(segment.gaps) for segment in segments)
    values, observed = np.zeros((1, len(host.rows), total)), np.zeros((len(host.rows), total))
    at = 0
    with _forward_differentiable(host):
        for segment in segments:
            for (_, index), end in zip(segment.gaps, segment.ends, strict=True):
                values[0, :, at], observed[:, at] = _one_gap(host, segment, index, end)
                at += 1
                if progress is not None:
                    progress(at, total)
    return values, observed


def _one_gap(host: Host, segment: Segment, index: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """S (N,) of one gap, and the derivative of the log-probability of the text's own labels."""
    tokens = torch.from_numpy(segment.tokens)[:end]
    number = {row: n for n, row in enumerate(host.rows)}
    size = max(1, LOGITS // (2 * len(tokens) * _vocab_size(host)))
    found, own = [], []
    for first in range(0, len(host.rows), size):
        copies = min(size, len(host.rows) - first)

        def edit(row: Row, d: Tensor, first: int = first, copies: int = copies) -> Tensor:
            if not first <= number[row] < first + copies:
                return d
            tangent = torch.zeros(copies, d.shape[1], dtype=d.dtype, device=d.device)
            tangent[number[row] - first, index - int(host.gap == "after")] = 1.0
            return d + forward_ad.make_dual(torch.zeros_like(tangent), tangent)

        try:
            with forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
                primal, tangent = forward_ad.unpack_dual(host(tokens.expand(copies, -1), edit=edit).logits)
        except (NotImplementedError, RuntimeError) as error:
            raise UserError(
                f"this model cannot be differentiated forward ({str(error).partition(chr(10))[0][:120]}); leave out exact, and "
                "use 32 draws or more."
            ) from error
        if tangent is None:
            tangent = torch.zeros_like(primal)
        variance, slope = _moments(primal[:, index:], tangent[:, index:], segment.tokens[index + 1 : end + 1])
        found.append(variance / (end - index))
        own.append(slope)
    return np.concatenate(found), np.concatenate(own)


def _moments(logits: Tensor, tangent: Tensor, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum over positions of Var_p(tangent), and of the derivative of the labels' log-probability; (copies,) each."""
    variance = torch.zeros(len(logits), dtype=torch.float64)
    slope = torch.zeros(len(logits), dtype=torch.float64)
    for place in range(logits.shape[1]):
        p, t = logits[:, place].double().softmax(-1), tangent[:, place].double()
        mean = (p * t).sum(-1)
        variance += ((p * (t - mean[:, None]) ** 2).sum(-1)).cpu()
        if place < len(labels):
            slope += (t[:, int(labels[place])] - mean).cpu()
    return variance.numpy(), slope.numpy()


@contextmanager
def _forward_differentiable(host: Any) -> Iterator[None]:
    """Eager attention while a Hugging Face host is differentiated forward, and no warnings about torch's own code."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit.script", DeprecationWarning)
        with _eager_attention(host):
            yield


@contextmanager
def _eager_attention(host: Any) -> Iterator[None]:
    model = getattr(host, "model", None)
    before = getattr(getattr(model, "config", None), "_attn_implementation", None)
    if before in (None, "eager") or not hasattr(model, "set_attn_implementation"):
        yield
        return
    model.set_attn_implementation("eager")  # type: ignore[union-attr]
    try:
        yield
    finally:
        model.set_attn_implementation(before)  # type: ignore[union-attr]
