"""Reads one text file or standard input as UTF-8, and names the command that converts what is not text."""

from __future__ import annotations

import shlex
from pathlib import Path

from ropewalk.errors import UserError
from ropewalk.system.files import read_whole

MARKUP = (".html", ".htm", ".xhtml")
PANDOC = (".docx", ".odt", ".rtf", ".epub", ".html", ".htm", ".xhtml", ".tex", ".rst", ".org")
OFFICE = (".doc", ".ppt", ".pptx", ".odp", ".xls", ".xlsx", ".ods")


def conversion(path: str | Path) -> str | None:
    """The command that converts a file of another program to text; None for endings that are not known."""
    path = Path(path)
    ending, given = path.suffix.lower(), shlex.quote(str(path))
    made = shlex.quote(str(path.with_suffix(".txt")))
    if ending in PANDOC:
        return f"pandoc {given} --to plain --wrap none --output {made}"
    if ending == ".pdf":
        return f"pdftotext -layout {given} {made}"
    if ending in OFFICE:
        return f"soffice --headless --convert-to txt:Text --outdir {shlex.quote(str(path.parent))} {given}"
    if ending == ".ipynb":
        return f"jupyter nbconvert --to markdown {given}"
    return None


def read_text(source: str | Path | bytes) -> str:
    """Text of a file (a path) or of bytes already read (standard input), as strict UTF-8.

    A byte order mark at the start is dropped. HTML is refused by its name, since its text is not what the file holds. UserError when the file cannot be read or is not UTF-8; the message names
    the first wrong byte, or the command that converts UTF-16, recognized with and without its mark, and other formats.
    """
    if isinstance(source, bytes):
        name, data = "standard input", source
    else:
        name = str(source)
        try:
            data = read_whole(source)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"cannot read {name}: {reason}; give the path of a UTF-8 text file.") from error
    file = name if isinstance(source, str | Path) else "FILE"
    binary = data.startswith((b"PK\x03\x04", b"%PDF-", b"\xd0\xcf\x11\xe0", b"{\\rtf"))
    markup = Path(file).suffix.lower() in MARKUP
    if (binary or markup) and (command := conversion(file)):
        instead = "; or read the markup itself from standard input" if markup else ""
        raise UserError(f"{name} is no plain text; convert it first: {command}{instead}")
    if binary:
        raise UserError(
            f"{name} is no plain text; unpack it, or save it as text from the program that made it."
        )
    if (encoding := _utf16(data)) is not None:
        raise UserError(
            f"expected UTF-8 text in {name}, got UTF-16; convert it first: "
            f"iconv -f {encoding} -t UTF-8 {shlex.quote(file)}"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = error.start + len(data) - len(error.object)  # the mark, once dropped, still counts
        raise UserError(
            f"expected UTF-8 text in {name}, got byte 0x{error.object[error.start]:02X} at offset {place}; "
            "save it as UTF-8 and try again."
        ) from error


def _utf16(data: bytes) -> str | None:
    """The name of the encoding of UTF-16 data: by its mark, or by where the zero bytes of its ASCII letters stand."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    start = data[:4096]
    half = len(start) // 2
    for encoding, zeros, others in (
        ("UTF-16LE", start[1::2], start[::2]),
        ("UTF-16BE", start[::2], start[1::2]),
    ):
        if half >= 2 and zeros[:half].count(0) >= 0.4 * half and others[:half].count(0) <= 0.1 * half:
            return encoding
    return None
