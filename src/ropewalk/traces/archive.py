"""An archive: the traces of many texts in a folder of parquet shards, made as a stream and resumable.

Parquet, because pandas, polars and DuckDB read it as it is. One row per text: `number` (int64, from 0), `text`, `windows` (how many it was read in), the
lists `token` (int64), `start` and `end` (int64, half-open byte span), one list of float32 per line, named like the
line ("L0", "L2.h3", "all"), and the lists `surprisal`, `entropy` and `entropy_after` in nats (NaN where undefined). The
file's metadata holds, under "ropewalk", what all its traces share, and the sha256 of its texts. A shard is
written whole or not at all; one that is there is not made again, so a stopped run goes on where it was, and ends
in the same files. Knows hosts and texts, not where they come from.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ropewalk.core.host import Host
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.measure.capture import trace_many
from ropewalk.system.files import write_atomically
from ropewalk.tokens.utf8_bytes import utf8
from ropewalk.traces.builder import Start
from ropewalk.traces.trace import SIGNALS, Trace

SCHEMA = 1
SHARD = 1 << 16
"""Bytes of text in a shard: what is lost when a run is killed, and what is held in memory."""
LONGEST = 1 << 14
"""Characters of a text; a longer one is cut, at the end of a line where there is one."""


@dataclass(frozen=True)
class Shard:
    """Texts number first, first + 1 ... of the stream."""

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


def shards(documents: Iterable[str], size: int = SHARD, longest: int = LONGEST) -> Iterator[Shard]:
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


def write(
    host: Host, parts: Iterable[Shard], folder: Path, *, start: Start = "document"
) -> Iterator[tuple[Shard, bool]]:
    """Traces shards into `folder`; yields each once it is there, and whether it had been before.

    UserError when the folder holds a shard of another model, other settings or other texts, or when pyarrow is not
    installed. Memory holds one shard, however many there are.
    """
    pq, told = _parquet(), _told(host, start)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror}; name a writable folder.") from error
    for shard in parts:
        path, about = folder / shard.name, {**told, "texts": shard.sha256}
        done = path.exists()
        if done:
            found = _about(pq, path)
            if odd := sorted(key for key in about if about[key] != found.get(key)):
                raise UserError(
                    f"{path} was made of another model, text or setting ({', '.join(odd)} differ); "
                    "name another folder, or delete this one."
                )
        else:
            write_atomically(path, _packed(trace_many(host, shard.texts, start=start), shard, about))
        yield shard, done


def read(folder: Path) -> Iterator[Trace]:
    """The traces of an archive, one after another. UserError for a folder without any, or with a damaged shard."""
    pq, paths = _parquet(), sorted(folder.glob("[0-9]*.parquet"))
    if not paths:
        raise UserError(f"{folder} holds no traces; name a folder that ropewalk trace has written.")
    for path in paths:
        about = _about(pq, path)
        try:
            rows = tuple(Row(layer, head) for layer, head in about["lines"])
            shared = {key: about[key] for key in ("kind", "unit", "gap", "provenance")}
            file = pq.ParquetFile(path)
            for batch in file.iter_batches(batch_size=16):
                yield from (_trace(row, rows, about, shared) for row in batch.to_pylist())
        except (KeyError, TypeError, ValueError, OSError) as error:
            reason = str(error).partition("\n")[0]
            raise UserError(f"{path} is damaged ({reason}); delete it and trace the texts again.") from error


def room(folder: Path, total: int, rows: int) -> None:
    """UserError when the disk of `folder` has not room for the traces of `total` bytes of text."""
    need = total * 4 * (rows + len(SIGNALS) + 1)  # float32 hardly packs; the rest packs well
    at = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(at).free
    if free < need:
        raise UserError(
            f"the traces need about {need / 1e6:,.0f} MB and {at} has {free / 1e6:,.0f} MB free; "
            "free some space or name a folder on another disk."
        )


def _cut(text: str, longest: int) -> Iterator[str]:
    while len(text) > longest:
        end = text.rfind("\n", 1, longest) + 1 or longest
        yield text[:end]
        text = text[end:]
    if text:
        yield text


def _told(host: Host, start: Start) -> dict[str, Any]:
    told = {
        "schema": SCHEMA,
        "kind": "increment",
        "unit": "token-equivalents",
        "gap": host.gap,
        "lines": [[row.layer, row.head] for row in host.rows],
        "context": {"start": start, "window": host.context_length, "overlap": host.context_length // 2},
        "provenance": host.describe(),
    }
    return dict(json.loads(json.dumps(told)))


def _packed(traces: list[Trace], shard: Shard, about: dict[str, Any]) -> bytes:
    import pyarrow as pa

    columns: dict[str, Any] = {
        "number": pa.array(range(shard.first, shard.first + len(traces)), pa.int64()),
        "text": pa.array([t.text for t in traces], pa.large_string()),
        "windows": pa.array([t.context["windows"] for t in traces], pa.int64()),
        "token": _lists([t.tokens for t in traces]),
        "start": _lists([t.spans[:, 0] for t in traces]),
        "end": _lists([t.spans[:, 1] for t in traces]),
    }
    for i, row in enumerate(traces[0].rows):
        columns[str(row)] = _lists([t.values[i] for t in traces])
    for name in SIGNALS:
        columns[name] = _lists([getattr(t, name) for t in traces])
    table = pa.table(columns).replace_schema_metadata({"ropewalk": json.dumps(about)})
    out = io.BytesIO()
    _parquet().write_table(table, out, compression="zstd", row_group_size=64)
    return out.getvalue()


def _lists(rows: list[np.ndarray]) -> Any:
    import pyarrow as pa

    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(np.concatenate(rows)))


def _trace(
    row: dict[str, Any], rows: tuple[Row, ...], about: dict[str, Any], shared: dict[str, Any]
) -> Trace:
    return Trace(
        text=row["text"],
        tokens=np.array(row["token"], np.int64),
        spans=np.stack([row["start"], row["end"]], 1),
        rows=rows,
        values=np.array([row[str(line)] for line in rows], np.float32),
        context={**about["context"], "windows": row["windows"]},
        surprisal=np.array(row["surprisal"], np.float32),
        entropy=np.array(row["entropy"], np.float32),
        entropy_after=np.array(row["entropy_after"], np.float32),
        **shared,
    )


def _about(pq: Any, path: Path) -> dict[str, Any]:
    """What a shard says of itself."""
    import pyarrow as pa

    try:
        return dict(json.loads(pq.read_schema(path).metadata[b"ropewalk"]))
    except (KeyError, TypeError, ValueError, OSError, RecursionError, pa.ArrowException) as error:
        raise UserError(
            f"{path} is damaged, or no shard of traces; delete it and trace the texts again."
        ) from error


def _parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            "An archive needs pyarrow, which is not installed; run: pip install 'ropewalk[data]'"
        ) from error
    return parquet
