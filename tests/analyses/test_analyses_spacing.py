from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from ropewalk.analyses import byte_kinds, spacing
from ropewalk.analyses.surface import surface
from ropewalk.analyses.token_kinds import token_kind
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.measure.byte_table import context_free
from ropewalk.native.decoder import Decoder
from ropewalk.tokens.utf8_bytes import END, byte_spans, encode
from ropewalk.traces.trace import Trace

TEXT = "The old bridge, closed. It was 1987! 我们学习。\n" * 12 + "Ünïcode жук. " * 6


def trace(wide_at: str = " .,!。\n", noise: float = 0.1, seed: int = 0) -> Trace:
    stream = np.random.default_rng(seed)
    tokens = np.array(encode(TEXT))
    values = 1 + noise * stream.normal(size=(2, len(tokens)))
    for mark in wide_at:
        lead = mark.encode()[0]
        if len(mark.encode()) == 1:
            values[1, tokens == lead] += 2
    return Trace(
        TEXT,
        tokens,
        byte_spans(TEXT),
        (Row(0), Row(1)),
        values,
        "increment",
        "token-equivalents",
        "before",
        *(stream.random((3, len(tokens)))),
        provenance={"max_increment": 3.0},
    )


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a", "Latin lower"),
        ("É", "Latin upper"),
        ("字", "Han"),
        ("ж", "Cyrillic lower"),
        ("７", "digit"),
        ("\n", "newline"),
        ("\u3000", "space"),
        ("。", "sentence end"),
        ("「", "punctuation"),
        ("+", "symbol"),
        ("한", "Hangul"),
        ("ก", "Thai"),
        ("", "no text"),
        ("👩‍👧", "symbol"),
    ],
)
def test_kinds_of_characters(text, kind):
    assert byte_kinds.character_kind(text) == kind


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        (" lighthouse", "Latin lower"),
        (" 北京", "Han"),
        ("\u3000（", "punctuation"),
        ("   ", "space"),
        ("\n\n", "newline"),
        ("\n    x", "newline"),
        ("", "no text"),
    ],
)
def test_a_token_that_begins_with_its_space_is_of_the_kind_of_its_word(token, kind):
    assert token_kind(token) == kind


def test_a_token_of_one_character_is_of_the_kind_of_the_character():
    for one in [*map(chr, range(1, 0x400)), "\r\n", " \u0301", " \u200d", "👩‍👧"]:
        assert token_kind(one) == byte_kinds.character_kind(one)


def test_every_byte_of_the_published_table_has_one_kind():
    numbers = byte_kinds.byte_kind_numbers(np.arange(END + 1))
    for i, members in enumerate(byte_kinds.BYTE_KINDS.values()):
        assert (numbers[members] == i).all()
    assert numbers[0xE0] == len(byte_kinds.BYTE_KINDS)


def test_sentences_end_after_their_marks_and_not_in_numbers():
    text = "One 3.5 is. Two!\nThree 三。四？ End"
    t = Trace(
        text,
        np.array(encode(text)),
        byte_spans(text),
        (Row(0),),
        np.ones((1, len(encode(text)))),
        "increment",
        "x",
        "before",
    )
    data, number = text.encode(), byte_kinds.sentences(t)
    parts = [bytes(data[i] for i in np.flatnonzero(number == k)).decode() for k in range(number.max() + 1)]
    assert parts == ["One 3.5 is. ", "Two!\n", "Three 三。", "四？ ", "End"]


def test_the_table_by_byte_is_the_parametrization_on_each_embedding():
    for parametrization, per in (("positive", "shared"), ("bounded", "layer")):
        model = tiny.moved(Decoder(tiny.config(parametrization, per=per)))
        rows, table = context_free(model)
        with torch.no_grad():
            expected = (
                1 + model.increment_modules[0](model.embedding[:, None], torch.arange(257)[:, None])[:, 0, 0]
            )
        np.testing.assert_allclose(table[0], expected.numpy(), rtol=1e-5)
        result = spacing.by_byte(rows, table[None], 10.0)
        row = result.find(kind="a-z")
        assert row["mean"] == pytest.approx(table[0, 97:123].mean()) and row["max"] == pytest.approx(
            table[0, 97:123].max()
        )
        assert result.find(kind="end of document")["mean"] == pytest.approx(table[0, END])
    signed = tiny.moved(Decoder(tiny.config("bounded", per_head=True)))
    assert [str(row) for row in context_free(signed)[0]] == ["L0.h0", "L0.h1", "L0.h2", "L0.h3"]


