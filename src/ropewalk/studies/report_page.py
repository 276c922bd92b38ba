"""The report as one self-contained HTML page."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from io import BytesIO

from ropewalk.analyses.result import Result, sentence
from ropewalk.core.host import Host
from ropewalk.measure.capture import trace
from ropewalk.studies.report import (
    CLAIM,
    SECTIONS,
    SENTENCES,
    Made,
    Report,
    anchor,
    cells,
    endpoints,
    heading,
    sections,
    summary,
)
from ropewalk.views import chart, figure
from ropewalk.views.findings import findings, text_of

Drawing = tuple[str, bytes, str]
"""A picture: its caption, its PNG, and what stands out in it."""
COLORS = 48
STYLE = """
:root{color-scheme:light dark;--paper:light-dark(#fcfaf6,#16150f);--ink:light-dark(#1d1a16,#f1ede2);--soft:light-dark(#6d665b,#a39c8c);
--rule:light-dark(#ded6c8,#37332a);--link:light-dark(#0b57a4,#7fb8f5)}
body{font:1rem/1.55 system-ui,sans-serif;max-width:66rem;margin:0 auto;padding:1.5rem 1rem 4rem;background:var(--paper);color:var(--ink)}
a{color:var(--link)}h2,h3{scroll-margin-top:4rem}h2{margin-top:2.5rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}
tbody tr{border-top:1px solid var(--rule)}figure{margin:1rem 0;max-width:46rem}figure>*{width:100%;height:auto}figure text{font-family:system-ui,sans-serif!important}
code{font-size:.85em;overflow-wrap:anywhere}.note{color:var(--soft);overflow-wrap:anywhere}summary{cursor:pointer;color:var(--soft);min-height:24px}
nav li{padding:2px 0}
.find{position:sticky;top:0;z-index:1;background:var(--paper);padding:.5rem 0;border-bottom:1px solid var(--rule);display:flex;gap:.6rem;flex-wrap:wrap;align-items:center}
.find input{font:inherit;flex:1 1 14rem;min-width:0;padding:.3rem .6rem;border:1px solid var(--soft);border-radius:7px;background:none;color:inherit}
[hidden]{display:none!important}
@media (prefers-color-scheme:dark){figure>*{filter:invert(.92) hue-rotate(180deg)}}
@media print{.find{display:none}body{max-width:none}}
"""
SCRIPT = """
const box = document.querySelector(".find input"), count = document.querySelector(".find output"), rows = [...document.querySelectorAll("tbody tr")];
box.addEventListener("input", () => {
  const words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const around = row.closest("section")?.dataset.title || "", text = (around + " " + row.textContent).toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    shown += !row.hidden;
  }
  for (const part of document.querySelectorAll("section")) part.hidden = words.length > 0 && !part.querySelector("tbody tr:not([hidden])");
  count.textContent = words.length ? shown + " of " + rows.length + " rows" : "";
});
document.querySelector(".find").hidden = false;
"""


def page(report: Report, made: Made, pictures: list[Drawing]) -> str:
    """pictures: caption, PNG and what stands out in it."""
    e = html.escape
    parts = [f"<h1>{e(report.title)}</h1>", _section("In plain words")]
    for head, lines in summary(report, made).items():
        items = "<ul>" + "".join(f"<li>{e(line)}" for line in lines) + "</ul>"
        parts.append(f"<details><summary>{e(head)}</summary>{items}</details>" if head else items)
    parts += [_contents(made), _section("Published figures and ours")]
    for section, rows in sections(report.claims).items():
        body = [[row["id"], *cells(row)] for row in rows]
        parts.append(_titled(section, f"<h3>{e(section)}</h3>{_table(['claim', *CLAIM.values()], body)}"))
    if report.elsewhere:
        elsewhere = _table(["what", "published", "where"], [list(row) for row in report.elsewhere])
        title = "Published, and in no table here"
        parts.append(_titled(title, f"<h3>{title}</h3>{elsewhere}"))
    parts += [_section("Primary endpoints"), "<ul>", *(f"<li>{e(line)}" for line in endpoints(made)), "</ul>"]
    if pictures:
        parts += ["<h2>Sentences of our own, as the first model of each kind spaces them</h2>"]
    for name, png, found in pictures:
        data = base64.b64encode(png).decode()
        parts.append(
            f'<h3>{e(name)}</h3><figure><img alt="{e(f"{name} {found}")}" src="data:image/png;base64,{data}"></figure>'
        )
    parts.append(_section("Every table"))
    parts += [_result(name, result) for name, kept in made.items() for result in kept]
    parts.append(f"<p class=note>{e(report.origin)}</p>")
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{e(report.title)}</title>'
        f"<style>{STYLE}</style></head><body><main>"
    )
    return head + "\n".join(parts) + f"</main><script>{SCRIPT}</script></body></html>\n"


def _titled(title: str, content: str) -> str:
    """Tables that the filter finds by their title as well."""
    return f'<section data-title="{html.escape(title)}">{content}</section>'


def _section(title: str, tag: str = "h2") -> str:
    """A heading that the list of contents can name."""
    return f'<{tag} id="{html.escape(anchor(title))}">{html.escape(title)}</{tag}>'


def _contents(made: Made) -> str:
    """The list of contents; the tables are folded."""

    def links(titles: Iterable[str]) -> str:
        return "".join(f'<li><a href="#{html.escape(anchor(t))}">{html.escape(t)}</a>' for t in titles)

    tables = links(heading(name, result) for name, kept in made.items() for result in kept)
    find = (
        '<div class="find" hidden><label for="find">Filter the tables</label>'
        '<input id="find" type="search" placeholder="words, such as: names replicated"><output></output></div>'
    )
    contents = f"<ul>{links(SECTIONS)}</ul><details><summary>Tables</summary><ul>{tables}</ul></details>"
    return f'<nav aria-label="Contents">{contents}</nav>{find}'


def draw_sentences(caption: str, host: Host) -> list[Drawing]:
    """Pictures of our own sentences in a host, in few colors: a page holds several."""
    from PIL import Image

    found = []
    for text in SENTENCES:
        shown, out = trace(host, text), BytesIO()
        drawn = Image.open(BytesIO(figure.png(shown, title=f"How far apart {caption} sets its tokens")))
        drawn.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
        found.append((f"{caption}: {text}", out.getvalue(), text_of(findings(shown))))
    return found


def _result(name: str, result: Result) -> str:
    e = html.escape
    parts = [_section(heading(name, result), "h3")]
    if result.primary is not None:
        parts.append(f"<p><b>Primary endpoint.</b> {e(sentence(result.primary))}</p>")
    if result.chart is not None and result.rows:
        svg = chart.render(result, letters=True).decode()
        svg = svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{e(result.title)}"', 1)
        parts.append(f"<figure>{svg}</figure>")
    parts.append(_table(list(result.columns.values()), [result.cells(row) for row in result.rows]))
    parts += [f"<p class=note>{e(note)}</p>" for note in result.notes]
    parts.append(f"<details><summary>command</summary><code>{e(result.command)}</code></details>")
    return _titled(heading(name, result), "\n".join(parts))


def _table(head: list[str], body: list[list[str]]) -> str:
    titles = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    rows = [
        "<tr>" + "".join(f"<td>{_code(html.escape(cell))}</td>" for cell in row) + "</tr>" for row in body
    ]
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table">'
        f"<table><thead><tr>{titles}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _code(cell: str) -> str:
    """A command is folded: it is long, and the same for many rows."""
    if not (cell.startswith("`") and cell.endswith("`")):
        return cell
    return f"<details><summary>command</summary><code>{cell[1:-1]}</code></details>"
