"""ropewalk probe: the gaps of a frozen model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ropewalk.cli.options import (
    GraftFolder,
    ModelArgument,
    ReadingOptions,
    TextInput,
    TraceFiles,
    option_groups,
)
from ropewalk.cli.printing import echo
from ropewalk.system.seeds import MAX_SEED

if TYPE_CHECKING:
    from ropewalk.measure.probe import ProbePlan, ProbeResult


@dataclass(frozen=True)
class ProbeOptions:
    """How much of the text each gap is judged by."""

    window: Annotated[
        int | None,
        typer.Option(help="Equal context: predict this many tokens after each gap (8 with --past)."),
    ] = None
    past: Annotated[
        int | None,
        typer.Option(help="Equal context: read this many tokens before each gap (16 with --window)."),
    ] = None
    draws: Annotated[int, typer.Option(min=2, help="Random samples: one backward pass each.")] = 16
    exact: Annotated[
        bool,
        typer.Option("--exact", help="No sampling: forward-mode differentiation, one pass per gap."),
    ] = False
    batch_size: Annotated[int, typer.Option(help="Windows of one forward pass.")] = 16
    per_head: Annotated[
        bool, typer.Option("--per-head", help="One row per key/value head instead of one per layer.")
    ] = False
    layers: Annotated[str | None, typer.Option(help="Measure only these layers, such as 0-5,12.")] = None
    heads: Annotated[
        str | None, typer.Option(help="Measure only these key/value heads, such as 0,3 (with --per-head).")
    ] = None
    seed: Annotated[int, typer.Option(help="Seed of the samples.", min=0, max=MAX_SEED)] = 0


@option_groups
def probe(
    model: ModelArgument,
    source: TextInput,
    options: ProbeOptions,
    reading: ReadingOptions,
    files: TraceFiles,
    top: Annotated[int, typer.Option(min=0, help="List this many of the most sensitive gaps.")] = 0,
    stretch: Annotated[
        int, typer.Option(min=0, help="Also stretch and squeeze this many of the most sensitive gaps.")
    ] = 0,
    graft: GraftFolder = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cost and stop.")] = False,
) -> None:
    """Measure how much a model's predictions depend on each gap between tokens, without training.

    Nothing is trained. A large number says that moving the gap would change what the model predicts; it
    does not say which spacing the model would prefer. Without --past and --window the text is read as it is and every
    gap is measured; with them each gap is read in a context of the same length, and gaps with less text around them are left out.
    Ctrl-C keeps the gaps that are measured.

    Examples:

      ropewalk probe HuggingFaceTB/SmolLM2-135M --file letter.txt --json letter.json --html letter.html

      ropewalk probe ./my-llama "She moved from New York to Paris in May." --exact --layers 0-5 --top 5

      ropewalk probe ./my-llama "She moved from New York to Paris in May." --past 4 --window 3 --stretch 2
    """
    from rich.console import Console

    from ropewalk.cli.probing import reliability, run_probe
    from ropewalk.tokens.tokenizer import read_start
    from ropewalk.views import terminal

    files.check()
    content = source.read()
    host, text, tokens, plan = _prepared(model, content, options, reading, graft)
    echo(_cost(plan, tokens, options, len(host.rows)), err=True)
    if dry_run:
        return
    start = read_start(reading.start)
    settings: dict[str, Any] = {
        "draws": options.draws,
        "exact": options.exact,
        "seed": options.seed,
        "start": start,
    }
    result = run_probe(host, text, tokens, plan, **settings)
    console = Console()
    whole = result.whole_text(tokens)
    console.print(terminal.render(whole, heads=options.per_head))
    console.print(reliability(result), highlight=False)
    order = [int(i) for i in result.mean_over_rows().argsort()[::-1]]
    pieces = host.tokenizer.pieces(tokens.ids.tolist())
    first = result.trace.context["first_token"]
    if top:
        console.print(_top_table(result, order[:top], pieces, first))
    if stretch:
        rows = _changes(host, plan, tokens, sorted(i + first for i in order[:stretch]))
        console.print(_stretch_table(rows, pieces))
    files.write(whole)
    for path in files.paths.values():
        echo(f"wrote {path}", err=True)


def _prepared(
    model: str, content: str, options: ProbeOptions, reading: ReadingOptions, graft: Path | None
) -> tuple[Any, str, Any, ProbePlan | None]:
    """The host with the rows to measure, the text, its tokens, and the plan of equal context, if asked for."""
    from ropewalk.loading import load
    from ropewalk.measure import probe as probing
    from ropewalk.measure.hosts import with_rows_per_layer
    from ropewalk.measure.selected_rows import select_rows
    from ropewalk.views.rows import read_layers

    opened = load(model, per_head=options.per_head) if graft is None else load(graft, base=model)
    layers, heads = (
        None if given is None else read_layers(given) for given in (options.layers, options.heads)
    )
    host: Any = select_rows(with_rows_per_layer(opened, options.per_head), layers, heads)
    text, tokens = reading.read(host, content)
    if options.window is None and options.past is None:
        return host, text, tokens, None
    plan = probing.plan_probe(
        tokens,
        window=8 if options.window is None else options.window,
        past=16 if options.past is None else options.past,
        draws=options.draws,
        batch=options.batch_size,
        context_length=host.context_length,
    )
    return host, text, tokens, plan


def _cost(plan: ProbePlan | None, tokens: Any, options: ProbeOptions, rows: int) -> str:
    """What the probe will read, in one line."""
    if plan is not None and not options.exact:
        return plan.cost()
    gaps = len(tokens.ids) - (0 if tokens.prefix else 1) if plan is None else len(plan.gaps)
    how = f"one pass per gap with {rows} copies" if options.exact else f"{options.draws} draws"
    return f"{gaps} gaps of {len(tokens.ids)} tokens in {rows} rows, {how}"


def _changes(host: Any, plan: ProbePlan | None, tokens: Any, gaps: list[int]) -> list[Any]:
    """The chosen gaps made wider and narrower, each with as much text around it as the plan or the text gives."""
    from ropewalk.measure.gap_changes import scale_gaps
    from ropewalk.measure.probe import ProbePlan

    if plan is not None:
        return list(scale_gaps(host, plan, tokens, gaps))
    found = []
    for gap in gaps:
        after = min(8, len(tokens.ids) - gap - 1)
        if after > 0:
            found += scale_gaps(host, ProbePlan(after, min(64, gap), 2, (gap,)), tokens, [gap])
    return found


def _top_table(result: ProbeResult, gaps: list[int], pieces: list[str], first: int) -> Any:
    """The most sensitive gaps: the mean over rows, each row divided by its own mean, and the row that depends on it most."""
    from rich.table import Table
    from rich.text import Text

    values, errors = result.trace.values, result.error
    mean = values.mean(1, keepdims=True).clip(1e-300)
    table = Table(
        "gap before", "times the row's mean", "standard error", "most in", title="most sensitive gaps"
    )
    for gap in gaps:
        row = int((values / mean)[:, gap].argmax())
        table.add_row(
            Text(f"{gap + first} {pieces[gap + first]!r}"),
            f"{(values / mean)[:, gap].mean():.2f}",
            f"{(errors / mean)[:, gap].mean():.2f}",
            f"{result.trace.rows[row]} ({(values / mean)[row, gap]:.1f})",
        )
    return table


def _stretch_table(rows: Any, pieces: list[str]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table("gap before", "increment", "loss change (nats/token)", "divergence (nats)")
    for row in rows:
        name = Text(f"{row.token} {pieces[row.token]!r}")
        table.add_row(name, f"x {row.factor:g}", f"{row.loss_change:+.4f}", f"{row.divergence:.4f}")
    return table
