"""The fast step equals the ordinary one: same data, same gradients, same losses, same statistics, and no reads by the CPU."""

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from ropewalk.core import loss
from ropewalk.core.decay import append_decay
from ropewalk.corpus import windows
from ropewalk.errors import UserError
from ropewalk.native import checkpoint
from ropewalk.native.decoder import Decoder
from ropewalk.training import fast_step
from ropewalk.training.compilation import compiler_problem
from ropewalk.training.device_corpus import DeviceTokens, start_table
from ropewalk.training.fast_step import FastStep
from ropewalk.training.loop import RUNAWAY, Progress
from ropewalk.training.native_training import train
from ropewalk.training.optimizer import Optimizers

READS = {
    "aten._local_scalar_dense.default",
    "aten.item.default",
    "aten.nonzero.default",
    "aten.equal.default",
}


class CountReads(TorchDispatchMode):
    """Counts the operators that make the CPU wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if str(func) in READS:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


def fast(recipe: Any, first: int = 0, **options: Any) -> FastStep:
    model = Decoder(recipe.model, seed=recipe.train.seed)
    return FastStep(
        recipe,
        tiny.corpus(),
        model,
        Optimizers(model, recipe.optimizer),
        first=first,
        **({"scope": "none"} | options),
    )


@pytest.mark.parametrize("first", [0, 4])
def test_the_data_order_is_that_of_the_ordinary_loop(first: int) -> None:
    corpus = tiny.corpus()
    table = start_table(corpus.train, seed=3, first=first, steps=9, size=5, context=16)
    tokens = DeviceTokens(corpus.train, 16, torch.device("cpu"))
    assert len(table) == 9 - first
    for step in range(first, 9):
        expected = windows.batch(corpus.train, seed=3, step=step, size=5, context=16)
        found = tokens.windows(table[step - first])
        assert found.dtype == expected.dtype and torch.equal(found, expected)


def test_tokens_above_32767_survive() -> None:
    import numpy as np

    ids = np.array([0, 1, 32767, 32768, 65535, 5], dtype="<u2")
    found = DeviceTokens(ids, 2, torch.device("cpu")).windows(torch.tensor([0, 3]))
    assert found.tolist() == [[0, 1, 32767], [32768, 65535, 5]]


def eager_gradients(recipe: Any, batch: torch.Tensor) -> dict[str, torch.Tensor]:
    """The gradient of the mean loss of a whole batch at once."""
    model = Decoder(recipe.model, seed=recipe.train.seed).train()
    loss.nats(model(batch[:, :-1]).logits, batch[:, 1:]).backward()
    return {name: p.grad for name, p in model.named_parameters()}


def distance(step: FastStep, expected: dict[str, torch.Tensor]) -> float:
    """The largest relative distance of a gradient from the expected one."""
    named = step.optimizers.named
    return max(
        float((named[name].grad - want).norm() / want.norm().clamp(min=1e-12))
        for name, want in expected.items()
    )


@pytest.mark.parametrize("micro", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "increments",
    [
        {"parametrization": "bounded", "init": "random"},
        {"parametrization": "positive", "per": "shared", "init": "random"},
    ],
)
def test_gradients_equal_those_of_the_whole_batch(micro: int, increments: dict[str, Any]) -> None:
    recipe = tiny.recipe(micro_batch_size=micro, model={"increments": {"hidden_size": 4, **increments}})
    step, batch = fast(recipe), tiny.tokens(4, 17)
    step.accumulate(batch)
    assert distance(step, eager_gradients(recipe, batch)) < 1e-5
    step.accumulate(batch)  # nothing is left of the step before
    assert distance(step, eager_gradients(recipe, batch)) < 1e-5


def test_broken_accumulation_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny.recipe(micro_batch_size=2)
    step, batch = fast(recipe), tiny.tokens(4, 17)
    whole = step.loss

    def losing_earlier_parts(model: Decoder, part: torch.Tensor, attention: Any) -> Any:
        for parameter in model.parameters():
            parameter.grad = None
        return whole(model, part, attention)

    monkeypatch.setattr(step, "loss", losing_earlier_parts)
    step.accumulate(batch)
    assert distance(step, eager_gradients(recipe, batch)) > 0.05


@pytest.mark.parametrize("parametrization", ["bounded", "integer"])
def test_twenty_steps_equal_those_of_the_ordinary_loop(tmp_path: Path, parametrization: str) -> None:
    recipe = tiny.recipe(
        steps=20, log_every=7, model={"increments": {"parametrization": parametrization, "hidden_size": 4}}
    )
    seen: list[Progress] = []
    train(recipe, tiny.corpus(), tmp_path / "run", watch=seen.append)
    step = fast(recipe)
    found = step.advance(7) + step.advance(7) + step.advance(6)
    assert [result.loss for result in found] == pytest.approx([progress.loss for progress in seen], abs=1e-5)
    for result, progress in zip(found, seen, strict=True):
        for own, other in zip(result.increments, progress.increments, strict=True):
            assert own["row"] == other["row"]
            assert own["mean"] == pytest.approx(other["mean"], abs=1e-5)
            assert own["std"] == pytest.approx(other["std"], abs=1e-5)
    assert step.validate() == pytest.approx(seen[-1].validation, abs=1e-5)


def test_nothing_is_read_between_reads() -> None:
    step = fast(tiny.recipe(steps=20, log_every=10))
    step.advance(1)  # the optimizer makes its state
    with CountReads() as counted:
        for _ in range(5):
            step.replay()
    assert counted.found == []
    with CountReads() as counted:
        float(torch.ones(()))
    assert counted.found  # the count can find something


@pytest.mark.parametrize(
    ("attention", "decay"), [("auto", None), ("flash", None), ("cudnn", None), ("auto", "forget")]
)
def test_the_whole_step_compiles_without_a_graph_break(attention: str, decay: str | None) -> None:
    recipe = tiny.recipe(model={"decay": decay})
    model = Decoder(recipe.model, seed=0).train()
    explained = torch._dynamo.explain(fast_step.window_loss)(model, tiny.tokens(2, 17), attention)
    assert explained.graph_break_count == 0 and explained.graph_count == 1


def test_a_compiled_decay_keeps_its_precision_and_its_gradient() -> None:
    if problem := compiler_problem():
        pytest.skip(problem)
    q = k = torch.zeros(1, 40, 1, 8, dtype=torch.bfloat16)
    found = []
    for function in (append_decay, torch.compile(append_decay, fullgraph=True)):
        running = (torch.full((1, 40, 1), -5.7301).cumsum(1)).requires_grad_()
        longer_q, longer_k = function(q, k, running)
        (gradient,) = torch.autograd.grad(
            longer_q[..., 8:].float().sum() + 2 * longer_k.float().sum(), running
        )
        found.append((longer_q.detach(), longer_k.detach(), gradient))
    assert all(torch.equal(own, other) for own, other in zip(*found, strict=True))
    assert found[0][2].eq(-1).all()  # 1 from the query, -2 from the key


@pytest.mark.parametrize("what", ["weights", "increments"])
def test_after_a_bad_step_no_weight_changes(what: str) -> None:
    unbounded = {"parametrization": "positive", "hidden_size": 4}
    step = fast(tiny.recipe(steps=20, log_every=10, model={"increments": unbounded}))
    step.advance(3)
    with torch.no_grad():
        if what == "weights":
            step.optimizers.named["layers.0.mlp.gate.weight"][0, 0] = torch.nan
        else:
            step.optimizers.named["increment_modules.1.output.bias"].fill_(3e4)
    before = {name: p.detach().clone() for name, p in step.optimizers.named.items()}
    moments = step.optimizers.state()
    moments = {name: value.clone() for name, value in moments.items()}
    found = step.advance(4)
    for result in found:
        assert math.isnan(result.loss) if what == "weights" else result.increments[1]["mean"] > RUNAWAY
    for name, p in step.optimizers.named.items():
        assert torch.equal(p.nan_to_num(), before[name].nan_to_num()), name
    after = step.optimizers.state()
    assert all(torch.equal(after[name], value) for name, value in moments.items())


def test_a_later_start_goes_on_with_the_same_data_and_rates() -> None:
    recipe = tiny.recipe(steps=12, log_every=10)
    whole = fast(recipe)
    whole.advance(5)
    later = fast(recipe, first=5)
    with torch.no_grad():
        for name, p in later.optimizers.named.items():
            p.copy_(whole.optimizers.named[name])
    state = {name: value.clone() for name, value in whole.optimizers.state().items()}
    later.optimizers.restore(state)
    assert [r.loss for r in whole.advance(7)] == [r.loss for r in later.advance(7)]


def test_muon_and_several_processes_are_refused() -> None:
    recipe = tiny.recipe(optimizer={"name": "muon"})
    with pytest.raises(UserError, match="adamw"):
        fast(recipe)
    assert "adamw" in str(fast_step.unsupported(recipe, 1))
    assert "one process" in str(fast_step.unsupported(tiny.recipe(), 2))
    assert fast_step.unsupported(tiny.recipe(), 1) is None


def metrics(folder: Path) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in entry.items() if key != "bytes_per_second"} for entry in entries]


def test_a_run_of_fast_steps_is_interrupted_and_goes_on_bit_for_bit(tmp_path: Path) -> None:
    recipe = tiny.recipe(steps=12, log_every=3, validate_every=6, checkpoint_minutes=9, cuda_graphs=True)
    train(recipe, tiny.corpus(), tmp_path / "whole")

    def stop(progress: Progress) -> None:
        if progress.step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(recipe, tiny.corpus(), tmp_path / "parts", watch=stop)
    assert [folder.name for folder in (tmp_path / "parts" / "checkpoints").iterdir()] == ["step-00000006"]
    train(recipe, tiny.corpus(), tmp_path / "parts", resume=True)
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "parts")
    weights = [load_file(tmp_path / name / "model" / checkpoint.WEIGHTS) for name in ("whole", "parts")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_metrics_of_a_fast_run_are_those_of_an_ordinary_one(tmp_path: Path) -> None:
    for name, graphs in (("eager", False), ("fast", True)):
        recipe = tiny.recipe(steps=6, log_every=2, cuda_graphs=graphs, checkpoint_minutes=9)
        train(recipe, tiny.corpus(), tmp_path / name)
    for own, other in zip(metrics(tmp_path / "fast"), metrics(tmp_path / "eager"), strict=True):
        assert own.keys() == other.keys() and own["step"] == other["step"]
        for key in own.keys() & {"loss", "validation_loss"}:
            assert own[key] == pytest.approx(other[key], abs=1e-5)


def test_a_fast_run_that_diverges_stops_with_the_step(tmp_path: Path) -> None:
    recipe = tiny.recipe(
        steps=12, log_every=6, validate_every=6, cuda_graphs=True, optimizer={"lr": 1e30, "warmup": 0}
    )
    with pytest.raises(UserError, match=r"stopped at step \d+: .*the last good checkpoint is none yet"):
        train(recipe, tiny.corpus(), tmp_path / "run")
