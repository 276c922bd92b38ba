from __future__ import annotations

import json

import pytest

from ropewalk.analyses.result import Result
from ropewalk.experiments import REGISTRY, planted, scopes
from ropewalk.measure import random_networks


@pytest.fixture
def segmented(tmp_path):
    lines = [
        "我们 在 北京 大学 学习 语言",
        "今天 天气 很 好 ， 我们 去 公园",
        "他 的 书 在 桌子 上",
        "这 是 一 个 测试",
    ]
    paths = []
    for name, order in (("dev", lines), ("test", lines[::-1])):
        paths.append(tmp_path / f"{name}.seg.txt")
        paths[-1].write_text("\n".join(line + f" {i}" for i, line in enumerate(order * 3)) + "\n")
    return paths


def test_measure_writes_table_figure_and_numbers_and_says_how_to_do_it_again(
    ropewalk, model, segmented, tmp_path
):
    dev, test = segmented
    out = tmp_path / "tables"
    words = ["measure", "boundaries", model, "--dev", dev, "--test", test, "--limit", "10", "--out", out]
    answer = ropewalk(*words)
    assert answer.status == 0 and "Primary endpoint" in answer.out
    first = (out / "boundaries.json").read_bytes()
    assert "--limit 10" in json.loads(first)["command"] and (out / "boundaries.png").exists()
    assert "word F1" in (out / "boundaries.md").read_text() and (out / "gain.json").exists()
    assert ropewalk(*words).status == 0
    assert (out / "boundaries.json").read_bytes() == first
    predictor = Result.load(out / "boundaries.json").find(predictor="jieba")
    assert predictor["word_f1"] > 0.5


def test_one_segmented_file_is_split_in_halves(ropewalk, model, segmented, tmp_path):
    assert ropewalk("measure", "boundaries", model, "--dev", segmented[0], "--out", tmp_path).status == 0
    content = json.loads((tmp_path / "boundaries.json").read_text())
    assert "--test" not in content["command"] and content["rows"]


def test_bytes_spacing_and_entities_of_several_models(ropewalk, model, monkeypatch, tmp_path):
    monkeypatch.setattr(random_networks, "DRAWS", 4)
    (tmp_path / "text.txt").write_text("The bridge, closed. It was 1987! Yes. " * 8)
    answer = ropewalk("measure", "bytes", model, model)
    assert answer.status == 0 and "Chinese lead" in answer.out and "2 model(s)" in answer.out
    answer = ropewalk("measure", "spacing", model, "--text", tmp_path / "text.txt")
    assert answer.status == 0 and "Latin lower" in answer.out and "widest" in answer.out
    answer = ropewalk("measure", "agreement", model, model, "--text", tmp_path / "text.txt")
    assert answer.status == 0 and "matched row" in answer.out
    answer = ropewalk("measure", "entities", model, "--out", tmp_path)
    assert answer.status == 0 and (tmp_path / "entities.json").exists()


def test_what_is_known_exactly_is_asked_without_a_text(ropewalk, model, monkeypatch, tmp_path):
    monkeypatch.setattr(planted, "DOCUMENTS", 3)
    monkeypatch.setattr(scopes, "FILES", 8)
    monkeypatch.setattr(scopes, "BYTES", 2_000)
    monkeypatch.setattr(random_networks, "DRAWS", 2)
    answer = ropewalk("measure", "scopes", model, model, "--out", tmp_path)
    assert answer.status == 0 and "Rows chosen" in answer.out and (tmp_path / "scopes.png").exists()
    answer = ropewalk("measure", "planted", model, "--out", tmp_path)
    assert answer.status == 0 and "between words" in answer.out
    answer = ropewalk("measure", "lookup", model)
    assert answer.status == 1 and "takes 88 bytes" in answer.err


