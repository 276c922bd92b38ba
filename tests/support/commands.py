"""Commands run in this process."""

from __future__ import annotations

from click.testing import Result
from typer.testing import CliRunner

from ropewalk.cli.commands import app
from ropewalk.errors import UserError


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def mistake(*words: object) -> str:
    """The sentence with which a command refuses."""
    result = run(*words)
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)
