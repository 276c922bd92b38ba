"""Writing a file whole or not at all. Knows nothing of what is in it."""

import os
import secrets
from pathlib import Path

from ropewalk.errors import UserError


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
