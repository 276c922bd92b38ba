"""What a person sees while a corpus is prepared."""

import io

import pytest

from ropewalk.system.progress import ProgressMeter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(total: int | None, unit: str, shown: bool = True) -> list[str]:
    stream, clock = io.StringIO(), Clock()
    with ProgressMeter(total, unit, shown, stream, clock) as meter:
        for _ in range(5):
            clock.now += 6.0
            meter.advance(10)
    return stream.getvalue().splitlines()


def test_elsewhere_than_in_a_terminal_a_line_now_and_then() -> None:
    assert lines(100, "bytes") == [
        "preparing the corpus: 20 % of 100 bytes, about 48 s left",
        "preparing the corpus: 40 % of 100 bytes, about 36 s left",
    ]


def test_without_a_total_it_counts() -> None:
    assert lines(None, "bytes")[0] == "preparing the corpus: 20 bytes, 12 s"


def test_it_can_be_silent() -> None:
    assert lines(100, "documents", shown=False) == []


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    for unit, amount in (("bytes", "40/100 bytes"), ("documents", "40/100")):
        stream = Terminal()
        with ProgressMeter(100, unit, True, stream) as meter:
            meter.advance(40)
        assert amount in stream.getvalue()
