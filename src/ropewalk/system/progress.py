"""How far a preparation or another long task is: a bar in a terminal, a line now and then elsewhere, on standard error."""

import sys
import time
from collections.abc import Callable
from typing import Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

EVERY = 10.0  # seconds between two plain lines


class ProgressMeter:
    """Counts bytes or documents up to `total` (None: not known). A context manager; `advance` moves it on."""

    def __init__(
        self,
        total: int | None,
        unit: str,
        shown: bool = True,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        task: str = "preparing the corpus",
    ) -> None:
        self._name = task
        self._total, self._unit, self._shown, self._clock = total, unit, shown, clock
        self._stream = stream or sys.stderr
        self._done = 0
        self._start = self._last = clock()
        console = Console(file=self._stream)
        self._bar: Progress | None = None
        if shown and console.is_terminal:
            amount: ProgressColumn = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
            text = TextColumn(task)
            self._bar = Progress(text, BarColumn(), amount, TimeRemainingColumn(), console=console)
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, amount: int) -> None:
        """Count `amount` more, and show it."""
        self._done += amount
        if self._bar:
            self._bar.update(self._task, advance=amount)
        elif self._shown and self._clock() - self._last >= EVERY:
            self._last = self._clock()
            print(self._line(self._last - self._start), file=self._stream, flush=True)

    def _line(self, elapsed: float) -> str:
        if not self._total:
            return f"{self._name}: {self._done:,} {self._unit}, {elapsed:.0f} s"
        left = elapsed * max(0, self._total - self._done) / max(1, self._done)
        return (
            f"{self._name}: {100 * self._done / self._total:.0f} % of {self._total:,} {self._unit}, "
            f"about {left:.0f} s left"
        )
