"""ropewalk show: a text as the model spaces it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def show(
    text: Annotated[str | None, typer.Argument(help="The text; '-' or nothing reads standard input.")] = None,
    file: Annotated[Path | None, typer.Option(help="Read the text from a UTF-8 file.")] = None,
    model: Annotated[str, typer.Option(help="A bundled model, or a model folder.")] = "per-layer",
    scale: Annotated[
        str, typer.Option(help="'line': each row to a mean of 1; 'same': one scale; 'integer': even spacing.")
    ] = "line",
    start: Annotated[
        str, typer.Option(help="'document' puts the end-of-document symbol before the text, 'text' does not.")
    ] = "document",
    placement: Annotated[
        str,
        typer.Option(
            help="'first': a character stands at its first byte; 'last': at its last, as published."
        ),
    ] = "first",
    png: Annotated[Path | None, typer.Option(help="Write the figure as PNG.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Write the figure as SVG.")] = None,
    pdf: Annotated[Path | None, typer.Option(help="Write the figure as PDF.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page to explore: one file, opened by a double click.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the trace as JSON (or .json.gz).")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write one row per line and token.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Show how far apart the model puts the tokens of a text, layer by layer.

    A sentence that is only printed is read by NumPy, and is there before torch would have loaded; what is written to a
    file comes from torch, like every other measurement.

    Examples:

      ropewalk show "The cat sat on the mat."

      ropewalk show "我在北京大学学习。" --png beijing.png --html beijing.html

      ropewalk show --file letter.txt --json letter.json --csv letter.csv

      echo "for i in range(10):" | ropewalk show --model shared
    """
    from ropewalk.cli import inputs
    from ropewalk.cli.options import one_of

    one_of("--scale", scale, ("line", "same", "integer"))
    one_of("--start", start, ("document", "text"))
    one_of("--placement", placement, ("first", "last"))
    inputs.writable(png=png, svg=svg, pdf=pdf, html=html, json=json, csv=csv)
    content = inputs.read(text, file)

    from rich.console import Console

    from ropewalk.measure import numpy_trace

    written = any((png, svg, pdf, html, json, csv))
    result = None if written else numpy_trace.trace(model, content, start=start)  # type: ignore[arg-type]
    if result is None:
        from ropewalk.measure.capture import trace
        from ropewalk.native.checkpoint import load_decoder

        result = trace(load_decoder(model), content, start=start)  # type: ignore[arg-type]
    if not quiet:
        from ropewalk.views import terminal

        Console().print(terminal.render(result, scale=scale))
        if result.context["windows"] > 1:
            typer.echo(
                f"{len(result.tokens)} tokens were read in {result.context['windows']} windows of "
                f"{result.context['window']}, overlapping by {result.context['overlap']}.",
                err=True,
            )
    if png or svg or pdf:
        from ropewalk.views import figure

        for path in (png, svg, pdf):
            if path is not None:
                figure.save(result, path, scale=scale, placement=placement)
    if html is not None:
        from ropewalk.system.files import write_atomically
        from ropewalk.views import page

        write_atomically(html, page.html(result).encode())
    if json is not None:
        result.save(json)
    if csv is not None:
        result.to_csv(csv)
    for path in (png, svg, pdf, html, json, csv):
        if path is not None and not quiet:
            typer.echo(f"wrote {path}", err=True)
