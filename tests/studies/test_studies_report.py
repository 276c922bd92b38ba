"""What a report says in plain words follows from the verdicts, and commands stand in it as code."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.analyses.statistics import Estimate
from ropewalk.studies import report
from ropewalk.studies.report import Report, anchor, markdown
from ropewalk.studies.report_page import page

REPORT = Report(
    title="T", version="0", commit="c", hardware="h", corpora={}, scale=1, plan=[],
    claims=[
        {
            "section": "S", "id": "x", "published": "1", "ours": 0.1, "low": 0.0, "high": 0.2, "seeds": 3,
            "verdict": "not replicated at 3 MB", "command": "ropewalk study r.toml",
        }
    ],
)  # fmt: skip


def made(verdict: str, models: int = 3) -> list[Result]:
    primary = Endpoint("an AUC", Estimate(0.6, 0.55, 0.65), 0.5, verdict)
    return [
        Result(
            "t",
            "A table",
            {"row": "line"},
            ({"row": "L0"},),
            (),
            primary,
            None,
            (),
            "cmd",
            {"models": ["m"] * models},
        )
    ]


def test_only_decided_endpoints_are_said_in_plain_words() -> None:
    kept = {
        "a": made("above"),
        "b": made("undecided at 3 MB"),
        "c": made("one pair, no verdict at 3 MB"),
        "d": made("above", models=1),
    }
    content = markdown(REPORT, kept)
    plain, rest = content.split("## Published figures and ours")
    assert "- a: an AUC: 0.6000 [0.5500, 0.6500]" in plain
    assert not any(f"- {name}:" in plain for name in "bcd")
    assert all(f"- {name}: an AUC" in rest for name in "abcd")
    assert "one seed, no verdict" in rest.split("- d: an AUC")[1]


def test_a_report_without_decided_endpoints_has_no_heading_for_them() -> None:
    assert "that are decided" not in markdown(REPORT, {"b": made("undecided")})


def test_commands_are_code_on_the_page() -> None:
    content = page(REPORT, {"a": made("above")}, [])
    assert "<code>ropewalk study r.toml</code>" in content and "`" not in content.split("</style>")[1]
    assert "Not replicated at 3 MB" in content


def test_the_first_words_count_the_verdicts_and_pictures_are_small_and_described() -> None:
    charted = replace(made("above")[0], chart=Chart("bars", "row", "row"), rows=({"row": 1.0},))
    picture = ("a: text", b"PNG", "Layer 0 puts its widest gap before “x”.")
    content = page(REPORT, {"a": [charted]}, [picture])
    words = content.split("<h2")[1]
    assert "One published figure can be judged here: 1 not replicated." in words
    assert (
        content.index("In plain words")
        < content.index("<nav")
        < content.index("Published figures and ours</h2>")
    )
    assert 'alt="a: text Layer 0 puts its widest gap before “x”."' in content
    assert (
        '<svg role="img" aria-label="A table"' in content and "</text>" in content
    )  # letters, not their outlines


def test_names_in_each_language_are_in_plain_words() -> None:
    entities = Result("entities", "A", {"row": "row"}, (), notes=("en alone: 60 pairs, share 0.7.",))
    assert "- g/v/entities, en alone: 60 pairs, share 0.7." in markdown(REPORT, {"g/v/entities": [entities]})


def test_every_entry_of_the_contents_leads_somewhere() -> None:
    kept = {"g/v/boundaries x": made("above"), "g/neutrality": made("undecided")}
    text, content = markdown(REPORT, kept), page(REPORT, kept, [])
    heads = {anchor(line.lstrip("# ")) for line in text.splitlines() if line.startswith("##")}
    links = re.findall(r"\(#(.*?)\)", text)
    assert len(links) == 4 + 2 and set(links) <= heads
    assert sorted(re.findall(r'href="#(.*?)"', content)) == sorted(links)
    assert set(links) <= set(re.findall(r'id="(.*?)"', content))


def test_the_commit_is_that_of_a_checkout_and_not_of_a_repository_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "CHECKOUT", tmp_path)
    assert report.commit() == "unknown"
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))  # without git
    assert report.commit() == "unknown"
