"""A whole study at a thousandth of its length: plan, trainings, interruption, tables, report."""

from __future__ import annotations

import json
import re
import sys
from functools import partial
from pathlib import Path

import pytest

from ropewalk import cli
from ropewalk.analyses import statistics
from ropewalk.errors import UserError
from ropewalk.experiments import planted, scopes
from ropewalk.measure import entities, random_networks
from ropewalk.studies import executor, report
from ropewalk.studies.native import plan, tables
from ropewalk.studies.native.variants import VARIANTS

ROOT = Path(__file__).parent.parent.parent
ZH = [
    "我们 在 北京 大学 学习 语言 。",
    "今天 天气 很 好 ， 我们 去 公园 。",
    "他 的 书 在 桌子 上 。",
    "这 是 一 个 测试 。",
]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path_factory) -> None:
    monkeypatch.setenv("ROPEWALK_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def folder(tmp_path) -> Path:
    """A study of a planted and a written corpus; its models are tiny, its texts ours."""
    texts = [f"Document {i}: the ropes lie {i} fathoms apart. 这里 有 {i} 条 绳子。" for i in range(60)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text * 4}) + "\n" for text in texts))
    for name in ("dev", "test"):
        (tmp_path / f"{name}.seg.txt").write_text(
            "\n".join(f"{line} {i}" for i, line in enumerate(ZH * 3)) + "\n"
        )
    shape = (
        "hidden_size = 16\nnum_heads = 2\nnum_layers = 2\ncontext_length = 32\n"
        "increments = { hidden_size = 4, init = 'random' }"
    )
    train = (
        "steps = 3000\nbatch_size = 2\nprecision = 'float32'\ncompile = false\nvalidation_tokens = 64\nlog_every = 1\n"
        "validate_every = 2000\ncheckpoint_minutes = 0\nkeep = 50"
    )
    (tmp_path / "study.toml").write_text(
        f"""
        [study]
        title = "A rehearsal"
        scale = 0.001
        gold_root = "{tmp_path}"
        [groups.planted]
        seeds = [1, 2]
        variants = ["rope", "per-layer", "constant", "permuted"]
        main = ["per-layer"]
        tables = ["neutrality", "boundaries", "planted", "curve"]
        windows = 4
        speed = 1000
        [groups.planted.recipe.corpus]
        sources = [{{ builtin = "planted", planted = {{ script = "unspaced", sentences = 5 }} }}]
        documents = 30
        validation_documents = 10
        [groups.planted.recipe.model]
        {shape}
        [groups.planted.recipe.train]
        {train}
        [groups.ask]
        seeds = [1, 2]
        variants = ["rope", "per-layer"]
        main = ["per-layer"]
        tables = ["lookup"]
        speed = 1000
        [groups.ask.recipe.corpus]
        sources = [{{ builtin = "lookup", lookup = {{ pairs = 2, hops = 1 }} }}]
        documents = 60
        validation_documents = 10
        overlap = "drop"
        [groups.ask.recipe.model]
        {shape}
        [groups.ask.recipe.train]
        {train}
        [groups.code]
        seeds = [1, 2]
        variants = ["per-layer"]
        main = ["per-layer"]
        tables = ["scopes"]
        speed = 1000
        [groups.code.recipe.corpus]
        sources = [{{ builtin = "python" }}]
        documents = 14
        validation_documents = 12
        overlap = "drop"
        [groups.code.recipe.model]
        {shape}
        [groups.code.recipe.train]
        {train}
        [groups.real]
        seeds = [1, 2]
        variants = ["rope", "per-layer", "shared"]
        single = {[v for v in VARIANTS if v not in ("rope", "per-layer", "shared")]}
        main = ["shared", "per-layer"]
        tables = ["neutrality", "bytes", "spacing", "boundaries", "entities", "knockout", "lookback", "agreement", "extrapolation", "dose"]
        windows = 4
        speed = 1000
        gold = {{ ours = {{ dev = "dev.seg.txt", test = "test.seg.txt" }} }}
        [groups.real.recipe.corpus]
        root = "{tmp_path}"
        sources = [{{ path = "texts.jsonl" }}]
        validation_documents = 20
        [groups.real.recipe.model]
        {shape}
        [groups.real.recipe.train]
        {train}
        """
    )
    return tmp_path


