"""A page about many texts: each row's widest gaps in context, how wide gaps are by the kind of position, and a search.

Beside the model's gaps stand those of controls, such as a random network or another seed, on the same texts; a page
without any says so. One self-contained file, as `views.page`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace
from ropewalk.views import page
from ropewalk.views.findings import sort_of_place
from ropewalk.views.kinds import describe
from ropewalk.views.labels import visible
from ropewalk.views.rows import choose
from ropewalk.views.scene import MAGNITUDES, scene

MOST_GAPS = 200_000
"""Gaps on one page; further texts of an archive are not read."""
MODULE = "views/page/gallery.js"
RANGE = 12.0
"""A gap is kept as the logarithm of its ratio to the mean, within this many nats, in 16 bits."""


@dataclass(frozen=True, eq=False)
class Gaps:
    """G gaps of many texts. texts: their cells' labels; sorts (G,): names of the kinds of positions; values (N, G): each gap
    over its row's mean over all texts, NaN where not measured; means (N,): those means.
    """

    texts: list[list[str]]
    sorts: list[str]
    values: np.ndarray
    means: np.ndarray
    rows: tuple[str, ...]
    left_out: bool


def collect(traces: Iterable[Trace], most: int = MOST_GAPS) -> tuple[Gaps, list[Trace]]:
    """The gaps of traces of one model, heads averaged, and the traces that were kept. UserError for none and for other rows."""
    kept, texts, sorts, parts, count, left_out = list[Trace](), list[list[str]](), list[str](), [], 0, False
    for trace in traces:
        shown = choose(trace)
        if kept and (shown.rows != choose(kept[0]).rows or trace.kind != kept[0].kind):
            raise UserError(
                "expected traces of one kind with the same rows; make a gallery of one model's traces."
            )
        cells = trace.cells()
        if count + len(cells) > most and kept:
            left_out = True
            break
        drawn = scene(shown)
        parts.append(drawn.gaps / drawn.factor[:, None])
        texts.append([visible(cell.text) for cell in cells])
        sorts += [sort_of_place(drawn.cells, number) for number in range(len(cells))]
        kept.append(trace)
        count += len(cells)
    if not kept:
        raise UserError(
            "expected at least one trace, got none; trace some texts with: ropewalk trace FILES --out FOLDER"
        )
    values = np.concatenate(parts, axis=1)
    known = np.isfinite(values)
    means = np.where(known, np.abs(values), 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    rows = tuple(map(str, choose(kept[0]).rows))
    return Gaps(texts, sorts, values / np.where(means > 0, means, 1)[:, None], means, rows, left_out), kept


def agreement(one: np.ndarray, other: np.ndarray) -> float | None:
    """The rank correlation of two rows of gaps where both are known; None for fewer than four."""
    known = np.isfinite(one) & np.isfinite(other)
    if known.sum() < 4:
        return None
    ranks = [row[known].argsort().argsort().astype(np.float64) for row in (one, other)]
    centered = [rank - rank.mean() for rank in ranks]
    return float(
        (centered[0] * centered[1]).sum() / np.sqrt((centered[0] ** 2).sum() * (centered[1] ** 2).sum())
    )


def html(
    traces: Iterable[Trace],
    controls: Mapping[str, Iterable[Trace]] | None = None,
    *,
    title: str | None = None,
) -> str:
    """The page. controls: by name, traces of the same texts in the same order by something to compare with; a row is compared
    with the control's row of the same layer. UserError for what `collect` refuses and for controls of other texts.
    """
    gaps, kept = collect(traces)
    kind = describe(kept[0])
    compared = []
    for name, others in (controls or {}).items():
        found, texts = collect(list(others)[: len(kept)])
        if [one.text for one in texts] != [one.text for one in kept] or len(found.sorts) != len(gaps.sorts):
            raise UserError(
                f"the control '{name}' is of other texts; trace the same texts, in the same order."
            )
        lines = [found.rows.index(row) if row in found.rows else 0 for row in gaps.rows]
        values = found.values[lines]
        compared.append(
            {
                "name": name,
                "values": _packed(values),
                "agreement": [agreement(*pair) for pair in zip(gaps.values, values, strict=True)],
            }
        )
    names = sorted(set(gaps.sorts) - {""})
    payload: dict[str, Any] = {
        "mode": "gallery",
        "entries": [],
        "name": str(kept[0].provenance.get("name") or "unnamed model"),
        "noun": kind.noun,
        "plural": kind.plural,
        "magnitude": kept[0].kind in MAGNITUDES,
        "unit": kept[0].unit,
        "rows": list(gaps.rows),
        "means": gaps.means.tolist(),
        "texts": gaps.texts,
        "sorts": names,
        "sortOf": _base64(np.array([names.index(one) if one else 255 for one in gaps.sorts], np.uint8)),
        "values": _packed(gaps.values),
        "controls": compared,
        "leftOut": gaps.left_out,
    }
    return page.document(
        payload, module=MODULE, title=title or f"The widest {kind.plural} of {payload['name']} · ropewalk"
    )


def _packed(values: np.ndarray) -> str:
    """Base64 of uint16: 0 for NaN, else the logarithm of the absolute ratio."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.clip(np.log(np.abs(values)), -RANGE, RANGE)
    scaled = np.rint((logs + RANGE) / (2 * RANGE) * 65534) + 1
    return _base64(np.where(np.isnan(values), 0, scaled).astype("<u2"))


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
