"""ropewalk graft-study: from a pretrained base to grafts and their baselines, to tables, to a report."""

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


def graft_study(
    recipe: Annotated[Path, typer.Argument(help="A graft study's recipe, such as recipes/graft.toml.")],
    out: Annotated[Path | None, typer.Option(help="The study's folder (default: studies/RECIPE).")] = None,
    set: Overrides = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be trained, and stop.")] = False,
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda, cuda:1 ...")] = "auto",
    keep: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Checkpoints to keep during a training run (default: the recipe's, or 1); none are kept after it.",
        ),
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="Make only this table again, as the report names it.")
    ] = None,
) -> None:
    """Graft several variants of increments onto one base, measure everything, and write the report.

    The base is study.base: a Hugging Face model, or a native one with integer RoPE, which is exported first. What
    is done is skipped, what was interrupted continues: give the same command again.

    Examples:

      ropewalk graft-study recipes/graft.toml --set study.base=runs/rope/model --set corpus.root=/data --plan

      ropewalk graft-study recipes/graft.toml --set study.base=HuggingFaceTB/SmolLM2-135M --out studies/smol

      ropewalk graft-study recipes/graft.toml --set study.scale=0.01 --out /tmp/rehearsal
    """
    from rich.console import Console

    from ropewalk.studies.executor import execute
    from ropewalk.studies.graft import plan as plans
    from ropewalk.studies.graft.report import write
    from ropewalk.studies.graft.tables import entries

    asked = plans.read(recipe, [*(set or []), *([] if keep is None else [f"train.keep={keep}"])])
    folder = out or Path("studies") / recipe.stem
    console = Console()
    show_plan(console, asked.study.title, plans.table(asked))
    jobs = list(plans.jobs(asked, asked.study.base, device))
    done = sum(job.done(folder) for job in jobs)
    echo(f"{done} of {len(jobs)} runs are done in {folder}")
    if plan:
        return
    base = plans.base(asked, folder)
    try:
        failed = (
            [] if table is not None else execute(list(plans.jobs(asked, base, device)), folder, report_job)
        )
        command = study_command("graft-study", recipe, folder, set or [])
        make_tables(console, entries(asked, base, folder), folder, command, table)
    except KeyboardInterrupt:
        raise stopped(folder) from None
    show_report(console, write(asked, base, folder), folder)
    report_failures(len(failed), len(jobs))
