"""The probe on a real model: are gaps inside words, before words and before punctuation different, and is that learned?

    python scripts/probe_study.py measure MODEL --out docs/results/real-models/smollm2.json
    python scripts/probe_study.py page docs/results/real-models/smollm2.json --title "SmolLM2-135M instruct"

measure: reads every sentence below by itself, with 8 draws, in the model and in a randomly initialized copy of it; writes
after each sentence and goes on where it was stopped. page: writes the page beside the numbers. Sentences are the unit of
resampling. Rows and signs are chosen on every other sentence and scored on the rest.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

SENTENCES = (
    "The lexicographer catalogued every archaic spelling before breakfast.",
    "Her grandmother emigrated from Thessaloniki to Melbourne, and never returned.",
    "A thunderstorm flooded the cobblestone streets; the market closed early.",
    "The archaeologists unearthed a Mesopotamian tablet near the riverbank.",
    "Photosynthesis converts sunlight, water and carbon dioxide into sugar.",
    "Tchaikovsky conducted the inaugural concert at Carnegie Hall in 1891.",
    "The veterinarian bandaged the hedgehog, then phoned its rescuer.",
    "Mountaineers acclimatize slowly, because altitude sickness is dangerous.",
    "Our neighbor's greenhouse smelled of basil, rosemary and chrysanthemums.",
    "The ferryman waited patiently while the pilgrims unloaded their baskets.",
    "Wittgenstein abandoned philosophy, taught schoolchildren and built a house.",
    "The bioluminescent plankton glimmered around the anchored trawler.",
    "Kyrgyzstan borders Kazakhstan, Uzbekistan, Tajikistan and China.",
    "An ophthalmologist examined the watchmaker's failing eyesight.",
    "The manuscript, water-stained and brittle, crumbled at her touch.",
    "Fishermen repaired their nets by lamplight until the storm subsided.",
    "The orchestra's bassoonist arrived late, breathless and apologetic.",
    "Cartographers once decorated empty oceans with imaginary monsters.",
    "Antibiotics are useless against viruses, yet patients demand them.",
    "The lighthouse keeper's logbook mentions seventeen shipwrecks.",
    "Rachmaninoff practiced scales for hours, even as a celebrated virtuoso.",
    "The blacksmith hammered the glowing horseshoe on a scarred anvil.",
    "Seismologists recorded aftershocks; the villagers slept outdoors.",
    "Nasturtiums climbed the dilapidated fence behind the apothecary.",
)
KINDS = ("inside a word", "start of a word", "punctuation")
CONTRASTS = (("inside a word", "start of a word"), ("punctuation", "start of a word"))
DRAWS = 8
UNTRAINED = "randomly initialized"
SIGNALS = {
    "entropy": "entropy before the token",
    "surprisal": "surprisal of the token",
    "place": "place in the sentence",
}


def kind(piece: str) -> str:
    """The kind of the gap before a token, by what the token writes."""
    word = piece.strip()
    if not word or not any(letter.isalnum() for letter in word):
        return "punctuation"
    return "start of a word" if piece[0].isspace() else "inside a word"


def measure(model: str, out: Path) -> None:
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
    record["rows"] = [str(row) for row in hosts["trained"].rows]
    for text in SENTENCES[len(record["sentences"]) :]:
        record["sentences"].append(read(hosts, text))
        out.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
        print(f"{len(record['sentences'])} of {len(SENTENCES)}", flush=True)


def untrained(host: Any) -> Any:
    """The same architecture with fresh weights (seed 0), read by the same tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM

    import ropewalk

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(host.model.config, dtype=torch.float32).eval()
    return ropewalk.graft(model, parametrization="integer", tokenizer=host.tokenizer)


def read(hosts: dict[str, Any], text: str) -> dict[str, Any]:
    """The gaps of one sentence: kinds, signals of the trained model, and sensitivities (rows, gaps) of both models."""
    import ropewalk

    tokens = hosts["trained"].tokenizer.encode(text)
    plain = ropewalk.trace(hosts["trained"], text, tokens=tokens)
    found: dict[str, Any] = {"text": text}
    for name, host in hosts.items():
        result = ropewalk.probe(host, text, tokens=tokens, draws=DRAWS, seed=0)
        first = int(result.trace.context["first_token"])
        found[name] = [[float(f"{v:.4g}") for v in row] for row in result.trace.values.tolist()]
        found[f"{name} agreement"] = result.agreement
    pieces = hosts["trained"].tokenizer.pieces(tokens.ids.tolist())[first:]
    assert plain.surprisal is not None and plain.entropy is not None
    found |= {
        "pieces": pieces,
        "entropy": [round(float(v), 4) for v in plain.entropy[first:]],
        "surprisal": [round(float(v), 4) for v in plain.surprisal[first:]],
        "place": list(range(first, len(tokens.ids))),
    }
    return found


