"""The report: everything a study found, as one html page, as Markdown and as json, from its saved tables.

Published figures stand beside ours in the order of the post. Self-contained; no corpus text, only sentences of
our own. The same tables give the same bytes: no clock is read.
"""

from __future__ import annotations

import base64
import html
import json
import platform
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ropewalk
from ropewalk.analyses.result import Result, sentence, shown
from ropewalk.measure.capture import trace
from ropewalk.native.checkpoint import load_decoder, read_config
from ropewalk.studies import plan
from ropewalk.studies.claims import ELSEWHERE, claims, judge
from ropewalk.studies.result_store import entries, results
from ropewalk.system.files import write_atomically
from ropewalk.views import chart

SENTENCES = (
    "The old bridge over the river was closed in 1987, but New York kept growing.",
    "我们在北京大学学习语言学，周末去图书馆看书。",
)
CLAIM = {
    "published": "published",
    "ours": "ours",
    "seeds": "models",
    "verdict": "verdict",
    "command": "command",
}
STYLE = """
:root{color-scheme:light dark}body{font:16px/1.55 system-ui,sans-serif;max-width:66rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;display:block;overflow-x:auto;font-size:.9rem}td,th{padding:.15rem .7rem;text-align:left}
tr+tr{border-top:1px solid #8884}figure{margin:1rem 0;background:#fff;border-radius:6px}figure>*{width:100%;height:auto}
code{font-size:.85em;overflow-wrap:anywhere}.note{opacity:.75}
"""


def write(study: plan.Study, out: Path) -> dict[str, Any]:
    """Writes report.html, report.md and report.json into `out`; returns what the json holds."""
    made, trained = results(entries(study, out), out), _trained(study, out)
    told: dict[str, Any] = {
        "title": study.study.title,
        "version": ropewalk.__version__,
        "commit": commit(),
        "hardware": hardware(),
        "scale": study.study.scale,
        "plan": plan.table(study),
        "corpus": _corpora(study, out),
        "claims": _claims(study, made),
        "once": _named(trained, lambda had, wanted: had == 1),
        "missing": _named(trained, lambda had, wanted: had < wanted),
        "elsewhere": ELSEWHERE,
        "tables": [{"id": name, **r.to_json()} for name, kept in made.items() for r in kept],
    }
    write_atomically(out / "report.json", json.dumps(told, indent=1, ensure_ascii=False).encode() + b"\n")
    write_atomically(out / "report.md", markdown(told, made).encode())
    write_atomically(out / "report.html", page(told, made, _pictures(study, out)).encode())
    return told


def markdown(told: dict[str, Any], made: dict[str, list[Result]]) -> str:
    """The report as Markdown."""
    parts = [f"# {told['title']}", _origin(told), "## In plain words"]
    parts += [
        "\n".join([*([f"{head}:", ""] if head else []), *(f"- {line}" for line in lines)])
        for head, lines in _summary(told, made).items()
    ]
    parts += ["## Published figures and ours"]
    for section, rows in _sections(told["claims"]).items():
        lines = [f"### {section}", "", "| claim | " + " | ".join(CLAIM.values()) + " |", "|---" * 6 + "|"]
        lines += [f"| {row['id']} | " + " | ".join(_cells(row)) + " |" for row in rows]
        parts.append("\n".join(lines))
    if told["elsewhere"]:
        elsewhere = [f"- {what}: {figure}. Here: {where}." for what, figure, where in told["elsewhere"]]
        parts += ["### Published, and in no table here", "\n".join(elsewhere)]
    parts += ["## Primary endpoints", "\n".join(f"- {line}" for line in _endpoints(made))]
    parts += ["## Every table"]
    parts += [f"### {name}: {r.title}\n\n{r.markdown()}" for name, kept in made.items() for r in kept]
    return "\n\n".join(parts) + "\n"


