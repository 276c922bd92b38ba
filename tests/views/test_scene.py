import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import byte_trace, token_trace

from ropewalk.errors import UserError
from ropewalk.tokens.utf8_bytes import encode
from ropewalk.traces.trace import Trace
from ropewalk.views.scene import scene

TEXTS = st.text(st.sampled_from("ab 你é😀\u0301\n"), min_size=2, max_size=20)


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    text = draw(TEXTS)
    count = len(encode(text))
    row = st.lists(st.floats(2**-6, 16, width=32), min_size=count, max_size=count)
    rows = draw(st.lists(row, min_size=1, max_size=3))
    return byte_trace(text, rows, gap=draw(st.sampled_from(["before", "after"])))


def test_a_cell_stands_at_its_first_token_and_its_gap_is_the_increment_there() -> None:
    # a, the three bytes of 你, b; the gaps are 2 before 你, 1 and 1 inside it, 4 before b
    drawn = scene(byte_trace("a你b", [[9, 2, 1, 1, 4]]))
    assert drawn.mean.tolist() == [2] and drawn.factor.tolist() == [0.5]
    assert drawn.x.tolist() == [[0, 1, 4]]
    assert drawn.left.tolist() == [[0, 0, 2]]
    assert np.isnan(drawn.gaps[0, 0]) and drawn.gaps[0, 1:].tolist() == [1, 2]
    assert drawn.widths.tolist() == [[1, 3, 1]] and drawn.end.tolist() == [5]


def test_the_posts_placement_puts_a_character_at_its_last_byte_with_mean_1_per_character() -> None:
    drawn = scene(byte_trace("a你b", [[9, 2, 1, 1, 4]]), placement="last")
    assert drawn.mean.tolist() == [4]
    assert drawn.x.tolist() == [[0, 1, 2]]
    assert drawn.gaps[0, 1:].tolist() == [1, 1]


def test_gap_after_shifts_the_numbers_by_one_token() -> None:
    before = scene(byte_trace("abc", [[9, 1, 3]]))
    after = scene(byte_trace("abc", [[1, 3, 9]], gap="after"))
    assert before.x.tolist() == after.x.tolist() == [[0, 0.5, 2]]


@given(traces(), st.sampled_from(["first", "last"]))
def test_every_row_has_mean_1_and_keeps_the_order(trace: Trace, placement: str) -> None:
    drawn = scene(trace, placement=placement)
    steps = drawn.x[:, -1] if placement == "last" else drawn.end - 1
    count = (len(drawn.cells) if placement == "last" else len(trace.tokens)) - 1
    if count:
        assert np.allclose(steps / count, 1)
    assert (np.diff(drawn.x) > 0).all() and (drawn.widths > 0).all()
    assert (drawn.left <= drawn.x).all() and (drawn.x[:, :1] == 0).all()
    if drawn.x.shape[1] > 1:
        assert np.allclose(drawn.gaps[:, 1:], drawn.x[:, 1:] - drawn.left[:, 1:])


@given(traces())
def test_on_one_scale_rows_keep_their_proportions_and_the_mean_of_all_is_1(trace: Trace) -> None:
    drawn = scene(trace, "same")
    assert np.allclose(drawn.factor, 1 / drawn.mean.mean())
    first = [cell.start for cell in drawn.cells]
    assert np.allclose(drawn.x / drawn.factor[:, None], trace.positions[:, first], rtol=1e-9, atol=1e-9)


@given(traces())
def test_integer_spacing_forgets_the_numbers(trace: Trace) -> None:
    drawn = scene(trace, "integer")
    assert drawn.x.tolist() == [[cell.start for cell in drawn.cells]] * len(trace.rows)


def test_a_sensitivity_is_drawn_by_its_size() -> None:
    drawn = scene(byte_trace("abc", [[7, -1e-6, 3e-6]], kind="sensitivity", unit="nats"))
    assert np.allclose(drawn.x, [[0, 0.5, 2]])


def test_positions_may_step_back() -> None:
    drawn = scene(byte_trace("abcd", [[5, 9, 7, 7]], kind="position", gap=None))
    assert drawn.x.tolist() == [[0, 2, 1, 1]]
    assert drawn.gaps[0, 1:].tolist() == [2, -1, 0]


def test_rows_without_extent_stay_finite() -> None:
    assert scene(byte_trace("abc", [[0, 0, 0]])).x.tolist() == [[0, 0, 0]]
    alone = scene(byte_trace("a"))
    assert alone.x.tolist() == [[0]] and alone.end.tolist() == [1] and alone.mean.tolist() == [1]


def test_tokens_of_several_characters_are_one_cell() -> None:
    drawn = scene(token_trace("New York!", ["New", " York", "!"], [[1, 3, 1]]))
    assert [cell.text for cell in drawn.cells] == ["New", " York", "!"]
    assert drawn.x.tolist() == [[0, 1.5, 2]]


def test_the_size_of_forgetting_is_a_distance() -> None:
    drawn = scene(byte_trace("abc", [[9, 1, 3]], kind="forget", unit="nats", gap=None))
    assert drawn.x.tolist() == [[0, 0.5, 2]]


def test_other_scales_and_placements_are_refused_by_name() -> None:
    with pytest.raises(UserError, match="scale to be row or same or integer, got 'log'"):
        scene(byte_trace("ab"), "log")
    with pytest.raises(UserError, match="placement to be first or last, got 'middle'"):
        scene(byte_trace("ab"), placement="middle")
