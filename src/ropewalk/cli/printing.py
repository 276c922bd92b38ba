"""Prints sentences; control characters in file names and texts are escaped, so that the terminal does not interpret them."""

from __future__ import annotations

import typer


def printable(text: str) -> str:
    r"""A sentence with control characters and lone surrogates written as escapes (\n, \x1b, \udcff)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def echo(sentence: str, err: bool = False) -> None:
    """Print one sentence on one line, brackets and all."""
    typer.echo(printable(sentence), err=err)
