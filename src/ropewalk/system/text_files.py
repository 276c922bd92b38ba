"""Reads one text file or standard input as UTF-8."""

from __future__ import annotations

from pathlib import Path

from ropewalk.errors import UserError
from ropewalk.system.files import read_whole


def read_text(source: str | Path | bytes) -> str:
    """Text of a file (a path) or of bytes already read (standard input), as strict UTF-8.

    A byte order mark at the start is dropped. UserError when the file cannot be read or is not UTF-8; the
    message gives the first broken byte and guesses UTF-16 where the mark says so.
    """
    if isinstance(source, bytes):
        name, data = "standard input", source
    else:
        name = str(source)
        try:
            data = read_whole(source)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"Cannot read {name}: {reason}; give the path of a UTF-8 text file.") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"Expected UTF-8 text in {name}, got UTF-16; save it as UTF-8 and try again.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = error.start + len(data) - len(error.object)  # the mark, once dropped, still counts
        raise UserError(
            f"Expected UTF-8 text in {name}, got byte 0x{error.object[error.start]:02X} at offset {place}; "
            "save it as UTF-8 and try again."
        ) from error
