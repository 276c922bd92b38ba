"""The Result: one table with its primary endpoint, its figure, and the command that reproduces it.

A Result is plain values: rows of names and numbers. `views.chart` draws it. Everything but the primary endpoint is
exploratory.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ropewalk.analyses.statistics import Estimate
from ropewalk.errors import UserError
from ropewalk.system.files import read_whole, write_atomically

SCHEMA = 2
Cell = str | float | int | bool | None


@dataclass(frozen=True)
class Endpoint:
    """The one number that was named before the measurement.

    what: what it is, with its unit. null: what the value must lie beyond; without random networks, what it would be if
    there were nothing. verdict: words that follow from interval, null and p by code. p: of the test that decides, where
    that is another one than the interval.
    """

    what: str
    estimate: Estimate
    null: float
    verdict: str
    p: float | None = None


@dataclass(frozen=True)
class Chart:
    """What to draw of the rows: `x` and `y` columns, one series per value of `by`, bars or lines.

    Intervals are drawn where the result has them for `y`; `base` is a level to mark (chance, 1); `where` keeps
    the rows with these values.
    """

    kind: str
    x: str
    y: str
    by: str | None = None
    base: float | None = None
    where: dict[str, Cell] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A table. columns: key -> heading with unit. rows: one value per column, None where undefined.

    intervals: the columns that have one; a row holds it as key_low and key_high. notes: sentences a reader needs.
    command: what reproduces the numbers. provenance: plain JSON, with the hash of the code behind the verdict as "code"
    where an experiment made it.
    """

    name: str
    title: str
    columns: dict[str, str]
    rows: tuple[dict[str, Cell], ...]
    intervals: tuple[str, ...] = ()
    primary: Endpoint | None = None
    chart: Chart | None = None
    notes: tuple[str, ...] = ()
    command: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ends = [f"{key}_{end}" for key in self.intervals for end in ("low", "high")]
        rows = tuple({key: _plain(row.get(key)) for key in [*self.columns, *ends]} for row in self.rows)
        object.__setattr__(self, "rows", rows)

    def by_command(self, command: str) -> Result:
        """The same table, with the command that reproduces it."""
        return replace(self, command=command)

    def find(self, **wanted: Cell) -> dict[str, Cell]:
        """The first row with these values. UserError when there is none."""
        for row in self.rows:
            if all(row.get(key) == value for key, value in wanted.items()):
                return row
        raise UserError(
            f"the table '{self.name}' has no row with {wanted}; its columns are {list(self.columns)}."
        )

    def cells(self, row: dict[str, Cell]) -> list[str]:
        """A row as text: a value with its interval in one cell."""
        found = []
        for key in self.columns:
            text = shown(row[key])
            if key in self.intervals and row[f"{key}_low"] is not None:
                text += f" [{shown(row[f'{key}_low'])}, {shown(row[f'{key}_high'])}]"
            found.append(text)
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values; undefined numbers are null."""
        primary = None
        if self.primary is not None:
            e = self.primary.estimate
            primary = {
                "what": self.primary.what,
                **{
                    key: _plain(value)
                    for key, value in (("value", e.value), ("low", e.low), ("high", e.high))
                },
                "null": _plain(self.primary.null),
                "verdict": self.primary.verdict,
                "p": _plain(self.primary.p),
            }
        return {
            "schema": SCHEMA,
            "name": self.name,
            "title": self.title,
            "columns": self.columns,
            "rows": list(self.rows),
            "intervals": list(self.intervals),
            "primary": primary,
            "chart": None if self.chart is None else vars(self.chart),
            "notes": list(self.notes),
            "command": self.command,
            "provenance": self.provenance,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Result:
        """The inverse of `to_json`. UserError for anything else."""
        try:
            if data["schema"] != SCHEMA:
                raise ValueError(f"schema {data['schema']}, expected {SCHEMA}")
            primary = data["primary"]
            if primary is not None:
                e = Estimate(_number(primary["value"]), _number(primary["low"]), _number(primary["high"]))
                primary = Endpoint(
                    _word(primary["what"]),
                    e,
                    _number(primary["null"]),
                    _word(primary["verdict"]),
                    None if primary["p"] is None else _number(primary["p"]),
                )
            chart = None if data["chart"] is None else Chart(**data["chart"])
            return Result(
                _word(data["name"]),
                _word(data["title"]),
                {key: _word(heading) for key, heading in data["columns"].items()},
                tuple({key: _cell(value) for key, value in row.items()} for row in data["rows"]),
                tuple(map(_word, data["intervals"])),
                primary,
                chart,
                tuple(map(_word, data["notes"])),
                _word(data["command"]),
                dict(data["provenance"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UserError(
                f"expected a saved result, got something else ({error}); measure it again."
            ) from error

    def save(self, path: str | Path) -> None:
        """Writes the result as JSON, atomically; the same result gives the same bytes."""
        text = json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
        write_atomically(path, text.encode() + b"\n")

    @staticmethod
    def load(path: str | Path) -> Result:
        """Reads a saved result."""
        try:
            data = json.loads(read_whole(path))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path} is no readable result ({error}); measure it again.") from error
        return Result.from_json(data)

    def markdown(self) -> str:
        """The table, its primary endpoint, its notes and its command, as Markdown."""
        lines = [f"| {' | '.join(self.columns.values())} |", "|" + "---|" * len(self.columns)]
        for row in self.rows:
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in self.cells(row)) + " |")
        parts = ["\n".join(lines)]
        if self.primary is not None:
            parts.append("**Primary endpoint.** " + sentence(self.primary))
        parts += [f"{note}" for note in self.notes]
        if self.command:
            parts.append(f"    {self.command}")
        return "\n\n".join(parts) + "\n"

    def __rich__(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(self.title), title_justify="left", box=SIMPLE_HEAD)
        for heading in self.columns.values():
            table.add_column(heading, overflow="fold")
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in self.cells(row)))
        below = [f"Primary endpoint: {sentence(self.primary)}"] if self.primary else []
        below += [*self.notes, *([f"Command: {self.command}"] if self.command else [])]
        return Group(table, *(Text(line) for line in below))


def sentence(endpoint: Endpoint) -> str:
    """The endpoint in words: what, value, interval, verdict."""
    e = endpoint.estimate
    inside = f" [{shown(e.low)}, {shown(e.high)}]" if math.isfinite(e.low) else ""
    p = "" if endpoint.p is None else f", p = {shown(endpoint.p)}"
    return (
        f"{endpoint.what}: {shown(e.value)}{inside}, against {shown(endpoint.null)}{p}: {endpoint.verdict}."
    )


def shown(value: Cell) -> str:
    """A cell as text: four digits, an empty string where undefined."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if 1e-3 <= abs(value) < 100 or value == 0 else f"{value:.3g}"
    return str(value)


def _plain(value: Any) -> Cell:
    """A JSON value: NumPy scalars become Python's, numbers that are not finite become None."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where text belongs")
    return value


def _cell(value: Any) -> Cell:
    if not isinstance(value, str | float | int | bool | None):
        raise TypeError(f"{type(value).__name__} in a row")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError("true or false where a number belongs")
    return float("nan") if value is None else float(value)
