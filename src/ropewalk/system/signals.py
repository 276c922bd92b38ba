"""Interrupts that wait: Ctrl-C, a request to end, or a closed terminal takes effect between two training steps.

A step is done whole or not begun, so that what is saved after it can be continued.
"""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
"""SIGTERM is how launchers and batch systems end a job; SIGHUP is sent when a terminal or connection closes."""
SAME_SECONDS = 1.0
"""Signals this close together are one request: a terminal and a launcher may both pass on the same Ctrl-C."""


class DeferredInterrupt:
    """While it is entered, the first signal only sets `asked`; one that comes later raises KeyboardInterrupt at once.

    `hurried`: KeyboardInterrupt was raised, at any point of the code. Outside the main thread, where Python allows no
    signal handlers, it changes nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self.hurried = False
        self._first = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> DeferredInterrupt:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:  # such as SIGHUP under nohup
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.asked:
            self.asked, self._first = True, now
        elif now - self._first > SAME_SECONDS:
            self.hurried = True
            raise KeyboardInterrupt
