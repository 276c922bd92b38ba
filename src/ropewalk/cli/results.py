"""Prints and writes the tables of measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ropewalk.cli.printing import echo

if TYPE_CHECKING:
    from ropewalk.analyses.result import Result


def print_result(result: Result) -> None:
    """A table and its notes. Texts are printed as they are: brackets in them are no markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*result.columns.values(), title=result.title)
    for row in result.rows:
        cells = [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row.values()]
        table.add_row(*map(Text, cells))
    console = Console()
    console.print(table)
    for note in result.notes:
        console.print(note, highlight=False, markup=False)


def check_folder(out: Path | None) -> None:
    """UserError, before any work, for an output folder that cannot be made or written to, and without matplotlib."""
    import importlib.util
    import os

    from ropewalk.errors import UserError

    if out is None:
        return
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("--out draws figures with matplotlib; run: pip install 'ropewalk[pictures]'")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {out}: {error.strerror}; give another --out.") from error
    if not os.access(out, os.W_OK):
        raise UserError(f"cannot write into {out}: permission denied; give another --out.")


def show_results(results: list[Result], command: str, out: Path | None) -> None:
    """Print tables and write each as .json, .md and, where it has a figure, .png into `out`."""
    from rich.console import Console

    from ropewalk.system.files import write_atomically
    from ropewalk.views import chart

    for result in (result.by_command(command) for result in results):
        Console().print(result)
        if out is None:
            continue
        result.save(out / f"{result.name}.json")
        write_atomically(out / f"{result.name}.md", f"# {result.title}\n\n{result.markdown()}".encode())
        if result.chart is not None:
            chart.save(result, out / f"{result.name}.png")
        echo(f"wrote {out / result.name}.json, .md" + (", .png" if result.chart else ""), err=True)
