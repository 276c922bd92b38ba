"""The one reader of TOML: recipes, studies, and `section.key=value` overrides from a command line.

A file of at most 1 MB, in UTF-8, with or without a byte order mark. `validate` turns a table into a settings class and
accepts exactly the types it declares: a boolean is no number, a number is no text. Errors name the file, the line and
the key, and say what to do.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ropewalk.errors import RECIPES, UserError, first_problem
from ropewalk.system.files import read_whole

MAX_BYTES = 1 << 20
HEADER = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
ASSIGNMENT = re.compile(r"^\s*([\w.\-\"' ]+?)\s*=")

Settings = TypeVar("Settings", bound=BaseModel)


@dataclass
class TomlFile:
    """A parsed file: its table, and what is needed to say where a key of it stands."""

    path: Path
    what: str
    table: dict[str, Any]
    lines: list[str]
    overrides: dict[str, str] = field(default_factory=dict)

    def override(self, setting: str) -> None:
        """Put one `section.key=value` into the table."""
        self.overrides[apply_override(self.table, setting)] = setting

    def validate(self, settings: type[Settings], hint: str) -> Settings:
        """The table as a settings class; UserError with file, line and key for the first thing that does not fit."""
        try:
            return validate(settings, self.table)
        except ValidationError as error:
            key = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise UserError(
                f"invalid {self.what} {self.path}{self._place(key)}: {first_problem(error)}; {hint}."
            ) from error

    def _place(self, key: str) -> str:
        for name, setting in self.overrides.items():
            if key == name or key.startswith(f"{name}."):
                return f" with --set {setting}"
        number = line_of(self.lines, key)
        return f", line {number}" if number else ""


def read_toml(path: str | Path, what: str = "recipe", overrides: list[str] | None = None) -> TomlFile:
    """The table of a TOML file with overrides applied. what: how errors call the file, such as "study"."""
    path = Path(path)
    try:
        data = read_whole(path, limit=MAX_BYTES)
        text = data.decode("utf-8-sig")
        read = TomlFile(path, what, tomllib.loads(text), text.splitlines())
    except FileNotFoundError as error:
        raise UserError(
            f"the {what} {path} does not exist; give the path of a TOML file, or take one from {RECIPES}."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"the {what} {path} is not readable TOML: {error}; correct the file.") from error
    for setting in overrides or []:
        read.override(setting)
    return read


def validate(settings: type[Settings], table: dict[str, Any]) -> Settings:
    """A table as a settings class. Types must match exactly, as in JSON: no number for a boolean, no text for a number."""
    return settings.model_validate_json(json.dumps(table, default=str), strict=True)


def apply_override(table: dict[str, Any], setting: str) -> str:
    """Put one `section.key=value` into a table: a TOML value, or a bare word. Returns the key."""
    key, equals, text = setting.partition("=")
    names = [name.strip() for name in key.split(".")]
    if not equals or len(names) < 2 or not all(names):
        raise UserError(f"cannot read the override '{setting}': write it as section.key=value.")
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except (tomllib.TOMLDecodeError, RecursionError):
        value = text.strip()
    *sections, last = names
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise UserError(f"cannot override '{key.strip()}': '{section}' is no section.")
    table[last] = value
    return ".".join(names)


def line_of(lines: list[str], key: str) -> int | None:
    """The line, from 1, that sets a dotted key, or the longest part of it that any line sets; None for none."""
    best, found = 0, None
    section: list[str] = []
    wanted = key.split(".")
    for number, line in enumerate(lines, 1):
        if header := HEADER.match(line):
            section, names = _names(header[1]), []
        elif assignment := ASSIGNMENT.match(line):
            names = _names(assignment[1])
        else:
            continue
        path = section + names
        if len(path) > best and path == wanted[: len(path)]:
            best, found = len(path), number
    return found


def _names(text: str) -> list[str]:
    return [name.strip().strip("\"'") for name in text.split(".")]
