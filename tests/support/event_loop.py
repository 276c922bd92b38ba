"""Coroutines in tests: each runs in a thread, since a browser driver may have an event loop in the main one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def run(coroutine: Coroutine[Any, Any, Any], seconds: float = 60) -> Any:
    """The result of a coroutine, run in a loop of its own; TimeoutError after some seconds."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, asyncio.wait_for(coroutine, seconds)).result()
