"""ropewalk show: a text as the model spaces it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ropewalk.cli.options import ModelOption, Quiet, ReadingOptions, TextInput, TraceFiles, option_groups
from ropewalk.cli.printing import echo
from ropewalk.errors import UserError

if TYPE_CHECKING:
    from ropewalk.core.host import Host
    from ropewalk.tokens.tokenized_text import TokenizedText
    from ropewalk.tokens.tokenizer import Start
    from ropewalk.traces.trace import Trace


@option_groups
def show(
    source: TextInput,
    files: TraceFiles,
    reading: ReadingOptions,
    model: ModelOption = "per-layer",
    scale: Annotated[
        Literal["row", "same", "integer"],
        typer.Option(help="'row': each row to a mean of 1; 'same': one scale; 'integer': even spacing."),
    ] = "row",
    placement: Annotated[
        Literal["first", "last"],
        typer.Option(
            help="Where a character is drawn: at its 'first' byte, or its 'last' (as in the published pictures)."
        ),
    ] = "first",
    layers: Annotated[str | None, typer.Option(help="Only these layers, such as 0-5,12.")] = None,
    attention: Annotated[
        bool,
        typer.Option(
            help="The page of --html also shows what each token attends to, and the model's top predictions."
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Show how far apart the model puts the tokens of a text, layer by layer.

    Without output files, a short text is read with NumPy, which starts faster than PyTorch. A model without learned increments has the same
    gap everywhere; for such a model the picture is a quick probe: how much its predictions depend on each gap.

    Examples:

      ropewalk show "The cat sat on the mat."

      ropewalk show "我在北京大学学习。" --png beijing.png --html beijing.html

      ropewalk show "The cat sat on the mat." --html cat.html --attention

      ropewalk show --file letter.txt --json letter.json --csv letter.csv

      ropewalk show "The cat sat on the mat." --model HuggingFaceTB/SmolLM2-135M

      echo "for i in range(10):" | ropewalk show --model shared
    """
    from rich.console import Console

    files.check()
    if attention and files.html is None:
        raise UserError("--attention adds to the page of --html; name one, as in --html page.html.")
    content = source.read()
    trace = measured(model, content, reading, exact=bool(files.paths), quiet=quiet)
    more = _details(model, trace, content, reading) if attention else {}
    from ropewalk.views.rows import read_layers

    chosen = None if layers is None else read_layers(layers)
    if not quiet:
        from ropewalk.views import terminal

        Console().print(terminal.render(trace, scale=scale, layers=chosen))
        if trace.context.get("windows", 1) > 1:
            echo(
                f"{len(trace.tokens)} tokens were read in {trace.context['windows']} windows of "
                f"{trace.context['window']}, overlapping by {trace.context['overlap']}.",
                err=True,
            )
    files.write(trace, more, scale=scale, placement=placement, layers=chosen)
    for path in files.paths.values():
        if not quiet:
            echo(f"wrote {path}", err=True)


def _details(model: str, trace: Trace, content: str, reading: ReadingOptions) -> dict[str, Any]:
    """What the page of a trace shows beyond it."""
    from ropewalk.loading import load
    from ropewalk.tokens.tokenizer import read_start
    from ropewalk.views.page.details import details

    host = load(model, backend="torch")
    text, tokens = reading.read(host, content)
    return details(host, trace, text, tokens, read_start(reading.start))


def measured(model: str, content: str, reading: ReadingOptions, *, exact: bool, quiet: bool = False) -> Trace:
    """The increments of a text, by NumPy where that is quicker, else by PyTorch; a probe's sensitivities where there are none.

    exact: by PyTorch, where it is installed.
    """
    from ropewalk.loading import load, quickest_backend
    from ropewalk.measure.capture import trace
    from ropewalk.measure.hosts import has_increments
    from ropewalk.tokens.tokenizer import read_start

    backend = "auto" if exact or not reading.plain else quickest_backend(model, content)
    host = load(model, backend=backend)
    text, tokens = reading.read(host, content)
    start = read_start(reading.start)
    if has_increments(host):
        return trace(host, text, tokens=tokens, start=start)
    return _probed(host if backend == "auto" else load(model), text, tokens, start, quiet)


def _probed(host: Host, text: str, tokens: TokenizedText, start: Start, quiet: bool) -> Trace:
    """A quick probe of a host whose increments are all 1."""
    from ropewalk.cli.probing import QUICK_DRAWS, reliability, run_probe

    if not quiet:
        echo(
            "this model has no learned increments: every gap is 1. Shown instead, by a quick probe: how much its predictions "
            "depend on each gap.",
            err=True,
        )
    result = run_probe(host, text, tokens, draws=QUICK_DRAWS, start=start, quiet=quiet)
    if not quiet:
        echo(f"{reliability(result)}. More draws, or exact: ropewalk probe", err=True)
    return result.whole_text(tokens)
