"""ropewalk probe: the gaps of a frozen model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ropewalk.cli.options import GraftFolder, ModelArgument, TextInput, option_groups, writable
from ropewalk.cli.printing import echo

if TYPE_CHECKING:
    from ropewalk.measure.probe import ProbePlan


@dataclass(frozen=True)
class ProbeOptions:
    """How much of the text each gap is judged by."""

    window: Annotated[
        int | None,
        typer.Option(help="Equal surroundings: predict this many tokens after each gap (8 with --past)."),
    ] = None
    past: Annotated[
        int | None,
        typer.Option(help="Equal surroundings: read this many tokens before each gap (16 with --window)."),
    ] = None
    draws: Annotated[int, typer.Option(min=2, help="Labels drawn from the model.")] = 16
    exact: Annotated[
        bool, typer.Option("--exact", help="No drawing: differentiate forward, one pass per gap and row.")
    ] = False
    batch_size: Annotated[int, typer.Option(help="Windows of text at a time.")] = 16
    per_head: Annotated[
        bool, typer.Option("--per-head", help="One row per key/value head instead of one per layer.")
    ] = False
    seed: Annotated[int, typer.Option(help="Which labels are drawn.")] = 0


@option_groups
def probe(
    model: ModelArgument,
    source: TextInput,
    options: ProbeOptions,
    stretch: Annotated[
        int, typer.Option(help="Also stretch and squeeze this many of the most sensitive gaps.")
    ] = 0,
    graft: GraftFolder = None,
    json: Annotated[Path | None, typer.Option(help="Write the trace as JSON (or .json.gz).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cost and stop.")] = False,
) -> None:
    """Probe a frozen model: how much its predictions depend on each gap between tokens.

    Nothing is trained. A large number says that moving the gap would change what the model predicts; it
    does not say which spacing the model would prefer. Without --past and --window the text is read as it is and every
    gap is measured; with them each gap is read with equally much text around it, and gaps without it are left out.

    Examples:

      ropewalk probe HuggingFaceTB/SmolLM2-135M --file letter.txt --json letter.json

      ropewalk probe ./my-llama "She moved from New York to Paris in May." --past 4 --window 3 --stretch 2
    """
    from rich.console import Console

    from ropewalk.measure import probe as probing
    from ropewalk.views import terminal

    writable(json, "json")
    content = source.read()
    host, tokens, plan = _prepared(model, content, options, graft)
    echo(_cost(plan, tokens, options), err=True)
    if dry_run:
        return
    result = probing.probe(
        host, content, plan, tokens=tokens, draws=options.draws, exact=options.exact, seed=options.seed
    )
    console = Console()
    console.print(terminal.render(result.trace))
    if not options.exact:
        relative = float((result.error / result.trace.values.clip(1e-30)).mean())
        halves = (
            "" if result.agreement is None else f"; rank correlation of two halves {result.agreement:.2f}"
        )
        console.print(f"standard error {relative:.0%} of the sensitivity on average{halves}", highlight=False)
    if stretch:
        first = len(tokens.ids) - len(result.trace.tokens) if plan is None else plan.gaps[0]
        most = sorted(int(i) + first for i in result.mean_over_rows().argsort()[::-1][:stretch])
        rows = _changes(host, plan, tokens, most)
        console.print(_stretch_table(rows, host.tokenizer.pieces(tokens.ids.tolist())), markup=False)
    if json is not None:
        result.trace.save(json)
        echo(f"wrote {json}", err=True)


def _prepared(
    model: str, content: str, options: ProbeOptions, graft: Path | None
) -> tuple[Any, Any, ProbePlan | None]:
    from ropewalk.loading import load
    from ropewalk.measure import probe as probing
    from ropewalk.measure.hosts import with_rows_per_layer

    opened = load(model, per_head=options.per_head) if graft is None else load(graft, base=model)
    host: Any = with_rows_per_layer(opened, options.per_head)
    tokens = host.tokenizer.encode(content)
    if options.window is None and options.past is None:
        return host, tokens, None
    plan = probing.plan_probe(
        tokens,
        window=8 if options.window is None else options.window,
        past=16 if options.past is None else options.past,
        draws=options.draws,
        batch=options.batch_size,
        context_length=host.context_length,
    )
    return host, tokens, plan


def _cost(plan: ProbePlan | None, tokens: Any, options: ProbeOptions) -> str:
    """What the probe will read, in one line."""
    if plan is not None and not options.exact:
        return plan.cost()
    gaps = len(tokens.ids) - 1 if plan is None else len(plan.gaps)
    how = "one pass per gap with a copy per row" if options.exact else f"{options.draws} draws"
    return f"{gaps} gaps of {len(tokens.ids)} tokens, {how}"


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


def _stretch_table(rows: Any, pieces: list[str]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table("gap before", "increment", "loss change (nats/token)", "divergence (nats)")
    for row in rows:
        name = Text(f"{row.token} {pieces[row.token]!r}")
        table.add_row(name, f"x {row.factor:g}", f"{row.loss_change:+.4f}", f"{row.divergence:.4f}")
    return table
