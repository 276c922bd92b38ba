"""The vocabulary report: categories, extreme tokens, tokens left out, patterns compared after centering."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch

from ropewalk import Row, Trace, UserError
from ropewalk.analyses import vocabulary
from ropewalk.analyses.vocabulary import Vocabulary
from ropewalk.measure import vocabulary as measured
from ropewalk.native.decoder import Decoder

PIECES = {
    "": "end of text",
    "\n\n": "newline",
    "  ": "space",
    ".": "punctuation",
    " —": "punctuation",
    "。": "Chinese punctuation",
    "({": "bracket",
    ");": "bracket",
    " +=": "operator",
    "42": "number",
    " the": "function word",
    " The": "function word",
    "def": "code keyword",
    " return": "code keyword",
    " rope": "word beginning",
    "rope": "word continuation",
    "the": "word continuation",
    "走": "Chinese character",
    "绳子": "Chinese characters",
    "\ufffd": "part of a character",
    "a1": "other",
}


@pytest.mark.parametrize("piece", PIECES, ids=repr)
def test_categories(piece: str) -> None:
    assert vocabulary.category(piece) == PIECES[piece]
    assert PIECES[piece] in vocabulary.CATEGORIES


def table(d: list[float], counts: list[int], seen: list[int] | None = None) -> Vocabulary:
    pieces = tuple(list(PIECES)[: len(d)])
    content = None if seen is None else np.array(seen)
    return Vocabulary(
        np.arange(len(d)), pieces, (Row(),), np.array(d)[:, None], np.array(counts), "before", content
    )


def test_unseen_tokens_are_left_out_and_counted() -> None:
    found = vocabulary.by_category(table([2.0, 1.0, 900.0, 1.5], [1, 3, 1, 0], [5, 5, 0, 5]))
    assert [row["category"] for row in found.rows] == ["end of text", "newline"]
    assert "2 of 4 tokens; 1 left out because training never saw them, 1 because" in found.notes[0]
    row = found.find(category="end of text")
    assert row["mean"] == 2.0 and row["centered"] == pytest.approx(2.0 - 5 / 4)


def test_extreme_tokens_are_the_ends_of_the_pattern() -> None:
    found = vocabulary.extreme_tokens(table([1.0, 5.0, 0.2, 1.1], [1, 1, 1, 1]), count=1)
    assert [(row["direction"], row["token"]) for row in found.rows] == [("above", 1), ("below", 2)]


def test_patterns_not_levels_are_compared() -> None:
    first = table([1.0, 2.0, 3.0, 9.0], [1, 1, 1, 0])
    shifted = table([11.0, 12.0, 13.0, -4.0], [4, 1, 2, 1])
    row = vocabulary.compare(first, shifted).rows[0]
    assert row["tokens"] == 3 and row["pearson"] == pytest.approx(1) and row["spearman"] == pytest.approx(1)
    turned = vocabulary.compare(first, table([3.0, 2.0, 1.0, 0.0], [1] * 4)).rows[0]
    assert turned["spearman"] == pytest.approx(-1)
    with pytest.raises(UserError, match="2 tokens in common"):
        vocabulary.compare(first, table([1.0, 2.0, 3.0], [1, 1, 0]))


def test_from_traces_averages_over_occurrences() -> None:
    spans = np.array([[0, 1], [1, 2], [2, 3]])
    trace = Trace(
        "aba", np.array([7, 8, 7]), spans, (Row(0),), np.array([[1.0, 4.0, 3.0]]), "increment", "u", "after"
    )
    found = vocabulary.from_traces([trace], seen={8: 2})
    assert found.ids.tolist() == [7, 8] and found.pieces == ("a", "b") and found.gap == "after"
    assert found.increments[:, 0].tolist() == [2.0, 4.0] and found.counts.tolist() == [2, 1]
    assert found.kept.tolist() == [False, True]
    with pytest.raises(UserError, match="at least one trace"):
        vocabulary.from_traces([])


def test_measured_by_itself_and_in_context() -> None:
    shared = tiny.moved(Decoder(tiny.config("positive", per="shared")))
    ids = tiny.tokens(3, 20)
    alone = measured.every_token(shared, 257, batch=100)
    mean, counts = measured.in_context(shared, [ids], 257)
    assert alone.shape == (257, 1) and counts.sum() == 57 and alone.std() > 0.01
    assert np.allclose(mean[counts > 0], alone[counts > 0], atol=1e-5)
    layered = tiny.moved(Decoder(tiny.config("bounded", per="layer")))
    with pytest.raises(UserError, match="read what came before"):
        measured.every_token(layered, 257)
    mean, counts = measured.in_context(layered, [ids[:1]], 257)
    from ropewalk.core.host import increments_of

    with torch.no_grad():
        d = increments_of(layered(ids[:1]))[0, :, 1:]
    token = int(ids[0, 5])
    assert np.allclose(mean[token], d[:, (ids[0, 1:] == token)].mean(1), atol=1e-5)


def test_shapes_are_checked() -> None:
    with pytest.raises(UserError, match="expected finite increments of 2 tokens"):
        table([1.0, float("nan")], [1, 1])
    with pytest.raises(UserError, match="no token was both measured"):
        vocabulary.by_category(table([1.0, 2.0], [1, 1], [0, 0]))


def test_a_pattern_counts_where_it_exceeds_random_networks() -> None:
    own = table([5.0, 5.0, 1.0, 1.0, 1.0], [1, 2, 1, 1, 1])
    generator = np.random.default_rng(0)
    drawn = Vocabulary(
        own.ids,
        own.pieces,
        tuple(Row(0, i) for i in range(9)),
        generator.normal(size=(5, 9)),
        own.counts,
        "before",
    )
    (found,) = vocabulary.pattern(own, drawn).rows
    assert found["share"] == pytest.approx(1) and found["verdict"] == "more than random networks"
    (same,) = vocabulary.pattern(
        Vocabulary(own.ids, own.pieces, (Row(),), drawn.increments[:, :1], own.counts, "before"), drawn
    ).rows
    assert same["verdict"] == "no more than random networks" and same["highest"] >= same["share"]


def test_random_networks_read_each_token_by_itself() -> None:
    host = tiny.moved(Decoder(tiny.config("bounded", per="shared")))
    found = measured.random_every_token(host, 257, 3)
    assert found.shape == (257, 3) and found.std(0).min() > 0
