"""What the commands of studies have in common: the plan as a table, the watcher of a run, the end of a report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ropewalk.cli.printing import echo

if TYPE_CHECKING:
    from rich.console import Console

    from ropewalk.studies.plan import Job
    from ropewalk.studies.store import Entry
    from ropewalk.training.loop import Progress, ProgressCallback


def show_plan(console: Console, title: str, rows: list[dict[str, Any]]) -> None:
    """The rows of a plan, with the hours they come to."""
    from rich.table import Table

    shown = Table(*rows[0], title=f"{title}: {sum(row['hours'] for row in rows):.2f} hours expected")
    for row in rows:
        shown.add_row(*(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row.values()))
    console.print(shown)


def tenths(name: str, steps: int, unit: str) -> ProgressCallback:
    """A watcher that adds a line at every tenth of a run; unit: what the loss is counted by, "byte" or "token"."""
    every = max(1, steps // 10)

    def watch(p: Progress) -> None:
        if p.step % every == 0:
            at = f"step {p.step} of {p.steps}, {p.loss:.3f} nats per {unit}, {p.seconds:.0f} s"
            echo(f"  {name}: {at}", err=True)

    return watch


def report_job(job: Job, state: str) -> ProgressCallback | None:
    """One line when a training run starts, resumes or fails, and a watcher that adds one at every tenth of it."""
    if state == "done":
        return None
    if state.startswith("failed"):
        echo(f"{job.name} {state}", err=True)
        return None
    verb = "resuming" if state == "resume" else "training"
    echo(f"{verb} {job.name}, {job.size}", err=True)
    return tenths(job.name, job.steps, job.unit)


def make_tables(console: Console, entries: list[Entry], folder: Path, command: str, only: str | None) -> None:
    """Make the tables that are missing or out of date; print the one that was asked for."""
    from ropewalk.studies import store

    store.compute(entries, folder, command, lambda name: echo(f"measuring {name}", err=True), only)
    if only is not None:
        for result in store.results(entries, folder)[only]:
            console.print(result)


def stopped(folder: Path) -> typer.Exit:
    """What to raise after an interruption."""
    echo(f"ropewalk: stopped; what is done is in {folder}. Continue with the same command.", err=True)
    return typer.Exit(130)


def report_failures(failed: int, total: int) -> None:
    """Exit with status 1 when some runs could not be trained."""
    if failed:
        echo(
            f"ropewalk: {failed} of {total} runs could not be trained and are missing from the report; the reasons "
            "are above.",
            err=True,
        )
        raise typer.Exit(1)


def show_report(console: Console, report: dict[str, Any], folder: Path) -> None:
    """How much a report holds, and where it lies."""
    echo(
        f"{len(report['tables'])} tables and {len(report['claims'])} claims: {folder / 'report.html'}",
    )


def study_command(name: str, recipe: Path, folder: Path, overrides: Sequence[str]) -> str:
    """The command of a study as its report shows it: the folders of one machine are FOLDER."""
    place = "FOLDER" if folder.is_absolute() else str(folder)
    words = ["ropewalk", name, recipe.name if recipe.is_absolute() else str(recipe), "--out", place]
    return shlex.join(words + [word for one in overrides for word in ("--set", _portable(one))])


def _portable(override: str) -> str:
    key, _, value = override.partition("=")
    return f"{key}=FOLDER" if key.endswith("root") or "/" in value else override
