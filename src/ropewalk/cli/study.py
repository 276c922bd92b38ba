"""ropewalk study: from a recipe to trained models, to tables, to a report next to the published figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.options import Overrides
from ropewalk.cli.printing import echo
from ropewalk.cli.study_output import (
    make_tables,
    report_failures,
    report_job,
    show_plan,
    show_report,
    stopped,
    study_command,
)


def study(
    recipe: Annotated[Path, typer.Argument(help="A study's recipe, such as recipes/study-cpu.toml.")],
    out: Annotated[Path | None, typer.Option(help="The study's folder (default: studies/RECIPE).")] = None,
    set: Overrides = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be trained, and stop.")] = False,
    device: Annotated[
        str,
        typer.Option(
            help="Where to train: cpu, cuda, or several runs at once: cuda:0,cuda:1, or cpu:8 for eight on the CPU."
        ),
    ] = "auto",
    report: Annotated[
        bool, typer.Option("--report", help="Train nothing; measure and report what is trained by now.")
    ] = False,
    table: Annotated[
        str | None, typer.Option(help="Make only this table again, as the report names it.")
    ] = None,
) -> None:
    """Train several variants with several seeds, measure them, and write report.html, report.md and report.json.

    What is done is skipped, what was interrupted continues: give the same command again.

    Examples:

      ropewalk study recipes/study-cpu.toml --plan

      ropewalk study recipes/study-cpu.toml --out studies/cpu --set groups.long.recipe.corpus.root=/data --set groups.short.recipe.corpus.root=/data

      ropewalk study recipes/study-cpu.toml --out studies/cpu --device cpu:2

      ropewalk study recipes/study-cpu.toml --out studies/cpu --report

      ropewalk study recipes/study-post.toml --set study.scale=0.001 --out /tmp/rehearsal

      ropewalk study recipes/study-cpu.toml --out studies/cpu --table "long/per-layer/boundaries gsdsimp"
    """
    from rich.console import Console

    from ropewalk.studies.executor import execute, parse_devices
    from ropewalk.studies.native import plan as plans
    from ropewalk.studies.native.report import write
    from ropewalk.studies.native.tables import entries

    devices = parse_devices(device)
    asked = plans.read(recipe, set)
    folder = out or Path("studies") / recipe.stem
    jobs = list(plans.jobs(asked, devices[0].partition(":")[0] if len(devices) > 1 else devices[0]))
    console = Console()
    show_plan(console, asked.study.title, plans.table(asked))
    done = sum(job.done(folder) for job in jobs)
    echo(f"{done} of {len(jobs)} runs are done in {folder}")
    if plan:
        return
    try:
        failed = [] if report or table is not None else execute(jobs, folder, report_job, devices)
        command = study_command("study", recipe, folder, set or [])
        make_tables(console, entries(asked, folder), folder, command, table)
    except KeyboardInterrupt:
        raise stopped(folder) from None
    show_report(console, write(asked, folder), folder)
    report_failures(len(failed), len(jobs))
