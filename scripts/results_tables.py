"""The sections of docs/results/report.md: tables of published figures beside ours, from the saved tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropewalk.analyses.byte_kinds import PUBLISHED
from ropewalk.analyses.published_names import ALL
from ropewalk.analyses.result import Cell, Result, shown
from ropewalk.errors import UserError
from ropewalk.studies.native.claims import BOUNDARIES, ENTITIES, LOSSES

BYTES_A_STEP = {"flagship": 64 * 512, "flagship-cpu": 512}
"""Of the flagship, and of the same shape trained on one CPU core."""
REPLICATION = (0.516, 0.528, 0.634, 0.414, 0.722, 0.411)
"""AUC of Chinese words by layer in the reference's own second run."""
Row = dict[str, Cell]
Checkpoints = dict[int, dict[str, dict[str, Result]]]


@dataclass(frozen=True)
class Measured:
    """Every published table. study: id -> name -> table; flagship: step -> id -> name -> table; cpu: the same of the
    flagship's shape trained on one CPU core."""

    study: dict[str, dict[str, Result]]
    flagship: Checkpoints
    cpu: Checkpoints
    header: dict[str, Any]
    folder: Path

    @property
    def last(self) -> dict[str, dict[str, Result]]:
        """The finished flagship's tables."""
        return self.flagship[max(self.flagship)]


def read(folder: Path) -> Measured:
    report = json.loads((folder / "cpu-study.json").read_text(encoding="utf-8"))
    study: dict[str, dict[str, Result]] = {}
    for table in report.pop("tables"):
        study.setdefault(table["id"], {})[table["name"]] = Result.from_json(table)
    flagship, cpu = (_checkpoints(folder / name) for name in ("flagship", "flagship-cpu"))
    return Measured(study, flagship, cpu, report, folder)


def _checkpoints(folder: Path) -> Checkpoints:
    """The tables of one training, by step."""
    found: Checkpoints = {}
    for path in sorted(folder.rglob("*.json")):
        step, table = path.parent.parent.name, path.parent.name
        found.setdefault(int(step.removeprefix("step-")), {}).setdefault(table, {})[path.stem] = Result.load(
            path
        )
    return found


def amount(step: int, training: str = "flagship") -> str:
    """The text that a training has read at a step, such as "1.53 GB"."""
    size = step * BYTES_A_STEP[training] / 1e6
    return f"{size / 1000:.2f} GB" if size >= 1000 else f"{size:.1f} MB" if size < 100 else f"{size:.0f} MB"


def table(head: Iterable[str], rows: Iterable[Iterable[Cell]]) -> str:
    lines = [f"| {' | '.join(head)} |"]
    lines.append("|" + "---|" * (lines[0].count("|") - 1))
    lines += [
        "| " + " | ".join(cell if isinstance(cell, str) else shown(cell) for cell in row) + " |"
        for row in rows
    ]
    return "\n".join(lines)


def inside(row: Row | None, column: str, digits: int = 3) -> str:
    """A number with its interval."""
    if row is None or row.get(column) is None:
        return ""
    text = f"{float(row[column] or 0):.{digits}f}"
    low, high = row.get(f"{column}_low"), row.get(f"{column}_high")
    return (
        text if low is None or high is None else f"{text} [{float(low):.{digits}f}, {float(high):.{digits}f}]"
    )


def find(result: Result | None, **wanted: Cell) -> Row | None:
    try:
        return None if result is None else result.find(**wanted)
    except UserError:
        return None


def primary(result: Result) -> str:
    if result.primary is None:
        return ""
    e = result.primary.estimate
    return f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]"


def loss(made: Measured) -> str:
    """Experiment 1: every variant against integer RoPE, and increments with context against those without."""
    found = made.study["long/neutrality"]["neutrality"]
    head = (
        "positions",
        "published",
        "here, nats per byte",
        "p (Holm)",
        "coefficient of variation",
        "verdict",
    )
    rows = [
        (
            row["variant"],
            f"{LOSSES[str(row['variant'])]:+.4f}" if row["variant"] in LOSSES else "",
            inside(row, "difference", 4),
            row["holm"],
            row["variation"],
            row["verdict"],
        )
        for row in found.rows
        if row["pairs"] != 1
    ]
    parts = [table(head, rows), *found.notes]
    against = [
        (
            name.split(" against ")[1],
            row["variant"],
            inside(row, "difference", 4),
            row["holm"],
            row["verdict"],
        )
        for name, kept in made.study.items()
        if name.startswith("long/content against ")
        for row in kept["content"].rows
    ]
    parts.append(
        table(("compared with", "positions", "difference, nats per byte", "p (Holm)", "verdict"), against)
    )
    return "\n\n".join(parts)


