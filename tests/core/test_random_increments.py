"""Increments of networks that are never trained: mean 1 and the asked-for spread, whatever the seed."""

import math

import pytest
import torch
from tiny import config

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.core.increments import build_increments
from ropewalk.native.decoder import Decoder


@pytest.mark.parametrize("std", [0.1, 0.3, 1.0])
def test_the_mean_is_one_and_the_spread_as_asked(std: float) -> None:
    """Over a standard normal z, by quadrature, so that no draw is needed."""
    own = build_increments(
        IncrementConfig(parametrization="random", std=std), hidden_size=8, num_kv_heads=1, vocab_size=11
    )
    z = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    weight = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    d = 1 + own.activation(z)
    mean = float((weight * d).sum())
    assert mean == pytest.approx(1.0, abs=1e-6)
    assert float((weight * (d - mean) ** 2).sum()) ** 0.5 == pytest.approx(std, rel=1e-6)
    assert (d > 0).all()


def test_outputs_have_about_unit_variance_before_the_activation() -> None:
    spread = []
    for seed in range(8):
        model = Decoder(config("random", decoder={"hidden_size": 256, "num_heads": 4}), seed=seed)
        own = model.increment_modules[0]
        assert not any(parameter.requires_grad for parameter in own.parameters())
        spread.append(
            own.z(torch.randn(1, 500, 256, generator=torch.Generator().manual_seed(seed))).std().item()
        )
    assert 0.6 < sum(spread) / len(spread) < 1.5


def test_huge_outputs_stay_finite() -> None:
    own = build_increments(
        IncrementConfig(parametrization="random"), hidden_size=8, num_kv_heads=1, vocab_size=11
    )
    assert torch.isfinite(own.activation(torch.tensor([-1e9, 1e9]))).all()
