"""The page of a graft study on a real model: what was decided, in sentences, then the tables.

    ropewalk graft-study recipes/graft-smollm2.toml --out FOLDER --set study.base=FOLDER --set corpus.root=FOLDER
    python scripts/graft_page.py FOLDER/report.json docs/results/real-models/graft-smollm2.json --title "SmolLM2-135M instruct"

Copies the tables that the page shows beside it. It writes nothing that is not in the report.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ropewalk.analyses.result import Result, shown
from ropewalk.studies.graft.claims import INCREMENTS, PERPLEXITY
from ropewalk.studies.graft.plan import BASELINES

WHAT = {"increments": "increments alone", "lora": "increments and LoRA", "full": "everything"}
KEPT = ("neutrality", "perplexity", "increments", "signals")
LISTED, LISTS = ("lora shared", "full shared"), ("extreme_tokens", "vocabulary")
"""Variants whose tokens are listed, and the tables that list them."""
PREDICTORS = (
    "increment row chosen on development",
    "increment all",
    "random networks, mean of 99 draws",
    "random networks, 97.5th percentile of 99 draws",
    "entropy before",
    "surprisal",
)
Tables = dict[tuple[str, str], Result]


def page(report: dict[str, Any], title: str) -> str:
    """The page in Markdown."""
    made = {(t["id"], t["name"]): Result.from_json(t) for t in report["tables"]}
    length = round(1e6 * report["plan"][0]["M tokens each"])
    small = f"A small study: {report['plan'][0]['seeds']} seeds, {length:,} tokens in each training run (published: 26 and 66 million)."
    lines = [f"# Grafts on {title}", "", *(f"- {line}" for line in (small, *sentences(made))), ""]
    lines += ["## Perplexity", "", *_perplexity(made), ""]
    lines += ["## Increments", "", *_increments(made), ""]
    for name in LISTED:
        lines += _extreme_tokens(made, name)
    if _signal_tables(made):
        lines += ["## Starts of words against insides of words", "", *_signals(made), ""]
    lines += [_made(report, made)]
    return "\n".join(lines).rstrip() + "\n"


def sentences(made: Tables) -> list[str]:
    """What the tables decide."""
    rows = [
        (trainable, row)
        for trainable in BASELINES
        for row in _rows(made, f"graft/{BASELINES[trainable]}/neutrality", "neutrality")
    ]
    worse = [str(row["variant"]) for _, row in rows if row["different"] and _number(row["difference"]) > 0]
    better = [str(row["variant"]) for _, row in rows if row["different"] and _number(row["difference"]) < 0]
    equal = [str(row["variant"]) for _, row in rows if row["equivalent"]]
    open_ones = [str(row["variant"]) for _, row in rows if not row["different"] and not row["equivalent"]]
    found = []
    for names, text in (
        (better, "better than the same training without increments"),
        (worse, "worse than the same training without increments"),
        (equal, "the same as without increments, within 0.003 nats per byte"),
        (open_ones, "not decided at this length and number of seeds"),
    ):
        if names:
            found.append(f"Held-out loss with increments is {text}: {', '.join(names)}.")
    for trainable in ("lora", "full"):
        row = next((r for h, r in rows if h == trainable and r["variant"] == f"{trainable} shared"), None)
        spread = next(iter(_rows(made, f"graft/{trainable} shared/vocabulary", "increments")), None)
        if row is not None and spread is not None:
            mean, std, _ = INCREMENTS[trainable]
            found.append(
                f"Shared increments trained with {WHAT[trainable].split(' and ')[-1]} have a mean of {shown(spread['mean'])} and a "
                f"standard deviation over tokens of {shown(spread['tokens'])} (published: {mean} and {std})."
            )
    for name, result in _signal_tables(made):
        end = result.primary
        assert end is not None
        answer = "know more than" if end.verdict == "above" else "do not decidedly know more than"
        found.append(
            f"{name}: increments {answer} random networks on the same activations about where words start (AUC "
            f"{shown(end.estimate.value)} [{shown(end.estimate.low)}, {shown(end.estimate.high)}], threshold {shown(end.null)}; "
            f"entropy before the token {shown(result.find(predictor='entropy before')['auc'])})."
        )
    return found


def _perplexity(made: Tables) -> list[str]:
    lines = [
        "| trained | increments | seeds | perplexity | same training, integer positions | difference, nats per token | mean "
        "increment, least to largest of a row | published: perplexity, baseline |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for trainable in BASELINES:
        for row in _rows(made, f"graft/{BASELINES[trainable]}/neutrality", "perplexity"):
            cells = (
                WHAT[trainable],
                str(row["variant"]).removeprefix(f"{trainable} "),
                row["seeds"],
                f"{_number(row['perplexity']):.3f}",
                f"{_number(row['baseline']):.3f}",
                _interval(row, "difference", "+.4f"),
                f"{_number(row['smallest']):.3f} to {_number(row['largest']):.3f}",
                row["published"],
            )
            lines.append(f"| {' | '.join(map(str, cells))} |")
    lora, full = PERPLEXITY["lora"], PERPLEXITY["full"]
    note = next((r.notes for (_, name), r in made.items() if name == "perplexity"), ("",))[0]
    return [
        *lines,
        "",
        f"{note} Published: LoRA {lora[0]} against {lora[1]}, everything {full[0]} against {full[1]}.",
    ]


def _increments(made: Tables) -> list[str]:
    lines = [
        "| variant | row | mean | standard deviation in context | over tokens | end of text, minus the mean |"
    ]
    lines += ["|---|---|---|---|---|---|"]
    for (table, name), result in made.items():
        if name != "increments":
            continue
        rows = sorted(result.rows, key=lambda row: -_number(row["std"]))[:3]
        for row in rows:
            cells = [_interval(row, column, ".4f") for column in ("mean", "std", "tokens", "end")]
            lines.append(f"| {table.split('/')[1]} | {row['row']} | {' | '.join(cells)} |")
    return [*lines, "", "The three rows that vary most of each variant."]


def _extreme_tokens(made: Tables, name: str) -> list[str]:
    rows = _rows(made, f"graft/{name}/vocabulary", "extreme_tokens")
    if not rows:
        return []
    lines = [f"## Tokens with the largest and the smallest increments, {name}", ""]
    for direction, words in (("above", "Widest"), ("below", "Narrowest")):
        texts = [
            f"`{row['piece']!r}` {_number(row['centered']):+.3f}"
            for row in rows
            if row["direction"] == direction
        ]
        lines.append(f"{words}, minus the mean: {', '.join(texts)}.")
        lines.append("")
    kinds = sorted(
        _rows(made, f"graft/{name}/vocabulary", "vocabulary"), key=lambda row: -_number(row["centered"])
    )
    lines += ["| category | tokens | mean increment | minus the mean |", "|---|---|---|---|"]
    lines += [
        f"| {row['category']} | {row['tokens']} | {_number(row['mean']):.4f} | {_number(row['centered']):+.4f} |"
        for row in kinds
    ]
    return [*lines, ""]


def _signals(made: Tables) -> list[str]:
    lines = ["| graft | predictor | models | AUC, test |", "|---|---|---|---|"]
    notes: tuple[str, ...] = ()
    command = ""
    for name, result in _signal_tables(made):
        notes, command = result.notes, (result.command or "").split(" --table")[0]
        for row in result.rows:
            if row["predictor"] in PREDICTORS:
                lines.append(
                    f"| {name} | {row['predictor']} | {row['models']} | {_interval(row, 'auc', '.3f')} |"
                )
    return [*lines, "", *notes, "", f"Measured by `{command}`."]


def _made(report: dict[str, Any], made: Tables) -> str:
    command = next((str(t["command"]).split(" --table")[0] for t in report["tables"] if t.get("command")), "")
    return (
        f"Measured by `{command}` with ropewalk {report['version']} on {report['hardware']}; weights of the base "
        f"`{report['base']['weights'][:12]}`. This page is written by `scripts/graft_page.py` from the tables beside it."
    )


def _signal_tables(made: Tables) -> list[tuple[str, Result]]:
    return [(key[0].split("/")[1], result) for key, result in made.items() if key[1] == "signals"]


def _rows(made: Tables, table: str, name: str) -> tuple[dict[str, Any], ...]:
    return made[table, name].rows if (table, name) in made else ()


def _interval(row: dict[str, Any], column: str, form: str) -> str:
    value, low, high = (row.get(f"{column}{end}") for end in ("", "_low", "_high"))
    if value is None or value != value:
        return ""
    known = low is not None and low == low
    return f"{value:{form}} [{low:{form}}, {high:{form}}]" if known else f"{value:{form}}"


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _is_shown(table: dict[str, Any]) -> bool:
    of_listed = table["id"] in {f"graft/{name}/vocabulary" for name in LISTED}
    return table["name"] in KEPT or (table["name"] in LISTS and of_listed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--title", required=True)
    given = parser.parse_args()
    report = json.loads(given.report.read_text(encoding="utf-8"))
    report["tables"] = [table for table in report["tables"] if _is_shown(table)]
    given.out.write_text(json.dumps(report, ensure_ascii=False), encoding="utf-8")
    given.out.with_suffix(".md").write_text(page(report, given.title), encoding="utf-8")


if __name__ == "__main__":
    main()
