"""A Trace as a table: one record per row and token, the same columns in CSV, DataFrame and page.

Columns: row, layer, head, index (of the token in the text), token (its id), start and end (its bytes), text (what
the token itself writes; bytes that are only part of a character as <E5>), character (the whole cell it belongs to),
the trace's kind, position (increments only), standard_error (where the trace has any), surprisal, entropy and
entropy_after in nats.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.traces.checks import SIGNALS

if TYPE_CHECKING:
    from ropewalk.traces.trace import Trace

BYTE_ORDER_MARK = "\ufeff"
_FORMULA = re.compile(r"^[=+\-@\t\r]")


def columns(kind: str, errors: bool = False) -> list[str]:
    """The names of the columns for a trace of this kind, with or without standard errors."""
    names = ["row", "layer", "head", "index", "token", "start", "end", "text", "character", kind]
    more = [*(["position"] if kind == "increment" else []), *(["standard_error"] if errors else [])]
    return [*names, *more, *SIGNALS]


def records(trace: Trace) -> Iterator[dict[str, Any]]:
    """One flat record per row and token; an undefined number is None."""
    data = trace.text.encode()
    positions = trace.positions if trace.kind == "increment" else None
    characters = [""] * len(trace.tokens)
    for cell in trace.cells():
        characters[cell.start : cell.end] = [cell.text] * (cell.end - cell.start)
    texts = [token_text(data[start:end]) for start, end in trace.spans.tolist()]
    signals = {name: [_number(x) for x in getattr(trace, name)] for name in SIGNALS}
    for number, row in enumerate(trace.rows):
        for token, (start, end) in enumerate(trace.spans.tolist()):
            record: dict[str, Any] = {
                "row": str(row),
                "layer": row.layer,
                "head": row.head,
                "index": token,
                "token": int(trace.tokens[token]),
                "start": start,
                "end": end,
                "text": texts[token],
                "character": characters[token],
                trace.kind: _number(trace.values[number, token]),
            }
            if positions is not None:
                record["position"] = float(positions[number, token])
            if trace.error is not None:
                record["standard_error"] = _number(trace.error[number, token])
            yield record | {name: signal[token] for name, signal in signals.items()}


def _number(value: np.floating[Any]) -> float | None:
    return None if np.isnan(value) else float(value)


def token_text(data: bytes) -> str:
    """What a token writes; each byte that is only part of a character as its number, <E5>."""
    text = data.decode("utf-8", errors="surrogateescape")
    return "".join(f"<{ord(c) - 0xDC00:02X}>" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text)


def csv_bytes(trace: Trace) -> bytes:
    """The table as comma-separated UTF-8 with a byte-order mark, which spreadsheets need to recognize it.

    An undefined number is an empty field. A text that a spreadsheet would run as a formula gets a ' before it.
    """
    out = io.StringIO(newline="")
    table = csv.DictWriter(out, fieldnames=columns(trace.kind, trace.error is not None), lineterminator="\n")
    table.writeheader()
    for record in records(trace):
        for name in ("text", "character"):
            record[name] = _FORMULA.sub(lambda match: "'" + match.group(), record[name])
        table.writerow(record)
    return (BYTE_ORDER_MARK + out.getvalue()).encode()