def once(made: Measured) -> str:
    """Every other kind of positions, one training run each, minus integer RoPE of the same seed and length; "" where there is none."""
    found = {
        name: kept["neutrality"]
        for name in ("long/neutrality", "short/neutrality")
        if (kept := made.study.get(name))
    }
    rows = [
        (
            row["variant"],
            f"{LOSSES[str(row['variant'])]:+.4f}" if row["variant"] in LOSSES else "",
            name.split("/")[0],
            row["difference"],
            row["variation"],
        )
        for name, result in found.items()
        for row in result.rows
        if row["pairs"] == 1
    ]
    if not rows:
        return ""
    head = ("positions", "published", "group", "here, nats per byte", "coefficient of variation")
    note = (
        "Exploratory: one seed each, so no interval and no verdict. Group `long`: 25,000 steps, `short`: 10,000 steps; "
        "each minus integer RoPE of its own group. `forget gate` is a gate in each layer, `published forget gate` one network "
        "on the embedding; in `fast band` and `slow band` only the faster or the slower half of the frequencies turns with "
        "learned positions."
    )
    notes = (
        [f"Group `short`: {note}" for note in found["short/neutrality"].notes[:1]] if len(found) > 1 else []
    )
    missing = made.header["missing"].get("short", [])
    if missing:
        notes.append(f"In the recipe's group `short` and not trained yet: {', '.join(missing)}.")
    return "\n\n".join([note, table(head, rows), *notes, *_negative(made)])


def _negative(made: Measured) -> list[str]:
    """The kinds of bytes that get a negative mean increment where increments may be negative."""
    kept = made.study.get("short/signed/bytes")
    if kept is None:
        return []
    rows = [row for row in kept["bytes"].rows if float(row["min"] or 0) < 0]
    head = ("row", "kind of byte", "smallest mean of a byte", "largest", "mean of the kind")
    title = (
        "Increments that may be negative (`signed`), kinds in which the mean of at least one byte is below zero "
        "(published: one byte only, the last of the Chinese possessive particle):"
    )
    cells = [(row["row"], row["kind"], row["min"], row["max"], row["mean"]) for row in rows]
    return [title, table(head, cells) if cells else "none."]


def forgetting(path: Path) -> str:
    """How fast each head of the published forget gate forgets, beside ALiBi's slopes; "" where it was not measured."""
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: float(row["mean"]))
    slopes = sorted(row["alibi"] for row in rows)
    head = ("head", "mean", "median", "standard deviation over tokens", "ALiBi's slopes, in order")
    cells = [
        (row["head"], row["mean"], row["median"], row["std"], slope)
        for row, slope in zip(rows, slopes, strict=True)
    ]
    return "\n\n".join(
        (
            "What a token takes from the attention to everything before it, in nats per head: group `short`, variant `published forget "
            "gate`, seed 1. Published: the learned slopes form ALiBi's geometric ladder.",
            table(head, cells),
            "    python scripts/forget_slopes.py studies/cpu/runs/short/published-forget-gate/seed-1/model --corpus FOLDER",
        )
    )


def byte_kinds(made: Measured) -> str:
    parts = []
    for name, row, variant in (("layer 0", "L0", "per-layer"), ("shared", "all", "shared")):
        sources = [("CPU study", made.study[f"long/{variant}/bytes"]["bytes"])]
        if row == "L0":
            sources += [
                (f"flagship, {amount(step)}", kept["bytes"]["bytes"])
                for step, kept in sorted(made.flagship.items())
                if "bytes" in kept
            ]
        kinds = [str(r["kind"]) for r in sources[0][1].rows if r["row"] == row]
        rows = [
            (
                kind,
                f"{PUBLISHED[name].get(kind, '')}",
                *(inside(find(t, row=row, kind=kind), "mean", 2) for _, t in sources),
            )
            for kind in kinds
        ]
        title = f"**{name.capitalize()}.** Mean increment by kind of byte."
        parts += [title, table(("kind", "published", *(title for title, _ in sources)), rows)]
    return "\n\n".join(parts)


def words(made: Measured) -> str:
    """Chinese words: the reference's protocol by layer, then ours at every checkpoint."""
    own, study = (
        made.last["boundaries gsdsimp"]["boundaries"],
        made.study["long/per-layer/boundaries gsdsimp"],
    )
    jieba = made.study.get("long/per-layer/boundaries gsdsimp by jieba", {}).get("boundaries")
    windows = made.last.get("jieba", {}).get("jieba")
    rows = [
        (
            f"L{layer}",
            f"{published:.2f} / {replica:.3f}",
            inside(find(windows, row=f"L{layer}"), "auc"),
            inside(find(own, predictor=f"increment L{layer}"), "auc"),
            inside(find(study["boundaries"], predictor=f"increment L{layer}"), "auc"),
            inside(find(jieba, predictor=f"increment L{layer}"), "auc"),
        )
        for layer, (published, replica) in enumerate(zip(BOUNDARIES, REPLICATION, strict=True))
    ]
    head = (
        "row",
        "published / replica, jieba",
        "flagship, jieba",
        "flagship, gold",
        "CPU study, gold",
        "CPU study, jieba",
    )
    parts = [
        table(head, rows),
        *(windows.notes if windows else ()),
        "Row and sign chosen on development sentences, scored once on others:",
    ]
    return "\n\n".join([*parts, checkpoints(made, "boundaries", "auc"), *own.notes])


