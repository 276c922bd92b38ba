"""Reading a file whole if it fits in memory, writing one whole or not at all. Knows nothing of what is in it."""

import gzip
import os
import secrets
from pathlib import Path

from ropewalk import machine
from ropewalk.errors import UserError


def read_whole(path: str | Path, *, times: int = 8, packed: bool = False) -> bytes:
    """All bytes of a file, unpacked where it is gzip; UserError for one that does not fit `times` over in memory.

    Reads hardly further than that, whatever the file's size, and whatever it would unpack to. OSError, EOFError
    and zlib.error as opening and unpacking raise them.
    """
    most, size, pieces = machine.available() / times, 0, []
    with gzip.open(path) if packed else open(path, "rb") as file:
        while piece := file.read(1 << 20):
            size += len(piece)
            if size > most:
                raise UserError(
                    f"{path} is longer than the {most / 1e6:,.0f} MB that this machine's free memory allows; give "
                    "a shorter file."
                )
            pieces.append(piece)
    return b"".join(pieces)


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`: a temporary file in the same folder, flushed to the disk, then renamed.

    A reader sees the old file or the new one, never a part. UserError when the folder is missing or the file
    cannot be written; nothing is left behind then.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"Cannot write {path}: {reason}; name a file in a folder that exists.") from error
