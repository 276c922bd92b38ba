"""The archive format: the traces of many texts as a folder of parquet shards.

Parquet, because pandas, polars and DuckDB read it directly. One record per text: `number` (int64, from 0), `text`,
`windows` (how many it was read in), `hash` (of the trace), the lists `token` (int64), `start` and `end` (int64,
half-open byte span), one list of float32 per row, named like the row ("L0", "L2.h3", "all"), and the lists
`surprisal`, `entropy` and `entropy_after` in nats (NaN where undefined). The file's metadata holds, under "ropewalk",
what all its traces share, and the sha256 of its texts. Pages carry checksums and every trace its hash, so that a
damaged shard raises a UserError. `ropewalk.measure.archive` writes archives.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.tokens.utf8_bytes import utf8
from ropewalk.traces.trace import SIGNALS, Trace

SCHEMA = 2
SHARD_BYTES = 1 << 16
"""Bytes of text in a shard: what is lost when a run is killed, and what is held in memory."""
MAX_CHARACTERS = 1 << 14
"""Characters of a text; a longer one is cut, after a line end where there is one."""


@dataclass(frozen=True)
class Shard:
    """Texts number first, first + 1, ... of the stream."""

    number: int
    first: int
    texts: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.number:06d}.parquet"

    @property
    def bytes(self) -> int:
        return sum(len(utf8(text)) for text in self.texts)

    @property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for text in self.texts:
            digest.update(hashlib.sha256(utf8(text)).digest())
        return digest.hexdigest()


def shards(
    documents: Iterable[str], size: int = SHARD_BYTES, longest: int = MAX_CHARACTERS
) -> Iterator[Shard]:
    """Texts in order, cut to `longest` characters, in shards that end where they reach `size` bytes."""
    number, first, held, filled = 0, 0, list[str](), 0
    for document in documents:
        for text in _cut(document, longest):
            held.append(text)
            filled += len(utf8(text))
            if filled >= size:
                yield Shard(number, first, tuple(held))
                number, first, held, filled = number + 1, first + len(held), [], 0
    if held:
        yield Shard(number, first, tuple(held))


def read(folder: str | Path) -> Iterator[Trace]:
    """The traces of an archive, one after another. UserError for a folder without any, or with a damaged shard."""
    pq, paths = parquet(), sorted(Path(folder).glob("[0-9]*.parquet"))
    if not paths:
        raise UserError(f"{folder} holds no traces; name a folder that ropewalk trace has written.")
    for path in paths:
        metadata = read_metadata(path)
        try:
            rows = tuple(Row(layer, head) for layer, head in metadata["rows"])
            shared = {key: metadata[key] for key in ("kind", "unit", "gap", "provenance")}
            for batch in pq.ParquetFile(path, page_checksum_verification=True).iter_batches(batch_size=16):
                for record in batch.to_pylist():
                    trace = _trace(record, rows, metadata["context"], shared)
                    if trace.hash != record["hash"]:
                        raise ValueError(f"text {record['number']} does not match its hash")
                    yield trace
        except (KeyError, TypeError, ValueError, OSError, UserError) as error:
            raise _damaged(path, str(error).partition("\n")[0]) from error


def verify(path: str | Path) -> None:
    """UserError for a shard with a damaged page."""
    try:
        for _ in parquet().ParquetFile(path, page_checksum_verification=True).iter_batches(batch_size=64):
            pass
    except (ValueError, OSError) as error:
        raise _damaged(path, str(error).partition("\n")[0]) from error


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What all traces of a shard share, and the sha256 of its texts."""
    import pyarrow as pa

    try:
        return dict(json.loads(parquet().read_schema(path).metadata[b"ropewalk"]))
    except (KeyError, TypeError, ValueError, OSError, RecursionError, pa.ArrowException) as error:
        raise _damaged(path, "or not a shard of traces") from error


def pack(traces: list[Trace], shard: Shard, metadata: dict[str, Any]) -> bytes:
    """The bytes of a shard's file."""
    import pyarrow as pa

    columns: dict[str, Any] = {
        "number": pa.array(range(shard.first, shard.first + len(traces)), pa.int64()),
        "text": pa.array([t.text for t in traces], pa.large_string()),
        "windows": pa.array([t.context["windows"] for t in traces], pa.int64()),
        "hash": pa.array([t.hash for t in traces], pa.string()),
        "token": _lists([t.tokens for t in traces]),
        "start": _lists([t.spans[:, 0] for t in traces]),
        "end": _lists([t.spans[:, 1] for t in traces]),
    }
    for i, row in enumerate(traces[0].rows):
        columns[str(row)] = _lists([t.values[i] for t in traces])
    for name in SIGNALS:
        columns[name] = _lists([getattr(t, name) for t in traces])
    table = pa.table(columns).replace_schema_metadata({"ropewalk": json.dumps(metadata)})
    out = io.BytesIO()
    parquet().write_table(table, out, compression="zstd", row_group_size=64, write_page_checksum=True)
    return out.getvalue()


def parquet() -> Any:
    """The module pyarrow.parquet. UserError where it is not installed."""
    try:
        from pyarrow import parquet as module
    except ImportError as error:
        raise UserError(
            "an archive needs pyarrow, which is not installed; run: pip install 'ropewalk[data]'"
        ) from error
    return module


def _cut(text: str, longest: int) -> Iterator[str]:
    while len(text) > longest:
        end = text.rfind("\n", 1, longest) + 1 or longest
        yield text[:end]
        text = text[end:]
    if text:
        yield text


def _lists(arrays: list[np.ndarray]) -> Any:
    import pyarrow as pa

    offsets = np.concatenate([[0], np.cumsum([len(array) for array in arrays])])
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(np.concatenate(arrays)))


def _trace(
    record: dict[str, Any], rows: tuple[Row, ...], context: dict[str, Any], shared: dict[str, Any]
) -> Trace:
    return Trace(
        text=record["text"],
        tokens=np.array(record["token"], np.int64),
        spans=np.stack([record["start"], record["end"]], 1),
        rows=rows,
        values=np.array([record[str(row)] for row in rows], np.float32),
        context={**context, "windows": record["windows"]},
        surprisal=np.array(record["surprisal"], np.float32),
        entropy=np.array(record["entropy"], np.float32),
        entropy_after=np.array(record["entropy_after"], np.float32),
        **shared,
    )


def _damaged(path: str | Path, what: str) -> UserError:
    return UserError(f"{path} is damaged ({what}); delete it and trace the texts again.")
