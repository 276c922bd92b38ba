"""Optimizers: rates, averages, and a stable schedule whose decay can be taken late."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from runs import Stop, final, same

from ropewalk.errors import UserError
from ropewalk.native.decoder import Decoder
from ropewalk.training.native_training import train
from ropewalk.training.optimizer import OptimizerConfig, Optimizers, rate_fraction


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    config = OptimizerConfig(warmup=10)
    rates = [rate_fraction(config, step, 100) for step in range(101)]
    assert rates[0] == 0.1 and rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5) and rates[100] == pytest.approx(0.0)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert rate_fraction(OptimizerConfig(warmup=0), 0, 5) == 1.0


def test_a_stable_rate_falls_over_the_last_steps() -> None:
    config = OptimizerConfig(warmup=10, schedule="wsd", decay_steps=20)
    rates = [rate_fraction(config, step, 100) for step in range(101)]
    assert rates[0] == 0.1 and set(rates[9:81]) == {1.0}
    assert rates[90] == 0.5 and rates[99] == 0.05 and rates[100] == 0.0
    assert rate_fraction(OptimizerConfig(warmup=10, schedule="wsd"), 100, 100) == 1.0
    short = [rate_fraction(config, step, 20) for step in range(21)]
    assert max(short) == 0.7 and short[0] == 0.1 and short[20] == 0.0


@pytest.mark.parametrize("clip", [1e-2, 1e9])
def test_gradients_are_clipped_by_their_common_norm(clip: float) -> None:
    model = Decoder(tiny.config(), seed=0).train()
    optimizers = Optimizers(model, OptimizerConfig(clip=clip))
    model(tiny.tokens(2, 9)).logits.square().sum().backward()
    grads = {name: p.grad.clone() for name, p in optimizers.named.items() if p.grad is not None}
    norm = torch.stack([g.norm() for g in grads.values()]).norm()
    assert optimizers.step(1.0) == pytest.approx(float(norm), rel=1e-5)
    moments = optimizers.state()
    for name, gradient in grads.items():
        expected = 0.1 * gradient * min(1.0, clip / float(norm))
        assert torch.allclose(moments[f"{name}::exp_avg"], expected, rtol=1e-4, atol=1e-9), name


def test_a_half_life_in_tokens_sets_the_second_beta() -> None:
    model, config = Decoder(tiny.config(), seed=0), OptimizerConfig(beta2_half_life=1000)
    for step_tokens, expected in ((1000, 0.5), (500, 0.5**0.5), (1, 0.5**0.001)):
        betas = Optimizers(model, config, step_tokens).members[0].param_groups[0]["betas"]
        assert betas == (0.9, pytest.approx(expected))
    given = OptimizerConfig(betas=(0.8, 0.95))
    assert Optimizers(model, given).members[0].param_groups[0]["betas"] == (0.8, 0.95)
    assert Optimizers(model, OptimizerConfig()).members[0].param_groups[0]["betas"] == (0.9, 0.999)
    with pytest.raises(ValueError, match="tokens that a step reads"):
        Optimizers(model, config)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_increment_networks_have_a_rate_of_their_own(name: Any) -> None:
    model = Decoder(tiny.config(), seed=0)
    config = OptimizerConfig(name=name, lr=0.01, increments_lr_multiplier=3.0, muon_lr=0.5)
    optimizers = Optimizers(model, config)
    rate = {id(p): peak for group, peak in optimizers.peaks for p in group["params"]}
    assert len(rate) == len(list(model.parameters()))
    for label, parameter in model.named_parameters():
        in_muon = name == "muon" and label.startswith("layers.") and parameter.dim() == 2
        expected = 0.03 if label.startswith("increment_modules.") else 0.5 if in_muon else 0.01
        assert rate[id(parameter)] == pytest.approx(expected), label


STABLE = {"schedule": "wsd", "decay_steps": 2, "warmup": 1}


def _stable(steps: int, **optimizer: Any) -> Any:
    return tiny.recipe(steps=steps, checkpoint_minutes=9, log_every=2, optimizer={**STABLE, **optimizer})


@pytest.mark.parametrize("first", [1000, 4])
def test_the_decay_of_a_stable_run_can_be_taken_late(tmp_path: Path, first: int) -> None:
    train(_stable(6), tiny.corpus(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(_stable(first), tiny.corpus(), tmp_path / "late", watch=Stop(2))
    train(_stable(6), tiny.corpus(), tmp_path / "late", resume=True)
    same(tmp_path / "whole", tmp_path / "late")
    assert json.loads((tmp_path / "late" / "recipe.json").read_text())["recipe"]["train"]["steps"] == 6
    train(_stable(6), tiny.corpus(), tmp_path / "late", resume=True)


def test_a_stable_run_goes_on_after_its_end_and_then_decays(tmp_path: Path) -> None:
    train(_stable(6), tiny.corpus(), tmp_path / "whole")
    train(_stable(3, decay_steps=0), tiny.corpus(), tmp_path / "late")
    train(_stable(6), tiny.corpus(), tmp_path / "late", resume=True)
    assert all(
        torch.equal(w, final(tmp_path / "late")[name]) for name, w in final(tmp_path / "whole").items()
    )


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (_stable(1000), _stable(4, decay_steps=3)),  # would have decayed at the last step done
        (_stable(1000), _stable(2)),  # over before the steps done
        (_stable(1000, decay_steps=0), _stable(2, decay_steps=0)),
        (_stable(4, decay_steps=3), _stable(1000)),  # has decayed
        (_stable(1000), _stable(6, warmup=2)),
        (_stable(1000), _stable(6, lr=0.02)),
        (_stable(1000), _stable(6, schedule="cosine", decay_steps=0)),
        (tiny.recipe(steps=1000), tiny.recipe(steps=6)),
    ],
)
def test_no_step_already_done_gets_another_rate(tmp_path: Path, first: Any, then: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(first, tiny.corpus(), tmp_path, watch=Stop(3))
    before = (tmp_path / "recipe.json").read_bytes()
    with pytest.raises(UserError, match="started with another recipe"):
        train(then, tiny.corpus(), tmp_path, resume=True)
    assert (tmp_path / "recipe.json").read_bytes() == before
