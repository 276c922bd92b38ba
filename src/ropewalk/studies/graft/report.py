"""What the report of a graft study says: its claims, its base, its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ropewalk.corpus import prepare
from ropewalk.hf.identity import identity
from ropewalk.hf.loading import open_model
from ropewalk.studies import report
from ropewalk.studies.claims import judge
from ropewalk.studies.graft.claims import claims
from ropewalk.studies.graft.plan import GROUP, GraftStudy, jobs, table
from ropewalk.studies.graft.tables import entries
from ropewalk.studies.report_files import write_files
from ropewalk.studies.report_page import Drawing, draw_sentences
from ropewalk.studies.store import results
from ropewalk.training.graft import trainable


def write(study: GraftStudy, base: str, out: Path) -> dict[str, Any]:
    """Writes report.html, report.md and report.json into `out`; returns what the JSON holds."""
    made = results(entries(study, base, out), out)
    seen = next(jobs(study, base)).size
    found = report.Report(
        title=study.study.title,
        scale=study.study.scale,
        plan=table(study),
        corpora={GROUP: prepare(study.corpus, progress=False).hash},
        claims=[{"group": GROUP, **row} for row in judge(claims(), GROUP, made, seen)],
        once={GROUP: list(study.variants)} if len(study.study.seeds) == 1 else {},
        extra={"base": identity(open_model(base))},
    )
    write_files(found, made, _pictures(study, base, out), out)
    return found.to_json(made)


def _pictures(study: GraftStudy, base: str, out: Path) -> list[Drawing]:
    """Our own sentences, in the first graft of each main variant."""
    found = []
    for job in jobs(study, base):
        if job.variant in study.study.main and job.seed == study.study.seeds[0] and job.done(out):
            graft = trainable.open_trained(job.recipe.model, job.folder(out) / "model")
            found += draw_sentences(job.variant, graft)
    return found
