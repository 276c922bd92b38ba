"""The passes of the probe: derivatives with respect to gaps, of random scores or by forward-mode differentiation."""

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
from ropewalk.measure.hosts import eager_attention
from ropewalk.measure.probe_segments import Progress, Segment

LOGITS = 1 << 27
"""Logits in one pass in dual numbers: 512 MB in float32."""


def sampled_sensitivities(
    host: Host,
    segments: Sequence[Segment],
    draws: int,
    batch: int,
    seed: int,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Squared derivatives of random scores, (draws, N, T), and those of the text's own labels, (N, T).

    T is smaller where the person interrupted after some gaps. Segments of one length are read `batch` at a time. Each group of segments is read once, and differentiated once per draw
    and once for its own labels; each of these passes serves every gap of the group.
    """
    random = torch.Generator().manual_seed(seed)
    total = sum(len(segment.gaps) for segment in segments)
    squares, observed = np.zeros((draws, len(host.rows), total)), np.zeros((len(host.rows), total))
    at = 0
    for first in range(0, len(segments), batch):
        group = segments[first : first + batch]
        count = sum(len(segment.gaps) for segment in group)
        try:
            found, own = _measure(host, group, draws, random)
        except KeyboardInterrupt:
            if at == 0:
                raise
            break
        squares[:, :, at : at + count], observed[:, at : at + count] = found, own
        at += count
        if progress is not None:
            progress(at, total)
    return squares[:, :, :at], observed[:, :at]


def _measure(
    host: Host, group: Sequence[Segment], draws: int, random: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Segments of one length with gaps at the same places: (draws, N, T) and (N, T), T the gaps of all of them."""
    late = int(host.gap == "after")
    tokens = torch.from_numpy(np.stack([segment.tokens for segment in group]))
    indices, end = [index for _, index in group[0].gaps], max(group[0].ends)
    start = _prefix_length(host, indices, late)
    logits, leaves = _forward(host, tokens[:, :end], start)
    labels = tokens[:, start + 1 : end + 1].to(logits.device)
    counts = np.array([stop - index for index, stop in zip(indices, group[0].ends, strict=True)], np.float64)

    def gradients(score: Tensor, *, last: bool = False) -> np.ndarray:
        found = torch.autograd.grad(score, leaves, retain_graph=not last, allow_unused=True)
        each = [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, leaves, strict=True)]
        places = [index - late - start for index in indices]
        return torch.stack([g[:, places].double().cpu() for g in each]).flatten(1).numpy()

    squares = [gradients((_random_scores(logits, random) * logits).sum()) ** 2 for _ in range(draws)]
    log = torch.log_softmax(
        logits[:, : labels.shape[1]], -1
    )  # no label is known after the last token of a text
    observed = gradients(log.gather(-1, labels[..., None]).sum(), last=True)
    return np.stack(squares) / np.tile(counts, len(group)), observed


def _prefix_length(host: Host, indices: Sequence[int], late: int) -> int:
    """How many tokens before a single gap are read without gradients; none where several gaps share a pass."""
    return indices[0] - late if len(indices) == 1 and hasattr(host, "new_cache") else 0


def _forward(host: Any, tokens: Tensor, start: int) -> tuple[Tensor, list[Tensor]]:
    """Logits (B, L - start, V) float32 of the tokens from `start` on, and a leaf (B, L - start) per row that was added
    to its increments. The tokens before `start` do not depend on these gaps, so their keys and values are constants."""
    leaves: dict[Row, Tensor] = {}

    def edit(row: Row, d: Tensor) -> Tensor:
        leaves[row] = torch.zeros_like(d, requires_grad=True)
        return d + leaves[row]

    cache: dict[str, Any] = {}
    if start:
        cache["kv_cache"] = host.new_cache()
        with torch.no_grad():
            host(tokens[:, :start], **cache)
    with torch.enable_grad():
        logits = host(tokens[:, start:], edit=edit, **cache).logits.float()
    return logits, [leaves[row] for row in host.rows]


def _random_scores(logits: Tensor, random: torch.Generator) -> Tensor:
    """Random weights z of the logits, (B, L, V), with mean 0 and the covariance of a label's score: diag(p) - p p'.

    z = sqrt(p) s - p sum(sqrt(p) s) for random signs s. The score of a drawn label, its one-hot vector minus p, has the same
    covariance, so the mean square of d(z . logits) is the same; its variance is smaller.
    """
    p = logits.detach().softmax(-1)
    signs = torch.empty(p.shape, dtype=torch.int8).random_(2, generator=random).to(p.device)
    weighted = p.sqrt() * (2 * signs - 1)
    return weighted - p * weighted.sum(-1, keepdim=True)


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
    places = [
        (segment, index, end)
        for segment in segments
        for (_, index), end in zip(segment.gaps, segment.ends, strict=True)
    ]
    with _forward_differentiable(host):
        for segment, index, end in places:
            try:
                values[0, :, at], observed[:, at] = _one_gap(host, segment, index, end)
            except KeyboardInterrupt:
                if at == 0:
                    raise
                break
            at += 1
            if progress is not None:
                progress(at, total)
    return values[:, :, :at], observed[:, :at]


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
        with eager_attention(host):
            yield
