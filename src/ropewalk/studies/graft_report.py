"""The graft study's report: the studies' report, beside the published graft's figures.

Source of the figures: Brendan Long's graft of shared increments onto SmolLM2-1.7B (2026); its tokens are words and
parts of words, ours may be bytes.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ropewalk
from ropewalk.corpus import prepare
from ropewalk.hf.identity import identity
from ropewalk.hf.loading import open_model
from ropewalk.measure.capture import trace
from ropewalk.studies import report
from ropewalk.studies.claims import Claim, judge
from ropewalk.studies.graft_plan import GROUP, GraftStudy, jobs, table
from ropewalk.studies.graft_tables import entries
from ropewalk.studies.result_store import results
from ropewalk.system.files import write_atomically
from ropewalk.training.graft import trainable
from ropewalk.training.graft.corpus_tokens import reader_of

PERPLEXITY = {"lora": (9.666, 9.653), "full": (9.469, 9.471)}  # with increments, without
SPREAD = {"lora": (1.033, 0.011, 1.053), "full": (1.002, 0.003, 1.014)}  # mean, spread, end of text


def claims() -> Iterator[Claim]:
    """The published figures, for ways named "lora shared" and "full shared"."""
    for how, (grafted, plain) in PERPLEXITY.items():
        name, difference = f"{how} shared", math.log(grafted / plain)
        yield Claim(
            f"loss/{name}",
            "Graft of shared increments: loss, nats per token",
            f"{difference:+.4f} (perplexity {grafted} against {plain})",
            None,
            f"{how}/neutrality",
            "neutrality",
            {"variant": name},
            "difference",
            "equivalent",
        )
        mean, spread, end = SPREAD[how]
        for column, told in (("mean", f"{mean}"), ("tokens", f"{spread}"), ("end", f"{end - mean:+.3f}")):
            yield Claim(
                f"{column}/{name}",
                "Graft of shared increments: mean, spread over tokens, end of text less mean",
                told,
                name,
                "vocabulary",
                "spread",
                {"line": "all"},
                column,
                "above" if column == "end" else "figure",
            )


def write(study: GraftStudy, base: str, out: Path) -> dict[str, Any]:
    """Writes report.html, report.md and report.json into `out`; returns what the json holds."""
    made = results(entries(study, base, out), out)
    train = next(jobs(study, base)).recipe.train
    seen = f"{train.steps * train.batch_size * study.model.context_length / 1e6:.3g} M tokens"
    told: dict[str, Any] = {
        "title": study.study.title,
        "version": ropewalk.__version__,
        "commit": report.commit(),
        "hardware": report.hardware(),
        "scale": study.study.scale,
        "plan": table(study),
        "base": identity(open_model(base)),
        "corpus": {GROUP: prepare(study.corpus, progress=False).hash},
        "claims": [{"group": GROUP, **row} for row in judge(claims(), GROUP, made, seen)],
        "once": {GROUP: list(study.ways)} if len(study.study.seeds) == 1 else {},
        "elsewhere": (),
        "tables": [{"id": name, **r.to_json()} for name, kept in made.items() for r in kept],
    }
    write_atomically(out / "report.json", json.dumps(told, indent=1, ensure_ascii=False).encode() + b"\n")
    write_atomically(out / "report.md", report.markdown(told, made).encode())
    page = report.page(told, made, _pictures(study, base, out))
    write_atomically(out / "report.html", page.encode())
    return told


def _pictures(study: GraftStudy, base: str, out: Path) -> list[tuple[str, bytes]]:
    from ropewalk.views import figure

    found, reader = [], reader_of(base)
    for job in jobs(study, base):
        if job.variant in study.study.main and job.seed == study.study.seeds[0] and job.done(out):
            graft = trainable.reopened(job.recipe.model, job.folder(out) / "model")
            for text in report.SENTENCES:
                with tempfile.TemporaryDirectory() as temporary:
                    path = Path(temporary) / "picture.png"
                    figure.save(trace(graft, text, tokens=reader.tokens(text)), path)
                    found.append((job.variant, path.read_bytes()))
    return found
