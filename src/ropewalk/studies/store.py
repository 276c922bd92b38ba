"""The store: every table of a study, made once from the trained models and kept in its folder.

A table is named group/variant/table. It is made again only when its models or the code behind it changed, or on
request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ropewalk.analyses.result import Result
from ropewalk.errors import UserError
from ropewalk.experiments._source import source_hash
from ropewalk.native.model_folder import read_config
from ropewalk.system.files import sha256


@dataclass(frozen=True)
class Entry:
    """A table to make: its name, the models it is about and those it compares them with (folders, or files known by
    their hash), the module whose code decides its verdict, and how it is made."""

    id: str
    models: tuple[Path, ...]
    compared: tuple[Path, ...]
    source: str
    make: Callable[[], list[Result]]


def compute(
    entries: Iterable[Entry], out: Path, command: str, report: Callable[[str], None], only: str | None = None
) -> None:
    """Makes what is missing or out of date; only: one table, made in any case. UserError for an unknown one."""
    entries = list(entries)
    if only is not None and only not in {entry.id for entry in entries}:
        raise UserError(
            f"the study has no table '{only}'; its tables are {', '.join(e.id for e in entries)}."
        )
    for entry in entries:
        stamp = _stamp(entry)
        if entry.id != only and (only is not None or _fresh(entry.id, out, stamp)):
            continue
        report(entry.id)
        for result in entry.make():
            path = out / "tables" / entry.id / f"{result.name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            provenance = {**result.provenance, **stamp}
            replace(result, command=f"{command} --table '{entry.id}'", provenance=provenance).save(path)


def results(entries: Iterable[Entry], out: Path) -> dict[str, list[Result]]:
    """What is made so far, by name."""
    made = {entry.id: _kept(entry.id, out) for entry in entries}
    return {name: kept for name, kept in made.items() if kept}


def outdated(tables: Iterable[dict[str, Any]]) -> list[str]:
    """Which saved tables (as JSON) have a verdict by code that has changed since; those that do not say are among them."""
    found = []
    for table in tables:
        provenance = table.get("provenance", {})
        source, code = provenance.get("source"), provenance.get("code")
        if source is None or source_hash(source) != code:
            found.append(str(table.get("id", table.get("name"))))
    return found


def _stamp(entry: Entry) -> dict[str, Any]:
    """What a fresh table says: the hashes of its models and of its code."""
    hashes = {
        name: [sha256(m) if m.is_file() else read_config(m)["weights"]["sha256"] for m in paths]
        for name, paths in (("models", entry.models), ("compared", entry.compared))
    }
    return {**hashes, "source": entry.source, "code": source_hash(entry.source)}


def _fresh(name: str, out: Path, stamp: dict[str, Any]) -> bool:
    """True for tables that are complete and made from these models by this code."""
    try:
        kept = _kept(name, out)
    except UserError:
        return False
    return bool(kept) and all(
        all(result.provenance.get(key) == value for key, value in stamp.items()) for result in kept
    )


def _kept(name: str, out: Path) -> list[Result]:
    return [Result.load(path) for path in sorted((out / "tables" / name).glob("*.json"))]
