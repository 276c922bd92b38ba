"""Options that several commands share, and groups of options.

A group is a dataclass whose fields are options; a command that takes one as a parameter and is decorated with
`option_groups` has an option for each field. Groups keep the functions' own parameters few.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from ropewalk.cli.printing import echo
from ropewalk.errors import UserError

if TYPE_CHECKING:
    from ropewalk.core.host import Host
    from ropewalk.tokens.tokenized_text import TokenizedText
    from ropewalk.traces.trace import Trace

Function = TypeVar("Function", bound=Callable[..., Any])

ModelArgument = Annotated[
    str, typer.Argument(help="A model: a bundled name, a folder, or a Hugging Face name.")
]
ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="A bundled name, a folder, or a Hugging Face name.")
]
GraftFolder = Annotated[
    Path | None, typer.Option(help="A folder of trained increments to put onto the model.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Set one key of the recipe: section.key=value; may be repeated."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
StartTokens = Annotated[
    str,
    typer.Option(
        metavar="auto|bos|none|ID",
        help="The tokens before the text: auto (those the tokenizer adds), bos, none, or the token with this ID.",
    ),
]


def option_groups(function: Function) -> Function:
    """Give a command one option for each field of the dataclasses among its parameters."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    parameters = []
    for name, own in inspect.signature(function).parameters.items():
        if name not in groups:
            parameters.append(own.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        fields = get_type_hints(groups[name], include_extras=True)
        for field in dataclasses.fields(groups[name]):
            parameters.append(
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=field.default,
                    annotation=fields[field.name],
                )
            )

    @functools.wraps(function)
    def command(**given: Any) -> Any:
        for name, group in groups.items():
            values = {field.name: given.pop(field.name) for field in dataclasses.fields(group)}
            given[name] = group(**values)
        return function(**given)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command  # type: ignore[return-value]


@dataclass(frozen=True)
class TextInput:
    """The text of a command: an argument, a file, or standard input."""

    text: Annotated[str | None, typer.Argument(help="The text; '-' or nothing reads standard input.")] = None
    file: Annotated[
        list[str] | None,
        typer.Option(
            help="Read a file or a pattern such as 'letters/*.txt': text, .csv, .tsv, .jsonl or .ipynb; may be repeated."
        ),
    ] = None

    text_key: Annotated[
        str | None, typer.Option(help="The key or column of the text in .jsonl, .csv and .tsv files.")
    ] = None

    def read(self) -> str:
        """The text. UserError when there is none, or more than one source is named."""
        from ropewalk.system.text_files import read_text

        if self.text is not None and self.file:
            raise UserError("give either a text or --file, not both.")
        if self.file and self.file != ["-"]:
            from ropewalk.corpus.files import read_files

            found = read_files(self.file, self.text_key)
        elif self.text is not None and self.text != "-":
            found = _argument(self.text)
        elif sys.stdin is None:
            raise UserError("standard input is closed; give a text, or a file with --file.")
        elif self.text == "-" or self.file or not sys.stdin.isatty():
            found = read_text(sys.stdin.buffer.read())
        else:
            raise UserError('no text given; write it in quotes, as in: ropewalk show "The cat sat."')
        if not found:
            raise UserError("the text is empty: expected at least one character; give some text.")
        return found


def _argument(text: str) -> str:
    """An argument as UTF-8, where the locale knows ASCII only and Python has kept its other bytes as surrogates."""
    try:
        return os.fsencode(text).decode() if any("\udc80" <= c <= "\udcff" for c in text) else text
    except UnicodeError:
        return text


