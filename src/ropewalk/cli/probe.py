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

    window: Annotated[int, typer.Option(help="Tokens predicted after each gap.")] = 8
    past: Annotated[int, typer.Option(help="Tokens before each gap.")] = 16
    draws: Annotated[int, typer.Option(help="Backward passes with labels drawn from the model.")] = 8
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
    does not say which spacing the model would prefer. See docs/probe.md.

    Examples:

      ropewalk probe HuggingFaceTB/SmolLM2-135M --file letter.txt --json letter.json

      ropewalk probe ./my-llama "She moved from New York to Paris in May." --past 4 --window 3 --stretch 2
    """
    from rich.console import Console

    from ropewalk.measure import gap_changes
    from ropewalk.measure import probe as probing
    from ropewalk.views import terminal

    writable(json, "json")
    content = source.read()
    host, tokens, plan = _prepared(model, content, options, graft)
    echo(plan.cost(), err=True)
    if stretch:
        echo(gap_changes.change_cost(plan, min(stretch, len(plan.gaps)), len(host.rows)), err=True)
    if dry_run:
        return
    result = probing.probe(host, content, plan, tokens=tokens, seed=options.seed)
    console = Console()
    console.print(terminal.render(result.trace))
    relative = float((result.error / result.trace.values.clip(1e-30)).mean())
    console.print(f"standard error {relative:.0%} of the sensitivity on average", highlight=False)
    if stretch:
        most = result.mean_over_rows().argsort()[::-1][:stretch]
        rows = gap_changes.scale_gaps(host, plan, tokens, sorted(plan.gaps[i] for i in most))
        console.print(_stretch_table(rows, host.tokenizer.pieces(tokens.ids.tolist())), markup=False)
    if json is not None:
        result.trace.save(json)
        echo(f"wrote {json}", err=True)


def _prepared(
    model: str, content: str, options: ProbeOptions, graft: Path | None
) -> tuple[Any, Any, ProbePlan]:
    from ropewalk.loading import load
    from ropewalk.measure import probe as probing
    from ropewalk.measure.hosts import with_rows_per_layer

    opened = load(model, per_head=options.per_head) if graft is None else load(graft, base=model)
    host: Any = with_rows_per_layer(opened, options.per_head)
    tokens = host.tokenizer.encode(content)
    plan = probing.plan_probe(
        tokens,
        window=options.window,
        past=options.past,
        draws=options.draws,
        batch=options.batch_size,
        context_length=host.context_length,
    )
    return host, tokens, plan


def _stretch_table(rows: Any, pieces: list[str]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table("gap before", "increment", "loss change (nats/token)", "divergence (nats)")
    for row in rows:
        name = Text(f"{row.token} {pieces[row.token]!r}")
        table.add_row(name, f"x {row.factor:g}", f"{row.loss_change:+.4f}", f"{row.divergence:.4f}")
    return table
