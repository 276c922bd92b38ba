"""The report as one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

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

STYLE = """
:root{color-scheme:light dark}body{font:16px/1.55 system-ui,sans-serif;max-width:66rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;display:block;overflow-x:auto;font-size:.9rem}td,th{padding:.15rem .7rem;text-align:left}
tr+tr{border-top:1px solid #8884}figure{margin:1rem 0;background:#fff;border-radius:6px}figure>*{width:100%;height:auto}
code{font-size:.85em;overflow-wrap:anywhere}.note{opacity:.75}
"""


def page(report: Report, made: Made, pictures: list[tuple[str, bytes]]) -> str:
    """pictures: caption and PNG."""
    e = html.escape
    parts = [f"<h1>{e(report.title)}</h1><p class=note>{e(report.origin)}</p>", _contents(made)]
    parts.append(_section("In plain words"))
    for head, lines in summary(report, made).items():
        items = "".join(f"<li>{e(line)}" for line in lines)
        parts.append((f"<p><b>{e(head)}</b></p>" if head else "") + f"<ul>{items}</ul>")
    parts.append(_section("Published figures and ours"))
    for section, rows in sections(report.claims).items():
        body = [[row["id"], *cells(row)] for row in rows]
        parts.append(f"<h3>{e(section)}</h3>{_table(['claim', *CLAIM.values()], body)}")
    if report.elsewhere:
        elsewhere = _table(["what", "published", "where"], [list(row) for row in report.elsewhere])
        parts.append(f"<h3>Published, and in no table here</h3>{elsewhere}")
    parts += [_section("Primary endpoints"), "<ul>", *(f"<li>{e(line)}" for line in endpoints(made)), "</ul>"]
    parts += ["<h2>Sentences of our own, as the first model of each kind spaces them</h2>"]
    for name, png in pictures:
        data = base64.b64encode(png).decode()
        parts.append(
            f'<h3>{e(name)}</h3><figure><img alt="{e(name)}" src="data:image/png;base64,{data}"></figure>'
        )
    parts.append(_section("Every table"))
    parts += [_result(name, result) for name, kept in made.items() for result in kept]
    head = (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{e(report.title)}</title><style>{STYLE}</style>'
    )
    return head + "\n".join(parts) + "</html>\n"


def _section(title: str, tag: str = "h2") -> str:
    """A heading that the list of contents can name."""
    return f'<{tag} id="{html.escape(anchor(title))}">{html.escape(title)}</{tag}>'


def _contents(made: Made) -> str:
    """The list of contents; the tables are folded."""

    def links(titles: Iterable[str]) -> str:
        return "".join(f'<li><a href="#{html.escape(anchor(t))}">{html.escape(t)}</a>' for t in titles)

    tables = links(heading(name, result) for name, kept in made.items() for result in kept)
    return f"<ul>{links(SECTIONS)}</ul><details><summary>Tables</summary><ul>{tables}</ul></details>"


def draw_sentences(caption: str, host: Host) -> list[tuple[str, bytes]]:
    """Pictures of our own sentences in a host."""
    found = []
    for text in SENTENCES:
        with TemporaryDirectory() as temporary:
            path = Path(temporary) / "picture.png"
            figure.save(trace(host, text), path)
            found.append((caption, path.read_bytes()))
    return found


def _result(name: str, result: Result) -> str:
    e = html.escape
    parts = [_section(heading(name, result), "h3")]
    if result.primary is not None:
        parts.append(f"<p><b>Primary endpoint.</b> {e(sentence(result.primary))}</p>")
    if result.chart is not None and result.rows:
        svg = chart.render(result).decode()
        parts.append(f"<figure>{svg[svg.index('<svg') :]}</figure>")
    parts.append(_table(list(result.columns.values()), [result.cells(row) for row in result.rows]))
    parts += [f"<p class=note>{e(note)}</p>" for note in result.notes]
    parts.append(f"<p><code>{e(result.command)}</code></p>")
    return "\n".join(parts)


def _table(head: list[str], body: list[list[str]]) -> str:
    rows = ["".join(f"<th>{html.escape(cell)}" for cell in head)]
    rows += ["".join(f"<td>{_code(html.escape(cell))}" for cell in row) for row in body]
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"


def _code(cell: str) -> str:
    return f"<code>{cell[1:-1]}</code>" if cell.startswith("`") and cell.endswith("`") else cell