@dataclass(frozen=True)
class ReadingOptions:
    """How a text becomes tokens."""

    start: StartTokens = "auto"
    ids: Annotated[
        bool, typer.Option("--ids", help="The text holds token ids, such as '504 1690 374', not words.")
    ] = False
    chat: Annotated[
        bool, typer.Option("--chat", help="Put the text into the model's chat template, as a user's turn.")
    ] = False

    @property
    def plain(self) -> bool:
        """Whether the text is read as it is."""
        return not (self.ids or self.chat)

    def read(self, host: Host, content: str) -> tuple[str, TokenizedText]:
        """The text and its tokens as `host` reads it. Warns of token ids that the tokenizer would not make."""
        from ropewalk.tokens import token_ids
        from ropewalk.tokens.host_text import encode_for
        from ropewalk.tokens.tokenizer import read_start

        start = read_start(self.start)
        if self.ids and self.chat:
            raise UserError("give either --ids or --chat, not both: ids are read as they are.")
        if self.plain:
            return content, encode_for(host, content, start=start)
        if host.tokenizer is None:
            raise UserError("this model has no tokenizer; leave out --ids and --chat.")
        if self.chat:
            return token_ids.chat_tokens(host.tokenizer, content, start)
        text, tokens = token_ids.read_token_ids(host.tokenizer, token_ids.read_numbers(content), start)
        changed = token_ids.changed_tokens(host.tokenizer, text, tokens)
        if changed:
            echo(
                f"{changed} of {len(tokens.ids)} token ids are not what the tokenizer makes of this text; the model has "
                "rarely seen such tokens.",
                err=True,
            )
        return text, tokens


@dataclass(frozen=True)
class TraceFiles:
    """The files that a trace is written to, one option for each format."""

    png: Annotated[Path | None, typer.Option(help="Write the figure as PNG.")] = None
    svg: Annotated[Path | None, typer.Option(help="Write the figure as SVG.")] = None
    pdf: Annotated[Path | None, typer.Option(help="Write the figure as PDF.")] = None
    html: Annotated[Path | None, typer.Option(help="Write an interactive page: one file, offline.")] = None
    json: Annotated[Path | None, typer.Option(help="Write the trace as JSON (or .json.gz).")] = None
    csv: Annotated[Path | None, typer.Option(help="Write a table, one line for each row and token.")] = None

    @property
    def paths(self) -> dict[str, Path]:
        """The formats asked for."""
        return {name: path for name, path in dataclasses.asdict(self).items() if path is not None}

    def check(self) -> None:
        """UserError for a file that cannot be written, before any work is done."""
        for suffix, path in self.paths.items():
            writable(path, suffix)

    def write(self, trace: Trace, more: dict[str, Any] | None = None, **style: Any) -> None:
        """Write every format asked for. more: what the page adds, see `ropewalk.views.page.details`. style: of figures,
        see `ropewalk.views.figure.save`; its layers are also those of the page.
        """
        from ropewalk.system.files import write_atomically

        for suffix, path in self.paths.items():
            if suffix == "html":
                from ropewalk.views import page

                write_atomically(
                    path, page.html(trace, more=[more or {}], layers=style.get("layers")).encode()
                )
            elif suffix == "json":
                trace.save(path)
            elif suffix == "csv":
                trace.to_csv(path)
            else:
                from ropewalk.views import figure

                figure.save(trace, path, **style)


def writable(path: Path | None, suffix: str) -> None:
    """UserError for an output file that cannot be written, before any work is done.

    suffix: how the file must end, which is also the name of its option (`.json.gz` is as good as `.json`).
    """
    if path is None:
        return
    if os.path.isdir(path):
        raise UserError(f"{path} is a folder; name the file to write, as in {path / f'trace.{suffix}'}.")
    if path.name.removesuffix(".gz").rpartition(".")[2].lower() != suffix:
        raise UserError(f"--{suffix} writes a file that ends in .{suffix}, got {path.name}; rename it.")
    if not os.path.isdir(path.parent):
        raise UserError(f"cannot write {path}: the folder {path.parent} does not exist; make it first.")
    if not os.access(path if os.path.exists(path) else path.parent, os.W_OK):
        raise UserError(f"cannot write {path}: permission denied; name a file in a folder of yours.")


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """UserError when an option has a value that it does not know."""
    if value not in allowed:
        raise UserError(f"{name} must be one of {', '.join(allowed)}, got '{value}'.")
