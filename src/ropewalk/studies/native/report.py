"""What the report of a study of native models says: its claims, what is trained, its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ropewalk.native.checkpoint import load_decoder
from ropewalk.native.model_folder import read_config
from ropewalk.studies import report
from ropewalk.studies.claims import judge
from ropewalk.studies.native.claims import ELSEWHERE, claims
from ropewalk.studies.native.plan import Study, jobs, table
from ropewalk.studies.native.tables import entries
from ropewalk.studies.plan import job_folder
from ropewalk.studies.report_files import write_files
from ropewalk.studies.report_page import Drawing, draw_sentences
from ropewalk.studies.store import results


def write(study: Study, out: Path) -> dict[str, Any]:
    """Writes report.html, report.md and report.json into `out`; returns what the JSON holds."""
    made = results(entries(study, out), out)
    counts = report.trained_counts(list(jobs(study)), out)
    found = report.Report(
        title=study.study.title,
        scale=study.study.scale,
        plan=table(study),
        corpora=_corpora(study, out),
        claims=_claims(study, made),
        once=report.variants_where(counts, lambda had, wanted: had == 1),
        missing=report.variants_where(counts, lambda had, wanted: had < wanted),
        elsewhere=ELSEWHERE,
    )
    write_files(found, made, _pictures(study, out), out)
    return found.to_json(made)


def _claims(study: Study, made: report.Made) -> list[dict[str, Any]]:
    """Every claim's rows, in the order of the post."""
    order = list(claims())
    found = []
    for name, group in study.groups.items():
        own = [claim for claim in order if claim.reads == group.reads]
        megabytes = next(job for job in jobs(study) if job.group == name).bytes / 1e6
        found += [{"group": name, **row} for row in judge(own, name, made, f"{megabytes:.3g} MB")]
    places = [claim.id for claim in order]
    return sorted(found, key=lambda row: places.index(row["id"]))


def _corpora(study: Study, out: Path) -> dict[str, str]:
    """The corpus hash of each group's first finished run."""
    found = dict[str, str]()
    for job in jobs(study):
        if job.group not in found and job.done(out):
            found[job.group] = read_config(job.folder(out) / "model")["provenance"]["corpus"]["hash"]
    return found


def _pictures(study: Study, out: Path) -> list[Drawing]:
    """Our own sentences, in the first model of each main variant."""
    found = []
    for name, group in study.groups.items():
        for variant in group.main if not group.planted else ():
            folder = job_folder(out, name, variant, group.seeds[0]) / "model"
            if (folder / "config.json").is_file():
                found += draw_sentences(f"{name}, {variant}", load_decoder(folder))
    return found
