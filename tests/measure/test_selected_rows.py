"""Only the chosen rows are measured, and with the numbers that they have among all of them."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from ropewalk import UserError
from ropewalk.measure.hosts import with_rows_per_layer
from ropewalk.measure.probe import probe
from ropewalk.measure.selected_rows import select_rows
from ropewalk.native.decoder import Decoder


def host(per_head: bool = False):
    return with_rows_per_layer(tiny.moved(Decoder(tiny.config("integer"))), per_head)


def test_a_row_alone_has_the_number_that_it_has_among_all() -> None:
    own = host()
    every = probe(own, "the cat", exact=True).trace
    alone = probe(select_rows(own, [1]), "the cat", exact=True).trace
    assert [str(row) for row in alone.rows] == ["L1"]
    assert np.allclose(alone.values[0], every.values[1], rtol=1e-4)


def test_heads_are_chosen_by_number() -> None:
    rows = select_rows(host(per_head=True), [0], [1, 3]).rows
    assert [(row.layer, row.head) for row in rows] == [(0, 1), (0, 3)]


def test_rows_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UserError, match="no layer 9: its rows go from L0 to L1"):
        select_rows(host(), [0, 9])
    with pytest.raises(UserError, match="Heads need per_head"):
        select_rows(host(), None, [0])
    own = host()
    assert select_rows(own) is own
