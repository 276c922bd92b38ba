"""Writes a folder atomically: whole, or not there at all."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from ropewalk.errors import UserError
from ropewalk.system.files import sync_folder

AT_CWD, RENAME_EXCHANGE = -100, 2  # of Linux' renameat2


def write_folder(folder: str | Path, fill: Callable[[Path], None]) -> None:
    """Fills a temporary folder, flushes it to the disk, names it; a failure leaves nothing behind.

    Its files get the permissions that the umask gives new files, also where a library wrote them with others.
    """
    folder = Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary_name(folder)
        temporary.mkdir()
    except OSError as error:
        raise UserError(
            f"cannot write into {folder.parent}: {error.strerror}; name a writable folder."
        ) from error
    try:
        fill(temporary)
        _apply_umask(temporary)
        for path in (*temporary.rglob("*"), temporary):
            _flush(path)
        if not _name(temporary, folder) and not _exchange(temporary, folder):
            old = _temporary_name(folder)
            os.replace(folder, old)
            try:
                os.replace(temporary, folder)
            except OSError:
                os.replace(old, folder)
                raise
            os.replace(old, temporary)
        sync_folder(folder.parent)
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror or error}; free some space or choose another disk."
        ) from error
    except SafetensorError as error:
        raise UserError(f"cannot write {folder}: {error}; free some space or choose another disk.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary_name(folder: Path) -> Path:
    """A hidden name next to a folder, used by nobody."""
    return folder.with_name(f".{folder.name}-{secrets.token_hex(6)}")


def _name(temporary: Path, folder: Path) -> bool:
    """Names a folder that is not there yet; False where it is, also when another process has just made it."""
    if folder.exists():
        return False
    try:
        os.replace(temporary, folder)
    except OSError:
        if folder.exists():
            return False
        raise
    return True


def _apply_umask(folder: Path) -> None:
    """Gives the files of a folder the permissions that a new file gets there."""
    if os.name != "posix":
        return
    probe = folder / f".{secrets.token_hex(6)}"
    probe.touch(mode=0o666)
    mode = probe.stat().st_mode & 0o777
    probe.unlink()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(mode)


def _exchange(a: Path, b: Path) -> bool:
    """Swaps the names of two folders in one step; False on systems that need two, and lose both names between."""
    swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    return swap is not None and swap(AT_CWD, os.fsencode(a), AT_CWD, os.fsencode(b), RENAME_EXCHANGE) == 0


def _flush(path: Path) -> None:
    if path.is_dir():
        return sync_folder(path)
    handle = os.open(
        path, os.O_RDWR if os.name == "nt" else os.O_RDONLY
    )  # Windows flushes only what it may write
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
