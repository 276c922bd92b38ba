"""Knockouts: a trained model is run with other increments than its own, and the loss it pays is kept.

A replacement takes the place of the increments of one layer's lines, or of all. With `held`, the lines of the
other layers keep the values they had in the untouched run (the direct cost); without it later layers compute
theirs anew from what they now see (the total cost). Costs are per window, so that they can be paired.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ropewalk.core.host import Edit, Host, increments_of
from ropewalk.core.rows import Row

Kinds = Callable[[np.ndarray], np.ndarray]
BATCH = 8
REPLACEMENTS = ("one", "line mean", "kind mean", "shuffled within kind", "shuffled", "other text")


@dataclass(frozen=True, eq=False)
class Knockouts:
    """clean (W,): loss of each window, nats per token. costs: (replacement, target, held) -> (W,) loss minus clean.

    target: "all", or a layer as "L3". spread: the standard deviation of all increments about their line's mean.
    """

    clean: np.ndarray
    costs: dict[tuple[str, str, bool], np.ndarray]
    spread: float


def knockouts(host: Host, windows: Tensor, kinds: Kinds, *, seed: int = 0) -> Knockouts:
    """All replacements on `windows` (W, T + 1). kinds: tokens -> the number of each one's kind, same shape."""
    lines = host.rows
    clean, own = [], []
    for part in windows.split(BATCH):
        loss, d = _run(host, part, None)
        clean.append(loss)
        own.append(d)
    base, d = np.concatenate(clean), torch.cat(own)
    number = torch.from_numpy(kinds(windows[:, :-1].numpy()))
    tables = _means(d, number)
    layers = sorted({row.layer for row in lines if row.layer is not None})
    targets: dict[str, set[Row]] = {"all": set(lines)}
    if len(layers) > 1:
        targets |= {f"L{layer}": {row for row in lines if row.layer == layer} for layer in layers}
    costs = {}
    for name in REPLACEMENTS:
        for target, chosen in targets.items():
            for held in (False, True) if len(chosen) < len(lines) else (False,):
                found = []
                for start in range(0, len(windows), BATCH):
                    rows = slice(start, start + BATCH)
                    swap = _replacement(name, d, number, tables, rows, lines, seed)
                    edit = _edit(
                        swap, chosen, {row: d[rows, n] for n, row in enumerate(lines)} if held else {}
                    )
                    found.append(_run(host, windows[rows], edit)[0])
                costs[name, target, held] = np.concatenate(found) - base
    spread = float((d - d.mean((0, 2), keepdim=True)).square().mean().sqrt())
    return Knockouts(base, costs, spread)


def jitter(host: Host, windows: Tensor, spread: float, *, seed: int = 0) -> np.ndarray:
    """What normal noise of this standard deviation on every increment costs the host, per window (W,), nats."""
    costs = []
    for i, part in enumerate(windows.split(BATCH)):
        stream = torch.Generator().manual_seed(seed * 1_000_003 + i)

        def edit(row: Row, d: Tensor, stream: torch.Generator = stream) -> Tensor:
            return d + spread * torch.randn(d.shape, generator=stream)

        costs.append(_run(host, part, edit)[0] - _run(host, part, None)[0])
    return np.concatenate(costs)


def _run(host: Host, windows: Tensor, edit: Edit | None) -> tuple[np.ndarray, Tensor]:
    """Loss of each window (B,) float64, and the increments (B, N, T)."""
    with torch.inference_mode():
        output = host(windows[:, :-1], edit=edit)
        loss = F.cross_entropy(output.logits.float().transpose(1, 2), windows[:, 1:], reduction="none")
        return loss.double().mean(1).numpy(), increments_of(output)


def _edit(swap: Callable[[Row, Tensor], Tensor], chosen: set[Row], held: dict[Row, Tensor]) -> Edit:
    def edit(row: Row, d: Tensor) -> Tensor:
        return swap(row, d) if row in chosen else held.get(row, d)

    return edit


def _means(d: Tensor, number: Tensor) -> Tensor:
    """Mean increment of each line and kind: (N, kinds)."""
    size = int(number.max()) + 1
    flat = number.flatten()
    counts = torch.bincount(flat, minlength=size).clamp(min=1)
    return torch.stack(
        [torch.bincount(flat, row.flatten().double(), minlength=size) / counts for row in d.unbind(1)]
    ).to(d.dtype)


def _replacement(
    name: str, d: Tensor, number: Tensor, tables: Tensor, rows: slice, lines: tuple[Row, ...], seed: int
) -> Callable[[Row, Tensor], Tensor]:
    """What stands in for a line's increments (B, T) of these rows."""
    place = {row: n for n, row in enumerate(lines)}
    here = number[rows]

    def swap(row: Row, current: Tensor) -> Tensor:
        n = place[row]
        if name == "one":
            return torch.ones_like(current)
        if name == "line mean":
            return torch.full_like(current, float(d[:, n].mean()))
        if name == "kind mean":
            return tables[n][here]
        if name == "other text":
            return d[torch.arange(rows.start, rows.start + len(current)) - 1, n]
        groups = here if name == "shuffled within kind" else torch.zeros_like(here)
        return permuted(current, groups, seed * 1_000_003 + rows.start * 1_009 + n)

    return swap


def permuted(values: Tensor, groups: Tensor, seed: int) -> Tensor:
    """values (B, T), each row's shuffled among the tokens of the same group."""
    stream = torch.Generator().manual_seed(seed)
    random = torch.rand(values.shape, generator=stream, dtype=torch.float64)
    to = groups.argsort(dim=1, stable=True)
    source = (groups.double() + random * 0.999).argsort(dim=1, stable=True)
    return torch.empty_like(values).scatter_(1, to, values.gather(1, source))
