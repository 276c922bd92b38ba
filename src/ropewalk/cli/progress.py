"""A training as it runs: a bar with the time left, the loss, and how each line's increments bend."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich import progress as bars
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ropewalk.core.loss import bits_per_byte
from ropewalk.errors import UserError

if TYPE_CHECKING:
    from ropewalk.training.loop import Progress, ProgressCallback

PLAIN_SECONDS = 10.0


@contextmanager
def watching(folder: Path, steps: int, *, tensorboard: bool = False) -> Iterator[ProgressCallback]:
    """A watcher for `ropewalk.training.loop.train`: a live bar on a terminal, a line now and then elsewhere."""
    console = Console(stderr=True)
    with ExitStack() as stack:
        watchers = [stack.enter_context(_bar(console, steps) if console.is_terminal else _lines(console))]
        if tensorboard:
            watchers.append(stack.enter_context(_board(folder)))

        def watch_all(progress: Progress) -> None:
            for watch in watchers:
                watch(progress)

        yield watch_all


def summary(progress: Progress) -> str:
    """Loss, bits per byte and speed in one line."""
    speed = progress.bytes / max(progress.seconds, 1e-9)
    held = "" if progress.validation is None else f", held out {bits_per_byte(progress.validation):.3f}"
    return f"loss {progress.loss:.3f} nats = {bits_per_byte(progress.loss):.3f} bits/byte{held}; {speed / 1000:.1f} kB/s"


def spacing(progress: Progress) -> str:
    """Mean and spread of each line's increments."""
    return "  ".join(f"{s['line']} {s['mean']:.2f}±{s['std']:.2f}" for s in progress.increments)


@contextmanager
def _bar(console: Console, steps: int) -> Iterator[ProgressCallback]:
    bar = bars.Progress(
        bars.TextColumn("step {task.completed}/{task.total}"),
        bars.BarColumn(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("left"),
        bars.TimeRemainingColumn(),
        console=console,
    )
    task = bar.add_task("train", total=steps)
    with Live(bar, console=console, refresh_per_second=4) as live:

        def watch(progress: Progress) -> None:
            bar.update(task, completed=progress.step)
            live.update(Group(bar, Text(summary(progress)), Text("increments  " + spacing(progress))))

        yield watch


@contextmanager
def _lines(console: Console) -> Iterator[ProgressCallback]:
    said = [0.0]

    def watch(progress: Progress) -> None:
        now = time.monotonic()
        if now - said[0] < PLAIN_SECONDS and progress.step != progress.steps:
            return
        said[0] = now
        left = progress.seconds / progress.step * (progress.steps - progress.step)
        line = f"step {progress.step}/{progress.steps}, {left:.0f} s left; {summary(progress)}; {spacing(progress)}"
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
        for line in progress.increments:
            writer.add_scalar(f"increments/{line['line']}/mean", line["mean"], progress.step)
            writer.add_scalar(f"increments/{line['line']}/std", line["std"], progress.step)

    try:
        yield watch
    finally:
        writer.close()
