"""The published tests, as they were published: windows and jieba, 79 names in both orders, kinds of code characters."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from ropewalk import experiments
from ropewalk.analyses import statistics
from ropewalk.analyses.code_kinds import KINDS, by_code_kind, code_kinds
from ropewalk.analyses.jieba_gaps import Window, jieba_gaps, windows
from ropewalk.analyses.published_names import TEMPLATES, distinct, names, published_names
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.experiments import Inputs, code, jieba
from ropewalk.experiments import names as names_experiment
from ropewalk.measure import random_networks
from ropewalk.measure.capture import trace
from ropewalk.native.decoder import Decoder

CHINESE = "我们在北京大学学习语言学。The word 今天 is 很好，他们都喜欢去公园。\n" * 6


def test_windows_hold_whole_characters_and_jieba_reads_the_whole_text() -> None:
    segmenter = pytest.importorskip("jieba")
    found = windows(CHINESE, 40)
    starts, offset = set(), 0
    for word in segmenter.cut(CHINESE):
        starts.add(offset)
        offset += len(word.encode())
    data, place, gaps = CHINESE.encode(), 0, 0
    for window in found:
        piece = window.text.encode()
        assert len(piece) <= 40
        place = data.index(piece, place)
        for at, label in zip(window.at.tolist(), window.labels.tolist(), strict=True):
            left, right = piece[:at].decode()[-1], piece[at:].decode()[0]
            assert all("\u4e00" <= one <= "\u9fff" for one in (left, right))
            assert label == (place + at in starts)
            gaps += 1
        place += len(piece)
    whole = windows(CHINESE, 10**6)
    assert len(whole) == 1 and whole[0].text == CHINESE and len(whole[0].at) > gaps > 100
    for wrong in ("no Chinese here.", "我", "我们"):
        with pytest.raises(UserError, match="longer Chinese text"):
            windows(wrong)


def test_rows_are_scored_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "REPLICATES", 100)
    stream = np.random.default_rng(0)
    labels, window = stream.random(600) < 0.5, np.arange(600) // 20
    noise = stream.normal(size=(3, 600))
    noise[0] += 2 * labels
    noise[1] -= 2 * labels
    random = stream.normal(size=(99, 3, 600))
    rows = (Row(0), Row(1), Row(2))
    result = jieba_gaps(rows, [noise, noise], [random, random], labels, window)
    assert [row["verdict"] for row in result.rows] == ["larger", "smaller", "undecided"]
    assert result.rows[0]["auc"] == pytest.approx(0.92, abs=0.03)
    assert result.rows[1]["auc"] == pytest.approx(0.08, abs=0.03)
    assert result.rows[2]["published"] == 0.68 and result.primary is None


def test_the_experiment_reads_each_window_alone_and_without_a_start() -> None:
    pytest.importorskip("jieba")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(random_networks, "DRAWS", 2)
        seen: list[str] = []
        real = jieba.trace
        patch.setattr(
            jieba,
            "trace",
            lambda host, text, start: (seen.append(text), real(host, text, start=start))[1],
        )
        model = tiny.moved(Decoder(tiny.config()))
        (result,) = experiments.get("jieba").measure(Inputs({"models": [model]}, text=CHINESE))
    assert len(result.rows) == 2 and "gaps in" in result.notes[0]
    assert max(len(text.encode()) for text in seen) <= model.context_length == 64
    first = Window(*[getattr(windows(CHINESE, 64)[0], name) for name in ("text", "at", "labels")])
    read = trace(model, first.text, start="none")
    assert len(read.tokens) == len(first.text.encode())


def test_the_list_of_names_is_the_published_one() -> None:
    pairs = names()
    assert len(pairs) == 79 and len(set(pairs)) == 79 and distinct(pairs).sum() == 59
    assert pairs[0] == ("United", "States") and pairs[-1] == ("Far", "East") and len(TEMPLATES) == 5


def test_a_smaller_space_inside_names_is_found_and_none_without_context() -> None:
    stream, keep = np.random.default_rng(0), distinct(names())
    turned = stream.normal(5.0, 0.3, (2, 79, 2))
    real = turned.copy()
    real[:, :, 1] -= 0.2 + stream.normal(0, 0.1, (2, 79))
    result = published_names((Row(0), Row(1)), real, turned, keep)
    assert [row["pairs"] for row in result.rows] == [79, 79, 59, 59]
    assert result.rows[0]["share"] == 0.5 and result.rows[0]["p"] == 1.0
    assert result.rows[1]["share"] > 0.9 and result.rows[1]["holm"] < 1e-6 and result.rows[3]["holm"] < 1e-6


def test_the_experiment_of_names_sees_nothing_in_the_first_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layer 0 reads the embedding: a space is a space in either order."""
    monkeypatch.setattr(random_networks, "DRAWS", 2)
    monkeypatch.setattr(names_experiment, "names", lambda: names()[:12])
    model = tiny.moved(Decoder(tiny.config()))
    (result,) = experiments.get("names").measure(Inputs({"models": [model]}))
    first, second = result.rows[:2]
    assert first["share"] == 0.5 and first["p"] == 1.0 and first["real"] == pytest.approx(first["reversed"])
    assert abs(second["real"] - second["reversed"]) > 1e-4


def test_kinds_of_code_characters() -> None:
    found = [list(KINDS)[k] if k >= 0 else "" for k in code_kinds("if x1:\n\t y = (é)").tolist()]
    word, indent = "identifiers", "newline and indent"
    assert found == [
        word, word, "space", word, word, "punctuation", indent, indent, indent, word, "space", "operators",
        "space", "brackets", "", "", "brackets",
    ]  # fmt: skip


def test_means_of_each_kind_are_those_of_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.moved(Decoder(tiny.config()))
    texts = ["def f(x):\n    return x + 1\n", "é y = [2]\n"]
    read = [trace(model, text) for text in texts]
    result = by_code_kind([read])
    values, kinds = (
        np.concatenate([one.increments for one in read], 1),
        np.concatenate([*map(code_kinds, texts)]),
    )
    for row in result.rows:
        n, k = [str(one) for one in model.rows].index(row["row"]), list(KINDS).index(row["kind"])
        at = kinds == k
        assert row["count"] == at.sum() and row["mean"] == pytest.approx(values[n, at].mean())
    assert result.find(row="L0", kind="brackets")["published"] == 3.24
    monkeypatch.setattr(code, "library", lambda count: texts)
    (made,) = experiments.get("code").measure(Inputs({"models": [model]}))
    assert made.rows == result.rows
    assert (
        experiments.get("code").run(Inputs({"models": [model]}, text=texts[0]))[0].notes[0].count("1 text(s)")
    )
    with pytest.raises(UserError, match="no character of code"):
        by_code_kind([[trace(model, "é中")]])
