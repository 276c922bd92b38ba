"""The report: everything a study found, as one HTML page, as Markdown and as JSON, from its saved tables.

Published figures come first, beside ours, in the order of the post. Self-contained; no corpus text, only sentences of
our own. The same tables give the same bytes: no clock is read.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

import ropewalk
from ropewalk.analyses.result import Result, sentence, shown
from ropewalk.studies.plan import Job, Row

CHECKOUT = Path(__file__).parents[3]
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
Made = dict[str, list[Result]]
"""Table -> its results."""


@dataclass(frozen=True)
class Report:
    """What a report says beside its tables.

    plan: rows of the plan. corpora: group -> hash. claims: of `claims.judge`, with their group. once: group -> variants
    trained with one seed; missing: group -> variants not trained yet. elsewhere: published figures that are in no table.
    extra: more JSON values about what was studied.
    """

    title: str
    scale: float
    plan: list[Row]
    corpora: dict[str, str]
    claims: list[dict[str, Any]]
    once: dict[str, list[str]] = field(default_factory=dict)
    missing: dict[str, list[str]] = field(default_factory=dict)
    elsewhere: Sequence[tuple[str, str, str]] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    version: str = ropewalk.__version__
    commit: str = field(default_factory=lambda: commit())
    hardware: str = field(default_factory=lambda: hardware())

    def to_json(self, made: Made) -> dict[str, Any]:
        """The report with all tables, as plain values."""
        fields = {key: value for key, value in vars(self).items() if key != "extra"}
        tables = [{"id": name, **r.to_json()} for name, kept in made.items() for r in kept]
        return {**fields, **self.extra, "tables": tables}

    @property
    def origin(self) -> str:
        """One line: version, commit, hardware, corpora."""
        corpora = ", ".join(f"{name}: {value}" for name, value in self.corpora.items())
        return f"ropewalk {self.version}, commit {self.commit}; {self.hardware}; corpora {corpora or 'none'}."


def markdown(report: Report, made: Made) -> str:
    """The report as Markdown."""
    parts = [f"# {report.title}", report.origin, contents_of(made), "## In plain words"]
    parts += [
        "\n".join([*([f"{head}:", ""] if head else []), *(f"- {line}" for line in lines)])
        for head, lines in summary(report, made).items()
    ]
    parts += ["## Published figures and ours"]
    for section, rows in sections(report.claims).items():
        lines = [f"### {section}", "", "| claim | " + " | ".join(CLAIM.values()) + " |", "|---" * 6 + "|"]
        lines += [f"| {row['id']} | " + " | ".join(cells(row)) + " |" for row in rows]
        parts.append("\n".join(lines))
    if report.elsewhere:
        elsewhere = [f"- {what}: {figure}. Here: {where}." for what, figure, where in report.elsewhere]
        parts += ["### Published, and in no table here", "\n".join(elsewhere)]
    parts += ["## Primary endpoints", "\n".join(f"- {line}" for line in endpoints(made))]
    parts += ["## Every table"]
    parts += [f"### {heading(name, r)}\n\n{r.markdown()}" for name, kept in made.items() for r in kept]
    return "\n\n".join(parts) + "\n"


SECTIONS = ("In plain words", "Published figures and ours", "Primary endpoints", "Every table")


def heading(name: str, result: Result) -> str:
    """The heading of a table."""
    return f"{name}: {result.title}"


def anchor(heading: str) -> str:
    """A heading as the address that Markdown gives it."""
    return "".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def contents_of(made: Made) -> str:
    """A list of contents: the sections, and under the last one its tables."""
    tables = [heading(name, r) for name, kept in made.items() for r in kept]
    lines = [f"- [{title}](#{anchor(title)})" for title in SECTIONS]
    return "\n".join(lines + [f"  - [{title}](#{anchor(title)})" for title in tables])


def endpoints(made: Made, *, decided: bool = False) -> list[str]:
    """Every number that was named beforehand, with its verdict; or only those with a decision.

    What one model says has no verdict in a study, whatever its own interval.
    """
    found = []
    for name, kept in made.items():
        for r in kept:
            if r.primary is None:
                continue
            single = len(r.provenance.get("models", ())) == 1
            primary = replace(r.primary, verdict="one seed, no verdict") if single else r.primary
            if not (decided and primary.verdict.startswith(("undecided", "one ", "two "))):
                found.append(f"{name}: {sentence(primary)}")
    return found


def summary(report: Report, made: Made) -> dict[str, list[str]]:
    """What replicated, what did not and what is undecided: heading -> sentences; "" for what needs no heading."""
    words: dict[str, list[str]] = {"": []}
    if report.scale < 1:
        words[""].append(f"A rehearsal at {report.scale} of the length: its numbers mean nothing.")
    found: dict[str, list[str]] = {}
    for row in report.claims:
        if row["verdict"] != "no verdict":
            found.setdefault(row["verdict"], []).append(
                f"{row['section']} ({row['id']}): published {row['published']}, here {value(row)}."
            )
    words[""] += _counts(report.claims)
    words[""] += _content(made)
    words |= {name[0].upper() + name[1:]: rows for name, rows in sorted(found.items(), key=_firmness)}
    words["Primary endpoints that are decided"] = endpoints(made, decided=True)
    words["Two-word names, each language by itself"] = _languages(made)
    words[""] += [
        f"{group}: trained once, hence without a verdict: {', '.join(names)}."
        for group, names in report.once.items()
    ]
    words[""] += [
        f"{group}: not trained yet, or not with every seed: {', '.join(names)}."
        for group, names in report.missing.items()
    ]
    return {head: rows for head, rows in words.items() if rows}


def _counts(claims: list[dict[str, Any]]) -> list[str]:
    """How many published figures ours agree with: all of them, then section by section."""
    judged = [row for row in claims if row["verdict"] != "no verdict"]
    if not judged:
        return []
    many = f"{len(judged)} published figures" if len(judged) > 1 else "One published figure"
    lines = [
        f"{many} can be judged here: {_tally(judged)}. Undecided means that our models are too few, or trained too briefly, to tell."
    ]
    by_section = sections(judged)
    return lines + [f"{title}: {_tally(rows)}." for title, rows in by_section.items() if len(by_section) > 1]


def _tally(rows: list[dict[str, Any]]) -> str:
    """ "1 replicated, 2 undecided": verdicts without the amount of text that they hold for."""
    words = [str(row["verdict"]).split(" at ")[0].split(",")[0] for row in rows]
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))


def _content(made: Made) -> list[str]:
    """Whether learned content lowers the loss, by group: against every kind of model without it."""
    against: dict[str, list[str]] = {}
    for name, kept in made.items():
        for r in kept:
            if r.name == "content" and r.primary is not None:
                against.setdefault(name.split("/")[0], []).append(r.primary.verdict.split(" at ")[0])
    return [
        f"{group}: increments that read the text "
        + ("lower" if all(word == "better" for word in verdicts) else "have not been shown to lower")
        + f" the loss, against {len(verdicts)} kinds of models whose increments cannot read it."
        for group, verdicts in against.items()
    ]


def _languages(made: Made) -> list[str]:
    """Two-word names in each language by itself: the published ones are English."""
    return [
        f"{name}, {note}"
        for name, kept in made.items()
        for r in kept
        if r.name == "entities"
        for note in r.notes
        if " alone: " in note
    ]


def trained_counts(jobs: Sequence[Job], out: Path) -> dict[str, dict[str, tuple[int, int]]]:
    """Group -> variant -> how many runs are trained, of how many."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for job in jobs:
        group, variant, _ = job.name.split("/")
        had, wanted = found.setdefault(group, {}).get(variant, (0, 0))
        found[group][variant] = had + job.done(out), wanted + 1
    return found


