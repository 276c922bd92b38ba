"""The command line: one file per group of commands; each function parses, calls and prints.

Heavy libraries load inside the commands, so that `ropewalk --help` answers at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import typer

from ropewalk.cli import demo, graft, graft_study, measure, model, show, study, trace, train, view
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

for function in (
    show.show,
    trace.trace,
    demo.demo,
    train.prepare,
    train.train,
    model.generate,
    model.info,
    model.freeze,
    view.view,
    view.page,
    view.film,
    view.export_site,
    graft.graft_train,
    graft.probe,
    graft.vocabulary,
    graft.export_llama,
    measure.measure,
    measure.analyse,
    study.study,
    graft_study.graft_study,
):
    app.command()(function)


def main() -> None:
    """Runs the command line. A process that a launcher started ends at once when it is done: an orderly end may abort
    on threads that still wait for the others."""
    if "WORLD_SIZE" not in os.environ:
        return run()
    status = 1
    try:
        run()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def run() -> None:
    """Runs the command line; a user's mistake is one sentence on standard error and a non-zero exit status.

    Status 1: the input or the machine stood in the way; 2: the command was not understood; 130: interrupted.
    """
    from ropewalk.system import allocator

    allocator.keep_freed_memory()
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except UserError as error:
        _stop(str(error), 1)
    except KeyboardInterrupt:
        _stop("interrupted; nothing half-written was left behind.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        from ropewalk.system.available_memory import out_of_memory_message

        if (sentence := out_of_memory_message(error)) is not None:
            _stop(sentence, 1)
        if not hasattr(error, "format_message"):  # what the argument parser raises has it
            raise
        _misunderstood(error.format_message(), getattr(error, "ctx", None))


def _misunderstood(message: str, context: Any) -> None:
    """A wrong option in one sentence; the whole help when nothing was said at all."""
    if message.startswith("Usage:"):
        print(message, file=sys.stderr)
        sys.exit(2)
    words = context.command_path if context is not None else "ropewalk"
    _stop(f"{message.rstrip('.')}; see: {words} --help", 2)


def _stop(sentence: str, status: int) -> None:
    # of the processes that a launcher starts here, one speaks for all
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(f"ropewalk: {sentence}", file=sys.stderr)
    sys.exit(status)
