"""A training run while it runs: a bar with the time left, the loss, and the mean and spread of each row's increments."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich import progress as bars
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ropewalk.core.loss import bits_per_byte
from ropewalk.errors import UserError

if TYPE_CHECKING:
    from ropewalk.training.loop import Progress, ProgressCallback

Unit = Literal["byte", "token"]
PLAIN_SECONDS = 10.0
MOST_ROWS = 12


@contextmanager
def watching(
    folder: Path, steps: int, *, tensorboard: bool = False, unit: Unit = "byte"
) -> Iterator[ProgressCallback]:
    """A watcher for `ropewalk.training.native_training.train`: a live bar on a terminal, a line now and then elsewhere.

    unit: what the host's tokens are. Bits per byte are shown for bytes only, where they are known.
    """
    console = Console(stderr=True)
    with ExitStack() as stack:
        show = _bar(console, steps, unit) if console.is_terminal else _lines(console, unit)
        watchers = [stack.enter_context(show)]
        if tensorboard:
            watchers.append(stack.enter_context(_board(folder)))

        def watch_all(progress: Progress) -> None:
            for watch in watchers:
                watch(progress)

        yield watch_all


def summary(progress: Progress, unit: Unit = "byte") -> str:
    """Loss and speed in one line: bits per byte for bytes, nats per token for tokens."""
    speed = progress.tokens / max(progress.seconds, 1e-9)
    if unit == "token":
        held = "" if progress.validation is None else f", held out {progress.validation:.3f}"
        return f"loss {progress.loss:.3f} nats/token{held}; {speed:,.0f} tokens/s"
    held = "" if progress.validation is None else f", held out {bits_per_byte(progress.validation):.3f}"
    return f"loss {progress.loss:.3f} nats = {bits_per_byte(progress.loss):.3f} bits/byte{held}; {speed / 1000:.1f} kB/s"


def spacing(progress: Progress, most: int = MOST_ROWS) -> str:
    """Mean and standard deviation of the increments of the first rows."""
    shown = [f"{row['row']} {row['mean']:.2f}±{row['std']:.2f}" for row in progress.increments[:most]]
    more = len(progress.increments) - most
    return "  ".join(shown) + (f"  and {more} more rows" if more > 0 else "")


def _which(progress: Progress) -> str:
    """Which of several training runs it is."""
    return f"{progress.name}: " if progress.name else ""


@contextmanager
def _bar(console: Console, steps: int, unit: Unit) -> Iterator[ProgressCallback]:
    bar = bars.Progress(
        bars.TextColumn("{task.description}step {task.completed}/{task.total}"),
        bars.BarColumn(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("left"),
        bars.TimeRemainingColumn(),
        console=console,
    )
    task = bar.add_task("", total=steps)
    with Live(bar, console=console, refresh_per_second=4) as live:

        def watch(progress: Progress) -> None:
            bar.update(task, completed=progress.step, total=progress.steps, description=_which(progress))
            live.update(Group(bar, Text(summary(progress, unit)), Text("increments  " + spacing(progress))))

        yield watch


@contextmanager
def _lines(console: Console, unit: Unit) -> Iterator[ProgressCallback]:
    shown_at = [0.0]

    def watch(progress: Progress) -> None:
        now = time.monotonic()
        if now - shown_at[0] < PLAIN_SECONDS and progress.step != progress.steps:
            return
        shown_at[0] = now
        left = progress.seconds / progress.step * (progress.steps - progress.step)
        line = f"{_which(progress)}step {progress.step}/{progress.steps}, {left:.0f} s left; {summary(progress, unit)}; {spacing(progress)}"
        console.print(line, highlight=False, soft_wrap=True)

    yield watch


@contextmanager
def _board(folder: Path) -> Iterator[ProgressCallback]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError("TensorBoard is not installed; run: pip install 'ropewalk[board]'") from error
    writer = SummaryWriter(str(folder / "tensorboard"))

    def watch(progress: Progress) -> None:
        writer.add_scalar("loss", progress.loss, progress.step)
        if progress.validation is not None:
            writer.add_scalar("validation", progress.validation, progress.step)
        for row in progress.increments:
            writer.add_scalar(f"increments/{row['row']}/mean", row["mean"], progress.step)
            writer.add_scalar(f"increments/{row['row']}/std", row["std"], progress.step)

    try:
        yield watch
    finally:
        writer.close()
