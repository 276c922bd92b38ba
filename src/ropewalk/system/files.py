"""Reads whole files that fit in memory; writes files atomically."""

import errno
import gzip
import hashlib
import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any

from ropewalk.errors import UserError
from ropewalk.system import available_memory


def read_whole(path: str | Path, *, times: int = 8, packed: bool = False, limit: int | None = None) -> bytes:
    """All bytes of a file, decompressed if `packed` (gzip).

    UserError for a file of which `times` copies do not fit in memory, that is longer than `limit` bytes, or that is a named
    pipe, which would wait for a writer. Reads at most a megabyte beyond these limits, whatever a file decompresses
    to. OSError, EOFError and zlib.error as opening and decompressing raise them.
    """
    most, size, pieces = available_memory.available_bytes() / times, 0, []
    refuse_pipe(path)
    with gzip.open(path) if packed else open(path, "rb") as file:
        while piece := file.read(1 << 20):
            size += len(piece)
            if limit is not None and size > limit:
                raise UserError(f"{path} is longer than {limit / 1e6:,.0f} MB; give a shorter file.")
            if size > most:
                raise UserError(
                    f"{path} is longer than the {most / 1e6:,.0f} MB that this machine's free memory allows; give "
                    "a shorter file."
                )
            pieces.append(piece)
    return b"".join(pieces)


def refuse_pipe(path: str | Path) -> None:
    """UserError for a named pipe; what a shell opens for a command (/dev/fd/63, /dev/stdin) may be one."""
    try:
        pipe = stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return
    if pipe and not os.fspath(path).startswith(("/dev/", "/proc/")):
        raise UserError(
            f"{path} is a named pipe, which has no end of its own; write its text to a file first."
        )


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`: a temporary file in the same folder, flushed to the disk, then renamed.

    A reader sees the old file or the new one, never a part. The file has the permissions of the one it replaces, or those
    that the umask gives a new one; a link still points where it did. UserError when the folder is missing or the file
    cannot be written; nothing is left behind then.
    """
    path = Path(path)
    try:
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        mode = target.stat().st_mode if os.path.exists(target) else None
        if mode is not None and not stat.S_ISREG(mode):
            with open(target, "wb") as device:  # such as /dev/stdout; a folder raises
                device.write(data)
            return
        temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(6)}.tmp")
        try:
            with open(temporary, "xb") as file:
                if mode is not None and hasattr(os, "fchmod"):
                    os.fchmod(file.fileno(), stat.S_IMODE(mode))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot write {path}: {reason}; name a file in a folder that exists.") from error


def sync_folder(folder: Path) -> None:
    """Flush a folder to the disk, so that a new name in it outlives a power cut; systems that cannot do that ignore it."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def read_json(path: str | Path) -> dict[str, Any]:
    """A json object, or a UserError."""
    try:
        value = json.loads(read_whole(path))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; name the folder of a model, which holds it.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as json; it is damaged, so copy the folder again.") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} must hold a json object; it is damaged, so copy the folder again.")
    return value


def sha256(path: str | Path) -> str:
    """The hash of a file's bytes, in hexadecimal."""
    refuse_pipe(path)
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); copy the folder again.") from error
