"""Windows: random ones are a pure function of (seed, step), even ones cover the split without overlap."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.corpus import windows
from ropewalk.errors import UserError

TOKENS = np.arange(5000, dtype=np.uint16)


@given(
    seed=st.integers(0, 2**40),
    step=st.integers(0, 10**6),
    size=st.integers(1, 9),
    context=st.integers(1, 60),
    length=st.integers(1, 200),
)
def test_a_batch_holds_windows_of_the_tokens(
    seed: int, step: int, size: int, context: int, length: int
) -> None:
    tokens = TOKENS[: context + length]
    batch = windows.batch(tokens, seed=seed, step=step, size=size, context=context)
    assert batch.dtype == torch.int64 and batch.shape == (size, context + 1)
    assert torch.equal(batch, batch[:, :1] + torch.arange(context + 1))
    assert batch.max() < len(tokens)
    before = torch.get_rng_state()
    again = windows.batch(tokens, seed=seed, step=step, size=size, context=context)
    assert torch.equal(batch, again) and torch.equal(before, torch.get_rng_state())


def test_seeds_and_steps_give_different_batches() -> None:
    pairs = [(seed, step) for seed in range(8) for step in range(8)]
    batches = {
        tuple(windows.batch(TOKENS, seed=seed, step=step, size=4, context=8).flatten().tolist())
        for seed, step in pairs
    }
    assert len(batches) == len(pairs)  # (1, 2) and (2, 1) are not the same either


def test_every_start_is_drawn() -> None:
    tokens = TOKENS[:20]
    starts = {
        start
        for step in range(50)
        for start in windows.batch(tokens, seed=0, step=step, size=8, context=9)[:, 0].tolist()
    }
    assert starts == set(range(11))


def test_the_data_order_does_not_move() -> None:
    assert windows.batch(TOKENS, seed=42, step=7, size=4, context=3)[:, 0].tolist() == [
        3144,
        3793,
        3588,
        1628,
    ]


@given(
    length=st.integers(2, 5000),
    context=st.integers(1, 700),
    limit=st.none() | st.integers(1, 6000),
    size=st.integers(1, 70),
)
def test_validation_windows_are_even_and_apart(
    length: int, context: int, limit: int | None, size: int
) -> None:
    tokens = TOKENS[:length]
    if length < context + 1:
        return
    groups = list(windows.validation(tokens, context=context, limit=limit, size=size))
    assert all(1 <= len(group) <= size for group in groups)
    rows = torch.cat(groups)
    starts = rows[:, 0].tolist()
    assert rows.dtype == torch.int64
    assert torch.equal(rows, rows[:, :1] + torch.arange(context + 1))
    gaps = np.diff([*starts, length])
    assert gaps.min() >= context + 1 and gaps.max() - gaps.min() <= 1
    if limit is None:
        assert len(rows) == length // (context + 1)
    else:
        assert len(rows) == min(length // (context + 1), -(-limit // context))


def test_validation_reads_64_windows_at_a_time() -> None:
    assert [len(group) for group in windows.validation(TOKENS, context=49, limit=None)] == [64, 36]


def test_a_file_that_became_shorter_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.bin"
    TOKENS.tofile(path)
    mapped = np.memmap(path, TOKENS.dtype, mode="r")
    assert windows.batch(mapped, seed=0, step=0, size=2, context=8).shape == (2, 9)
    os.truncate(path, 5000)
    with pytest.raises(UserError, match="became shorter while it was in use"):
        windows.batch(mapped, seed=0, step=0, size=2, context=8)


@pytest.mark.parametrize("context", [512, 5000])
def test_a_split_shorter_than_a_window_is_refused(context: int) -> None:
    tokens = TOKENS[:context]
    expected = rf"context \+ 1 = {context + 1} tokens and this split has {context}"
    with pytest.raises(UserError, match=expected):
        windows.batch(tokens, seed=0, step=0, size=1, context=context)
    with pytest.raises(UserError, match=expected):
        next(windows.validation(tokens, context=context, limit=None))
