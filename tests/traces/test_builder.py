"""The builder of a trace by itself: its memory, its windows, and what each window adds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.system import available_memory
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.traces.builder import TraceBuilder, window_length

IDS = np.arange(10, 19)
SPANS = np.stack([np.arange(9), np.arange(1, 10)], 1)


def host(context: int = 6, **more: Any) -> Any:
    rows = (Row(0), Row(1))
    return SimpleNamespace(rows=rows, context_length=context, gap="before", describe=dict, **more)


def builder(**more: Any) -> TraceBuilder:
    return TraceBuilder(host(), "abcdefghi", TokenizedText(IDS, SPANS, **more))


def test_windows_after_a_prefix_that_is_read_once_or_each_time() -> None:
    once = [(w.tokens.tolist(), w.first, w.keep, w.extra, w.predicting, w.following.tolist())
            for w in builder(prefix=(7,)).windows()]  # fmt: skip
    assert once == [
        ([7, 10, 11, 12, 13, 14], 0, 0, 0, 0, [10, 11, 12, 13, 14, 18]),
        ([12, 13, 14, 15, 16, 17], 3, 6, 0, 2, [15, 16, 17, 18]),
        ([13, 14, 15, 16, 17, 18], 4, 9, 0, 4, [18, 18]),
    ]
    each = [(w.tokens.tolist(), w.first, w.keep, w.extra, w.predicting, w.following.tolist())
            for w in builder(prefix=(7,), repeat_prefix=True).windows()]  # fmt: skip
    assert each == [
        ([7, 10, 11, 12, 13], 0, 0, 0, 0, [10, 11, 12, 13, 18]),
        ([7, 12, 13, 14, 15, 16], 3, 5, 1, 2, [14, 15, 16, 18]),
        ([7, 14, 15, 16, 17, 18], 5, 8, 1, 3, [17, 18, 18]),
    ]


def test_windows_add_up_to_a_trace() -> None:
    for repeat_prefix in (False, True):
        made = builder(prefix=(7,), repeat_prefix=repeat_prefix)
        for window in made.windows():
            d = np.stack([window.tokens, -window.tokens])
            made.add_window(window, d, window.following / 8, window.following / 4)
        trace = made.trace(host())
        assert trace.values.tolist() == [IDS.tolist(), (-IDS).tolist()]
        assert trace.surprisal.tolist() == (IDS / 8).tolist() and trace.entropy.tolist() == (IDS / 4).tolist()
        assert trace.context["windows"] == 3


def test_the_memory_of_a_trace_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(available_memory, "require_memory", lambda *given: asked.append(given))
    builder(prefix=(7,))
    assert asked == [(16 * 10 * (2 + 4), "a trace of 10 tokens", "trace it in parts")]


@pytest.mark.parametrize(
    ("context", "vocabulary", "length"),
    [
        (8192, 257, 8192),
        (8192, 1 << 18, 2048),
        (8192, 1 << 24, 512),
        (300, 1 << 24, 300),
        (1 << 40, None, 1 << 29),
    ],
)
def test_large_vocabularies_are_read_in_shorter_windows(
    context: int, vocabulary: int | None, length: int
) -> None:
    assert window_length(host(context, vocab_size=vocabulary)) == length
    if vocabulary is None:
        assert window_length(host(context)) == length


def test_what_makes_no_trace_is_refused() -> None:
    with pytest.raises(UserError, match="text is empty"):
        TraceBuilder(host(), "", TokenizedText(IDS[:0], SPANS[:0]))
    made = builder()
    made.values[:] = 1
    made.values[0, 3] = np.nan
    with pytest.raises(UserError, match="training diverged"):
        made.trace(host())
