"""The demo's report: one html page that needs nothing but itself."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.system.files import write_atomically

if TYPE_CHECKING:
    from ropewalk.traces.trace import Trace

PAGE = Template("""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>ropewalk: a first look</title>
<style>
  :root { color-scheme: light dark }
  body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  img { width: 100%; background: #fff; border-radius: 6px }
  table { border-collapse: collapse } td, th { padding: .2rem .8rem; text-align: right } th:first-child { text-align: left }
  td:first-child { text-align: left } tr + tr { border-top: 1px solid #8884 } .note { opacity: .75 }
</style>
<h1>How far apart does a model think its tokens are?</h1>
<p>An ordinary model puts every token one step after the last. In these models a small network decides the length of
each step, and training decides the network. Each row below is a layer; a wide gap is a place where the layer moves
far ahead. Rows are scaled to a mean step of 1: compare patterns, not levels.</p>
$pictures
<p class="note">The bundled model: $origin. It is one model from one seed; what its rows show is not yet a claim.</p>
<h2>A model learning to space code, from even steps on</h2>
<p>A model of $parameters parameters read Python's own sources on this machine for $minutes:
$losses. Its increments left 1 as it went:</p>
<p><img src="$film" alt="The same lines of code during training"></p>
$spacing
<p class="note">Mean increment by kind of character in the sample, before and after; 1 is an ordinary step. One short run.</p>
<h2>Go on</h2>
<p><code>ropewalk show "your own sentence"</code> &nbsp; <code>ropewalk show --file text.txt --png picture.png</code> &nbsp;
<code>ropewalk train recipes/cpu.toml</code></p>
</html>
""")

KINDS = {
    "letters": str.isalpha,
    "digits": str.isdigit,
    "spaces": lambda c: c == " ",
    "line ends": lambda c: c == "\n",
    "punctuation": lambda c: not c.isalnum() and not c.isspace(),
}


def write(
    out: Path, provenance: dict[str, Any], snapshots: list[Trace], pictures: list[str], parameters: int
) -> None:
    """Writes report.html into `out`, from the pictures there, the run's metrics and the traces along the way."""
    lines = (out / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    metrics = [entry for entry in map(json.loads, lines) if "loss" in entry]
    first, last = metrics[0], metrics[-1]
    page = PAGE.substitute(
        pictures="\n".join(
            f'<p><img src="{_embedded(out / f"{name}.png")}" alt="{html.escape(name)}"></p>'
            for name in pictures
        ),
        origin=html.escape(describe(provenance)),
        parameters=f"{parameters:,}",
        minutes=f"{last['bytes'] / last['bytes_per_second']:.0f} seconds",
        losses=f"{first['bits_per_byte']:.2f} bits per byte at step {first['step']}, "
        f"{last['bits_per_byte']:.2f} at step {last['step']}",
        film=_embedded(out / "film.gif"),
        spacing=_table(snapshots[0], snapshots[-1]),
    )
    write_atomically(out / "report.html", page.encode())


def describe(provenance: dict[str, Any]) -> str:
    """A model's origin in one line."""
    seen = f"{provenance['step']:,} steps" if "step" in provenance else "an unknown number of steps"
    held = provenance.get("validation")
    loss = f", {held:.3f} nats per held-out byte" if held else ""
    return (
        f"{provenance.get('name', 'unnamed')}, {seen}{loss}, weights {str(provenance.get('hash', ''))[:12]}"
    )


def by_kind(trace: Trace, row: np.ndarray) -> dict[str, float]:
    """Mean increment of one line by kind of character; kinds that do not occur are left out."""
    found = {}
    for kind, belongs in KINDS.items():
        of_kind = [row[cell.start] for cell in trace.cells() if cell.text and belongs(cell.text)]
        if of_kind:
            found[kind] = float(np.mean(of_kind))
    return found


def _table(before: Trace, after: Trace) -> str:
    kinds = by_kind(after, after.increments[0])
    head = "".join(f"<th>{kind}" for kind in kinds)
    rows = [
        f"<tr><td>all layers, before{''.join(f'<td>{v:.2f}' for v in by_kind(before, before.increments[0]).values())}"
    ]
    for line, row in zip(after.rows, after.increments, strict=True):
        rows.append(f"<tr><td>{line}, after{''.join(f'<td>{v:.2f}' for v in by_kind(after, row).values())}")
    return f"<table><tr><th>line{head}{''.join(rows)}</table>"


def _embedded(path: Path) -> str:
    return f"data:image/{path.suffix[1:]};base64,{base64.b64encode(path.read_bytes()).decode()}"
