import csv
import itertools
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import byte_trace, token_trace

from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.tokens.graphemes import grapheme_spans
from ropewalk.traces.trace import Trace


def test_gap_before_puts_the_increment_between_its_token_and_the_one_before() -> None:
    trace = byte_trace("abcd", [[9, 2, 3, 4]])
    assert trace.positions.tolist() == [[0, 2, 5, 9]]
    assert trace.increments.tolist() == [[9, 2, 3, 4]]


def test_gap_after_puts_the_increment_between_its_token_and_the_next() -> None:
    trace = byte_trace("abcd", [[1, 2, 3, 9]], gap="after")
    assert trace.positions.tolist() == [[0, 1, 3, 6]]


def test_positions_give_increments_back() -> None:
    trace = byte_trace("abcd", [[5, 7, 6, 6.5]], kind="position", gap=None)
    assert trace.increments.tolist() == [[1, 2, -1, 0.5]]
    assert trace.positions.tolist() == [[5, 7, 6, 6.5]]


@given(st.lists(st.floats(0, 10, width=32), min_size=1, max_size=40))
def test_increments_are_the_steps_of_the_positions(row: list[float]) -> None:
    trace = byte_trace("a" * len(row), [row])
    assert np.allclose(np.diff(trace.positions), trace.increments[:, 1:], rtol=0, atol=1e-12)
    assert trace.positions.dtype == trace.increments.dtype == np.float64


@pytest.mark.parametrize("kind", ["sensitivity", "forget"])
def test_other_kinds_have_neither(kind: str) -> None:
    trace = byte_trace("ab", kind=kind)
    for name in ("positions", "increments"):
        with pytest.raises(UserError, match=f"trace of increment or position, got one of {kind}"):
            getattr(trace, name)
    trace.require(kind)


