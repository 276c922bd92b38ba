"""ropewalk verify: whether a model works with ropewalk on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ropewalk.cli.options import ModelArgument, writable
from ropewalk.cli.printing import echo, printable

if TYPE_CHECKING:
    from ropewalk.measure.verify import Check


def verify(
    model: ModelArgument,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16", "auto"],
        typer.Option(
            help="What to compute in; float32 checks most strictly, 'auto' is what the model was saved in."
        ),
    ] = "float32",
    json: Annotated[Path | None, typer.Option(help="Write the rows and the versions as JSON.")] = None,
) -> None:
    """Check that a model works with ropewalk on this machine: one row for each check.

    A fresh graft must change nothing, a detached one must leave nothing, decoding with a cache or padding must give what one
    pass gives, token spans must match the text, and losses must be those of the model itself. The exit status is 1
    where a check fails. Nothing is trained or kept.

    Examples:

      ropewalk verify HuggingFaceTB/SmolLM2-135M

      ropewalk verify ./my-llama --dtype bfloat16 --json my-llama.json
    """
    import json as json_library
    from dataclasses import asdict

    from rich.console import Console

    from ropewalk.loading import load
    from ropewalk.measure.verify import verify as checks
    from ropewalk.system.files import write_atomically

    writable(json, "json")
    host: Any = load(model, dtype=dtype)
    described = _described(host, dtype)
    with Console(stderr=True).status(f"checking {printable(model)}", spinner="line"):
        found = list(checks(host))
    Console().print(_table(str(described["name"]), found))
    if json is not None:
        record = described | {"checks": [asdict(check) for check in found]}
        write_atomically(json, json_library.dumps(record, indent=1, ensure_ascii=False).encode())
        echo(f"wrote {json}", err=True)
    failed = [check.name for check in found if not check.passed]
    if failed:
        echo(f"ropewalk: {model} fails {len(failed)} of {len(found)} checks: {', '.join(failed)}.", err=True)
        raise typer.Exit(1)


def _described(host: Any, dtype: str) -> dict[str, Any]:
    """What was checked, and with what versions."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for package in ("ropewalk", "torch", "transformers", "tokenizers", "peft"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    own = host.describe()
    return {
        "name": own["name"], "architecture": own.get("architecture", "Decoder"), "hash": own["hash"],
        "layers": len({row.layer for row in host.rows}), "dtype": dtype, "versions": versions,
    }  # fmt: skip


def _verdict(check: Check) -> str:
    return "holds" if check.passed else "FAILS"


def _table(name: str, found: list[Check]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table("check", "verdict", "difference", "limit", "detail", title=Text(name))
    for check in found:
        numbers = ["" if value is None else f"{value:.2g}" for value in (check.figure, check.limit)]
        table.add_row(check.name, Text(_verdict(check)), *numbers, Text(check.detail))
    return table
