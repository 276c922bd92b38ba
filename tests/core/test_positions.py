"""Positions: exact integers without increments, the two gaps, restarts, carries, precision."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import config, moved, tokens

from ropewalk.core import positions
from ropewalk.core.encoding import Rope
from ropewalk.core.positions import document_starts, positions_from_increments, restarted_position_ids
from ropewalk.errors import UserError
from ropewalk.native.decoder import Decoder

GAPS = ("before", "after")


def count(batch: int, length: int) -> torch.Tensor:
    return torch.arange(length).expand(batch, length)


@pytest.mark.parametrize("gap", GAPS)
@given(length=st.integers(1, 3000))
def test_without_increments_positions_are_the_integers_bit_for_bit(gap: positions.Gap, length: int) -> None:
    p, offset = positions_from_increments(torch.zeros(1, length, 2), count(1, length), gap=gap)
    assert p.dtype == torch.float32
    assert torch.equal(p, torch.arange(length, dtype=torch.float32)[None, :, None].expand(1, length, 2))
    assert not offset.any()


def test_the_gap_before_a_token_is_its_own_increment() -> None:
    r = torch.tensor([5.0, 1.0, 2.0, -0.5])[None, :, None]
    p, offset = positions_from_increments(r, count(1, 4), gap="before")
    assert p.flatten().tolist() == [0.0, 2.0, 5.0, 5.5]
    assert offset.item() == 2.5


def test_the_gap_after_a_token_is_its_own_increment() -> None:
    r = torch.tensor([5.0, 1.0, 2.0, -0.5])[None, :, None]
    p, offset = positions_from_increments(r, count(1, 4), gap="after")
    assert p.flatten().tolist() == [0.0, 6.0, 8.0, 11.0]
    assert offset.item() == 7.5


@pytest.mark.parametrize("gap", GAPS)
@given(cuts=st.lists(st.integers(1, 39), max_size=4, unique=True).map(sorted), seed=st.integers(0, 99))
def test_windows_with_a_carry_equal_the_whole(gap: positions.Gap, cuts: list[int], seed: int) -> None:
    r = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(seed))
    whole, end = positions_from_increments(r, count(2, 40), gap=gap)
    parts, offset = [], None
    for a, b in zip([0, *cuts], [*cuts, 40], strict=True):
        p, offset = positions_from_increments(r[:, a:b], count(2, 40)[:, a:b], gap=gap, initial_sum=offset)
        parts.append(p)
    assert torch.equal(torch.cat(parts, 1), whole)
    assert offset is not None and torch.allclose(offset, end, rtol=0, atol=1e-12)


@pytest.mark.parametrize("gap", GAPS)
@given(cuts=st.lists(st.integers(1, 29), max_size=4, unique=True).map(sorted), seed=st.integers(0, 99))
def test_a_restart_equals_separate_documents(gap: positions.Gap, cuts: list[int], seed: int) -> None:
    r = torch.randn(1, 30, 2, generator=torch.Generator().manual_seed(seed))
    edges = list(zip([0, *cuts], [*cuts, 30], strict=True))
    documents = torch.cat([torch.full((1, b - a), i) for i, (a, b) in enumerate(edges)], 1)
    starts = document_starts(documents)
    p, offset = positions_from_increments(r, restarted_position_ids(starts), gap=gap, starts=starts)
    for a, b in edges:
        alone, end = positions_from_increments(r[:, a:b], count(1, b - a), gap=gap)
        assert torch.allclose(p[:, a:b], alone, rtol=1e-6, atol=1e-6)
    assert torch.allclose(offset, end, atol=1e-9)


def test_the_first_increment_of_a_document_never_enters_the_sum_however_large() -> None:
    r = torch.rand(1, 9, 2, generator=torch.Generator().manual_seed(0)) * 1e-20
    r[:, [0, 5]] = 1e20
    both, _ = positions.offsets(r, starts=document_starts(torch.tensor([[0] * 5 + [1] * 4])))
    assert torch.equal(both[:, :5], positions.offsets(r[:, :5])[0])
    assert torch.allclose(both[:, 5:], positions.offsets(r[:, 5:])[0], rtol=1e-9, atol=0)


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("cut", [5, 8])
def test_a_document_goes_on_in_the_next_segment_until_another_starts(gap: positions.Gap, cut: int) -> None:
    r = torch.rand(1, 12, 2, generator=torch.Generator().manual_seed(0))
    starts = document_starts(torch.tensor([[0] * 8 + [1] * 4]))
    whole, _ = positions.offsets(r, gap=gap, starts=starts)
    _, ends = positions.offsets(r[:, :cut], gap=gap, starts=starts[:, :cut])
    later, _ = positions.offsets(r[:, cut:], gap=gap, starts=starts[:, cut:], initial_sum=ends[:, -1])
    assert torch.allclose(later, whole[:, cut:], atol=1e-12)


def test_documents_start_where_the_number_changes() -> None:
    documents = torch.tensor([[4, 4, 2, 2, 4], [-1, -1, 0, 0, 0]])
    starts = document_starts(documents)
    assert starts.tolist() == [[True, False, True, False, True], [True, False, True, False, False]]
    assert restarted_position_ids(starts).tolist() == [[0, 1, 0, 1, 0], [0, 1, 0, 1, 2]]


@pytest.mark.parametrize("gap", GAPS)
def test_left_padding_moves_nothing(gap: positions.Gap) -> None:
    r = torch.randn(1, 10, 2)
    alone, end = positions_from_increments(r, count(1, 10), gap=gap)
    padded = torch.cat([torch.full((1, 3, 2), 9.0), r], 1)
    starts = document_starts(torch.tensor([[-1] * 3 + [0] * 10]))
    p, offset = positions_from_increments(padded, restarted_position_ids(starts), gap=gap, starts=starts)
    assert torch.allclose(p[:, 3:], alone, rtol=1e-6, atol=1e-6)
    assert torch.allclose(offset, end, atol=1e-9)


def test_angles_of_long_advances_agree_with_float64() -> None:
    """32k tokens at a mean increment of 5: every angle within 0.02 rad of float64.

    The limit is float32's spacing, not the sum, which runs in float64. At position 160,000 neighbouring float32
    numbers lie 1/64 apart, so that rounding the position costs up to half of that, 0.0078 rad at frequency 1; the
    product with a frequency below 1 is rounded once more, at most another 0.0078, less as the angle shrinks; the
    frequency's own rounding, a relative 3e-8, adds up to 0.005. A running sum in float32 would be off by far more.
    """
    length = 32_768
    r = torch.rand(1, length, 1, generator=torch.Generator().manual_seed(0)) * 8
    p, _ = positions_from_increments(r, count(1, length))
    rope = Rope(32, 1, 10_000.0)
    exact = torch.arange(length, dtype=torch.float64) + torch.cat(
        [torch.zeros(1), r[0, 1:, 0]]
    ).double().cumsum(0)
    assert exact[-1] / length == pytest.approx(5, rel=0.01)
    frequencies = 10_000.0 ** (-torch.arange(0, 32, 2, dtype=torch.float64) / 32)
    cos, sin = rope.angles(p)
    angle = exact[:, None] * frequencies
    turned = torch.atan2(
        sin[0, :, 0].double() * angle.cos() - cos[0, :, 0].double() * angle.sin(),
        cos[0, :, 0].double() * angle.cos() + sin[0, :, 0].double() * angle.sin(),
    )
    assert turned.abs().max() < 0.02
    assert turned.abs().max() > 1e-3, "this test would pass for any precision"


def test_positions_given_from_outside_are_where_the_advance_begins() -> None:
    model = moved(Decoder(config("integer"), seed=0))
    seen = tokens(1, 6)
    p = model(seen, count(1, 6) * 2 + 3, activations=["positions.0"]).activations["positions.0"]
    assert p.flatten().tolist() == [3.0, 5.0, 7.0, 9.0, 11.0, 13.0]


def test_a_restart_without_documents_is_refused() -> None:
    model = Decoder(config(), seed=0)
    n = torch.tensor([[0, 1, 2, 0, 1]])
    with pytest.raises(UserError, match="position_ids restart where no document starts"):
        model(tokens(1, 5), n)
    with pytest.raises(UserError, match="position_ids restart"):
        model(tokens(1, 5), n, document_ids=torch.tensor([[0, 0, 1, 1, 1]]))
    model(tokens(1, 5), n, document_ids=torch.tensor([[0, 0, 0, 1, 1]]))


def test_documents_in_one_row_equal_documents_alone() -> None:
    model = moved(Decoder(config(), seed=0))
    first, second = tokens(1, 7, seed=1), tokens(1, 9, seed=2)
    documents = torch.tensor([[0] * 7 + [1] * 9])
    packed = model(torch.cat([first, second], 1), document_ids=documents)
    apart = torch.cat([model(first).logits, model(second).logits], 1)
    assert torch.allclose(packed.logits, apart, atol=2e-5)
    crossing = model(torch.cat([first, second], 1)).logits
    assert not torch.allclose(crossing[:, 7:], apart[:, 7:], atol=1e-3)