def test_a_trace_is_frozen() -> None:
    values = np.ones((1, 2))
    trace = byte_trace("ab", values)
    values[0, 0] = 7
    assert trace.values[0, 0] == 1
    with pytest.raises(FrozenInstanceError):
        trace.kind = "forget"  # type: ignore[misc]
    for name in ("tokens", "spans", "values", "surprisal", "entropy", "entropy_after"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(trace, name)[0] = 0


def test_errors_are_copied_and_have_the_shape_of_the_values() -> None:
    error = np.ones((1, 2))
    trace = replace(byte_trace("ab", kind="sensitivity"), error=error)
    error[0, 0] = 7
    assert trace.error is not None and trace.error[0, 0] == 1 and trace.error.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        trace.error[0, 0] = 0
    with pytest.raises(UserError, match=r"error of shape \(1, 2\), got \(1, 1\)"):
        replace(trace, error=error[:, :1])


def test_rows_of_any_sequence_are_a_tuple() -> None:
    assert replace(byte_trace("ab"), rows=[Row(0)]).rows == (Row(0),)  # type: ignore[arg-type]


def test_verify_sees_a_change_that_was_forced() -> None:
    trace = byte_trace("ab")
    trace.verify()
    trace.values.setflags(write=True)
    trace.values[0, 0] = 2
    with pytest.raises(UserError, match="changed after it was created"):
        trace.verify()


def test_the_hash_is_of_the_content_and_stable() -> None:
    one = byte_trace("Rope 绳", [range(8)], provenance={"model": "m", "time": "now"})
    same = byte_trace("Rope 绳", [range(8)], provenance={"time": "later", "model": "m"})
    assert one.hash == same.hash == "62981b9f7fbaaff0b05b38f63f8f21a788ed4a5b9cb838b4a8f40344948f79fa"
    others = [
        replace(one, kind="position"),
        replace(one, gap="after"),
        replace(one, unit="steps"),
        replace(one, values=one.values + 1),
        replace(one, tokens=one.tokens + 1),
        replace(one, rows=(Row(1),)),
        replace(one, surprisal=np.zeros(8)),
        replace(one, entropy=np.zeros(8)),
        replace(one, entropy_after=np.zeros(8)),
        replace(one, context={"window": 512}),
        replace(one, provenance={"model": "other"}),
    ]
    assert len({one.hash, *(other.hash for other in others)}) == len(others) + 1


def test_every_nan_counts_the_same() -> None:
    odd = np.array([np.nan, 1.0], dtype=np.float32)
    odd.view(np.uint32)[0] |= 1
    assert byte_trace("ab", surprisal=odd).hash == byte_trace("ab", surprisal=np.array([np.nan, 1])).hash


def test_rows_have_short_names() -> None:
    assert [str(row) for row in (Row(), Row(3), Row(3, 2))] == ["all", "L3", "L3.h2"]


BAD = {
    "no token": (lambda: byte_trace(""), r"tokens of shape \(at least 1\)"),
    "too few values": (lambda: byte_trace("ab", [[1]]), r"values of shape \(1, 2\), got \(1, 1\)"),
    "words as values": (lambda: byte_trace("ab", [["a", "b"]]), "values to be an array of numbers"),
    "no row": (lambda: byte_trace("ab", np.ones((0, 2))), "one or more different rows, got none"),
    "a row twice": (lambda: byte_trace("ab", np.ones((2, 2)), rows=(Row(0),) * 2), "different rows"),
    "odd second row": (lambda: byte_trace("ab", np.ones((2, 2)), rows=(Row(0), Row(-1))), "different rows"),
    "odd head": (lambda: byte_trace("ab", rows=(Row(0, -1),)), "different rows"),
    "odd row": (lambda: byte_trace("ab", rows=(Row(-1),)), "different rows, got L-1"),
    "nan": (lambda: byte_trace("ab", [[1, np.nan]]), "finite values, got nan in row L0 at token 1"),
    "overflow": (lambda: byte_trace("ab", [[1, 1e300]]), "finite values, got inf"),
    "endless surprisal": (lambda: byte_trace("ab", surprisal=np.array([1, np.inf])), "surprisal in finite"),
    "short surprisal": (lambda: byte_trace("ab", surprisal=np.ones(3)), r"surprisal of shape \(2\)"),
    "kind": (lambda: byte_trace("ab", kind="angle"), "increment, position, sensitivity, forget, got 'angle'"),
    "gap": (lambda: byte_trace("ab", gap=None), 'gap "before" or "after" .* got None'),
    "unit": (lambda: byte_trace("ab", unit=""), "name of a unit"),
    "context": (lambda: byte_trace("ab", context={"a": {1}}), "context to hold plain JSON"),
    "provenance": (lambda: byte_trace("ab", provenance={"a": np.nan}), "provenance to hold plain JSON"),
    "provenance list": (lambda: byte_trace("ab", provenance=[1]), "provenance to be a dictionary"),
    "surrogate in the provenance": (lambda: byte_trace("ab", provenance={"a": "\udc80"}), "surr"),
    "text": (lambda: Trace(b"ab", [1], [[0, 1]], (Row(),), [[1]], "increment", "u", "before"), "a string"),
    "surrogate": (
        lambda: Trace("\udc80", [1], [[0, 1]], (Row(),), [[1]], "increment", "u", "before"),
        "surr",
    ),
    "negative token": (
        lambda: Trace("a", [-1], [[0, 1]], (Row(),), [[1]], "increment", "u", "before"),
        "token ids from 0, got -1",
    ),
    "negative second token": (
        lambda: Trace("ab", [3, -1], [[0, 1], [1, 2]], (Row(),), [[1, 1]], "increment", "u", "before"),
        "token ids from 0, got -1",
    ),
    "broken token": (
        lambda: Trace("a", [0.5], [[0, 1]], (Row(),), [[1]], "increment", "u", "before"),
        "array of whole numbers",
    ),
}
SPANS = [
    [[0, 4]],
    [[0, 1], [2, 1]],
    [[-1, 1]],
    [[1, 0]],
    [[2, 3], [0, 1]],
    [[0, 1], [0.0, 1]],
    [[0, 1, 2]],
    "ab",
]


@pytest.mark.parametrize("name", BAD)
def test_parts_that_do_not_fit_are_named(name: str) -> None:
    make, message = BAD[name]
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize("spans", SPANS)
def test_spans_must_lie_in_the_text_in_order(spans) -> None:
    count = 1 if isinstance(spans, str) else len(spans)
    with pytest.raises(UserError, match="spans"):
        Trace("abc", [0] * count, spans, (Row(),), np.ones((1, count)), "increment", "u", "before")


def test_cells_of_bytes_are_graphemes() -> None:
    trace = byte_trace("né 你👨‍👩‍👧e\u0301")
    assert [cell.text for cell in trace.cells()] == ["n", "é", " ", "你", "👨‍👩‍👧", "e\u0301"]
    assert [(cell.start, cell.end) for cell in trace.cells()][:4] == [(0, 1), (1, 3), (3, 4), (4, 7)]


def test_tokens_without_text_are_cells_unless_inside_one() -> None:
    # start, the two halves of é with a token without text between them, a dropped space, x, end
    spans = [[0, 0], [0, 1], [1, 1], [1, 2], [3, 4], [4, 4]]
    trace = Trace("é x", range(6), spans, (Row(),), np.ones((1, 6)), "increment", "u", "before")
    found = [(cell.start, cell.end, cell.text) for cell in trace.cells()]
    assert found == [(0, 1, ""), (1, 4, "é"), (4, 5, "x"), (5, 6, "")]


def test_tokens_that_share_the_same_characters_are_one_cell() -> None:
    spans = [[0, 4], [0, 4], [0, 4], [4, 5]]
    trace = Trace("😀x", range(4), spans, (Row(),), np.ones((1, 4)), "increment", "u", "before")
    assert [(cell.start, cell.end, cell.text) for cell in trace.cells()] == [(0, 3, "😀"), (3, 4, "x")]


@given(st.text(min_size=1, max_size=30), st.data())
def test_cells_are_the_smallest_runs_of_whole_tokens_and_graphemes(text: str, data) -> None:
    size = len(text.encode())
    cuts = sorted({0, size, *data.draw(st.lists(st.integers(0, size), max_size=10))})
    spans = np.array(list(itertools.pairwise(cuts)))
    trace = Trace(text, range(len(spans)), spans, (Row(),), np.ones((1, len(spans))), "position", "u")
    cells = trace.cells()
    assert "".join(cell.text for cell in cells) == text
    assert [cell.start for cell in cells[1:]] == [cell.end for cell in cells[:-1]]
    assert (cells[0].start, cells[-1].end) == (0, len(spans))
    edges = {end for _, end in grapheme_spans(text)}
    inner = {int(spans[token, 1]) for cell in cells for token in range(cell.start, cell.end - 1)}
    assert not inner & edges


def test_rows_become_tables(tmp_path) -> None:
    trace = byte_trace("a,\n", [[1, 2, 3], [4, 5, 6]], surprisal=np.array([np.nan, 0.5, 1]))
    trace.to_csv(tmp_path / "t.csv")
    with open(tmp_path / "t.csv", newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["increment"] for row in rows] == ["1.0", "2.0", "3.0", "4.0", "5.0", "6.0"]
    assert [row["text"] for row in rows[:3]] == ["a", ",", "\n"]
    assert [row["surprisal"] for row in rows[:3]] == ["", "0.5", "1.0"]
    assert rows[5]["row"] == "L1" and rows[5]["position"] == "11.0"
    frame = trace.to_dataframe()
    assert frame.shape == (6, len(rows[0]))
    assert frame["increment"].tolist() == [1, 2, 3, 4, 5, 6]


def test_tables_hold_standard_errors_and_leave_out_what_was_not_measured(tmp_path) -> None:
    trace = replace(
        byte_trace("abc", [[np.nan, 2, 3]], kind="sensitivity"),
        error=np.array([[np.nan, 0.5, 0.25]], np.float32),
    )
    trace.to_csv(tmp_path / "t.csv")
    with open(tmp_path / "t.csv", newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["sensitivity"] for row in rows] == ["", "2.0", "3.0"]
    assert [row["standard_error"] for row in rows] == ["", "0.5", "0.25"]


def test_a_trace_shows_itself() -> None:
    trace = token_trace("New York", ["New", " York"], [[1, 3]])
    start = "Trace(increment, 1 row x 2 tokens, token-equivalents, gap before, 'New York', hash "
    assert repr(trace) == f"{start}{trace.hash[:12]})"
    for text, shown in (("a" * 24, "a" * 24), ("a" * 25, "a" * 23 + "…")):
        assert f", {shown!r}, hash " in repr(byte_trace(text))
    assert "L0    New␣York" in str(trace.__rich__())
    assert "L0" in str(byte_trace("ab", kind="forget").__rich__())


def test_a_table_shows_whole_characters_and_runs_no_formula(tmp_path) -> None:
    trace = byte_trace("=猫")
    trace.to_csv(tmp_path / "t.csv")
    data = (tmp_path / "t.csv").read_bytes()
    assert data.startswith(
        b"\xef\xbb\xbfrow,layer,head,index,token,start,end,text,character,increment,position,"
    )
    rows = list(csv.DictReader(data.decode("utf-8-sig").splitlines()))
    assert [(row["text"], row["character"]) for row in rows] == [
        ("'=", "'="), ("<E7>", "猫"), ("<8C>", "猫"), ("<AB>", "猫"),
    ]  # fmt: skip
    assert [record["text"] for record in trace.records()] == ["=", "<E7>", "<8C>", "<AB>"]
