"""Writes docs/results/report.md, what the measurements say, from the tables beside it.

python scripts/results.py [--study FOLDER] [--metrics FILE]

study: a folder of `ropewalk study recipes/study-cpu.toml`, whose report and curves are copied first. metrics: the
metrics.jsonl of the flagship's training, whose curve is copied first. Without them only the page is written again.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

from results_tables import (
    Measured,
    Row,
    amount,
    byte_kinds,
    checkpoints,
    code,
    curve,
    curve_entries,
    entities,
    find,
    forgetting,
    inside,
    knockouts,
    loss,
    once,
    read,
    words,
)

from ropewalk.analyses.published_names import ALL
from ropewalk.analyses.result import Cell, Endpoint, Result, sentence
from ropewalk.analyses.statistics import ALPHA
from ropewalk.studies.report import anchor
from ropewalk.system.files import write_atomically

FOLDER = Path(__file__).parent.parent / "docs" / "results"
POINTS = 25
"""Of a curve of increments against steps."""
CURVES = ("per-layer", "shared")
FORGETTING = "Learned forget gates"
NOTE = """Numbers in brackets are 95 % intervals; for the flagship, one training run, they cover sentences or windows only. "Threshold" is
what 99 random networks on the same activations reach on the same side of chance: the second largest value, or the second
smallest for a value below chance. Where random networks have a value, an effect counts only beyond it. Published: Brendan Long,
"How Far Apart Does a Model Think Its Tokens Are?", 2026, a model that read 1.64 GB; replica: a second run by its author. The
flagship: increments per layer, 256 wide, 6 layers, 64 windows of 512 bytes a step (`recipes/flagship.toml`), seven minutes on one
H100; in tables of checkpoints, "CPU" is the same shape trained on one CPU core in two hours, one window a step
(`recipes/flagship-cpu.toml`). The CPU study (`recipes/study-cpu.toml`): 64 wide, 4 layers, steps of 128 bytes; its group `long` has
25,000 steps and three seeds of each kind of positions, its group `short` 10,000 steps and one seed of many more. The kind `embedding`
has networks that read the byte alone. GSDSimp and pku are gold word segmentations (UD Chinese GSDSimp, and the PKU corpus).
Coefficient of variation: standard deviation of increments within rows over the row's mean. This page is written by `scripts/results.py` from the tables beside it."""
COMMANDS = """```sh
OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive TORCHINDUCTOR_CPP_WRAPPER=1 ropewalk study recipes/study-cpu.toml \\
  --out studies/cpu --device cpu --set groups.long.recipe.corpus.root=FOLDER \\
  --set groups.short.recipe.corpus.root=FOLDER --set study.gold_root=FOLDER
ropewalk train recipes/flagship.toml --out runs/flagship --set corpus.root=FOLDER
python scripts/flagship.py --corpus FOLDER --gold FOLDER --checkpoint FOLDER --checkpoint FOLDER
python scripts/results.py --study studies/cpu --metrics runs/flagship/metrics.jsonl
python scripts/forget_slopes.py MODEL --corpus FOLDER
```

Each table of the study is made again by the study's command with `--table NAME`, each of the flagship by that of
`scripts/flagship.py` with `--table NAME`."""


def sentences(made: Measured) -> list[str]:
    """Ten plain sentences, from the numbers of the tables."""
    ratio = made.last["bytes"]["bytes"].primary
    assert ratio
    return [
        f"What works: increments move away from 1 when training runs for enough optimizer steps. After {max(made.flagship):,} steps "
        f"({amount(max(made.flagship))}) the flagship's layer 0 spaces {_space(made)} (published: 6.1 times); layers 4 and 5, which "
        f"vary most, have a standard deviation of {_variation(made, 'L4')} and {_variation(made, 'L5')} times their mean.",
        *_worth(made.study, made.last["knockout"]["knockout"]),
        *_known(made.last, made.flagship),
        *_asked(
            made.last.get("dose gsdsimp", {}).get("dose"),
            made.study.get("planted/per-layer/planted", {}).get("planted"),
            made.study.get("planted/per-layer/boundaries planted", {}).get("boundaries"),
        ),
        "Untested here: more than one seed of the flagship, and integer RoPE at its size; models of more than 6.5 million "
        "parameters trained from scratch; per-head rows, PoPE, ALiBi and forget gates with more than one seed; so nothing here says "
        "what larger or longer training runs would do.",
    ]


