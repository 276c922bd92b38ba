"""Rows of random networks: a trace of `measure.random_networks` has the draw in place of the head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ropewalk.core.rows import Row


def by_draw(rows: Sequence[Row]) -> list[list[int]]:
    """For each draw, the places of its rows, layer by layer."""
    found: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        found.setdefault(row.head or 0, []).append(place)
    return [found[draw] for draw in sorted(found)]


def stack_draws(values: np.ndarray, rows: Sequence[Row]) -> np.ndarray:
    """values (rows, n) -> (draws, L, n): the draws, each with one row per layer."""
    return np.stack([values[places] for places in by_draw(rows)])