def page(told: dict[str, Any], made: dict[str, list[Result]], pictures: list[tuple[str, bytes]]) -> str:
    """The report as one html page that needs nothing but itself."""
    e = html.escape
    parts = [f"<h1>{e(told['title'])}</h1><p class=note>{e(_origin(told))}</p>"]
    parts += ["<h2>In plain words</h2>"]
    for head, lines in _summary(told, made).items():
        items = "".join(f"<li>{e(line)}" for line in lines)
        parts.append((f"<p><b>{e(head)}</b></p>" if head else "") + f"<ul>{items}</ul>")
    parts += ["<h2>Published figures and ours</h2>"]
    for section, rows in _sections(told["claims"]).items():
        body = [[row["id"], *_cells(row)] for row in rows]
        parts.append(f"<h3>{e(section)}</h3>{_table(['claim', *CLAIM.values()], body)}")
    if told["elsewhere"]:
        elsewhere = _table(["what", "published", "where"], [list(row) for row in told["elsewhere"]])
        parts.append(f"<h3>Published, and in no table here</h3>{elsewhere}")
    parts += ["<h2>Primary endpoints</h2><ul>", *(f"<li>{e(line)}" for line in _endpoints(made)), "</ul>"]
    parts += ["<h2>Sentences of our own, as the first model of each kind spaces them</h2>"]
    for name, png in pictures:
        data = base64.b64encode(png).decode()
        parts.append(
            f'<h3>{e(name)}</h3><figure><img alt="{e(name)}" src="data:image/png;base64,{data}"></figure>'
        )
    parts += ["<h2>Every table</h2>"]
    for name, kept in made.items():
        for r in kept:
            parts.append(f"<h3>{e(name)}: {e(r.title)}</h3>")
            if r.primary is not None:
                parts.append(f"<p><b>Primary endpoint.</b> {e(sentence(r.primary))}</p>")
            if r.chart is not None and r.rows:
                svg = chart.render(r).decode()
                parts.append(f"<figure>{svg[svg.index('<svg') :]}</figure>")
            parts.append(_table(list(r.columns.values()), [r.cells(row) for row in r.rows]))
            parts += [f"<p class=note>{e(note)}</p>" for note in r.notes]
            parts.append(f"<p><code>{e(r.command)}</code></p>")
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{e(told["title"])}</title><style>{STYLE}</style>'
    return head + "\n".join(parts) + "</html>\n"


def commit() -> str:
    """The commit of the sources; "unknown" outside a checkout."""
    folder = Path(__file__).parent
    found = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"


def hardware() -> str:
    """Processor cores and accelerator, in words."""
    import os

    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{os.cpu_count()} {platform.machine()} cores, {device}"


def _claims(study: plan.Study, made: dict[str, list[Result]]) -> list[dict[str, Any]]:
    """Every claim's rows, in the order of the post."""
    order = list(claims())
    told = []
    for name, group in study.groups.items():
        own = [claim for claim in order if claim.reads == group.reads]
        megabytes = next(job for job in plan.jobs(study) if job.group == name).bytes / 1e6
        told += [{"group": name, **row} for row in judge(own, name, made, f"{megabytes:.3g} MB")]
    place = [claim.id for claim in order]
    return sorted(told, key=lambda row: place.index(row["id"]))


