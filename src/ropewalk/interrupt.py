"""Ctrl-C that waits: a training step is whole or not begun, so that what is saved after it can be gone on
with.

Knows signals, not training.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupt:
    """While it is entered, the first Ctrl-C only sets `asked`; the next one raises KeyboardInterrupt at once.

    `hurried` says that it was raised at once, at whatever place. Outside the main thread, where Python allows
    no signal handlers, it changes nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self.hurried = False
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.hurried = self.asked
        self.asked = True
        if self.hurried:
            raise KeyboardInterrupt
