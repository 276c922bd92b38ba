import numpy as np
import pytest
from planted import byte_trace

from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.views.rows import choose, head_count

HEADS = byte_trace(
    "ab", [[1, 2], [3, 6], [5, 5], [7, 7]], rows=tuple(Row(n, h) for n in range(2) for h in range(2))
)


def test_heads_are_averaged_per_layer() -> None:
    shown = choose(HEADS)
    assert shown.rows == (Row(0), Row(1))
    assert shown.values.tolist() == [[2, 4], [6, 6]]
    assert (head_count(HEADS), head_count(shown)) == (2, 1)


def test_heads_may_stay_apart_and_layers_be_chosen() -> None:
    assert choose(HEADS, heads=True).rows == HEADS.rows
    chosen = choose(HEADS, layers=[1], heads=True)
    assert chosen.rows == (Row(1, 0), Row(1, 1))
    assert np.array_equal(chosen.values, HEADS.values[2:])


def test_a_row_shared_by_all_layers_stays() -> None:
    shared = byte_trace("ab", rows=(Row(),))
    assert choose(shared).rows == (Row(),)
    with pytest.raises(UserError, match=r"layers of the trace \(none: its row is shared .*\), got 0"):
        choose(shared, layers=[0])


@pytest.mark.parametrize(("layers", "named"), [([0, 2, 5], "2, 5"), ([], "none")])
def test_layers_that_are_not_there_are_named(layers: list[int], named: str) -> None:
    with pytest.raises(UserError, match=rf"layers of the trace \(0, 1\), got {named}; choose others"):
        choose(HEADS, layers=layers)