def _space(made: Measured) -> str:
    """How much wider layer 0 sets spaces than letters."""
    kinds = (find(made.last["bytes"]["bytes"], row="L0", kind=kind) or {} for kind in ("space", "a-z"))
    space, letter = (float(kind["mean"] or 0) for kind in kinds)
    return f"a space {space / letter:.1f} times as wide as a letter"


def _variation(made: Measured, row: str) -> str:
    """The standard deviation of a row's increments over their mean, at the end of the flagship's training."""
    entries = curve_entries(made.folder / "flagship" / "curve.csv")
    last = [entry for entry in entries if entry["row"] == row][-1]
    return f"{float(last['std']) / float(last['mean']):.2f}"


def _worth(study: dict[str, dict[str, Result]], knocked: Result) -> list[str]:
    """What increments are worth to the loss, and what part of them."""
    layers, shared = (
        find(study["long/neutrality"]["neutrality"], variant=v) for v in ("per-layer", "shared")
    )
    against = [
        _compared(find(study.get(f"long/content against {control}", {}).get("content"), variant="per-layer"))
        for control in ("constant", "table", "embedding")
    ]
    one, byte = (
        find(knocked, replacement=name, target="all", cost="total") for name in ("constant 1", "byte mean")
    )
    return [
        f"Loss, in nats per byte against integer RoPE, over {layers['pairs'] if layers else 0} pairs of seeds of the CPU study: "
        f"increments of each layer {_compared(layers)}; shared increments {_compared(shared)}"
        f"{_single(study['long/neutrality']['neutrality'])}.",
        f"Whether content lowers the loss: increments of each layer minus one learned scale for each layer {against[0]}, minus a "
        f"learned table of bytes {against[1]}, minus networks that read the byte alone {against[2]}.",
        f"The flagship needs its spacing: with every increment set to 1 it loses {inside(one, 'nats')} nats per byte; with every "
        f"increment replaced by the mean of its byte, that is without context, it loses {inside(byte, 'nats', 4)}: "
        f"{_content(knocked)}.",
    ]


def _single(found: Result) -> str:
    """The variants that were trained once."""
    once = [
        f"{row['variant']} {float(row['difference'] or 0):.4f}" for row in found.rows if row["pairs"] == 1
    ]
    return f"; with one seed each, so without a verdict: {', '.join(once)}" if once else ""


def _known(
    last: dict[str, dict[str, Result]], every_step: dict[int, dict[str, dict[str, Result]]]
) -> list[str]:
    """What the flagship's increments know, at its end and, where it was measured, earlier."""
    surface, own = last["spacing english"]["surface"].primary, last["boundaries gsdsimp"]["boundaries"]
    names, entropy = last["entities"]["entities"].primary, find(own, predictor="entropy before")
    assert surface and own.primary and names
    return [
        f"What they know: in English, white space and punctuation with an AUC of {_estimate(surface)} (published for the shared "
        f"model: 0.97; random networks of the same shape reach {surface.null:.3f}): {_decided(surface)}"
        f"{_earlier(every_step, 'spacing english', 'surface')}.",
        f"Chinese words: the row chosen on development sentences tells word boundaries with an AUC of {_estimate(own.primary)}; "
        f"a random network may reach {own.primary.null:.3f} and the model's own entropy has {inside(entropy, 'auc')}: "
        f"{_decided(own.primary)}{_earlier(every_step, 'boundaries gsdsimp', 'boundaries')}.",
        f"Names: of the {_pairs(last)} published pairs the gap after the first word is smaller than in reversed order in {_names(last)} "
        "(published: four layers, 66 to 78 %); against another second word of equal surprisal, which is the fairer control, the share is "
        f"{_estimate(names)}; threshold {names.null:.3f}: {names.verdict}{_earlier(every_step, 'entities', 'entities')}.",
    ]


