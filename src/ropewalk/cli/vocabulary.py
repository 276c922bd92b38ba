"""ropewalk vocabulary: increments by token."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ropewalk.cli.options import GraftFolder, ModelArgument, writable
from ropewalk.cli.printing import echo

if TYPE_CHECKING:
    from ropewalk.analyses.vocabulary import Vocabulary
    from ropewalk.core.rows import Row

WINDOW = 512
DRAWS = 19
"""Random networks: the chance that a value of the same kind exceeds all of them is 1 in 20."""


def vocabulary(
    model: ModelArgument,
    graft: GraftFolder = None,
    file: Annotated[
        list[str] | None, typer.Option(help="Average over this text: a file or a pattern; may be repeated.")
    ] = None,
    trained_on: Annotated[
        list[str] | None,
        typer.Option(
            help="Text from the training corpus: tokens that do not occur in it are left out; may be repeated."
        ),
    ] = None,
    extremes: Annotated[
        int,
        typer.Option(
            min=1, help="How many tokens with the largest and with the smallest increments to list."
        ),
    ] = 8,
    json: Annotated[Path | None, typer.Option(help="Write the tables as JSON.")] = None,
) -> None:
    """Report increments by category of token, and the tokens with the largest and smallest increments.

    Shared increments are read for every token by itself; others are averaged over --file. Untrained increment networks on the same input
    show how much of a pattern any network would have.

    Examples:

      ropewalk vocabulary shared

      ropewalk vocabulary ./my-llama --graft runs/graft-my-llama/grafted/model --file letter.txt
    """
    import json as json_library
    import shlex
    import sys

    from ropewalk.analyses import vocabulary as report
    from ropewalk.cli.results import print_result
    from ropewalk.system.files import write_atomically

    writable(json, "json")
    table, random = _tables(model, graft, file, trained_on)
    results = [
        report.by_category(table),
        report.pattern(table, random),
        report.extreme_tokens(table, extremes),
    ]
    for result in results:
        print_result(result)
    if json is not None:
        command = shlex.join(["ropewalk", *sys.argv[1:]])
        tables = [result.by_command(command).to_json() for result in results]
        write_atomically(json, json_library.dumps(tables, indent=1, ensure_ascii=False).encode())
        echo(f"wrote {json}", err=True)


def _tables(
    model: str, graft: Path | None, file: list[str] | None, trained_on: list[str] | None
) -> tuple[Vocabulary, Vocabulary]:
    """The increments of every token of a model's vocabulary, and those of random networks on the same input."""
    import numpy as np

    from ropewalk.analyses.vocabulary import Vocabulary
    from ropewalk.core.rows import Row
    from ropewalk.corpus.files import read_files
    from ropewalk.errors import UserError
    from ropewalk.loading import kind_of, load
    from ropewalk.measure import vocabulary as measured
    from ropewalk.measure.random_networks import RandomNetworks

    if graft is None and kind_of(model) == "huggingface" and Path(model).exists():
        raise UserError(f"{model} has no learned increments; give --graft FOLDER, or use `ropewalk probe`.")
    host: Any = load(model) if graft is None else load(graft, base=model)
    size = host.tokenizer.vocab_size
    config = getattr(host.config, "increments", host.config)
    if config.parametrization == "integer":
        raise UserError(f"{model} has no learned increments; give --graft FOLDER, or use `ropewalk probe`.")
    if not file:
        increments, counts = measured.every_token(host, size), np.ones(size, np.int64)
        drawn, rows = measured.random_every_token(host, size, DRAWS), tuple(Row(0, i) for i in range(DRAWS))
    else:
        random: Any = RandomNetworks(host, DRAWS)
        skip = max(1, len(_prefix(host)))
        increments, counts = measured.in_context(host, _windows(host, file), size, skip=skip)
        drawn, rows = measured.in_context(random, _windows(host, file), size, skip=skip)[0], random.rows
    seen = None
    if trained_on:
        seen = np.bincount(host.tokenizer.encode(read_files(trained_on)).ids, minlength=size)[:size]
    pieces, ids = tuple(host.tokenizer.pieces(list(range(size)))), np.arange(size)
    return (
        Vocabulary(ids, pieces, host.rows, increments, counts, host.gap, seen),
        Vocabulary(ids, pieces, _by_layer(rows, host), drawn, counts, host.gap, seen),
    )


def _by_layer(rows: tuple[Row, ...], host: Any) -> tuple[Row, ...]:
    """Rows of random networks, which count the modules of the host, with the layers that these belong to."""
    from ropewalk.core.rows import Row

    layers = list(dict.fromkeys(row.layer for row in host.rows))
    return tuple(Row(layers[row.layer or 0], row.head) for row in rows)


def _windows(host: Any, files: list[str]) -> Any:
    import torch

    from ropewalk.corpus.files import read_files

    ids, prefix = torch.from_numpy(host.tokenizer.encode(read_files(files)).ids), torch.tensor(_prefix(host))
    length = min(host.context_length, WINDOW) - len(prefix)
    return (torch.cat([prefix.long(), part])[None] for part in ids.split(length) if len(part) > 1)


def _prefix(host: Any) -> tuple[int, ...]:
    """The tokens that the model expects before each window."""
    return tuple(host.tokenizer.prefix("auto")) if host.tokenizer.repeats_prefix else ()
