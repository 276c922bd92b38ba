"""The heap: how much of the memory that tensors free the process keeps for the next ones.

By default glibc returns every large tensor to the system, which clears its pages again for each pass: a third of the
time of a pass without gradients.
"""

from __future__ import annotations

import ctypes
import sys

KEPT = 256 << 20
LARGEST = 32 << 20
"""Bytes of a single tensor; glibc takes no more."""

_trim_threshold, _mmap_threshold, _mmap_max = -1, -3, -4  # their numbers in malloc.h
_all = False


def keep_freed_memory() -> bool:
    """Keeps up to 256 MB for each thread, in tensors of up to 32 MB; False where the C library has no such setting. After
    `keep_all_freed_memory`, it keeps all."""
    return _all or _ask((_mmap_threshold, LARGEST), (_trim_threshold, KEPT))


def keep_all_freed_memory() -> bool:
    """Keeps everything from now on, as a training run needs it; False where the C library has no such setting."""
    global _all
    _all = _ask((_mmap_max, 0), (_trim_threshold, -1))
    return _all


def release_freed_memory() -> None:
    """Returns to the system what is kept and not in use."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


def _ask(*settings: tuple[int, int]) -> bool:
    library = _glibc()
    return library is not None and all(library.mallopt(*setting) for setting in settings)


def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
