"""Worker processes that end with the process that started them, however that one ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import wait

SAVING_SECONDS = 600.0
"""How long a worker may take to finish its step and save."""


def end_with_parent() -> None:
    """Watch, from now on, for the end of the process that started this worker; then save what is asked to be saved (see
    `ropewalk.system.signals`) and end. Does nothing in a process that has no such parent."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    asked = time.monotonic()
    if _deferred():
        os.kill(os.getpid(), signal.SIGTERM)  # answered after the step, with a save
        while _deferred() and time.monotonic() - asked < SAVING_SECONDS:
            time.sleep(0.2)
    os._exit(1)


def _deferred() -> bool:
    """Whether a signal to end is answered by Python code here."""
    return callable(signal.getsignal(signal.SIGTERM))
