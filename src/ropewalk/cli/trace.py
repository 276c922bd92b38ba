"""ropewalk trace: files of any size as a folder of traces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ropewalk.cli.options import ModelOption, Quiet, StartTokens
from ropewalk.cli.printing import echo


def trace(
    files: Annotated[
        list[str], typer.Argument(help="Text files, folders or patterns, such as 'letters/*.txt'.")
    ],
    out: Annotated[Path, typer.Option(help="The folder of the traces; an interrupted run continues there.")],
    model: ModelOption = "per-layer",
    start: StartTokens = "auto",
    text_key: Annotated[
        str | None,
        typer.Option(help="The key or column that holds the text (default: 'text', or the obvious one)."),
    ] = None,
    precision: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(help="bfloat16 is faster; its increments differ by about 1 in 1,000."),
    ] = "float32",
    quiet: Quiet = False,
) -> None:
    """Trace whole files into a folder of parquet shards, one record per text, for pandas, polars or DuckDB.

    Texts of more than 16,384 characters are cut at the end of a line. The same command continues an interrupted run;
    ropewalk.traces.archive.read reads the traces.

    Examples:

      ropewalk trace corpus.jsonl.zst --out traces

      ropewalk trace 'letters/*.txt' notes.ipynb --out traces --model shared --precision bfloat16
    """
    import time

    from ropewalk.corpus.files import TextFiles
    from ropewalk.loading import load
    from ropewalk.measure.archive import require_disk_space, trace_shards
    from ropewalk.system.progress import ProgressMeter
    from ropewalk.tokens.tokenizer import read_start
    from ropewalk.traces.archive import shards

    texts = TextFiles(files, text_key)
    host = load(model) if precision == "float32" else load(model, dtype=precision)
    total = texts.size()
    require_disk_space(out, total, len(host.rows))
    made, began = 0, time.monotonic()
    with ProgressMeter(total, "bytes", not quiet, task="tracing") as meter:
        for shard, done in trace_shards(host, shards(texts.texts()), out, start=read_start(start)):
            made += 0 if done else shard.bytes
            meter.advance(shard.bytes)
    if not quiet:
        speed = made / max(time.monotonic() - began, 1e-9)
        echo(f"wrote {out}: {total:,} bytes of text, {made:,} of them now, {speed:,.0f} a second", err=True)