def test_means_by_character_find_what_was_planted_and_say_what_saturates():
    result = spacing.by_character(trace())
    space = result.find(row="L1", kind="space")
    assert space["mean_low"] < 3 < space["mean_high"] and space["mean"] == pytest.approx(3, abs=0.1)
    assert result.find(row="L0", kind="space")["mean"] == pytest.approx(1, abs=0.1)
    assert space["saturated"] > 0.3 and result.find(row="L0", kind="space")["saturated"] == 0
    assert "maximum of 3.0" in result.notes[0]


def test_surface_finds_planted_marks_and_nothing_in_noise():
    found = surface([trace(), trace(seed=1)])
    assert found.primary.verdict == "above" and found.primary.estimate.value > 0.9
    assert "increment L1" in found.primary.what and found.find(predictor="increment L1")["f1"] > 0.9
    assert found.find(predictor="increment L1")["holm"] < 0.05
    drawn = trace()
    same = replace(
        drawn,
        rows=tuple(Row(0, i) for i in range(39)),
        values=np.stack([drawn.values[1]] * 39),
    )
    content = surface([trace()], [same])
    assert content.primary.verdict == "undecided" and content.primary.null > 0.9
    assert content.find(predictor="increment L1")["threshold"] == content.primary.null
    verdicts = [surface([trace(wide_at="", seed=s)]).primary.verdict for s in range(5)]
    assert verdicts.count("above") <= 1
    with pytest.raises(UserError, match="one text"):
        other = Trace(
            "a b.",
            np.array(encode("a b.")),
            byte_spans("a b."),
            (Row(0),),
            np.ones((1, 4)),
            "increment",
            "x",
            "before",
        )
        surface([trace(), other])


def test_extremes_show_the_gap_in_its_context():
    t = trace(noise=0.0)
    rows = [row for row in spacing.extremes(t, count=3, around=4).rows if row["row"] == "L1"]
    assert [row["extreme"] for row in rows] == ["widest"] * 3 + ["narrowest"] * 3
    _, right = str(rows[0]["context"]).split("‖")
    assert right[0] in " .,!⏎" and rows[0]["increment"] == 3.0 and rows[3]["increment"] == 1.0


def test_a_table_by_byte_must_clear_untrained_models():
    stream = np.random.default_rng(3)
    tables = 1 + 0.001 * stream.normal(size=(3, 1, 257))
    tables[:, :, [0x20, 0x0A]] += 0.02
    untrained = 1 + 0.05 * stream.normal(size=(99, 1, 257))
    assert spacing.by_byte([Row(0)], tables).primary.verdict == "above"
    content = spacing.by_byte([Row(0)], tables, untrained=untrained).primary
    assert content.verdict == "undecided" and content.null > 1.02


def test_one_contrast_is_not_the_published_order():
    """Space and newline are wide, all else in reverse: the contrast agrees, the order of all kinds does not."""
    table = np.ones((1, 257))
    ordered = sorted(byte_kinds.PUBLISHED["shared"].items(), key=lambda item: item[1])
    for place, (kind, _) in enumerate(ordered):
        table[0, byte_kinds.BYTE_KINDS[kind]] = 2 - 0.05 * place
    r, p = spacing.published_order(table, "shared")
    assert r == pytest.approx(-1) and p < 0.01
    table[0, byte_kinds.BYTE_KINDS["space"] + byte_kinds.BYTE_KINDS["newline"]] = 3.0
    result = spacing.by_byte([Row()], np.stack([table] * 3))
    assert result.primary.verdict == "above"
    ordered_table = spacing.order([Row()], np.stack([table] * 3))
    assert (
        ordered_table.primary.verdict == "undecided"
        and ordered_table.rows[0]["order"] < 0.2
        and ordered_table.rows[0]["p"] > 0.05
    )
    for kind, mean in ordered:
        table[0, byte_kinds.BYTE_KINDS[kind]] = mean
    assert spacing.published_order(table, "shared")[0] == pytest.approx(1)
