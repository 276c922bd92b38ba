"""The file format of a Trace: JSON (`.json`, or `.json.gz`), schema 2.

One object with the keys kind, unit, gap, text, tokens, spans, rows, surprisal, entropy, entropy_after, context,
provenance and hash; every row has its layer, its head and its numbers under "increments" (kind increment) or
"values" (any other kind), and its standard errors under "errors" where it has any. An undefined number is null. Numbers are the shortest decimals that read back as the same
float32. The last key, checksum, is the sha256 of the bytes before it, so that any change of the file is detected.
`Trace.save`, `load`, `dumps` and `loads` use this module.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.system.files import read_whole, write_atomically
from ropewalk.traces.checks import SIGNALS

if TYPE_CHECKING:
    from ropewalk.traces.trace import Trace

_SEAL = re.compile(rb'\n,"checksum":"([0-9a-f]{64})"}\n\Z')
_KEYS = ("kind", "unit", "gap", "text", "tokens", "spans", "rows", *SIGNALS, "context", "provenance", "hash")


def write(path: str | Path, data: bytes) -> None:
    """Write a file's bytes atomically; gzip when the name ends in .gz. UserError for another suffix."""
    path = Path(path)
    if _suffix(path) == ".json.gz":
        data = gzip.compress(data, mtime=0)
    write_atomically(path, data)


def read(path: str | Path) -> bytes:
    """The bytes of a file, unpacked. UserError for a missing, unreadable or truncated one."""
    path = Path(path)
    packed = _suffix(path) == ".json.gz"
    try:
        return read_whole(path, times=16, packed=packed)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, "it does not unpack") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot read the trace {path}: {reason}; give the path of a saved trace.") from error


def dumps(trace: Trace) -> bytes:
    """The file's bytes, one key per text line."""
    values_key = "increments" if trace.kind == "increment" else "values"
    content: dict[str, Any] = {name: getattr(trace, name) for name in ("kind", "unit", "gap", "text")}
    content["tokens"] = trace.tokens.tolist()
    content["spans"] = trace.spans.tolist()
    content["rows"] = [
        {"layer": row.layer, "head": row.head, values_key: _numbers(values)}
        for row, values in zip(trace.rows, trace.values, strict=True)
    ]
    if trace.error is not None:
        for row, errors in zip(content["rows"], trace.error, strict=True):
            row["errors"] = _numbers(errors)
    content |= {name: _numbers(getattr(trace, name)) for name in SIGNALS}
    content |= {name: getattr(trace, name) for name in ("context", "provenance", "hash")}
    parts = [f'{{"schema":{trace.schema}']
    for key, value in content.items():
        parts.append(
            f',"{key}":' + json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        )
    body = "\n".join(parts).encode()
    return body + f'\n,"checksum":"{hashlib.sha256(body).hexdigest()}"}}\n'.encode()


def build(data: bytes, name: str | Path, kind_of_trace: type[Trace]) -> Trace:
    """The trace that `dumps` wrote; `name` is used in the errors. UserError for anything else."""
    seal = _SEAL.search(data[-200:])
    if seal is None:
        raise _damaged(name, "its end is missing, or it is no trace")
    body = data[: len(data) - len(seal.group())]
    if hashlib.sha256(body).hexdigest().encode() != seal.group(1):
        raise _damaged(name, "its bytes do not match its checksum")
    try:
        content = json.loads(data, parse_constant=_refuse)
        schema = content["schema"]
        if schema != kind_of_trace.schema or type(schema) is not int:
            raise UserError(
                f"expected a trace of schema {kind_of_trace.schema} in {name}, got {schema!r}; "
                "read it with the ropewalk version that wrote it."
            )
        trace = kind_of_trace(**_parts(content))
    except UserError as error:
        raise UserError(f"cannot read the trace {name}: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _damaged(name, f"{type(error).__name__}: {error}") from error
    if trace.hash != content["hash"]:
        raise _damaged(name, "its content does not match its hash")
    return trace


def _parts(content: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a Trace, from the file's content."""
    if set(content) != {"schema", *_KEYS, "checksum"}:
        odd = sorted(set(content) ^ {"schema", *_KEYS, "checksum"})
        raise ValueError(f"missing or unknown keys {', '.join(odd)}")
    values_key = "increments" if content["kind"] == "increment" else "values"
    rows = content["rows"]
    parts = {key: content[key] for key in _KEYS if key not in ("rows", "hash", *SIGNALS)}
    return parts | {
        "rows": tuple(Row(row["layer"], row["head"]) for row in rows),
        "values": np.array([_floats(row[values_key]) for row in rows]),
        "error": np.array([_floats(row["errors"]) for row in rows]) if rows and "errors" in rows[0] else None,
        **{name: _floats(content[name]) for name in SIGNALS},
    }


def _floats(numbers: list[float | None]) -> np.ndarray:
    if not all(number is None or type(number) in (int, float) for number in numbers):
        raise TypeError("expected numbers or null")
    return np.array([np.nan if number is None else number for number in numbers], dtype=np.float64)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} where a number or null belongs")


def _numbers(row: np.ndarray) -> list[float | None]:
    """The shortest decimals that read back as the same float32; NaN becomes None."""
    short = [float(str(value)) for value in row]
    exact = [s if np.float32(s) == v else float(v) for s, v in zip(short, row, strict=True)]
    return [None if np.isnan(value) else value for value in exact]


def _suffix(path: Path) -> str:
    for suffix in (".json", ".json.gz"):
        if path.name.endswith(suffix):
            return suffix
    raise UserError(
        f"expected a trace file ending in .json or .json.gz, got {path.name}; rename it, or make one of a text: "
        "ropewalk show TEXT --json FILE.json"
    )


def _damaged(name: str | Path, what: str) -> UserError:
    return UserError(f"cannot read {name} as a trace: {what}; copy the file again or trace the text again.")
