"""ropewalk trace: files of any size as a folder of traces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def trace(
    files: Annotated[
        list[Path], typer.Argument(help="Text files: .txt, .jsonl, .parquet, compressed or not.")
    ],
    out: Annotated[Path, typer.Option(help="The folder of the traces; a stopped run goes on there.")],
    model: Annotated[str, typer.Option(help="A bundled model, or a model folder.")] = "per-layer",
    start: Annotated[
        str, typer.Option(help="'document' puts the end-of-document symbol before a text, 'text' does not.")
    ] = "document",
    text_key: Annotated[str, typer.Option(help="Where .jsonl and .parquet files keep the text.")] = "text",
    precision: Annotated[
        str, typer.Option(help="'float32', or 'bfloat16', whose increments differ by about 1 in 1,000.")
    ] = "float32",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Trace whole files into a folder of parquet shards, one row per text, for pandas, polars or DuckDB.

    Texts of more than 16,384 characters are cut, at the end of a line where there is one. A run that was stopped goes on with
    the same command; the traces are read back with ropewalk.traces.archive.read.

    Examples:

      ropewalk trace corpus.jsonl.zst --out traces

      ropewalk trace letters/*.txt --out traces --model shared --precision bfloat16
    """
    from ropewalk.cli.options import one_of

    one_of("--start", start, ("document", "text"))
    one_of("--precision", precision, ("float32", "bfloat16"))

    import time
    from collections.abc import Iterator

    import torch

    from ropewalk.corpus import formats
    from ropewalk.errors import UserError
    from ropewalk.native.checkpoint import load_decoder
    from ropewalk.system.progress import ProgressMeter
    from ropewalk.measure.archive import require_disk_space, trace_shards
    from ropewalk.traces import archive

    for file in files:
        if not file.is_file() or not formats.readable(file):
            raise UserError(f"{file} is no file that can be read; give {formats.ACCEPTED}.")

    def documents() -> Iterator[str]:
        for file in files:
            for document in formats.documents(file, text_key, lambda count: None):
                yield document.text

    host = load_decoder(model)
    host.compute_dtype = getattr(torch, precision)
    total = sum(len(text.encode("utf-8", "surrogatepass")) for text in documents())
    if not total:
        raise UserError("the files hold no text: expected at least one character; give other files.")
    require_disk_space(out, total, len(host.rows))
    made, began = 0, time.monotonic()
    with ProgressMeter(total, "bytes", not quiet, task="tracing") as meter:
        for shard, done in trace_shards(host, archive.shards(documents()), out, start=start):  # type: ignore[arg-type]
            made += 0 if done else shard.bytes
            meter.advance(shard.bytes)
    if not quiet:
        seconds = max(time.monotonic() - began, 1e-9)
        typer.echo(
            f"wrote {out}: {total:,} bytes of text, {made:,} of them now, {made / seconds:,.0f} a second",
            err=True,
        )
