"""Writes a report as a page, as Markdown and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from ropewalk.studies.report import Made, Report, markdown
from ropewalk.studies.report_page import Drawing, page
from ropewalk.system.files import write_atomically


def write_files(report: Report, made: Made, pictures: list[Drawing], out: Path) -> None:
    """Writes report.html, report.md and report.json into `out`."""
    text = json.dumps(report.to_json(made), indent=1, ensure_ascii=False)
    write_atomically(out / "report.json", text.encode() + b"\n")
    write_atomically(out / "report.md", markdown(report, made).encode())
    write_atomically(out / "report.html", page(report, made, pictures).encode())