def variants_where(
    counts: dict[str, dict[str, tuple[int, int]]], holds: Callable[[int, int], bool]
) -> dict[str, list[str]]:
    """The variants of each group for whose trained and wanted runs `holds` is true; groups without any are left out."""
    found = {group: [v for v, pair in kinds.items() if holds(*pair)] for group, kinds in counts.items()}
    return {group: variants for group, variants in found.items() if variants}


def commit() -> str:
    """The commit of the sources; "unknown" outside a checkout of ropewalk, and without git."""
    if not (CHECKOUT / ".git").exists():  # else git would find a repository around an installed package
        return "unknown"
    try:
        asked = ["git", "-C", str(CHECKOUT), "rev-parse", "HEAD"]
        found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        found = ""
    return found or "unknown"


def hardware() -> str:
    """Processor cores and accelerator, in words."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{os.cpu_count()} {platform.machine()} cores, {device}"


def sections(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The claims by section."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["section"], []).append(row)
    return found


def value(row: dict[str, Any]) -> str:
    """Our number with its interval."""
    inside = "" if row["low"] is None else f" [{shown(row['low'])}, {shown(row['high'])}]"
    return shown(row["ours"]) + inside


def cells(row: dict[str, Any]) -> list[str]:
    """A claim as the cells of a table; the command is code."""
    return [str(row["published"]), value(row), str(row["seeds"]), row["verdict"], f"`{row['command']}`"]


def _firmness(entry: tuple[str, list[str]]) -> tuple[int, str]:
    order = ("replicated", "not replicated", "undecided", "one seed")
    return next((i for i, word in enumerate(order) if entry[0].startswith(word)), len(order)), entry[0]
