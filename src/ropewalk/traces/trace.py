"""The Trace: one real number per token and line, with everything needed to read it later.

A line is a layer, a head of a layer, or one line shared by all layers. The number is an increment, a
position, a sensitivity or a forget gate; increments and positions derive from each other, nothing else does.
A Trace is a frozen value: its arrays cannot be written to, and its hash says whether two are the same. It
does not know which model it came from (that is told in `provenance`) nor how it is drawn.

Gap convention: with gap "before" the increment at token t is the distance between tokens t-1 and t; with gap
"after" it is the distance between t and t+1.
"""

import csv
import hashlib
import html
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.system.files import write_atomically
from ropewalk.tokens.graphemes import grapheme_spans
from ropewalk.tokens.utf8_bytes import utf8

__all__ = ["KINDS", "SIGNALS", "Cell", "Row", "Trace"]

KINDS = ("increment", "position", "sensitivity", "forget")
SIGNALS = ("surprisal", "entropy", "entropy_after")


@dataclass(frozen=True)
class Cell:
    """Tokens start..end (half-open) that are whole graphemes together; "" where a token has no text."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """T tokens of `text` and N lines with one number each. UserError when the parts do not fit together.

    Shapes: tokens (T,) int64; spans (T, 2) int64, half-open byte offsets, empty for a token without text;
    values (N, T) float32, finite; surprisal, entropy and entropy_after (T,) float32 nats, NaN where undefined
    (left out: NaN everywhere). `unit` names the unit of the values, such as "token-equivalents". `context`
    tells window sizes and what was done for long texts; `provenance` who made it; both hold plain JSON
    values. `hash` is the sha256 of the content, all but provenance["time"]. Arrays are copied and read-only.
    """

    schema: ClassVar[int] = 2

    text: str
    tokens: np.ndarray
    spans: np.ndarray
    rows: tuple[Row, ...]
    values: np.ndarray
    kind: str
    unit: str
    gap: str | None = None
    surprisal: np.ndarray = field(default_factory=lambda: np.empty(0))
    entropy: np.ndarray = field(default_factory=lambda: np.empty(0))
    entropy_after: np.ndarray = field(default_factory=lambda: np.empty(0))
    context: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    hash: str = field(init=False)

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:  # the only writer of a frozen value
            object.__setattr__(self, name, value)

        if not isinstance(self.text, str):
            raise UserError(f"Expected text to be a string, got {type(self.text).__name__}; decode it first.")
        size = len(utf8(self.text))
        tokens = _array("tokens", self.tokens, np.int64, (None,))
        if tokens.min() < 0:
            raise UserError(
                f"Expected token numbers from 0, got {tokens.min()}; use the tokenizer's own numbers."
            )
        put("tokens", tokens)
        put("spans", _array("spans", self.spans, np.int64, (len(tokens), 2)))
        _check_spans(self.spans, size)
        put("lines", tuple(self.rows))
        put("values", _array("values", self.values, np.float32, (len(self.rows), len(tokens))))
        for name in SIGNALS:
            given = getattr(self, name)
            signal = np.full(len(tokens), np.nan) if np.size(given) == 0 else given
            put(name, _array(name, signal, np.float32, (len(tokens),)))
        _check_numbers(self)
        _check_names(self)
        for name in ("context", "provenance"):
            put(name, _plain_json(name, getattr(self, name)))
        put("hash", _content_hash(self))

    def __repr__(self) -> str:
        start = self.text if len(self.text) <= 24 else self.text[:23] + "…"
        gap = f", gap {self.gap}" if self.gap else ""
        return (
            f"Trace({self.kind}, {len(self.rows)} lines x {len(self.tokens)} tokens, {self.unit}{gap}, "
            f"{start!r}, hash {self.hash[:12]})"
        )

    def __rich__(self) -> Any:
        from ropewalk.views import terminal

        return terminal.render(self) if self.kind in terminal.ACCEPTS else repr(self)

    def _repr_html_(self) -> str:
        from ropewalk.views import page

        return page.fragment(self) if self.kind in page.ACCEPTS else f"<pre>{html.escape(repr(self))}</pre>"

    def require(self, *kinds: str) -> None:
        """Refuse every kind but `kinds`: UserError that names the accepted ones and the one got."""
        if self.kind not in kinds:
            raise UserError(
                f"Expected a trace of {' or '.join(kinds)}, got one of {self.kind}; capture the text again "
                f"as {kinds[0]}."
            )

    @property
    def increments(self) -> np.ndarray:
        """Increments (N, T) float64: the values, or the steps of the positions (gap before, first one 1)."""
        self.require("increment", "position")
        values = self.values.astype(np.float64)
        if self.kind == "increment":
            return values
        return np.concatenate([np.ones_like(values[:, :1]), np.diff(values, axis=1)], axis=1)

    @property
    def positions(self) -> np.ndarray:
        """Positions (N, T) float64: the values, or the running sum of the increments from 0 at token 0."""
        self.require("increment", "position")
        values = self.values.astype(np.float64)
        if self.kind == "position":
            return values
        steps = values[:, 1:] if self.gap == "before" else values[:, :-1]
        return np.concatenate([np.zeros_like(values[:, :1]), np.cumsum(steps, axis=1)], axis=1)

    def cells(self) -> list[Cell]:
        """The smallest runs of whole tokens that are whole graphemes, in order; every token is in one cell.

        A token without text is a cell of its own unless it lies inside such a run. Text between tokens that
        no token covers (a space that a tokenizer dropped) is in no cell.
        """
        data = self.text.encode()
        edges = np.array([0] + [end for _, end in grapheme_spans(self.text)])
        runs: list[tuple[int, int, int, int]] = []  # token start, token end, byte start, byte end
        for token, (start, end) in enumerate(self.spans.tolist()):
            if start == end:
                runs.append((token, token + 1, -1, -1))
                continue
            low = int(edges[np.searchsorted(edges, start, side="right") - 1])
            high = int(edges[np.searchsorted(edges, end, side="left")])
            first = token
            back = len(runs)
            while back and runs[back - 1][3] < 0:
                back -= 1
            if back and runs[back - 1][3] > low:
                first, _, low, reached = runs[back - 1]
                high = max(high, reached)
                del runs[back - 1 :]
            runs.append((first, token + 1, low, high))
        return [Cell(a, b, data[low:high].decode() if high >= 0 else "") for a, b, low, high in runs]

    def verify(self) -> None:
        """UserError when the content no longer gives the hash it was made with."""
        if _content_hash(self) != self.hash:
            raise UserError(
                f"Expected the content of hash {self.hash[:12]}, got {_content_hash(self)[:12]}: the trace "
                "was changed after it was made; capture or load it again."
            )

    def records(self) -> Iterator[dict[str, Any]]:
        """One flat row per line and token: names, span, text, value, position, signals (None: undefined)."""
        data = self.text.encode()
        positions = self.positions if self.kind in ("increment", "position") else None
        for number, line in enumerate(self.rows):
            for token, (start, end) in enumerate(self.spans.tolist()):
                row: dict[str, Any] = {
                    "line": str(line),
                    "layer": line.layer,
                    "head": line.head,
                    "index": token,
                    "token": int(self.tokens[token]),
                    "start": start,
                    "end": end,
                    "text": data[start:end].decode("utf-8", errors="replace"),
                    self.kind: float(self.values[number, token]),
                }
                if positions is not None:
                    row["position"] = float(positions[number, token])
                for name in SIGNALS:
                    signal = float(getattr(self, name)[token])
                    row[name] = None if np.isnan(signal) else signal
                yield row

    def to_dataframe(self) -> Any:
        """The rows as a pandas DataFrame. UserError when pandas is not installed."""
        try:
            import pandas
        except ImportError as error:
            raise UserError(
                "A table needs pandas, which is not installed; run: pip install 'ropewalk[data]'"
            ) from error
        return pandas.DataFrame(list(self.records()))

    def to_csv(self, path: str | Path) -> None:
        """The rows as comma-separated UTF-8 text with a header; an undefined number is an empty field."""
        out = io.StringIO(newline="")
        table = csv.DictWriter(out, fieldnames=list(next(self.records())), lineterminator="\n")
        table.writeheader()
        table.writerows(self.records())
        write_atomically(path, out.getvalue().encode())

    def save(self, path: str | Path) -> None:
        """Write the trace as `.json` or `.json.gz`, whole or not at all; see `ropewalk.traces.file`."""
        from ropewalk.traces import file

        file.save(self, path)

    @staticmethod
    def load(path: str | Path) -> "Trace":
        """Read and verify a saved trace; UserError for every kind of damage."""
        from ropewalk.traces import file

        return file.load(path)


def _array(name: str, given: Any, dtype: type, shape: tuple[int | None, ...]) -> np.ndarray:
    """A read-only copy of `given` with this dtype and shape (None: any size from 1)."""
    try:
        array = np.asarray(given)
        if array.size and array.dtype.kind not in ("iu" if dtype is np.int64 else "iuf"):
            raise TypeError
    except (TypeError, ValueError) as error:
        numbers = "whole numbers" if dtype is np.int64 else "numbers"
        raise UserError(
            f"Expected {name} to be an array of {numbers}; pass a NumPy array of them."
        ) from error
    fits = array.ndim == len(shape) and all(
        got == want if want is not None else got > 0 for got, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("at least 1" if want is None else str(want) for want in shape)
        raise UserError(
            f"Expected {name} of shape ({wanted}), got {array.shape}; give one entry per line and token."
        )
    with np.errstate(over="ignore"):
        array = array.astype(dtype)
    array.setflags(write=False)
    return array


def _check_spans(spans: np.ndarray, size: int) -> None:
    full = spans[spans[:, 0] != spans[:, 1]]
    good = (
        bool((spans >= 0).all() and (spans <= size).all() and (spans[:, 0] <= spans[:, 1]).all())
        and bool((np.diff(full, axis=0) >= 0).all())
    )  # fmt: skip
    if not good:
        raise UserError(
            f"Expected spans in reading order inside the text's {size} bytes, got others; give byte offsets "
            "into text.encode(), not character offsets."
        )


def _check_numbers(trace: Trace) -> None:
    bad = np.argwhere(~np.isfinite(trace.values))
    if len(bad):
        row, token = bad[0]
        raise UserError(
            f"Expected finite values, got {trace.values[row, token]} in row {trace.rows[row]} at token "
            f"{token}; the model that made them may have diverged."
        )
    for name in SIGNALS:
        if np.isinf(getattr(trace, name)).any():
            raise UserError(
                f"Expected {name} in finite nats or NaN, got an infinite number; measure it again."
            )


def _check_names(trace: Trace) -> None:
    if trace.kind not in KINDS:
        raise UserError(f"Expected a kind of {', '.join(KINDS)}, got {trace.kind!r}; name one of them.")
    if not isinstance(trace.unit, str) or not trace.unit:
        raise UserError(
            f'Expected the name of a unit, got {trace.unit!r}; write "token-equivalents" or another.'
        )
    if trace.gap not in ("before", "after", None) or (trace.kind == "increment" and trace.gap is None):
        raise UserError(
            f'Expected gap "before" or "after" for a trace of {trace.kind}, got {trace.gap!r}; say which.'
        )
    plain = all(
        isinstance(row, Row) and all(n is None or (type(n) is int and n >= 0) for n in (row.layer, row.head))
        for row in trace.rows
    )
    if not plain or len(set(trace.rows)) != len(trace.rows) or not trace.rows:
        raise UserError(
            f"Expected one or more different lines, got {', '.join(map(str, trace.rows)) or 'none'}; give "
            "each row its own Line(layer, head) of whole numbers from 0, or None."
        )


def _plain_json(name: str, given: Any) -> dict[str, Any]:
    """A deep copy of `given` as JSON holds it; UserError when it cannot."""
    try:
        copied = json.loads(utf8(json.dumps(given, allow_nan=False, ensure_ascii=False)))
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"Expected {name} to hold plain JSON values, got others: {error}; convert them."
        ) from error
    if not isinstance(copied, dict):
        raise UserError(f"Expected {name} to be a dictionary, got {type(given).__name__}; pass one.")
    return copied


def _content_hash(trace: Trace) -> str:
    """sha256 of everything but provenance["time"], every NaN counted the same."""
    told = {key: value for key, value in trace.provenance.items() if key != "time"}
    header = {
        "schema": trace.schema,
        "kind": trace.kind,
        "unit": trace.unit,
        "gap": trace.gap,
        "text": trace.text,
        "rows": [[row.layer, row.head] for row in trace.rows],
        "context": trace.context,
        "provenance": told,
    }
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for array in (trace.tokens, trace.spans, trace.values, *(getattr(trace, name) for name in SIGNALS)):
        if array.dtype == np.float32:
            array = np.where(np.isnan(array), np.float32(np.nan), array)
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
