"""ropewalk gallery: a page about a folder of traces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ropewalk.cli.printing import echo

if TYPE_CHECKING:
    from ropewalk.traces.trace import Trace


def gallery(
    traces: Annotated[Path, typer.Argument(help="A folder that ropewalk trace has written.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write, ending in .html.")] = Path(
        "gallery.html"
    ),
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="The traced model: adds untrained increment networks on the same model as a control.",
        ),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="A folder of the same texts traced with another seed or model; may be repeated."),
    ] = None,
) -> None:
    """Write a page of many texts: each row's widest gaps in context, mean gaps at words, punctuation and line ends, a search.

    Examples:

      ropewalk gallery traces --model per-layer

      ropewalk gallery traces --against traces-of-seed-2 --out gallery.html
    """
    from ropewalk.cli.options import writable
    from ropewalk.system.files import write_atomically
    from ropewalk.traces.archive import read
    from ropewalk.views import gallery as galleries

    writable(out, "html")
    _, kept = galleries.collect(read(traces))
    controls: dict[str, list[Trace]] = {}
    if model is not None:
        controls["random network"] = _random(model, kept)
    for folder in against or []:
        controls[folder.name] = [trace for trace, _ in zip(read(folder), kept, strict=False)]
    page = galleries.html(kept, controls).encode()
    write_atomically(out, page)
    echo(f"wrote {out} ({len(page) / 1000:.0f} kB)", err=True)


def _random(model: str, traces: list[Trace]) -> list[Trace]:
    """The same texts with one random network in place of each trained one."""
    from ropewalk.loading import load
    from ropewalk.measure.capture import trace_many
    from ropewalk.measure.random_networks import RandomNetworks

    return trace_many(RandomNetworks(load(model), draws=1), [one.text for one in traces])
