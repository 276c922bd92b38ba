"""The commands, grouped by task, and the help of `ropewalk` itself. Libraries load inside the commands."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import typer
import typer.core
import typer.main

from ropewalk.cli import (
    demo,
    export,
    gallery,
    graft_study,
    graft_train,
    import_published,
    measure,
    model,
    page,
    probe,
    show,
    study,
    trace,
    train,
    verify,
    view,
    vocabulary,
)

GROUPS: dict[str, tuple[Callable[..., Any], ...]] = {
    "Look at a text": (show.show, page.page, view.view, page.film, gallery.gallery, demo.demo),
    "Measure": (trace.trace, measure.measure, measure.analyze, vocabulary.vocabulary),
    "Train": (
        train.prepare,
        train.train_tokenizer,
        train.train,
        train.token_table,
        model.generate,
        model.info,
        study.study,
    ),
    "Hugging Face models": (verify.verify, probe.probe, graft_train.graft_train, graft_study.graft_study),
    "Import and export": (import_published.import_published, export.export_site, export.export_llama),
}

START = """ropewalk measures how far apart a language model thinks its tokens are.

Try:

  ropewalk show "The old bridge over the river was closed in 1987."

  ropewalk show "我在北京大学学习语言学。" --html page.html

  ropewalk view        type a sentence in the browser, and watch the layers

All commands: ropewalk --help. One command: ropewalk show --help."""


class CommandGroup(typer.core.TyperGroup):
    """The `ropewalk` command: its help lists the commands by task."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(len(name) for name in self.commands)
        for title, functions in GROUPS.items():
            names = [command_name(function) for function in functions]
            rows = [(name.ljust(width), _summary(self.commands[name].help or "")) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows)


def command_name(function: Callable[..., Any]) -> str:
    """The command of a function: graft_train is `graft-train`."""
    return function.__name__.replace("_", "-")


def _summary(help_text: str) -> str:
    """The first sentence of a help text, to its first full stop or colon."""
    return re.split(r"[.:](?:\s|$)", " ".join(help_text.partition("\n\n")[0].replace("\b", "").split()))[0]


def _help(function: Callable[..., Any]) -> str:
    r"""The docstring as help: commands (indented paragraphs) keep their lines, marked with \b for the formatter."""
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    return "\n\n".join(f"\b\n{text}" if text.startswith("  ") else text for text in paragraphs)


def _version(asked: bool) -> None:
    if asked:
        from ropewalk import __version__

        typer.echo(f"ropewalk {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="ropewalk",
    cls=CommandGroup,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def start(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Measure how far apart a language model thinks its tokens are."""
    if context.invoked_subcommand is None:
        typer.echo(START)


for functions in GROUPS.values():
    for function in functions:
        app.command(help=_help(function))(function)


def command_group() -> Any:
    """The command line as a click group."""
    return typer.main.get_command(app)
