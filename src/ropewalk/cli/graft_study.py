"""ropewalk graft-study: from a pretrained base to grafts and their baselines, to tables, to a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ropewalk.cli.options import Overrides
from ropewalk.cli.study_output import show_plan, show_report, tenths, told_command

if TYPE_CHECKING:
    from ropewalk.studies.graft_plan import Job
    from ropewalk.training.loop import ProgressCallback


def graft_study(
    recipe: Annotated[Path, typer.Argument(help="A graft study's recipe, such as recipes/graft.toml.")],
    out: Annotated[Path | None, typer.Option(help="The study's folder (default: studies/RECIPE).")] = None,
    set: Overrides = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be trained, and stop.")] = False,
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda, cuda:1 ...")] = "auto",
    table: Annotated[
        str | None, typer.Option(help="Make only this table again, as the report names it.")
    ] = None,
) -> None:
    """Graft increments onto one base in several ways, measure everything, and write the report.

    The base is study.base: a Hugging Face model, or a native one with integer RoPE, which is exported first. What
    is done is skipped, what was interrupted continues: give the same command again.

    Examples:

      ropewalk graft-study recipes/graft.toml --set study.base=runs/rope/model --set corpus.root=/data --plan

      ropewalk graft-study recipes/graft.toml --set study.base=HuggingFaceTB/SmolLM2-135M --out studies/smol

      ropewalk graft-study recipes/graft.toml --set study.scale=0.01 --out /tmp/rehearsal
    """
    from rich.console import Console

    from ropewalk.studies import graft_plan, graft_report, graft_tables, result_store

    asked = graft_plan.read(recipe, set)
    folder = out or Path("studies") / recipe.stem
    console = Console()
    show_plan(console, asked.study.title, graft_plan.table(asked))
    jobs = list(graft_plan.jobs(asked, asked.study.base, device))
    done = sum(job.done(folder) for job in jobs)
    console.print(f"{done} of {len(jobs)} sides are done in {folder}", soft_wrap=True)
    if plan:
        return
    base = graft_plan.base(asked, folder)
    try:
        if table is None:
            graft_plan.execute(list(graft_plan.jobs(asked, base, device)), folder, _tell)
        command = told_command("graft-study", recipe, folder, set or [])
        found = graft_tables.entries(asked, base, folder)
        result_store.compute(
            found, folder, command, lambda name: typer.echo(f"measuring {name}", err=True), table
        )
    except KeyboardInterrupt:
        typer.echo(
            f"ropewalk: stopped; what is done is in {folder}. Continue with the same command.", err=True
        )
        raise typer.Exit(130) from None
    if table is not None:
        for result in result_store.results(found, folder)[table]:
            console.print(result)
    show_report(console, graft_report.write(asked, base, folder), folder)


def _tell(job: Job, state: str) -> ProgressCallback:
    name = f"{job.variant}/seed-{job.seed}"
    typer.echo(f"{'resuming' if state == 'resume' else 'training'} {name}", err=True)
    return tenths(name, job.recipe.train.steps, "token")