def _earlier(every_step: dict[int, dict[str, dict[str, Result]]], table: str, name: str) -> str:
    """The same endpoint at the checkpoints before the last, in brackets; nothing where it was not measured."""
    found = [
        f"{amount(step)}: {e.estimate.value:.3f} against {e.null:.3f}, {_decided(e)}"
        for step, tables in sorted(every_step.items())[:-1]
        if table in tables and (e := tables[table][name].primary) is not None
    ]
    return f" (after {'; after '.join(found)})" if found else ""


def _asked(dose: Result | None, planted: Result | None, words: Result | None) -> list[str]:
    """The intervention on single gaps, and the language whose truth is known."""
    changed = hidden = "not measured yet."
    if dose is not None and dose.primary is not None:
        row = find(dose, dose=2.0)
        changed = (
            f"{inside(row, 'boundary', 4)} at word boundaries of GSDSimp, {inside(row, 'other', 4)} at other gaps with the "
            f"same first byte and equal surprisal; difference {_estimate(dose.primary, 4)}: {dose.primary.verdict}."
        )
    if planted is not None and planted.primary is not None:
        share = f"the share of names with a smaller gap than other words is {_estimate(planted.primary)}"
        hidden = f"{share}; threshold {planted.primary.null:.3f}: {planted.primary.verdict}."
    if words is not None and words.primary is not None:
        entropy = find(words, predictor="entropy before")
        hidden = (
            f"its words are detected by the model's own entropy with an AUC of {inside(entropy, 'auc')}, by the increments with "
            f"{_estimate(words.primary)}; threshold {words.primary.null:.3f}: {words.primary.verdict}; {hidden}"
        )
    return [
        "What a wider gap does: doubling one gap of the flagship changes the loss of the next 16 tokens, in nats per token, by "
        + changed,
        "A planted language, whose words are known exactly: " + hidden,
    ]


def _content(knocked: Result) -> str:
    """What its note says about the mean of the byte, after the colon."""
    return (
        next(note for note in knocked.notes if note.startswith("What a table")).split("byte: ")[1].rstrip(".")
    )


def _compared(row: Row | None) -> str:
    if row is None:
        return "not measured"
    return f"{inside(row, 'difference', 4)} (Holm p {float(row['holm'] or 1):.2f}: {row['verdict']})"


def _pairs(tables: dict[str, dict[str, Result]]) -> Cell:
    return next(row["pairs"] for row in tables["names"]["names"].rows if row["list"] == ALL)


def _names(tables: dict[str, dict[str, Result]]) -> str:
    """The rows with an effect in the published direction, beside what random networks reach."""
    rows, beyond = [], []
    for row in tables["names"]["names"].rows:
        share, threshold = float(row["share"] or 0), float(row["threshold"] or 0)
        if row["list"] == ALL and float(row["holm"] or 1) < ALPHA and share > 0.5:
            rows.append(
                f"{row['row']} ({100 * share:.1f} % of pairs; random networks up to {100 * threshold:.1f} %)"
            )
            beyond += [str(row["row"])] if share > threshold else []
    found = " and ".join(rows) or "no layer"
    return (
        f"{found}, {'beyond random networks in ' + ' and '.join(beyond) if beyond else 'in none of them beyond random networks'}"
        if rows
        else found
    )


def _estimate(endpoint: Endpoint, digits: int = 3) -> str:
    e = endpoint.estimate
    return f"{e.value:.{digits}f} [{e.low:.{digits}f}, {e.high:.{digits}f}]"


def _decided(endpoint: Endpoint) -> str:
    if endpoint.verdict in ("above", "below"):
        return {"above": "beyond random networks", "below": "beyond random networks, with the opposite sign"}[
            endpoint.verdict
        ]
    below = endpoint.estimate.value >= 0.5 and endpoint.estimate.high < endpoint.null
    return "no more than random networks show" if below else endpoint.verdict


