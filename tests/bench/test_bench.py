"""The benchmarks' arithmetic, with a clock of our own, and the page that is made from their figures."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder

ROOT = Path(__file__).parents[2]


def room(folder: str, name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / folder))
    monkeypatch.setattr(sys, "argv", ["bench"])
    return importlib.import_module(name)


def test_ratios_and_shares_are_medians_within_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = room("bench", "harness", monkeypatch)
    now = 0.0

    def lasting(*seconds: float):  # type: ignore[no-untyped-def]
        left = list(seconds)

        def run() -> None:
            nonlocal now
            now += left.pop(0)

        return run

    monkeypatch.setattr(harness, "clock", lambda: now)
    runs = {"peak": lasting(9, 1, 1, 1), "base": lasting(9, 2, 4, 2), "ours": lasting(9, 4, 4, 3)}
    found = harness.interleave(
        "x", runs, base="base", rounds=3, warm=1, work={"peak": 8, "ours": 8}, limits={"ours": "peak"}
    )
    row = {"seconds": 4, "ratio": 1.5, "smallest": 1, "largest": 2, "per_second": 2, "of_peak": 0.25}
    assert found["ours"] == row
    assert "of_peak" not in found["base"]


def test_operations_are_those_that_torch_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    contestants = room("bench", "contestants", monkeypatch)
    context, shape = contestants.SHAPE["context_length"], contestants.SHAPE
    model = Decoder(DecoderConfig(increments=IncrementConfig(parametrization="integer")), seed=0).train()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, context, dtype=torch.long))
    weights = sum(n for op, n in counter.get_flop_counts()["Global"].items() if "bmm" not in str(op))
    mixing = (
        2 * shape["num_layers"] * context**2 * shape["hidden_size"]
    )  # scores and values, half of the matrix
    assert 3 * contestants.WINDOWS * (weights + mixing) == pytest.approx(contestants.operations(), rel=1e-6)


def test_the_page_says_what_was_met_and_what_was_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    page = room("docs", "performance", monkeypatch)
    content = {
        "command": "python bench/x.py",
        "cpu": "C",
        "threads": 2,
        "clock": "wall",
        "torch": "2",
        "python": "3",
    }
    rows = {"a": {"seconds": 0.5, "ratio": 1.0}, "b": {"failed": "no"}}
    targets = [["speed", 0.6, ">=", 0.7], ["price", 1.01, "<=", 1.03]]
    text = page.page(
        {"startup": content | {"tables": {"t": rows}, "targets": targets}, "optimizers": {"loss": 1}}
    )
    assert "| a | 500.0 ms | 1.000 |  |" in text and "| b |  |  | no |" in text
    assert "**missed**: speed 0.600, wanted at least 0.7" in text and "met: price 1.010" in text
    assert "optimizers" not in text
