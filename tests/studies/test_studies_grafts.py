"""A graft study at a hundredth of its length: plan, trainings, interruption, tables, report."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ropewalk import cli
from ropewalk.analyses import signal_comparison, statistics
from ropewalk.analyses.vocabulary import Vocabulary
from ropewalk.core.increment_config import IncrementConfig
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.measure import random_networks
from ropewalk.native import checkpoint
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder
from ropewalk.studies import report
from ropewalk.studies.executor import execute
from ropewalk.studies.graft import perplexity, plan, signals, tables
from ropewalk.training.graft.paired import Side

ROOT = Path(__file__).parent.parent.parent
ZH = ["我们 在 北京 大学 学习 语言 。", "今天 天气 很 好 ， 我们 去 公园 。", "他 的 书 在 桌子 上 。"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe, a corpus, gold and a native base with integer positions, all tiny."""
    monkeypatch.setenv("ROPEWALK_CACHE", str(tmp_path / "cache"))
    texts = [f"Document {i}: the ropes lie {i} fathoms apart. 这里 有 {i} 条 绳子。" for i in range(60)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text * 4}) + "\n" for text in texts))
    lines = "\n".join(f"{line} {i}" for i, line in enumerate(ZH * 8))
    for part in ("dev", "test"):
        (tmp_path / f"{part}.seg.txt").write_text(lines + "\n")
    shape = DecoderConfig(
        hidden_size=16,
        num_heads=2,
        num_layers=2,
        context_length=64,
        increments=IncrementConfig(parametrization="integer"),
    )
    checkpoint.save_decoder(tmp_path / "native", Decoder(shape, seed=0), {"step": 0})
    (tmp_path / "graft.toml").write_text(
        f"""
        [study]
        title = "A rehearsal of grafts"
        base = "{tmp_path / "native"}"
        seeds = [1, 2]
        main = ["increments per-layer"]
        windows = 4
        sample = 2000
        gold_root = "{tmp_path}"
        scale = 0.01
        [variants."increments per-layer"]
        trainable = "increments"
        increments = {{ hidden_size = 4 }}
        [variants."lora shared"]
        trainable = "lora"
        increments = {{ parametrization = "positive", per = "shared", gap = "after", hidden_size = 4 }}
        [gold]
        ours = {{ dev = "dev.seg.txt", test = "test.seg.txt" }}
        [probe]
        gaps = 12
        windows = [1, 3]
        past = 4
        draws = 2
        [corpus]
        root = "{tmp_path}"
        sources = [{{ path = "texts.jsonl" }}]
        validation_documents = 20
        [model]
        context_length = 32
        lora_rank = 2
        [train]
        steps = 300
        batch_size = 2
        precision = "float32"
        device = "cpu"
        validation_tokens = 200
        checkpoint_minutes = 0
        """
    )
    monkeypatch.setattr(
        statistics, "draw_resample_counts", partial(statistics.draw_resample_counts, replicates=30)
    )
    monkeypatch.setattr(random_networks, "DRAWS", 2)
    monkeypatch.setattr(report, "commit", lambda: "a commit")
    return tmp_path


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, *words: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["ropewalk", "graft-study", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    caught = capsys.readouterr()
    return int(stopped.value.code or 0), caught.out, caught.err


def test_a_graft_study_from_the_plan_to_the_report(monkeypatch, capsys, folder: Path) -> None:
    recipe, out = folder / "graft.toml", folder / "out"
    status, found_content, _ = run(monkeypatch, capsys, recipe, "--out", out, "--plan")
    assert status == 0 and "0 of 8 runs are done" in found_content and not out.exists()

    study = plan.read(recipe)
    jobs = list(plan.jobs(study, plan.base(study, out)))
    assert [job.variant for job in jobs[:4]] == ["base", "lora", "increments per-layer", "lora shared"]

    def cut_off(job, state):
        def watch(progress):
            if job.variant == "lora shared" and progress.step == 2:
                raise KeyboardInterrupt

        return watch

    with pytest.raises(KeyboardInterrupt):
        execute(jobs, out, cut_off)
    assert {job.recipe.train.keep for job in jobs} == {1}
    status, found_content, said = run(monkeypatch, capsys, recipe, "--out", out)
    assert status == 0, said
    assert "resuming graft/lora shared/seed-1" in said and "training graft/lora/seed-1" not in said

    found = json.loads((out / "report.json").read_text())
    made = {(table["id"], table["name"]): table for table in found["tables"]}
    assert made.keys() >= {
        ("graft/base/neutrality", "neutrality"), ("graft/lora/neutrality", "neutrality"),
        ("graft/lora shared/vocabulary", "increments"), ("graft/increments per-layer/vocabulary", "bytes"),
        ("graft/increments per-layer/vocabulary", "extreme_tokens"), ("graft/increments per-layer/vocabulary", "patterns"),
        ("graft/increments per-layer/boundaries ours", "boundaries"), ("graft/increments per-layer/boundaries ours", "gain"),
        ("graft/increments per-layer/signals ours", "signals"), ("graft/increments per-layer/signals white space", "signals"),
    }  # fmt: skip
    assert made["graft/base/neutrality", "neutrality"]["rows"][0]["pairs"] == 2
    assert made["graft/lora/neutrality", "neutrality"]["rows"][0]["variation"] > 0
    (row,) = made["graft/lora/neutrality", "perplexity"]["rows"]
    assert row["published"] == "9.666, 9.653" and row["perplexity"] != row["baseline"] and row["seeds"] == 2
    assert row["smallest"] == row["mean"] == row["largest"]  # one shared row
    predictors = {
        row["predictor"] for row in made["graft/increments per-layer/signals ours", "signals"]["rows"]
    }
    assert predictors >= {
        "increment L1", "increment row chosen on development", "sensitivity over 1 of the base L0",
        "sensitivity over 3 of an untrained model row chosen on development", "entropy before",
        "random networks, mean of 2 draws",
    }  # fmt: skip
    claims = {row["id"]: row for row in found["claims"]}
    assert claims.keys() == {f"{what}/lora shared" for what in ("loss", "mean", "tokens", "end")}
    assert (
        claims["loss/lora shared"]["published"].startswith("+0.0013")
        and claims["mean/lora shared"]["seeds"] == 2
    )
    page = (out / "report.html").read_text()
    assert "data:image/png" in page and "fathoms" not in page and "rehearsal at 0.01" in page

    first = {path: path.read_bytes() for path in out.glob("report.*")}
    status, _, said = run(monkeypatch, capsys, recipe, "--out", out)
    assert status == 0 and "training" not in said and "measuring" not in said
    assert all(path.read_bytes() == content for path, content in first.items())
    words = ("--keep", 3, "--set", f"corpus.root={folder}", "--table", "graft/lora/neutrality")
    status, shown, said = run(monkeypatch, capsys, recipe, "--out", out, *words)
    assert status == 0 and said.count("measuring") == 1 and "lora shared" in shown
    again = json.loads((out / "report.json").read_text())
    command = next(t["command"] for t in again["tables"] if t["id"] == "graft/lora/neutrality")
    assert "corpus.root=FOLDER" in command
    asked = plan.read(recipe, ["train.keep=3"])
    assert next(plan.jobs(asked, asked.study.base)).recipe.train.keep == 3


def test_gaps_before_words_are_told_from_those_inside_by_tokens(monkeypatch) -> None:
    text = "The rope lies. It is unwound."
    pieces = ["The", " rope", " li", "es", ".", " It", " is", " un", "w", "ound", "."]
    ends = np.cumsum([len(piece) for piece in pieces])
    spans = np.stack([ends - [len(piece) for piece in pieces], ends], 1)
    read = SimpleNamespace(text=text, spans=spans, tokens=np.arange(len(pieces)))
    monkeypatch.setattr(signals, "trace", lambda host, seen: read)
    monkeypatch.setattr(signals.SignalTables, "_compare", lambda self, parts, start, title: parts)
    settings = plan.ProbeSettings(windows=())
    tables_of_signals = signals.SignalTables("a base", [None], settings)  # type: ignore[list-item]
    first, second = tables_of_signals.word_starts(np.frombuffer(text.encode(), np.uint8))  # type: ignore[misc]
    assert first.tokens.tolist() == [1, 2, 3, 5] and first.labels.tolist() == [True, True, False, True]
    assert second.tokens.tolist() == [6, 7, 8, 9] and second.labels.tolist() == [True, True, False, False]


def test_small_sensitivities_are_ranked_as_large_ones() -> None:
    first = np.array([[1.0, 2, 3, 4], [4, 2, 3, 1]])
    scaled = signals._scaled([1e-9 * first, 2e-9 * first])
    assert np.allclose(scaled[0], first / 2.5) and np.allclose(scaled[1], 2 * scaled[0])
    assert statistics.auc(scaled[0][0], np.array([False, False, True, True])) == 1.0


def test_perplexity_is_paired_by_seed() -> None:
    def side(loss: float, mean: float = 1.0) -> Side:
        return Side([loss - 0.5, loss + 0.5], [{"row": "all", "mean": mean, "std": 0.1}], 1.0)

    sides = {"lora": {1: side(1.0), 2: side(2.0)}, "x": {1: side(1.1, 1.2), 2: side(2.3), 3: side(9.0)}}
    (row,) = perplexity.perplexity(sides, "lora", "10 tokens").rows
    assert row["difference"] == pytest.approx(0.2) and row["seeds"] == 2
    assert row["baseline"] == pytest.approx((np.e + np.e**2) / 2) and row["mean"] == pytest.approx(1.1)
    assert row["difference_low"] < 0.1 and row["difference_high"] > 0.3 and row["published"] == ""


def test_an_end_that_was_not_measured_has_no_increment() -> None:
    counts = np.array([3, 0])
    table = Vocabulary(np.arange(2), ("a", ""), (Row(0),), np.array([[1.5], [0.0]]), counts, "before")
    assert tables._end(table, 0, 0) == 0.0
    assert np.isnan([tables._end(table, 1, 0), tables._end(table, None, 0)]).all()


@pytest.mark.parametrize("variant", plan.read(ROOT / "recipes" / "graft-smollm2.toml").variants)
def test_the_recipe_of_the_study_on_smollm2_pairs_every_variant(variant: str) -> None:
    study = plan.read(ROOT / "recipes" / "graft-smollm2.toml")
    trainable, _, kind = variant.partition(" ")
    increments = study.variants[variant].increments
    assert study.variants[variant].trainable == trainable and kind in ("per-layer", "shared", "constant")
    assert increments.shared == (kind == "shared")
    assert (increments.parametrization == "constant") == (kind == "constant")


def test_the_recipe_that_comes_along_holds() -> None:
    study = plan.read(ROOT / "recipes" / "graft.toml")
    jobs = list(plan.jobs(study, "a base"))
    rates = {
        job.variant: job.recipe.optimizer.lr * job.recipe.optimizer.increments_lr_multiplier for job in jobs
    }
    assert rates["increments per-layer, fast"] == pytest.approx(1e-2) and rates[
        "full shared"
    ] == pytest.approx(1e-3)
    assert {job.recipe.model.trainable for job in jobs} == {"increments", "lora", "full"} and len(
        study.study.seeds
    ) == 3
    assert sum(row["hours"] for row in plan.table(study)) < 2


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("variants.lora.trainable=lora", "increments"),
        ("study.color=1", "unknown key"),
        ("study.seeds=[]", "seeds"),
    ],
)
def test_a_graft_study_that_does_not_hold_is_refused(folder: Path, override: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        plan.read(folder / "graft.toml", [override])
    with pytest.raises(UserError, match="learned parametrization"):
        plan.read(folder / "graft.toml", ["variants.increments per-layer.increments.parametrization=integer"])


def test_a_reader_that_knows_is_content_from_one_that_does_not() -> None:
    chance_of = np.random.default_rng(0)
    labels = [np.arange(n) % 3 == 0 for n in (60, 90)]
    sees = [np.where(part, -1.0, 1.0) + 0.1 * chance_of.standard_normal(len(part)) for part in labels]
    blind = [chance_of.standard_normal(len(part)) for part in labels]
    both = [np.stack([b, s])[None].repeat(2, 0) for s, b in zip(sees, blind, strict=True)]
    predictors = {
        "two rows": signal_comparison.Predictor(("L0", "L1"), *both),
        "blind": signal_comparison.single(*blind),
    }
    draws = signal_comparison.Predictor(
        ("L0",), *(chance_of.standard_normal((3, 1, len(part))) for part in labels)
    )
    result = signal_comparison.compare_signals(
        predictors,
        signal_comparison.Gaps(*labels, np.arange(90) // 5),
        title="A test",
        baselines=["blind"],
        random=draws,
    )
    mean, highest = (float(row["auc"]) for row in result.rows[-2:])  # type: ignore[arg-type]
    assert 0.3 < mean < highest < 0.8
    assert result.find(predictor="two rows row chosen on development")["auc"] == 1.0
    assert (
        0.3 < result.find(predictor="blind")["auc"] < 0.7
        and result.find(predictor="two rows L0")["models"] == 2
    )
    assert result.primary is not None and result.primary.verdict == "above" and result.primary.null >= 0.5
    with pytest.raises(UserError, match="both parts need"):
        signal_comparison.Gaps(labels[0], np.ones(90, bool), np.arange(90))
