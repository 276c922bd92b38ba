"""Locks on files and folders. A lock is released when the process that holds it ends."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ropewalk.errors import UserError

UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


class Lock:
    """An exclusive lock. `held` is False where the system or the file system has no locks."""

    def __init__(self, handle: int | None, held: bool) -> None:
        self.handle, self.held = handle, held

    def close(self) -> None:
        """Releases the lock."""
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None

    def names(self, path: str | Path) -> bool:
        """Whether `path` is still the file that was locked."""
        try:
            return self.handle is None or os.path.samestat(os.fstat(self.handle), os.stat(path))
        except OSError:
            return False


def lock(path: str | Path, *, wait: bool = False) -> Lock:
    """Lock a folder, or a file, which is made where it is missing. BlockingIOError where another process holds it.

    wait: until that one releases it. OSError where the path cannot be opened.
    """
    if os.path.isdir(path):
        if os.name == "nt":
            return Lock(None, False)  # Windows cannot open folders
        handle = os.open(path, os.O_RDONLY)
    else:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        return Lock(handle, _lock(handle, wait))
    except BaseException:
        os.close(handle)
        raise


def held_elsewhere(path: str | Path) -> bool:
    """Whether another process holds the lock; True too where that cannot be found out."""
    try:
        found = lock(path)
    except OSError:
        return True
    held = found.held
    found.close()
    return not held


def locks_work(folder: str | Path) -> bool:
    """Whether folders here can be locked."""
    try:
        found = lock(folder)
    except BlockingIOError:
        return True
    except OSError:
        return False
    found.close()
    return found.held


def _lock(handle: int, wait: bool) -> bool:
    try:
        import fcntl
    except ImportError:
        return _lock_on_windows(handle, wait)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return False
    return True


def _lock_on_windows(handle: int, wait: bool) -> bool:
    try:
        import msvcrt
    except ImportError:
        return False
    mode = msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK  # type: ignore[attr-defined]
    try:
        msvcrt.locking(handle, mode, 1)  # type: ignore[attr-defined]
    except OSError as error:
        raise BlockingIOError(error.errno, "locked by another process") from error
    return True


def require_unmoved(lock: Lock, path: Path, folder: Path) -> None:
    """UserError where a locked file, and with it its folder, is not where it was."""
    if not lock.names(path):
        raise UserError(
            f"{folder} was moved or deleted while it was in use; nothing more is written. Move it back, then give the "
            "same command with --resume."
        )
