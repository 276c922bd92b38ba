"""Interrupts of a training: one request, however often it is sent, is answered after the step."""

from __future__ import annotations

import os
import signal
import time

import pytest

from ropewalk.system import signals
from ropewalk.system.signals import DeferredInterrupt


@pytest.mark.parametrize("number", signals.SIGNALS)
def test_a_signal_waits(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with DeferredInterrupt() as interrupt:
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert interrupt.asked and not interrupt.hurried
    assert signal.getsignal(number) == before


def test_a_closed_terminal_is_a_request_to_end() -> None:
    assert getattr(signal, "SIGHUP", signal.SIGINT) in signals.SIGNALS


def test_the_same_request_twice_is_one() -> None:
    with DeferredInterrupt() as interrupt:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.02)
        assert interrupt.asked and not interrupt.hurried


def test_a_second_request_is_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "SAME_SECONDS", 0.01)
    with pytest.raises(KeyboardInterrupt), DeferredInterrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    assert interrupt.hurried


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with DeferredInterrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
            assert not interrupt.asked
    finally:
        signal.signal(signal.SIGHUP, before)
