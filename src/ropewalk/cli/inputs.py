"""Where the text of a command comes from: an argument, a file, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from ropewalk.errors import UserError


def read(text: str | None, file: Path | None) -> str:
    """The text to work on. UserError when there is none, or more than one source is named."""
    from ropewalk.system.text_files import read_text

    if text is not None and file is not None:
        raise UserError("give either a text or --file, not both.")
    if file is not None:
        found = read_text(file)
    elif text is not None and text != "-":
        found = text
    elif text == "-" or not sys.stdin.isatty():
        found = read_text(sys.stdin.buffer.read())
    else:
        raise UserError(
            'no text given; write it in quotes, as in: ropewalk show "The cat sat.", or use --file.'
        )
    if not found:
        raise UserError("the text is empty: expected at least one character; give some text.")
    return found


def writable(**paths: Path | None) -> None:
    """UserError for an output that could not be written, before any work is done: `png=Path("x.png")`.

    The option's name is the suffix that the file must have (`.json.gz` is as good as `.json`).
    """
    import os

    for suffix, path in paths.items():
        if path is None:
            continue
        if path.is_dir():
            raise UserError(f"{path} is a folder; name the file to write, as in {path / f'trace.{suffix}'}.")
        if path.name.removesuffix(".gz").rpartition(".")[2].lower() != suffix:
            raise UserError(f"--{suffix} writes a file that ends in .{suffix}, got {path.name}; rename it.")
        if not path.parent.is_dir():
            raise UserError(f"cannot write {path}: the folder {path.parent} does not exist; make it first.")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise UserError(f"cannot write {path}: permission denied; name a file in a folder of yours.")
