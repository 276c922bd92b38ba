"""Traces from other methods' numbers: one real number per token, layer and head.

Any method that gives each token a number in each head can be looked at like increments: learned positions,
forget gates. The file is documented in docs/import-format.md. Nothing is guessed: the file states shapes, kinds and units.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from ropewalk.core.rows import Row
from ropewalk.errors import DOCUMENTATION, UserError
from ropewalk.system.files import read_whole
from ropewalk.tokens.utf8_bytes import utf8
from ropewalk.traces.trace import KINDS, Trace

FORMAT_PAGE = f"{DOCUMENTATION}/import-format.html"
FORMAT, VERSION = "ropewalk-numbers", 1
NUMBERS = ("numbers", "tokens", "surprisal")
REQUIRED = ("format", "version", "method", "kind", "unit", "pieces", "tokens", "numbers")


def from_numbers(
    numbers: Any,
    *,
    pieces: Sequence[str],
    kind: str,
    unit: str,
    method: str,
    tokens: Sequence[int] | None = None,
    gap: str | None = None,
    layers: Sequence[int] | None = None,
    surprisal: Any = None,
    provenance: dict[str, Any] | None = None,
) -> Trace:
    """A Trace of numbers (T, L, H), or (T, L) without heads, for T tokens that write `pieces` one after
    another.

    kind: "position", "increment", "forget" or "sensitivity"; `layers` numbers the L layers (0, 1, ... when
    left out). An increment says its gap. UserError for anything that does not fit.
    """
    if kind not in KINDS:
        raise UserError(f"expected a kind of {', '.join(KINDS)}, got {kind!r}; name one of them.")
    try:
        values = np.asarray(numbers, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError("expected numbers of shape (tokens, layers, heads), got something ragged.") from error
    if values.ndim not in (2, 3) or 0 in values.shape or len(values) != len(pieces):
        raise UserError(
            f"expected numbers of shape (tokens, layers) or (tokens, layers, heads) for {len(pieces)} "
            "pieces, got "
            f"{values.shape}; give each piece its numbers."
        )
    index = list(range(values.shape[1])) if layers is None else list(layers)
    if len(index) != values.shape[1]:
        raise UserError(
            f"expected the numbers of {values.shape[1]} layers, got {len(index)}; name each layer."
        )
    heads: list[int | None] = [None] if values.ndim == 2 else list(range(values.shape[2]))
    rows = tuple(Row(layer, head) for layer in index for head in heads)
    ends = np.cumsum([len(utf8(piece)) for piece in pieces])
    spans = np.stack([np.concatenate([[0], ends[:-1]]), ends], 1)
    return Trace(
        text="".join(pieces),
        tokens=np.zeros(len(pieces), np.int64) if tokens is None else cast(np.ndarray, tokens),
        spans=spans,
        rows=rows,
        values=values.reshape(len(values), -1).T,
        kind=kind,
        unit=unit,
        gap=gap,
        surprisal=np.empty(0) if surprisal is None else surprisal,
        context={"imported": True},
        provenance={"name": method, **(provenance or {})},
    )


def learned_positions(
    z: Any, *, pieces: Sequence[str], layers: Sequence[int] | None = None, method: str = "RePo"
) -> Trace:
    """Positions that a model gives its tokens outright, not as a sum: z (T, L, H), kind "position".

    This is what RePo (arXiv 2512.14391) computes; it learns them from a middle layer on, so say which
    `layers`.
    """
    return from_numbers(z, pieces=pieces, kind="position", unit="positions", method=method, layers=layers)


def forget_gates(
    log_gates: Any, *, pieces: Sequence[str], layers: Sequence[int] | None = None, method: str = "forget gate"
) -> Trace:
    """Log forget gates (T, L, H), at most 0, as decay in nats: kind "forget", values -log f.

    This is what the Forgetting Transformer (arXiv 2503.02130) adds up to a bias of attention.
    """
    decay = -np.asarray(log_gates, np.float64)
    if decay.size and (decay < 0).any():
        raise UserError("expected logarithms of gates between 0 and 1, got some above 0; pass log f, not f.")
    return from_numbers(decay, pieces=pieces, kind="forget", unit="nats", method=method, layers=layers)


def load(path: str | Path) -> Trace:
    """The Trace in a file of the import format; UserError says what is wrong with a file that is not one."""
    try:
        content = json.loads(read_whole(path))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; name a file in the import format.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON; see {FORMAT_PAGE} for what it should hold.") from error
    known = (
        isinstance(content, dict) and content.get("format") == FORMAT and content.get("version") == VERSION
    )
    if not known or type(content["version"]) is not int:
        raise UserError(
            f'{path} is not in the import format: expected "format": "{FORMAT}" and "version": {VERSION}; see '
            f"{FORMAT_PAGE}."
        )
    if missing := [key for key in REQUIRED if key not in content]:
        raise UserError(f"{path} lacks {', '.join(missing)}; see {FORMAT_PAGE}.")
    pieces = content["pieces"]
    if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
        raise UserError(f"{path}: expected pieces to be a list of strings; see {FORMAT_PAGE}.")
    if not isinstance(content["method"], str) or not isinstance(content.get("provenance", {}), dict):
        raise UserError(f"{path}: expected method to be a name and provenance an object; see {FORMAT_PAGE}.")
    if not isinstance(content.get("layers", []), list) or not isinstance(content.get("surprisal", []), list):
        raise UserError(f"{path}: expected layers and surprisal to be lists; see {FORMAT_PAGE}.")
    if key := next((key for key in (*NUMBERS, "layers") if _has_boolean(content.get(key))), None):
        raise UserError(f"{path}: expected {key} to hold numbers, got true or false; see {FORMAT_PAGE}.")
    optional = {key: content[key] for key in ("gap", "layers", "surprisal", "provenance") if key in content}
    fixed = {key: content[key] for key in ("kind", "unit", "method", "tokens")}
    if not all(isinstance(value, int | float | None) for value in content.get("surprisal", [])):
        raise UserError(f"{path}: expected surprisal to be numbers or null; see {FORMAT_PAGE}.")
    if "surprisal" in optional:
        optional["surprisal"] = [np.nan if value is None else value for value in optional["surprisal"]]
    return from_numbers(content["numbers"], pieces=pieces, **fixed, **optional)


def _has_boolean(value: Any) -> bool:
    """Whether a boolean is anywhere in nested lists; NumPy would take it for 0 or 1."""
    return isinstance(value, bool) or (isinstance(value, list) and any(map(_has_boolean, value)))
