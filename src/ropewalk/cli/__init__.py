"""The command line: one file per group of commands; each function parses, calls and prints.

Heavy libraries load inside the commands, so that `ropewalk --help` answers at once.
"""

from __future__ import annotations

import os
import sys

import typer

from ropewalk.cli import demo, model, show, train
from ropewalk.errors import UserError

app = typer.Typer(
    name="ropewalk",
    help="Measures how far apart a language model thinks its tokens are.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

for function in (show.show, demo.demo, train.prepare, train.train, model.generate, model.info, model.freeze):
    app.command()(function)


def main() -> None:
    """Runs the command line; a user's mistake is one sentence on standard error and exit status 1."""
    try:
        app(standalone_mode=True)
    except UserError as error:
        _stop(str(error), 1)
    except KeyboardInterrupt:
        _stop("interrupted; nothing half-written was left behind.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _stop(sentence: str, status: int) -> None:
    print(f"ropewalk: {sentence}", file=sys.stderr)
    sys.exit(status)
