"""Tracing many texts into an archive: resumable, and a shard is written whole or not at all.

A shard that is already there is not traced again, so a stopped run continues with the same call and ends in the same
files. Memory holds one shard. The format is described in `ropewalk.traces.archive`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ropewalk.core.host import Host
from ropewalk.errors import UserError
from ropewalk.measure.capture import trace_many
from ropewalk.system.files import write_atomically
from ropewalk.tokens.tokenizer import Start
from ropewalk.traces import archive
from ropewalk.traces.archive import Shard
from ropewalk.traces.builder import window_length
from ropewalk.traces.trace import SIGNALS


def trace_shards(
    host: Host, shards: Iterable[Shard], folder: str | Path, *, start: Start = "auto"
) -> Iterator[tuple[Shard, bool]]:
    """Trace shards into `folder`; yield each once it is there, and whether it had been there before.

    UserError when the folder holds a damaged shard, or one of another model, text or setting, and where pyarrow is
    not installed.
    """
    folder, shared = Path(folder), _shared_metadata(host, start)
    archive.parquet()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror}; name a writable folder.") from error
    for shard in shards:
        path, metadata = folder / shard.name, {**shared, "texts": shard.sha256}
        done = path.exists()
        if done:
            found = archive.read_metadata(path)
            if different := sorted(key for key in metadata if metadata[key] != found.get(key)):
                raise UserError(
                    f"{path} holds another model, text or setting ({', '.join(different)} differ); "
                    "name another folder, or delete this one."
                )
            archive.verify(path)
        else:
            write_atomically(path, archive.pack(trace_many(host, shard.texts, start=start), shard, metadata))
        yield shard, done


def require_disk_space(folder: str | Path, total: int, rows: int) -> None:
    """UserError when the disk of `folder` lacks space for the traces of `total` bytes of text."""
    folder = Path(folder)
    need = total * 4 * (rows + len(SIGNALS) + 1)  # float32 barely compresses; the rest compresses well
    at = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(at).free
    if free < need:
        raise UserError(
            f"the traces need about {need / 1e6:,.0f} MB and {at} has {free / 1e6:,.0f} MB free; "
            "free some space or name a folder on another disk."
        )


def _shared_metadata(host: Host, start: Start) -> dict[str, Any]:
    metadata = {
        "schema": archive.SCHEMA,
        "kind": "increment",
        "unit": "token-equivalents",
        "gap": host.gap,
        "rows": [[row.layer, row.head] for row in host.rows],
        "context": {
            "start": start,
            "prefix": list(host.tokenizer.prefix(start)) if host.tokenizer is not None else [],
            "window": window_length(host),
            "overlap": window_length(host) // 2,
        },
        "provenance": host.describe(),
    }
    return dict(json.loads(json.dumps(metadata)))
