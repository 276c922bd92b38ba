"""ropewalk show: a text as the model spaces it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ropewalk.cli.options import ModelOption, Quiet, StartTokens, TextInput, TraceFiles, option_groups
from ropewalk.cli.printing import echo

if TYPE_CHECKING:
    from ropewalk.traces.trace import Trace


@option_groups
def show(
    source: TextInput,
    files: TraceFiles,
    model: ModelOption = "per-layer",
    scale: Annotated[
        Literal["row", "same", "integer"],
        typer.Option(help="'row': each row to a mean of 1; 'same': one scale; 'integer': even spacing."),
    ] = "row",
    start: StartTokens = "auto",
    placement: Annotated[
        Literal["first", "last"],
        typer.Option(help="Where a character stands: at its 'first' byte, or its 'last', as published."),
    ] = "first",
    layers: Annotated[str | None, typer.Option(help="Only these layers, such as 0-5,12.")] = None,
    quiet: Quiet = False,
) -> None:
    """Show how far apart the model puts the tokens of a text, layer by layer.

    A short text is read with NumPy alone, before PyTorch would have loaded.

    Examples:

      ropewalk show "The cat sat on the mat."

      ropewalk show "我在北京大学学习。" --png beijing.png --html beijing.html

      ropewalk show --file letter.txt --json letter.json --csv letter.csv

      echo "for i in range(10):" | ropewalk show --model shared
    """
    from rich.console import Console

    files.check()
    trace = measured(model, source.read(), start, exact=bool(files.paths))
    from ropewalk.views.rows import read_layers

    chosen = None if layers is None else read_layers(layers)
    if not quiet:
        from ropewalk.views import terminal

        Console().print(terminal.render(trace, scale=scale, layers=chosen))
        if trace.context["windows"] > 1:
            echo(
                f"{len(trace.tokens)} tokens were read in {trace.context['windows']} windows of "
                f"{trace.context['window']}, overlapping by {trace.context['overlap']}.",
                err=True,
            )
    files.write(trace, scale=scale, placement=placement, layers=chosen)
    for path in files.paths.values():
        if not quiet:
            echo(f"wrote {path}", err=True)


def measured(model: str, text: str, start: Literal["auto", "bos", "none"], *, exact: bool) -> Trace:
    """The trace of a text: by NumPy where that is enough, else by PyTorch. exact: prefer PyTorch, where it is installed."""
    from importlib.util import find_spec

    from ropewalk.measure import numpy_trace

    if not exact or find_spec("torch") is None:
        found = numpy_trace.trace(model, text, start=start)
        if found is not None:
            return found
    from ropewalk.loading import load
    from ropewalk.measure.capture import trace

    return trace(load(model), text, start=start)
