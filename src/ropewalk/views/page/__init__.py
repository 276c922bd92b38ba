"""One self-contained html page for one or several traces: markup, style, script and data in a single file.

The page makes no network request and carries a content security policy that forbids it any. Text enters the
document only as text. Accepted kinds: those of `views.scene`. `bundler` bundles its script.
"""

import base64
import hashlib
import html as escaping
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Any, Literal

from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace
from ropewalk.views.cursive import join_cursive, right_to_left
from ropewalk.views.findings import findings
from ropewalk.views.kinds import describe
from ropewalk.views.labels import explain, visible
from ropewalk.views.overlays import Overlay
from ropewalk.views.page.bundler import bundle
from ropewalk.views.page.minify import minify_css
from ropewalk.views.rows import choose
from ropewalk.views.scene import ACCEPTS

__all__ = ["ACCEPTS", "document", "entry", "film", "html", "note"]

LONGEST_LABEL = 12
PAGE, SEVERAL = "views/page/page.js", "views/page/several.js"
FILM, NOTE = "views/page/film.js", "views/page/note.js"
OFFLINE = "default-src 'none'; img-src data: blob:; base-uri 'none'; form-action 'none'"


def html(
    traces: Trace | Sequence[Trace],
    overlays: Sequence[Overlay] = (),
    *,
    names: Sequence[str] | None = None,
    title: str | None = None,
    more: Sequence[Mapping[str, Any]] = (),
    view: Literal["one", "side"] = "side",
    layers: Sequence[int] | None = None,
) -> str:
    """The page as one string of html, to be written to a file and opened by a double click.

    traces: one, or several to be compared (two models, seeds, texts, sets of layers, a trace and its probe).
    overlays: boundaries; each is drawn on the traces of its own text. names: what the traces are called, in
    order; by default their models. view: of several traces, the first alone, or two next to each other. more: what
    `views.page.details` adds to each trace. layers: shown at first; the page can show the others, too. UserError for no
    trace, for a kind that cannot be drawn as distances, for a wrong number of names and for layers that a trace lacks.
    """
    entries = _entries(traces, overlays, names, layers)
    for one, extra in zip(entries, more, strict=False):
        one.update(extra)
    module = PAGE if len(entries) == 1 else SEVERAL
    payload = {"mode": "page", "view": view, "layers": layers, "entries": entries}
    return document(payload, title=title, module=module)


def film(traces: Sequence[Trace], names: Sequence[str], *, title: str | None = None) -> str:
    """The page with a player: the traces, all of one text and the same rows, are frames in order of time."""
    first = traces[0] if traces else None
    for trace in traces:
        same = first is not None and trace.text == first.text and trace.rows == first.rows
        if not same:
            raise UserError(
                "expected frames of one text with the same rows, got different ones; trace the same text "
                "with every checkpoint of one run."
            )
    return document({"mode": "film", "entries": _entries(traces, (), names)}, title=title, module=FILM)


def note(trace: Trace) -> str:
    """The page for the frame of a notebook's output: without title and lead."""
    return document({"mode": "note", "entries": _entries(trace, (), None)}, module=NOTE)


def entry(
    trace: Trace,
    name: str | None = None,
    overlays: Sequence[Overlay] = (),
    layers: Sequence[int] | None = None,
) -> dict[str, Any]:
    """One trace as the script reads it: the trace's own file as text, its cells with labels, its overlays, what stands out.

    A cell is [first token, end token, text, label]; labels are safe to draw, and an endless one is cut.
    """
    trace.require(*ACCEPTS)
    cells = trace.cells()
    labels = [visible(cell.text) for cell in cells]
    labels = [one if len(one) <= LONGEST_LABEL else one[:LONGEST_LABEL] + "…" for one in labels]
    leftward = right_to_left(trace.text)
    return {
        "name": name or str(trace.provenance.get("name") or "unnamed model"),
        "file": trace.dumps().decode(),
        "cells": [
            [c.start, c.end, c.text, label]
            for c, label in zip(cells, join_cursive(labels) if leftward else labels, strict=True)
        ],
        "symbols": explain(labels),
        "leftward": leftward,
        "overlays": [one.as_json() for one in overlays if one.text == trace.text],
        "words": asdict(describe(trace)),
        "findings": [one.as_json() for one in findings(choose(trace, layers))],
    }


def document(
    payload: dict[str, Any],
    *,
    title: str | None = None,
    module: str = PAGE,
    policy: str = OFFLINE,
    allow: str = "",
    head: str = "",
) -> str:
    """The markup with style, script and payload inside; `module` is the script's entry, see `bundler.bundle`.

    policy: the content security policy, to which the hashes of style and script are added; allow: more
    sources for scripts in it; head: more elements for the document's head, trusted markup.
    """
    home = files(__name__)
    style = minify_css(home.joinpath("style.css").read_text("utf-8"))
    script = f"(() => {{\n{bundle(module)}}})();\n"
    data = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, code in (("<", "\\u003c"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029")):
        data = data.replace(character, code)
    slots = {
        "title": escaping.escape(title or "How far apart does a model think its tokens are? · ropewalk"),
        "policy": f"{policy}; script-src {_hash(script)} {allow}; style-src {_hash(style)}",
        "head": _preview(payload, title) + head,
        "style": style,
        "data": data,
        "script": script,
    }
    page = home.joinpath("shell.html").read_text("utf-8")
    pieces = page.split("{{")
    return pieces[0] + "".join(slots[name] + rest for name, rest in (p.split("}}", 1) for p in pieces[1:]))


def _preview(payload: dict[str, Any], title: str | None) -> str:
    """What messengers and search engines show of a link to the page: its title and what stands out."""
    if not payload["entries"]:
        return ""
    first = payload["entries"][0]
    heading = escaping.escape(title or first["words"]["title"])
    found = escaping.escape(" ".join(one["text"] for one in first["findings"])[:300])
    return (
        f'<meta property="og:type" content="website"><meta property="og:title" content="{heading}">\n'
        f'<meta name="description" property="og:description" content="{found}">\n'
    )


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _entries(
    traces: Trace | Sequence[Trace],
    overlays: Sequence[Overlay],
    names: Sequence[str] | None,
    layers: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    given = [traces] if isinstance(traces, Trace) else list(traces)
    if not given:
        raise UserError("expected at least one trace for the page, got none; trace a text first.")
    if names is not None and len(names) != len(given):
        raise UserError(f"expected {len(given)} names, one per trace, got {len(names)}; name every trace.")
    named: Sequence[str | None] = names or [None] * len(given)
    return [entry(trace, name, overlays, layers) for trace, name in zip(given, named, strict=True)]
