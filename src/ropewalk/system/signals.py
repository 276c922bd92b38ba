"""Ctrl-C, or a machine's request to end, that waits: a training step is whole or not begun, so that what is saved
after it can be gone on with.

Knows signals, not training.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # the second one is how launchers and batch systems end a job


class DeferredInterrupt:
    """While it is entered, the first Ctrl-C or SIGTERM only sets `asked`; the next raises KeyboardInterrupt at once.

    `hurried` says that it was raised at once, at whatever place. Outside the main thread, where Python allows
    no signal handlers, it changes nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self.hurried = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> DeferredInterrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._heard) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.hurried = self.asked
        self.asked = True
        if self.hurried:
            raise KeyboardInterrupt