def sections(made: Measured, folder: Path) -> dict[str, str]:
    """Heading -> text, in the order of the post, then what it lacks."""
    found = {"Loss against integer RoPE, and content against none": loss(made)}
    if single := once(made):
        found["Every other kind of positions, one training run each"] = single
    if slopes := forgetting(folder / "forget-gate.csv"):
        found[FORGETTING] = slopes
    found |= {
        "Increments by kind of byte": byte_kinds(made),
        "Chinese words": words(made),
        "Two-word names": entities(made),
        "White space and punctuation": checkpoints(made, "surface", "auc"),
        "What other increments would cost": knockouts(made),
    }
    if characters := code(made):
        found["Code characters"] = characters
    if dose := made.last.get("dose gsdsimp"):
        found["Single gaps widened and narrowed"] = dose["dose"].markdown()
    if planted := made.study.get("planted/per-layer/planted"):
        found["The planted language"] = planted["planted"].markdown()
        if grown := made.study.get("planted/per-layer/curve planted"):
            found["The planted language"] += "\n" + grown["curve"].markdown()
    found["Increments against steps, flagship"] = curve(folder / "flagship" / "curve.csv")
    found["Increments against steps, the same shape on one CPU core"] = curve(
        folder / "flagship-cpu" / "curve.csv"
    )
    for variant in CURVES:
        found[f"Increments against steps, CPU study, {variant}, first seed"] = curve(
            folder / f"curve-{variant}.csv"
        )
    found["Every primary endpoint"] = "\n".join(
        f"- {name}: {sentence(result.primary)}" for name, result in every(made) if result.primary is not None
    )
    found["Published, and not measured here"] = "\n".join(
        f"- {what}: {figure}. To measure it: {where}."
        for what, figure, where in made.header["elsewhere"]
        if what not in found
    )
    found["Commands"] = COMMANDS
    return found


def every(made: Measured) -> list[tuple[str, Result]]:
    """Every table with its name."""
    found = [
        (f"{title}, {amount(step, training)}, {name}", result)
        for training, title, checkpoints in (
            ("flagship", "flagship", made.flagship),
            ("flagship-cpu", "on one CPU core", made.cpu),
        )
        for step, tables in sorted(checkpoints.items())
        for name, kept in tables.items()
        for result in kept.values()
    ]
    return found + [(name, result) for name, kept in made.study.items() for result in kept.values()]


def page(folder: Path = FOLDER) -> str:
    """The page, from the tables in `folder`."""
    made = read(folder)
    parts = sections(made, folder)
    anchors = {head: anchor(head) for head in parts}
    lines = [
        "# What the measurements say",
        *(f"{number}. {text}" for number, text in enumerate(sentences(made), 1)),
    ]
    contents = "\n".join(f"- [{head}](#{anchor})" for head, anchor in anchors.items())
    body = [f"## {head}\n\n{text.strip()}" for head, text in parts.items()]
    return "\n\n".join([lines[0], "\n".join(lines[1:]), NOTE, contents, *body]) + "\n"


def thinned(metrics: Path) -> list[dict[str, Any]]:
    """Lines of a run's metrics with increments, evenly spread; each is the mean of those around it."""
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if "increments" in line]
    found = []
    for part in range(POINTS):
        some = lines[part * len(lines) // POINTS : (part + 1) * len(lines) // POINTS]
        for n, row in enumerate(some[-1]["increments"]):
            mean, std = (
                sum(line["increments"][n][key] for line in some) / len(some) for key in ("mean", "std")
            )
            found.append(
                {"step": some[-1]["step"], "row": row["row"], "mean": round(mean, 4), "std": round(std, 4)}
            )
    return found


def write_curve(metrics: Path, to: Path) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, ("step", "row", "mean", "std"), lineterminator="\n")
    writer.writeheader()
    writer.writerows(thinned(metrics))
    write_atomically(to, text.getvalue().encode())


def copy_study(study: Path, folder: Path) -> None:
    """The report of a study, and the curve of the first seed of its main variants."""
    shutil.copyfile(study / "report.json", folder / "cpu-study.json")
    for variant in CURVES:
        write_curve(
            study / "runs" / "long" / variant / "seed-1" / "metrics.jsonl", folder / f"curve-{variant}.csv"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", type=Path)
    parser.add_argument("--metrics", type=Path)
    asked = parser.parse_args()
    if asked.study:
        copy_study(asked.study, FOLDER)
    if asked.metrics:
        write_curve(asked.metrics, FOLDER / "flagship" / "curve.csv")
    write_atomically(FOLDER / "report.md", page().encode())


if __name__ == "__main__":
    main()