def checkpoints(made: Measured, name: str, column: str) -> str:
    """The primary endpoint of a table at every checkpoint of both training runs, beside random networks and the entropy."""
    rows = []
    found = [(amount(step), kept) for step, kept in sorted(made.flagship.items())]
    found += [(f"{amount(step, 'flagship-cpu')}, CPU", kept) for step, kept in sorted(made.cpu.items())]
    for read, kept in found:
        for title, results in kept.items():
            result = results.get(name)
            if result is None or result.primary is None:
                continue
            rows.append(
                (
                    read,
                    title,
                    primary(result),
                    f"{result.primary.null:.3f}",
                    inside(
                        find(result, predictor="entropy before") or find(result, predictor="entropy"), column
                    ),
                    result.primary.verdict,
                )
            )
    return table(("read", "table", "increments", "threshold", "entropy before", "verdict"), rows)


def entities(made: Measured) -> str:
    """The published comparison by layer, then the controlled one at every checkpoint."""
    own, published = made.last["entities"]["entities"], made.last["names"]["names"]
    study = made.study.get("long/per-layer/entities", {}).get("entities")
    where = {"comparison": "reversed order, inner gap", "language": "en"}
    rows = []
    for layer in range(6):
        row = f"L{layer}"
        theirs = find(published, list=ALL, row=row) or {}
        rows.append(
            (
                row,
                ENTITIES.get(row, "no effect"),
                inside(theirs, "share"),
                theirs.get("threshold"),
                theirs.get("holm"),
                inside(find(own, **where, row=row), "share"),
                inside(find(study, **where, row=row), "share"),
            )
        )
    head = (
        "row",
        "published",
        "flagship, published pairs",
        "threshold",
        "p (Holm)",
        "flagship, our pairs",
        "CPU study, our pairs",
    )
    parts = [
        "Reversed order, inner gap, English: share of names with the smaller increment in the real order.",
        table(head, rows),
        *published.notes,
        "Against another second word of equal surprisal, which starts with another byte, deeper half of the layers:",
        checkpoints(made, "entities", "share"),
    ]
    return "\n\n".join([*parts, *own.notes])


def code(made: Measured) -> str:
    """The published table by kind of code character, ours in front of each published mean; "" where it was not measured."""
    kept = made.last.get("code")
    if kept is None:
        return ""
    found, layers = kept["code"], [f"L{layer}" for layer in range(6)]
    rows = [
        (kind, *(f"{row['mean']:.2f} ({row['published']:.2f})" for row in found.rows if row["kind"] == kind))
        for kind in dict.fromkeys(str(row["kind"]) for row in found.rows)
    ]
    note = (
        "Mean increment of the flagship, which read no code in training, and in brackets that of the published model, which "
        "read tokens of Python code. The flagship's layer 0 sets apart what it sets apart in prose, spaces and line ends."
    )
    return "\n\n".join([note, table(("kind of byte", *layers), rows), *found.notes])


def knockouts(made: Measured) -> str:
    parts = []
    sources = {"Flagship": made.last["knockout"]["knockout"]}
    for variant in ("per-layer", "shared"):
        if kept := made.study.get(f"long/{variant}/knockout"):
            sources[f"CPU study, {variant}"] = kept["knockout"]
    names = list(dict.fromkeys(str(row["replacement"]) for row in sources["Flagship"].rows))
    rows = [
        (
            name,
            *(
                inside(find(t, replacement=name, target="all", cost="total"), "nats", 4)
                for t in sources.values()
            ),
        )
        for name in names
    ]
    parts.append(table(("increments of all layers replaced by", *sources), rows))
    parts += [
        f"{name}: {note}"
        for name, t in sources.items()
        for note in t.notes
        if note.startswith("What a table")
    ]
    return "\n\n".join(parts)


def curve_entries(path: Path) -> list[dict[str, str]]:
    """The lines of a curve: step, row, mean and standard deviation of its increments."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def curve(path: Path) -> str:
    """Increments against steps: mean, and standard deviation within rows."""
    entries = curve_entries(path)
    rows = list(dict.fromkeys(entry["row"] for entry in entries))
    steps = list(dict.fromkeys(entry["step"] for entry in entries))
    known = {(entry["step"], entry["row"]): entry for entry in entries}
    return table(
        ("step", *rows),
        [
            (
                f"{int(step):,}",
                *(f"{float(known[step, r]['mean']):.2f} ± {float(known[step, r]['std']):.2f}" for r in rows),
            )
            for step in steps
        ],
    )
