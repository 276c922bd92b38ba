"""ropewalk study: from a recipe to trained models, to tables, to a report next to the published figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ropewalk.cli.options import Overrides
from ropewalk.cli.study_output import show_plan, show_report, tenths, told_command

if TYPE_CHECKING:
    from ropewalk.studies.plan import Job
    from ropewalk.training.loop import ProgressCallback


def study(
    recipe: Annotated[Path, typer.Argument(help="A study's recipe, such as recipes/study-cpu.toml.")],
    out: Annotated[Path | None, typer.Option(help="The study's folder (default: studies/RECIPE).")] = None,
    set: Overrides = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be trained, and stop.")] = False,
    device: Annotated[
        str, typer.Option(help="Where to train: cpu, cuda, or several at once: cuda:0,cuda:1 or cpu,cpu.")
    ] = "auto",
    report: Annotated[
        bool, typer.Option("--report", help="Train nothing; measure and report what is trained by now.")
    ] = False,
    table: Annotated[
        str | None, typer.Option(help="Make only this table again, as the report names it.")
    ] = None,
) -> None:
    """Train what a study lacks, measure everything, and write report.html, report.md and report.json.

    What is done is skipped, what was interrupted continues: give the same command again.

    Examples:

      ropewalk study recipes/study-cpu.toml --plan

      ropewalk study recipes/study-cpu.toml --out studies/cpu --set groups.real.recipe.corpus.root=/data

      ropewalk study recipes/study-cpu.toml --out studies/cpu --device cpu,cpu

      ropewalk study recipes/study-cpu.toml --out studies/cpu --report

      ropewalk study recipes/study-post.toml --set study.scale=0.001 --out /tmp/rehearsal

      ropewalk study recipes/study-cpu.toml --out studies/cpu --table "real/per-layer/boundaries gsdsimp"
    """
    from rich.console import Console

    from ropewalk.studies import execute, result_store
    from ropewalk.studies import plan as plans
    from ropewalk.studies.report import write

    devices = [name.strip() for name in device.split(",")]
    asked = plans.read(recipe, set)
    folder = out or Path("studies") / recipe.stem
    jobs = list(plans.jobs(asked, devices[0].partition(":")[0] if len(devices) > 1 else device))
    console = Console()
    show_plan(console, asked.study.title, plans.table(asked))
    left = sum(not execute.done(job, folder) for job in jobs)
    console.print(f"{len(jobs) - left} of {len(jobs)} runs are done in {folder}", soft_wrap=True)
    if plan:
        return

    try:
        failed = [] if report or table is not None else execute.execute(jobs, folder, say, devices)
        command = told_command("study", recipe, folder, set or [])
        found = result_store.entries(asked, folder)
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
    show_report(console, write(asked, folder), folder)
    if failed:
        typer.echo(
            f"ropewalk: {len(failed)} of {len(jobs)} runs could not be trained and are missing from the report; the "
            "reasons are above.",
            err=True,
        )
        raise typer.Exit(1)


def say(job: Job, state: str) -> ProgressCallback | None:
    """One line when a training starts, goes on or fails, and a watcher that adds one at every tenth of it."""
    name = f"{job.group}/{job.variant}/seed-{job.seed}"
    if state == "done":
        return None
    if state.startswith("failed"):
        typer.echo(f"{name} {state}", err=True)
        return None
    typer.echo(
        f"{'resuming' if state == 'resume' else 'training'} {name}, {job.bytes / 1e6:.3g} MB", err=True
    )
    return tenths(name, job.recipe.train.steps, "byte")