def table(record: dict[str, Any], contrast: tuple[str, str]) -> dict[str, Any]:
    """AUCs of one contrast: of the row chosen on odd sentences, scored on even ones, with intervals over sentences."""
    from ropewalk.analyses import statistics

    sentences = record["sentences"]
    kinds = np.concatenate([[kind(p) for p in s["pieces"]] for s in sentences])
    cluster = np.concatenate([np.full(len(s["pieces"]), i) for i, s in enumerate(sentences)])
    used = np.isin(kinds, contrast)
    labels, dev = kinds == contrast[0], cluster % 2 == 1
    weights = statistics.draws(len(sentences))
    test = used & ~dev
    found: dict[str, Any] = {"gaps": {name: int((kinds == name).sum()) for name in contrast}}
    samples: dict[str, np.ndarray] = {}

    def score(name: str, values: np.ndarray, **more: Any) -> None:
        ranking = statistics.Ranking(values[test], labels[test])
        samples[name] = ranking.samples(cluster[test], weights)
        low, high = np.nanpercentile(samples[name], [2.5, 97.5])
        found[name] = {"auc": ranking.auc(), "low": float(low), "high": float(high), **more}

    for name in ("trained", UNTRAINED):
        values = np.concatenate([np.array(s[name]) for s in sentences], 1)
        aucs = [statistics.auc(row[used & dev], labels[used & dev]) for row in values]
        best = int(np.argmax(np.abs(np.array(aucs) - 0.5)))
        sign = 1 if aucs[best] >= 0.5 else -1
        score(name, sign * values[best], row=record["rows"][best], sign=sign)
    for name in SIGNALS:
        values = np.concatenate([np.array(s[name], np.float64) for s in sentences])
        sign = 1 if statistics.auc(values[used & dev], labels[used & dev]) >= 0.5 else -1
        score(name, sign * values, sign=sign)
    for name in (UNTRAINED, *SIGNALS):
        difference = samples["trained"] - samples[name]
        low, high = np.nanpercentile(difference, [2.5, 97.5])
        value = found["trained"]["auc"] - found[name]["auc"]
        found[name]["difference"] = {"value": value, "low": float(low), "high": float(high)}
    return found


def page(record: dict[str, Any], title: str) -> str:
    """The page: what was decided, in sentences, then the tables."""
    count = len(record["sentences"])
    made = {contrast: table(record, contrast) for contrast in CONTRASTS}
    lines = [f"# The probe on {title}", ""]
    lines += [f"- {_sentence(contrast, found)}" for contrast, found in made.items()]
    agreement = [
        float(
            np.mean(
                [s[f"{name} agreement"] for s in record["sentences"] if s[f"{name} agreement"] is not None]
            )
        )
        for name in ("trained", UNTRAINED)
    ]
    lines += [
        f"- Two halves of the {record['draws']} draws rank the gaps of a sentence alike with a mean correlation of "
        f"{agreement[0]:.2f} in the trained model and {agreement[1]:.2f} in the randomly initialized one.",
        "",
        f"{count} of {len(SENTENCES)} English sentences, each read by itself; a gap belongs to the token after it. AUC: the chance that a gap of the "
        "first kind lies on the chosen side of one of the second. Row and sign are chosen on every other sentence, the rest "
        "are scored; intervals (95 %) resample sentences. The first token of a sentence has no gap.",
        "",
    ]
    for contrast, found in made.items():
        lines += _table(contrast, found)
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    lines += [
        f"Measured by `scripts/probe_study.py` in float32 on one CPU core, seed {record['seed']}; weights "
        f"`{record['hash'][:12]}`, {versions}. The sentences are in the script, the numbers of every gap beside this page.",
        "",
    ]
    return "\n".join(lines)


def _sentence(contrast: tuple[str, str], found: dict[str, Any]) -> str:
    """What the data decide about one contrast."""
    own, null = found["trained"], found[UNTRAINED]["difference"]
    sides = "more" if own["sign"] > 0 else "less"
    known = own["low"] > 0.5
    first = (
        f"Layer {own['row'][1:]} depends {sides} on gaps before {contrast[0]} than before {contrast[1]} "
        f"(AUC {own['auc']:.2f} [{own['low']:.2f}, {own['high']:.2f}] on held-out sentences)"
        if known
        else f"No chosen layer tells {contrast[0]} from {contrast[1]} on held-out sentences "
        f"(AUC {own['auc']:.2f} [{own['low']:.2f}, {own['high']:.2f}])"
    )
    words = {True: "more than", False: "not decidedly more than"}
    learned = f"{words[null['low'] > 0]} the randomly initialized copy ({null['value']:+.2f} [{null['low']:+.2f}, {null['high']:+.2f}])"
    entropy = found["entropy"]["difference"]
    better = f"{words[entropy['low'] > 0]} the entropy before the token ({entropy['value']:+.2f} [{entropy['low']:+.2f}, {entropy['high']:+.2f}])"
    return f"{first}; {learned}, and {better}."


def _table(contrast: tuple[str, str], found: dict[str, Any]) -> list[str]:
    counts = ", ".join(f"{number} gaps {name}" for name, number in found["gaps"].items())
    lines = [f"## {contrast[0]} against {contrast[1]}", "", f"{counts}.", ""]
    lines += ["| signal | row | AUC | trained model's sensitivity minus this |", "|---|---|---|---|"]
    names: dict[str, str] = {
        "trained": "sensitivity, trained",
        UNTRAINED: f"sensitivity, {UNTRAINED}",
        **SIGNALS,
    }
    for key, title in names.items():
        entry, difference = found[key], found[key].get("difference")
        less = "" if difference is None else _interval(difference["value"], difference, "+.2f")
        lines.append(
            f"| {title} | {entry.get('row', '')} | {_interval(entry['auc'], entry, '.2f')} | {less} |"
        )
    return [*lines, ""]


def _interval(value: float, ends: dict[str, float], form: str) -> str:
    return f"{value:{form}} [{ends['low']:{form}}, {ends['high']:{form}}]"


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("measure")
    first.add_argument("model")
    first.add_argument("--out", type=Path, required=True)
    second = commands.add_parser("page")
    second.add_argument("numbers", type=Path)
    second.add_argument("--title")
    given = parser.parse_args(words)
    if given.command == "measure":
        measure(given.model, given.out)
        return
    record = json.loads(given.numbers.read_text(encoding="utf-8"))
    given.numbers.with_suffix(".md").write_text(
        page(record, given.title or record["model"]), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
