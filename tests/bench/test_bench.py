"""The benchmarks' arithmetic, with a clock of our own, and the page that is made from their figures."""

import importlib
import json
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


TINY = {"hidden_size": 16, "num_heads": 2, "num_layers": 2, "intermediate_size": 32, "context_length": 32}


@pytest.fixture
def tiny_benchmarks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Every benchmark in one round of a small shape, without a compiler; the folder of the results."""
    from ropewalk.training import execution

    harness = room("bench", "harness", monkeypatch)
    contestants, floors, peaks = (
        room("bench", name, monkeypatch) for name in ("contestants", "floors", "peaks")
    )
    for key, value in TINY.items():
        monkeypatch.setitem(contestants.SHAPE, key, value)
    for module in (contestants, floors):
        monkeypatch.setattr(module, "WINDOWS", 4)
        monkeypatch.setattr(module, "MICRO", 4)
    monkeypatch.setattr(peaks, "SIZE", 16)
    monkeypatch.setattr(peaks, "COPIED", 1 << 12)
    monkeypatch.setattr(harness.GIVEN, "rounds", 1)
    results = tmp_path / "bench" / "results"
    results.mkdir(parents=True)
    monkeypatch.setattr(harness, "RESULTS", results)
    monkeypatch.setattr(harness, "refuse_if_busy", lambda: None)
    monkeypatch.setattr(execution, "compiled", lambda function: function)
    monkeypatch.setattr(execution, "compiler_problem", lambda: None)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: None)
    return results


SMALLER: dict[str, dict[str, object]] = {
    "training_step": {},
    "small_batches": {"WINDOWS": (1, 2)},
    "graft_step": {},
    "tracing": {"BYTES": 100},
    "decoding": {"BYTES": 4},
    "preparation": {"MEGABYTES": 0.1},
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # x-transformers uses it
@pytest.mark.parametrize("name", SMALLER)
def test_every_benchmark_runs_and_has_a_place_on_the_page(
    name: str, tiny_benchmarks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    module, page = room("bench", name, monkeypatch), room("docs", "performance", monkeypatch)
    for key, value in SMALLER[name].items():
        monkeypatch.setattr(module, key, value)
    if name == "graft_step":
        small = ({"hidden_size": 16, "num_heads": 2, "intermediate_size": 32}, 2)
        monkeypatch.setattr(module, "SHAPES", {"tiny": small})
        monkeypatch.setattr(module, "COMMON", {"vocab_size": 257, "num_layers": 2, "context_length": 32})
    if name == "small_batches":
        monkeypatch.setattr(module, "side_by_side", lambda processes, steps: 1.0 * processes)
    monkeypatch.setattr(sys, "argv", ["bench"])
    module.main()
    content = json.loads((tiny_benchmarks / f"{name}.json").read_text())
    text = page.page({name: content})
    assert page.TITLES[name] in text and text.count("|---") >= 2 and "nan" not in text
