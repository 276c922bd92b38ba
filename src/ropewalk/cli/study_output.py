"""What the commands of studies have in common: the plan as a table, the watcher of a run, the end of a report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

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
            typer.echo(f"  {name}: {at}", err=True)

    return watch


def show_report(console: Console, told: dict[str, Any], folder: Path) -> None:
    """How much a report holds, and where it lies."""
    console.print(
        f"{len(told['tables'])} tables and {len(told['claims'])} claims: {folder / 'report.html'}",
        soft_wrap=True,
    )


def told_command(name: str, recipe: Path, folder: Path, overrides: Sequence[str]) -> str:
    """The command of a study as its report tells it: the folders of one machine are FOLDER."""
    place = "FOLDER" if folder.is_absolute() else str(folder)
    words = ["ropewalk", name, recipe.name if recipe.is_absolute() else str(recipe), "--out", place]
    return shlex.join(words + [word for one in overrides for word in ("--set", _portable(one))])


def _portable(override: str) -> str:
    key, _, value = override.partition("=")
    return f"{key}=FOLDER" if key.endswith("root") or "/" in value else override
