import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.views.panels import balanced, wrap


@given(
    st.lists(st.tuples(st.floats(0.1, 9), st.sampled_from(["a", " ", "word "])), min_size=1, max_size=80),
    st.floats(5, 40),
    st.integers(1, 30),
)
@pytest.mark.parametrize("way", [wrap, balanced])
def test_panels_hold_every_cell_once_within_the_limits(way, cells, limit: float, most: int) -> None:
    widths, texts = zip(*cells, strict=True)
    right = np.cumsum([widths, np.ones(len(widths))], axis=1)
    left = right - np.array([widths, np.ones(len(widths))])
    panels = way(left, right, limit, most, texts)
    assert [start for start, _ in panels] == [0, *(end for _, end in panels[:-1])]
    assert panels[-1][1] == len(cells)
    for start, end in panels:
        assert 1 <= end - start <= most
        wide = (right[:, end - 1] - left[:, start]).max()
        assert wide <= limit + 1e-9 or end - start == 1
    assert len(way(left, right, limit, most, texts)) <= len(cells)


def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    left = np.arange(count, dtype=float)[None]
    return left, left + 1


def test_a_panel_ends_after_a_blank_where_there_is_one() -> None:
    texts = list("every word whole")
    assert wrap(*rows(16), limit=12, most=99, texts=texts) == [(0, 11), (11, 16)]
    assert wrap(*rows(16), limit=12, most=99, texts="x" * 16) == [(0, 12), (12, 16)]


def test_the_last_panel_is_about_as_long_as_the_others() -> None:
    assert wrap(*rows(22), limit=20, most=99, texts="x" * 22) == [(0, 20), (20, 22)]
    panels = balanced(*rows(22), limit=20, most=99, texts="x" * 22)
    assert len(panels) == 2 and max(end - start for start, end in panels) <= 13


def test_a_panel_ends_after_a_line_and_its_empty_lines() -> None:
    texts = list("a = 1\n\n\nb\n")
    assert wrap(*rows(10), limit=99, most=99, texts=texts) == [(0, 8), (8, 10)]
    assert wrap(*rows(10), limit=99, most=99, texts=texts, line_ends=False) == [(0, 10)]