def run(monkeypatch, capsys, *words: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["ropewalk", "study", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    caught = capsys.readouterr()
    return int(stopped.value.code or 0), caught.out, caught.err


def test_a_study_from_the_plan_to_the_report(monkeypatch, capsys, folder):
    recipe, out = folder / "study.toml", folder / "out"
    monkeypatch.setattr(report, "commit", lambda: "a commit")  # which may change while this runs
    monkeypatch.setattr(entities, "CANDIDATES", 6)
    monkeypatch.setattr(
        statistics, "draw_resample_counts", partial(statistics.draw_resample_counts, replicates=50)
    )
    monkeypatch.setattr(tables, "PLANTED_DOCUMENTS", 4)
    monkeypatch.setattr(tables, "SAMPLE", 2_000)
    monkeypatch.setattr(planted, "DOCUMENTS", 4)
    monkeypatch.setattr(scopes, "BYTES", 3_000)
    monkeypatch.setattr(random_networks, "DRAWS", 2)
    status, found_content, _ = run(monkeypatch, capsys, recipe, "--out", out, "--plan")
    assert status == 0 and "0 of 40 runs are done" in found_content.replace("\n", " ") and not out.exists()

    jobs = list(plan.jobs(plan.read(recipe)))

    def cut_off(job, state):
        def watch(progress):
            if job.group == "planted" and job.variant == "per-layer" and progress.step == 2:
                raise KeyboardInterrupt

        return watch

    with pytest.raises(KeyboardInterrupt):
        executor.execute(jobs, out, cut_off)
    root = f"groups.real.recipe.corpus.root={folder}"
    status, found_content, said = run(monkeypatch, capsys, recipe, "--out", out, "--set", root, "--report")
    assert status == 0 and "training" not in said
    assert "real: not trained yet, or not with every seed: rope" in (out / "report.md").read_text()
    status, found_content, said = run(monkeypatch, capsys, recipe, "--out", out, "--set", root)
    assert status == 0, said
    assert "resuming planted/per-layer/seed-1" in said and "training planted/rope/seed-1" not in said

    found = json.loads((out / "report.json").read_text())
    ids = {table["id"] for table in found["tables"]}
    for wanted in (
        "planted/neutrality", "planted/content against constant", "planted/content against permuted",
        "planted/per-layer/boundaries planted", "planted/per-layer/curve planted", "real/neutrality",
        "real/shared/bytes", "real/per-layer/boundaries ours",
        "real/per-layer/boundaries ours by jieba", "real/per-layer/knockout", "real/per-layer/lookback",
        "real/shared/agreement", "real/extrapolation", "real/per-layer/entities", "real/shared/spacing",
        "planted/per-layer/planted", "ask/lookup", "code/per-layer/scopes", "real/per-layer per-head/lookback",
        "real/per-layer/dose ours",
    ):  # fmt: skip
        assert wanted in ids
    claims = {row["id"]: row for row in found["claims"]}
    assert {"bytes/shared/space", "boundaries/L1", "loss/per-layer", "surface"} <= claims.keys()
    assert claims["loss/alibi"]["verdict"] == claims["heads"]["verdict"] == "one seed, no verdict"
    assert {"lookup/gain", "lookup/rope", "code"} <= claims.keys()
    places = [row["id"] for row in found["claims"]]
    assert places.index("loss/shared") < places.index("bytes/shared/space") < places.index("code")
    assert "pope" in found["once"]["real"] and "code" not in found["once"] and found["missing"] == {}
    assert set(claims["loss/per-layer"]) >= {
        "published",
        "ours",
        "low",
        "high",
        "seeds",
        "verdict",
        "command",
    }
    assert "--set groups.real.recipe.corpus.root=FOLDER --table" in claims["bytes/shared/space"]["command"]
    assert (
        found["corpora"].keys() == {"planted", "ask", "code", "real"}
        and found["commit"]
        and found["hardware"]
    )
    page = (out / "report.html").read_text()
    assert "rehearsal at 0.001" in page and "<svg" in page and "data:image/png" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page) and "fathoms" not in page
    found_content = (out / "report.md").read_text()
    assert (
        found_content.index("## In plain words")
        < found_content.index("## Published figures")
        < found_content.index("### Published, and in")
    )
    assert (
        "real: trained once, hence without a verdict: " in found_content
        and "One seed, no verdict:" in found_content
    )
    assert (
        "increments that read the text" in found_content
        and "- real/per-layer/boundaries ours: " in found_content
    )

    first = {path: path.read_bytes() for path in out.glob("report.*")}
    status, _, said = run(monkeypatch, capsys, recipe, "--out", out)
    assert status == 0 and "training" not in said and "measuring" not in said
    assert all(path.read_bytes() == content for path, content in first.items())
    kept = out / "tables" / "real/shared/bytes" / "bytes.json"
    before = kept.read_bytes()
    status, shown, said = run(
        monkeypatch, capsys, recipe, "--out", out, "--set", root, "--table", "real/shared/bytes"
    )
    assert status == 0 and said.count("measuring") == 1 and "Chinese lead" in shown
    assert kept.read_bytes() == before
    kept.write_bytes(before[:100])
    status, _, said = run(monkeypatch, capsys, recipe, "--out", out, "--set", root)
    assert status == 0 and said.count("measuring") == 1 and kept.read_bytes() == before
    status, _, said = run(monkeypatch, capsys, recipe, "--out", out, "--table", "nothing")
    assert status == 1 and "no table 'nothing'" in said


def test_controls_take_what_they_need_from_the_trained_one(folder):
    study = plan.read(folder / "study.toml")
    order = [(job.variant, job.seed) for job in plan.jobs(study) if job.group == "planted"]
    assert order.index(("shared", 1)) < order.index(("permuted", 1)) < order.index(("rope", 2))
    real = [job for job in plan.jobs(study) if job.group == "real"]
    assert [job.seed for job in real if job.variant == "pope"] == [1]
    assert all(job.recipe.train.steps == 3 for job in real)
    changed = {job.variant: job.recipe.model for job in real}
    assert changed["forget gate"].decay == "forget" and changed["pope per-layer"].encoding == "pope"
    assert changed["shared per-head"].increments.hidden_size == 4


@pytest.mark.parametrize("name", ["study-cpu.toml", "study-post.toml"])
def test_the_recipes_that_come_along_hold(name):
    study = plan.read(ROOT / "recipes" / name)
    assert sum(row["hours"] for row in plan.table(study)) < 8
    short = plan.read(ROOT / "recipes" / name, ["study.scale=0.001"])
    assert all(job.recipe.train.steps <= 50 for job in plan.jobs(short))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("groups.real.main=['nothing']", "unknown variant"),
        ("groups.real.color=1", "unknown key"),
        ("study.scale=2", "scale"),
    ],
)
def test_a_study_that_does_not_hold_is_refused(folder, override, said):
    with pytest.raises(UserError, match=said):
        plan.read(folder / "study.toml", [override])
    with pytest.raises(UserError, match="TOML"):
        plan.read(folder / "nothing.toml")
