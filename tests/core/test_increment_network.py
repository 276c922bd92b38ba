"""The increment network against its formula in float64: the norm, the hidden layer, the activation of each kind."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.core.increments import Network, build_increments

WIDTH, ROWS = 12, 3


def network(parametrization: str, **settings: object) -> Network:
    config = IncrementConfig(parametrization=parametrization, per_head=True, hidden_size=5, **settings)  # type: ignore[arg-type]
    made = build_increments(config, hidden_size=WIDTH, num_kv_heads=ROWS, vocab_size=7)
    assert isinstance(made, Network)
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream) * 0.7)
    return made


def plain_z(made: Network, x: Tensor, normed: bool) -> Tensor:
    x = x.double()
    if normed:
        x = x / (x.square().mean(-1, keepdim=True) + torch.finfo(torch.float32).eps).sqrt()
        x = x * made.norm.double()  # type: ignore[union-attr]
    h = x @ made.hidden.weight.double().T + made.hidden.bias.double()
    h = h * 0.5 * (1 + torch.erf(h / math.sqrt(2)))
    return h @ made.output.weight.double().T + made.output.bias.double()


FORMULAS = {
    "positive": (False, lambda z: torch.log1p(torch.exp(z + math.log(math.e - 1)))),
    "bounded": (True, lambda z: 10 * torch.sigmoid(z - math.log(9))),
    "signed": (True, lambda z: 1 + z),
    "free": (True, lambda z: 1 + z),
    "coordinate": (True, lambda z: 1 + z),
    "random": (True, lambda z: torch.exp(math.sqrt(math.log1p(0.09)) * z - math.log1p(0.09) / 2)),
}


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("name", FORMULAS)
def test_the_increment_of_an_input(name: str, scale: float) -> None:
    normed, formula = FORMULAS[name]
    made = network(name)
    x = torch.randn(2, 4, WIDTH, generator=torch.Generator().manual_seed(2)) * scale
    with torch.no_grad():
        z = made.z(x)
        expected = plain_z(made, x, normed)
        assert z.shape == (2, 4, ROWS) and z.dtype == torch.float32
        assert torch.allclose(z.double(), expected, rtol=1e-4, atol=1e-4)
        d = 1 + made(x, torch.zeros(2, 4, dtype=torch.long)).double()
    assert torch.allclose(d, formula(expected), rtol=1e-3, atol=1e-3)
    assert (made.norm is not None) == normed == made.normed


def test_an_input_of_zeros_is_no_division_by_zero() -> None:
    made = network("bounded")
    assert torch.isfinite(made.z(torch.zeros(1, 1, WIDTH))).all()


def test_a_random_increment_is_finite_however_large_the_input() -> None:
    made = network("random")
    d = 1 + made.activation(torch.tensor([31.0, 1e4]) / made.s)
    assert torch.allclose(d.log(), torch.tensor(30 - math.log1p(0.09) / 2))


def test_narrow_inputs_are_computed_in_their_dtype_and_summed_in_float32() -> None:
    made = network("signed")
    x = torch.randn(1, 6, WIDTH, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        narrow, wide = made.z(x.bfloat16()), made.z(x)
    assert narrow.dtype == torch.float32
    assert torch.allclose(narrow, wide, rtol=0.1, atol=0.15) and not torch.equal(narrow, wide)
