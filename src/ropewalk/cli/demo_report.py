"""The demo's report: one self-contained HTML page."""

from __future__ import annotations

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
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>ropewalk: a first look</title>
<style>
  :root { color-scheme: light dark; --paper: light-dark(#fcfaf6, #16150f); --ink: light-dark(#1d1a16, #f1ede2); --soft: light-dark(#6d665b, #a39c8c); --rule: light-dark(#ded6c8, #37332a) }
  body { font: 1rem/1.55 system-ui, sans-serif; max-width: 1360px; margin: 0 auto; background: var(--paper); color: var(--ink) }
  .words { padding: 0 28px; max-width: 60rem } .words h2 { margin: 2rem 0 .3rem } .note { color: var(--soft) }
  iframe { width: 100%; border: 0; display: block } .wide { overflow-x: auto }
  table { border-collapse: collapse } td, th { padding: .2rem .8rem; text-align: right } th[scope=row] { text-align: left; font-weight: 400 }
  tbody tr { border-top: 1px solid var(--rule) } caption { text-align: left; color: var(--soft) } code { overflow-wrap: anywhere }
  @media (max-width: 900px) { .words { padding: 0 14px } }
</style></head>
<body>
<main>
<h1 hidden>ropewalk: a first look</h1>
<iframe title="Three sentences, as the bundled model spaces them" srcdoc="$pictures" height="860"></iframe>
<div class="words">
<p class="note">An ordinary model puts every token one step after the last. In this one a small network decides the length of each
step, and training decides the network. The bundled model: $origin. It is one model from one seed; what its rows show is not yet a
claim.</p>
<h2>A model learning to space code, from even steps on</h2>
<p>A model of $parameters parameters read Python's own sources on this machine for $minutes: $losses. Press Play, or drag the
slider, and see its increments leave 1.</p>
</div>
<iframe title="The same lines of code during training" srcdoc="$film" height="720"></iframe>
<div class="words">
<div class="wide">$spacing</div>
<h2>Next</h2>
<ul>
<li><code>ropewalk view</code> opens a page on which you type, and drag gaps to see what the model makes of them.</li>
<li><code>ropewalk show "your own sentence" --html page.html</code> writes a page such as the one above.</li>
<li><code>ropewalk train recipes/cpu.toml</code> trains a model of your own.</li>
</ul>
</div>
</main>
<script>
for (const frame of document.querySelectorAll("iframe")) {
  const watch = () => {
    const app = frame.contentDocument.getElementById("app"), fit = () => { frame.height = app.offsetHeight; };
    new frame.contentWindow.ResizeObserver(fit).observe(app);
  };
  if (frame.contentDocument?.readyState === "complete" && frame.contentDocument.getElementById("app")) watch();
  else frame.addEventListener("load", watch);
}
</script>
</body></html>
""")

KINDS = {
    "letters": str.isalpha,
    "digits": str.isdigit,
    "spaces": lambda c: c == " ",
    "line ends": lambda c: c == "\n",
    "punctuation": lambda c: not c.isalnum() and not c.isspace(),
}


def write(
    out: Path, provenance: dict[str, Any], shown: dict[str, Trace], snapshots: list[Trace], parameters: int
) -> None:
    """Writes report.html into `out`, from traces of the bundled model by name, the run's metrics and the traces on its way."""
    from ropewalk.views import film
    from ropewalk.views import page as pages

    lines = (out / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    metrics = [entry for entry in map(json.loads, lines) if "loss" in entry]
    first, last = metrics[0], metrics[-1]
    page = PAGE.substitute(
        pictures=html.escape(pages.html(list(shown.values()), names=list(shown), view="one")),
        origin=html.escape(describe(provenance)),
        parameters=f"{parameters:,}",
        minutes=f"{last['bytes'] / last['bytes_per_second']:.0f} seconds",
        losses=f"{first['bits_per_byte']:.2f} bits per byte at step {first['step']}, "
        f"{last['bits_per_byte']:.2f} at step {last['step']}",
        film=html.escape(film.page_of(snapshots)),
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
    """Mean increment of one row by kind of character; kinds that do not occur are left out."""
    found = {}
    for kind, belongs in KINDS.items():
        of_kind = [row[cell.start] for cell in trace.cells() if cell.text and belongs(cell.text)]
        if of_kind:
            found[kind] = float(np.mean(of_kind))
    return found


def _table(before: Trace, after: Trace) -> str:
    kinds = by_kind(after, after.increments[0])
    head = "".join(f'<th scope="col">{kind}</th>' for kind in kinds)
    rows = [("all layers, before", by_kind(before, before.increments[0]))]
    rows += [
        (f"{row}, after", by_kind(after, values))
        for row, values in zip(after.rows, after.increments, strict=True)
    ]
    body = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{value:.2f}</td>" for value in found.values())}</tr>'
        for name, found in rows
    )
    return (
        "<table><caption>Mean increment by kind of character in the lines above, before and after; 1 is an ordinary step. One "
        f'short run.</caption><thead><tr><th scope="col">row</th>{head}</tr></thead><tbody>{body}</tbody></table>'
    )
