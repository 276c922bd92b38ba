"""The Trace: one real number per token and row, with everything needed to read it later.

A row is a layer, a head of a layer, or one row shared by all layers. The number is an increment, a position, a
sensitivity or a forget gate; increments and positions can be converted into each other. A Trace is immutable:
its arrays are read-only, and its hash says whether two are the same. `provenance` says which model it came from.

Gap convention: with gap "before" the increment at token t is the distance between tokens t-1 and t; with gap
"after" it is the distance between t and t+1.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.system.files import write_atomically
from ropewalk.traces import checks, file, table
from ropewalk.traces.cells import Cell, cells
from ropewalk.traces.checks import KINDS, SIGNALS

__all__ = ["KINDS", "SIGNALS", "Cell", "Row", "Trace"]


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """T tokens of `text` and N rows with one number each. UserError when the parts do not fit together.

    Shapes: tokens (T,) int64; spans (T, 2) int64, half-open byte offsets, empty for a token without text;
    values (N, T) float32, finite (NaN where a sensitivity was not measured); error (N, T) their standard errors, None
    where they have none; surprisal, entropy and entropy_after (T,) float32 nats, NaN where undefined
    (left out: NaN everywhere). `unit` names the unit of the values, such as "token-equivalents". `context` says how
    the text was read (start tokens, windows, overlap); `provenance` says which model and settings; both hold plain JSON
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
    error: np.ndarray | None = None
    hash: str = field(init=False)

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:  # the only writer of a frozen value
            object.__setattr__(self, name, value)

        size = checks.check_text(self.text)
        put("tokens", checks.frozen_array("tokens", self.tokens, np.int64, (None,)))
        checks.check_tokens(self.tokens)
        count = len(self.tokens)
        put("spans", checks.frozen_array("spans", self.spans, np.int64, (count, 2)))
        checks.check_spans(self.spans, size)
        put("rows", tuple(self.rows))
        put("values", checks.frozen_array("values", self.values, np.float32, (len(self.rows), count)))
        unmeasured = np.isnan(self.values) & (self.kind == "sensitivity")
        checks.check_finite(np.where(unmeasured, 0, self.values), self.rows)
        if self.error is not None:
            put("error", checks.frozen_array("error", self.error, np.float32, self.values.shape))
        for name in SIGNALS:
            given = getattr(self, name)
            signal = np.full(count, np.nan) if np.size(given) == 0 else given
            put(name, checks.frozen_array(name, signal, np.float32, (count,)))
            checks.check_signal(name, getattr(self, name))
        checks.check_names(self.kind, self.unit, self.gap)
        checks.check_rows(self.rows)
        for name in ("context", "provenance"):
            put(name, checks.plain_json(name, getattr(self, name)))
        put("hash", _content_hash(self))

    def __repr__(self) -> str:
        start = self.text if len(self.text) <= 24 else self.text[:23] + "…"
        gap = f", gap {self.gap}" if self.gap else ""
        rows, tokens = (f"{n} {what}{'' if n == 1 else 's'}" for n, what in
                        ((len(self.rows), "row"), (len(self.tokens), "token")))  # fmt: skip
        return f"Trace({self.kind}, {rows} x {tokens}, {self.unit}{gap}, {start!r}, hash {self.hash[:12]})"

    # A trace shows itself by the views, which import traces; so these three import them when they are called.

    def __rich__(self) -> Any:
        from ropewalk.views import terminal

        return terminal.render(self)

    def _repr_html_(self) -> str:
        from ropewalk.views import notebook

        return notebook.fragment(self)

    def _repr_png_(self) -> bytes | None:
        from ropewalk.views import notebook

        return notebook.png(self)

    def require(self, *kinds: str) -> None:
        """UserError for every kind but `kinds`; it names the accepted ones and the one given."""
        if self.kind not in kinds:
            raise UserError(
                f"expected a trace of {' or '.join(kinds)}, got one of {self.kind}; trace the text again "
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
        """The smallest runs of whole tokens that are whole graphemes, in order; see `ropewalk.traces.cells`."""
        return cells(self.text, self.spans)

    def verify(self) -> None:
        """UserError when the content no longer has the hash it was created with."""
        if _content_hash(self) != self.hash:
            raise UserError(
                f"expected the content of hash {self.hash[:12]}, got {_content_hash(self)[:12]}: the trace "
                "was changed after it was created; trace the text or load the file again."
            )

    def records(self) -> Iterator[dict[str, Any]]:
        """One flat record per row and token, for tables; columns as in `ropewalk.traces.table`."""
        return table.records(self)

    def to_dataframe(self) -> Any:
        """The records as a pandas DataFrame. UserError when pandas is not installed."""
        try:
            import pandas
        except ImportError as error:
            raise UserError(
                "A table needs pandas, which is not installed; run: pip install 'ropewalk[data]'"
            ) from error
        return pandas.DataFrame(list(self.records()))

    def to_csv(self, path: str | Path) -> None:
        """The records as comma-separated text that spreadsheets open; see `ropewalk.traces.table.csv_bytes`."""
        write_atomically(path, table.csv_bytes(self))

    def save(self, path: str | Path) -> None:
        """Write the trace to a `.json` or `.json.gz` file, whole or not at all; see `ropewalk.traces.file`."""
        file.write(path, self.dumps())

    def dumps(self) -> bytes:
        """The bytes of the trace's file."""
        return file.dumps(self)

    @staticmethod
    def load(path: str | Path) -> "Trace":
        """Read and verify a saved trace; UserError for a missing, truncated, changed or foreign file."""
        return Trace.loads(file.read(path), path)

    @staticmethod
    def loads(data: bytes, name: str | Path = "this file") -> "Trace":
        """The trace that `dumps` wrote; `name` is used in the errors."""
        return file.build(data, name, Trace)


def _content_hash(trace: Trace) -> str:
    """sha256 of everything but provenance["time"]; all NaNs count as the same."""
    header = {
        "schema": trace.schema,
        "kind": trace.kind,
        "unit": trace.unit,
        "gap": trace.gap,
        "text": trace.text,
        "rows": [[row.layer, row.head] for row in trace.rows],
        "context": trace.context,
        "provenance": {key: value for key, value in trace.provenance.items() if key != "time"},
    }
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    errors = () if trace.error is None else (trace.error,)
    for array in (
        trace.tokens,
        trace.spans,
        trace.values,
        *errors,
        *(getattr(trace, name) for name in SIGNALS),
    ):
        if array.dtype == np.float32:
            array = np.where(np.isnan(array), np.float32(np.nan), array)
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