def _trained(study: plan.Study, out: Path) -> dict[str, dict[str, tuple[int, int]]]:
    """How many runs of each group's variants are trained, of how many."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for job in plan.jobs(study):
        had, wanted = found.setdefault(job.group, {}).get(job.variant, (0, 0))
        there = (job.folder(out) / "model" / "config.json").is_file()
        found[job.group][job.variant] = had + there, wanted + 1
    return found


def _named(
    found: dict[str, dict[str, tuple[int, int]]], asked: Callable[[int, int], bool]
) -> dict[str, list[str]]:
    """The variants of each group for whose trained and wanted runs `asked` holds; groups without any are left out."""
    told = {group: [v for v, counts in kinds.items() if asked(*counts)] for group, kinds in found.items()}
    return {group: variants for group, variants in told.items() if variants}


def _endpoints(made: dict[str, list[Result]], *, decided: bool = False) -> list[str]:
    """Every number that was named beforehand, with its verdict; or only those whose interval has decided.

    What one model says has no verdict in a study, whatever its own interval.
    """
    told = []
    for name, kept in made.items():
        for r in kept:
            if r.primary is None:
                continue
            alone = len(r.provenance.get("models", ())) == 1
            primary = replace(r.primary, verdict="one seed, no verdict") if alone else r.primary
            if not (decided and primary.verdict.startswith(("undecided", "one "))):
                told.append(f"{name}: {sentence(primary)}")
    return told


def _summary(told: dict[str, Any], made: dict[str, list[Result]]) -> dict[str, list[str]]:
    """What replicated, what did not and what is undecided: heading -> sentences; "" for what needs no heading."""
    words: dict[str, list[str]] = {"": []}
    if told["scale"] < 1:
        words[""].append(f"A rehearsal at {told['scale']} of the length: its numbers mean nothing.")
    found: dict[str, list[str]] = {}
    for row in told["claims"]:
        if row["verdict"] != "no verdict":
            found.setdefault(row["verdict"], []).append(
                f"{row['section']} ({row['id']}): published {row['published']}, here {_value(row)}."
            )
    words |= {
        verdict[0].upper() + verdict[1:]: rows for verdict, rows in sorted(found.items(), key=_firmness)
    }
    words["Primary endpoints that are decided"] = _endpoints(made, decided=True)
    against: dict[str, list[str]] = {}
    for table in told["tables"]:
        if table["name"] == "content":
            group = table["id"].split("/")[0]
            against.setdefault(group, []).append(table["primary"]["verdict"].split(" at ")[0])
    for group, verdicts in against.items():
        ours = "matters" if all(word == "better" for word in verdicts) else "has not been shown to matter"
        words[""].append(
            f"{group}: learned content {ours}; kinds of models trained without it to compare with: {len(verdicts)}."
        )
    words[""] += [
        f"{group}: trained once, hence without a verdict: {', '.join(names)}."
        for group, names in told["once"].items()
    ]
    words[""] += [
        f"{group}: not trained yet, or not with every seed: {', '.join(names)}."
        for group, names in told.get("missing", {}).items()
    ]
    return {head: rows for head, rows in words.items() if rows}


def _firmness(entry: tuple[str, list[str]]) -> tuple[int, str]:
    order = ("replicated", "not replicated", "undecided", "one seed")
    return next((i for i, word in enumerate(order) if entry[0].startswith(word)), len(order)), entry[0]


def _value(row: dict[str, Any]) -> str:
    """Ours with its interval."""
    inside = "" if row["low"] is None else f" [{shown(row['low'])}, {shown(row['high'])}]"
    return shown(row["ours"]) + inside


def _sections(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["section"], []).append(row)
    return found


def _cells(row: dict[str, Any]) -> list[str]:
    return [str(row["published"]), _value(row), str(row["seeds"]), row["verdict"], f"`{row['command']}`"]


def _table(head: list[str], body: list[list[str]]) -> str:
    rows = ["".join(f"<th>{html.escape(cell)}" for cell in head)]
    rows += ["".join(f"<td>{_code(html.escape(cell))}" for cell in row) for row in body]
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"


def _code(cell: str) -> str:
    return f"<code>{cell[1:-1]}</code>" if cell.startswith("`") and cell.endswith("`") else cell


def _origin(told: dict[str, Any]) -> str:
    corpora = ", ".join(f"{name}: {told['corpus'][name]}" for name in told["corpus"])
    return f"ropewalk {told['version']}, commit {told['commit']}; {told['hardware']}; corpora {corpora or 'none'}."


def _corpora(study: plan.Study, out: Path) -> dict[str, str]:
    """The corpus hash of each group's first finished run."""
    found = {}
    for job in plan.jobs(study):
        folder = job.folder(out) / "model"
        if job.group not in found and (folder / "config.json").is_file():
            found[job.group] = read_config(folder)["provenance"]["corpus"]["hash"]
    return found


def _pictures(study: plan.Study, out: Path) -> list[tuple[str, bytes]]:
    from ropewalk.views import figure

    found = []
    for name, group in study.groups.items():
        for variant in group.main if not group.planted else ():
            folder = plan.place(out, name, variant, group.seeds[0]) / "model"
            if not (folder / "config.json").is_file():
                continue
            model = load_decoder(folder)
            for text in SENTENCES:
                with tempfile.TemporaryDirectory() as temporary:
                    path = Path(temporary) / "picture.png"
                    figure.save(trace(model, text), path)
                    found.append((f"{name}, {variant}", path.read_bytes()))
    return found
