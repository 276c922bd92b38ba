"""Checks of the parts of a Trace; each raises a UserError that says what was expected, what was given and what to do."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.tokens.utf8_bytes import utf8

KINDS = ("increment", "position", "sensitivity", "forget")
SIGNALS = ("surprisal", "entropy", "entropy_after")


def frozen_array(name: str, given: Any, dtype: type, shape: tuple[int | None, ...]) -> np.ndarray:
    """A read-only copy of `given` with this dtype and shape (None: any size from 1)."""
    try:
        array = np.asarray(given)
        if array.size and array.dtype.kind not in ("iu" if dtype is np.int64 else "iuf"):
            raise TypeError
    except (TypeError, ValueError) as error:
        numbers = "whole numbers" if dtype is np.int64 else "numbers"
        raise UserError(
            f"expected {name} to be an array of {numbers}; pass a NumPy array of them."
        ) from error
    fits = array.ndim == len(shape) and all(
        got == want if want is not None else got > 0 for got, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("at least 1" if want is None else str(want) for want in shape)
        raise UserError(
            f"expected {name} of shape ({wanted}), got {array.shape}; give one entry per row and token."
        )
    with np.errstate(over="ignore"):
        array = array.astype(dtype)
    array.setflags(write=False)
    return array


def check_text(text: object) -> int:
    """The size of `text` in UTF-8 bytes."""
    if not isinstance(text, str):
        raise UserError(f"expected text to be a string, got {type(text).__name__}; decode it first.")
    return len(utf8(text))


def check_tokens(tokens: np.ndarray) -> None:
    if tokens.min() < 0:
        raise UserError(f"expected token ids from 0, got {tokens.min()}; use the tokenizer's own ids.")


def check_spans(spans: np.ndarray, size: int) -> None:
    """Spans (T, 2) must be half-open byte offsets inside a text of `size` bytes, in reading order."""
    full = spans[spans[:, 0] != spans[:, 1]]
    good = (
        bool((spans >= 0).all() and (spans <= size).all() and (spans[:, 0] <= spans[:, 1]).all())
        and bool((np.diff(full, axis=0) >= 0).all())
    )  # fmt: skip
    if not good:
        raise UserError(
            f"expected spans in reading order inside the text's {size} bytes, got others; give byte offsets "
            "into text.encode(), not character offsets."
        )


def check_rows(rows: Sequence[Any]) -> None:
    valid = all(
        isinstance(row, Row) and all(n is None or (type(n) is int and n >= 0) for n in (row.layer, row.head))
        for row in rows
    )
    if not valid or len(set(rows)) != len(rows) or not rows:
        raise UserError(
            f"expected one or more different rows, got {', '.join(map(str, rows)) or 'none'}; give "
            "each its own Row(layer, head) of whole numbers from 0, or None."
        )


def check_finite(values: np.ndarray, rows: Sequence[Row]) -> None:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, token = bad[0]
        raise UserError(
            f"expected finite values, got {values[row, token]} in row {rows[row]} at token {token}; the model "
            "that computed them may have diverged."
        )


def check_signal(name: str, signal: np.ndarray) -> None:
    if np.isinf(signal).any():
        raise UserError(f"expected {name} in finite nats or NaN, got an infinite number; measure it again.")


def check_names(kind: str, unit: object, gap: str | None) -> None:
    if kind not in KINDS:
        raise UserError(f"expected a kind of {', '.join(KINDS)}, got {kind!r}; name one of them.")
    if not isinstance(unit, str) or not unit:
        raise UserError(f'expected the name of a unit, got {unit!r}; write "token-equivalents" or another.')
    if gap not in ("before", "after", None) or (kind == "increment" and gap is None):
        raise UserError(
            f'expected gap "before" or "after" for a trace of kind {kind}, got {gap!r}; say which.'
        )


def plain_json(name: str, given: Any) -> dict[str, Any]:
    """A deep copy of `given` as JSON holds it."""
    try:
        copied = json.loads(utf8(json.dumps(given, allow_nan=False, ensure_ascii=False)))
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"expected {name} to hold plain JSON values, got others: {error}; convert them."
        ) from error
    if not isinstance(copied, dict):
        raise UserError(f"expected {name} to be a dictionary, got {type(given).__name__}; pass one.")
    return copied