def test_saved_traces_are_analyzed_without_their_model(ropewalk, model, segmented, tmp_path):
    from ropewalk.analyses import gold

    read = gold.read(segmented[0])
    (tmp_path / "plain.txt").write_text(read.text)
    trace = tmp_path / "trace.json"
    assert (
        ropewalk("show", "--file", tmp_path / "plain.txt", "--model", model, "--json", trace, "-q").status
        == 0
    )
    for name in ("spacing", "surface", "extremes"):
        assert ropewalk("analyze", name, trace).status == 0
    answer = ropewalk("analyze", "boundaries", trace, "--gold", segmented[0], "--out", tmp_path)
    assert answer.status == 0 and (tmp_path / "gain.json").exists()


def test_runs_of_one_recipe_are_knocked_out_looked_at_and_compared(ropewalk, texts):
    models = {}
    for parametrization in ("bounded", "integer"):
        for seed in (1, 2):
            run = texts / f"{parametrization}-{seed}"
            sets = (
                f"model.increments.parametrization={parametrization}",
                f"train.seed={seed}",
                "model.increments.init=random",
            )
            words = [word for one in sets for word in ("--set", one)]
            assert ropewalk("train", texts / "recipe.toml", "--out", run, *words).status == 0
            models.setdefault(parametrization, []).append(run / "model")
    even = [word for path in models["integer"] for word in ("--baseline", path)]
    (texts / "text.txt").write_text("A line of text that nobody has trained on. " * 20)
    reads = ("--text", texts / "text.txt", "--windows", 3)
    answer = ropewalk("measure", "knockout", *models["bounded"], *reads, *even)
    assert answer.status == 0 and "noise" in answer.out and "Primary endpoint" in answer.out
    assert ropewalk("measure", "lookback", *models["bounded"], *reads).status == 0
    answer = ropewalk("measure", "extrapolation", *models["bounded"], *reads, *even)
    assert answer.status == 0 and "4x to 8x" in answer.out
    answer = ropewalk("measure", "neutrality", *models["bounded"], *even, "--out", texts)
    assert answer.status == 0 and Result.load(texts / "neutrality.json").rows[0]["pairs"] == 2
    traces = []
    for i, path in enumerate(models["bounded"]):
        traces.append(texts / f"{i}.json")
        assert (
            ropewalk(
                "show", "One. Two! Three? Four. Five.\n" * 3, "--model", path, "--json", traces[-1], "-q"
            ).status
            == 0
        )
    assert "matched" in ropewalk("analyze", "agreement", *traces).out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["measure", "everything", "x"], "choose one of"),
        (["measure", "spacing", "x"], "needs --text"),
        (["measure", "boundaries", "x"], "needs --dev"),
        (["measure", "bytes", "nowhere"], "nowhere"),
        (["measure", "neutrality", "x"], "needs --baseline"),
        (["analyze", "nothing", "x"], "must be one of"),
        (["analyze", "boundaries", "x"], "--gold"),
        (["analyze", "spacing", "nowhere.json"], "nowhere.json"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(ropewalk, words, sentence):
    answer = ropewalk(*words)
    assert answer.status == 1 and sentence in answer.err and "Traceback" not in answer.err


def test_the_list_explains_every_measurement(ropewalk):
    answer = ropewalk("measure", "--list")
    assert answer.status == 0
    assert [line.split()[0] for line in answer.out.splitlines()] == list(REGISTRY)
    assert all(experiment.help in answer.out for experiment in REGISTRY.values())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("code", "--text", "empty.txt"), "is empty; give a file with some text"),
        (("boundaries", "--dev", "a.seg.txt", "--limit", "0"), "greater than or equal to 1"),
        (("knockout", "--text", "empty.txt", "--windows", "1"), "greater than or equal to 2"),
    ],
)
def test_inputs_of_nothing_are_one_sentence(ropewalk, model, tmp_path, monkeypatch, more, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("")
    answer = ropewalk("measure", more[0], model, *more[1:])
    assert answer.status and said in answer.err and "Traceback" not in answer.err
