"""The probe on a real model: are gaps inside words, before words and before punctuation different, and is that learned?

    python scripts/probe_study.py measure MODEL --out docs/results/real-models/NAME.json [--gold SEGMENTED]
    python scripts/probe_study.py dose MODEL --out docs/results/real-models/NAME.json
    python scripts/probe_study.py page docs/results/real-models/NAME.json --title "SmolLM2-135M instruct"

measure: reads every sentence by itself, with 8 draws, in the model and in a randomly initialized copy of it; writes after
each sentence and goes on where it was stopped. Chinese sentences are those of a file with blanks between words. dose:
widens and narrows single gaps in the three layers that depend on them most, in some English sentences. page: writes the
page beside the numbers.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from probe_study_page import UNTRAINED, page
from probe_study_sentences import CHARACTERS, ENGLISH, Sentence, all_sentences, token_kinds

DRAWS = 8
DOSE_SENTENCES, DOSE_LAYERS, FACTORS = 3, 2, (0.75, 1.25, 2.0)


def measure(model: str, out: Path, gold: Path | None) -> None:
    """Probes every sentence that the file does not have yet."""
    import ropewalk

    record: dict[str, Any] = (
        json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"sentences": []}
    )
    hosts = {"trained": ropewalk.load(model, dtype="float32")}
    hosts[UNTRAINED] = untrained(hosts["trained"])
    versions = {name: version(name) for name in ("ropewalk", "torch", "transformers")}
    about: Any = hosts["trained"].describe()
    record |= {"model": about["name"], "hash": about["hash"], "draws": DRAWS, "seed": 0, "versions": versions}
    record |= {"gold": None if gold is None else gold.name}
    record["rows"] = [str(row) for row in hosts["trained"].rows]
    sentences = list(all_sentences(gold))
    record["wanted"] = dict(Counter(sentence.group for sentence in sentences))
    done = {(entry["group"], entry["number"]) for entry in record["sentences"]}
    for sentence in sentences:
        if (sentence.group, sentence.number) not in done:
            record["sentences"].append(read(hosts, sentence))
            out.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
            print(f"{len(record['sentences'])} of {len(sentences)}", flush=True)


def untrained(host: Any) -> Any:
    """The same architecture with fresh weights (seed 0), read by the same tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM

    import ropewalk

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(host.model.config, dtype=torch.float32).eval()
    return ropewalk.graft(model, parametrization="integer", tokenizer=host.tokenizer)


def tokenized(tokenizer: Any, sentence: Sentence) -> Any:
    """The sentence's tokens: the tokenizer's own, or one for each character."""
    from ropewalk.tokens.token_ids import read_token_ids

    if sentence.group != CHARACTERS:
        return tokenizer.encode(sentence.text)
    ids = [i for letter in sentence.text for i in tokenizer.encode(letter, "none").ids.tolist()]
    return read_token_ids(tokenizer, ids)[1]


def read(hosts: dict[str, Any], sentence: Sentence) -> dict[str, Any]:
    """The gaps of one sentence: kinds, signals of the trained model, and sensitivities (rows, gaps) of both models."""
    import ropewalk

    tokens = tokenized(hosts["trained"].tokenizer, sentence)
    plain = ropewalk.trace(hosts["trained"], sentence.text, tokens=tokens)
    found: dict[str, Any] = {
        "group": sentence.group,
        "number": sentence.number,
        "text": sentence.stored,
        "characters": dict(Counter(sentence.kinds[1:])),
    }
    for name, host in hosts.items():
        result = ropewalk.probe(host, sentence.text, tokens=tokens, draws=DRAWS, seed=0)
        first = int(result.trace.context["first_token"])
        found[name] = [[float(f"{v:.3g}") for v in row] for row in result.trace.values.tolist()]
        found[f"{name} agreement"] = result.agreement
    assert plain.surprisal is not None and plain.entropy is not None
    return found | {
        "first": first,
        "kinds": token_kinds(sentence, tokens.spans)[first:],
        "entropy": [round(float(v), 3) for v in plain.entropy[first:]],
        "surprisal": [round(float(v), 3) for v in plain.surprisal[first:]],
        "place": list(range(first, len(tokens.ids))),
    }


def dose(model: str, out: Path) -> None:
    """Single gaps made wider and narrower in single layers, beside the change that their sensitivity foretells."""
    import ropewalk
    from ropewalk.measure.gap_changes import scale_gaps
    from ropewalk.measure.probe import ProbePlan
    from ropewalk.measure.selected_rows import select_rows

    record = json.loads(out.read_text(encoding="utf-8"))
    opened: Any = ropewalk.load(model, dtype="float32")
    english = [entry for entry in record["sentences"] if entry["group"] == ENGLISH]
    mean = np.concatenate([np.array(entry["trained"]) for entry in english], 1).mean(1)
    layers = sorted(mean.argsort()[::-1][:DOSE_LAYERS].tolist())
    host: Any = select_rows(opened, layers)
    rows = []
    for number, entry in enumerate(english[:DOSE_SENTENCES], 1):
        tokens = opened.tokenizer.encode(entry["text"])
        count = len(tokens.ids)
        longer = replace(
            tokens, ids=np.append(tokens.ids, tokens.ids[-1])
        )  # so that the last prediction counts
        for gap in range(max(1, entry["first"]), count):
            plan = ProbePlan(count - gap, gap, 2, (gap,))
            for change in scale_gaps(host, plan, longer, [gap], factors=FACTORS, each_row=True):
                if change.row is not None:
                    foretold = entry["trained"][change.row.layer or 0][gap - entry["first"]]
                    rows.append([str(change.row), change.factor, foretold, float(f"{change.divergence:.3g}")])
        record["dose"] = {"sentences": number, "changes": rows}
        out.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
        print(f"{len(rows)} changes", flush=True)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("measure", "dose"):
        command = commands.add_parser(name)
        command.add_argument("model")
        command.add_argument("--out", type=Path, required=True)
        if name == "measure":
            command.add_argument("--gold", type=Path)
    last = commands.add_parser("page")
    last.add_argument("numbers", type=Path)
    last.add_argument("--title")
    given = parser.parse_args(words)
    if given.command == "measure":
        measure(given.model, given.out, given.gold)
        return
    if given.command == "dose":
        dose(given.model, given.out)
        return
    record = json.loads(given.numbers.read_text(encoding="utf-8"))
    given.numbers.with_suffix(".md").write_text(
        page(record, given.title or record["model"]), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
