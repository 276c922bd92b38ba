"""Laws that place tokens without a running sum, and the network that is never trained."""

from __future__ import annotations

import pytest
import tiny
import torch
from pydantic import ValidationError

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.core.increments import Coordinate
from ropewalk.core.positions import positions_from_increments
from ropewalk.native.decoder import Decoder
from ropewalk.training.optimizer import OptimizerConfig, Optimizers


def test_the_free_form_is_the_integer_position_plus_what_the_network_says():
    model = tiny.moved(Decoder(tiny.config("free")))
    x, tokens = {}, tiny.tokens(2, 30)
    out = model(tokens, activations=["positions.1", "residual.1"])
    x = out.activations["residual.1"]
    expected = torch.arange(30)[None, :, None] + model.increment_modules[1].z(x)
    assert torch.allclose(out.activations["positions.1"], expected, atol=1e-4)
    p = out.activations["positions.1"][0, :, 0]
    assert torch.allclose(1 + out.r[1][0, 1:, 0], p.diff(), atol=1e-4)


def test_the_coordinate_stays_within_its_reach_and_beyond_it_is_the_integer():
    parametrization = Coordinate(IncrementConfig(parametrization="coordinate", max_position=20), 8, 1, 257)
    n = torch.arange(40)[None]
    z = torch.linspace(-50, 50, 40).flip(0)[None, :, None]
    p = n[..., None] + parametrization.offset(z, n)
    inside = p[0, :20, 0]
    assert torch.isfinite(p).all() and (inside >= 0).all() and (inside <= 20).all()
    assert torch.equal(p[0, 20:, 0], n[0, 20:].float())
    z, n = (
        torch.tensor(0.7),
        torch.tensor([[5, 18, 19]]),
    )  # in the middle, and up to the last one within reach
    expected = 20 * torch.sigmoid(z + torch.logit(n / 20)) - n
    assert torch.allclose(parametrization.offset(z.expand(1, 3, 1), n)[..., 0], expected, rtol=1e-4)


def test_a_single_token_has_its_own_offset():
    p, end = positions_from_increments(torch.tensor([[[0.5]]]), torch.tensor([[3]]), absolute=True)
    assert (p.item(), end.item()) == (3.5, 0.5)


def test_an_edit_of_an_absolute_parametrization_moves_what_follows():
    model = tiny.moved(Decoder(tiny.config("free", per="shared")))
    tokens = tiny.tokens(1, 20)

    def wider(row, d):
        d = d.clone()
        d[:, 10] += 3
        return d

    plain = model(tokens, activations=["positions.0"]).activations["positions.0"]
    edited = model(tokens, edit=wider, activations=["positions.0"]).activations["positions.0"]
    assert torch.allclose((edited - plain)[0, :, 0], 3.0 * (torch.arange(20) >= 10), atol=1e-4)


def test_an_absolute_parametrization_has_no_gap_after():
    with pytest.raises(ValidationError, match="no gap after"):
        IncrementConfig(parametrization="free", gap="after")


@pytest.mark.parametrize("spread", [0.1, 0.5])
def test_random_increments_are_positive_of_the_spread_asked_for_and_never_trained(spread):
    model = Decoder(tiny.config("random", std=spread, decoder={"hidden_size": 128}), seed=3)
    d = torch.cat([1 + r for r in model(tiny.tokens(8, 64)).r])
    assert (d > 0).all()
    assert (d.std() / d.mean()).item() == pytest.approx(spread, rel=0.6)
    assert not any(
        name.startswith("increment_modules.") for name in Optimizers(model, OptimizerConfig()).named
    )
    again = Decoder(tiny.config("random", std=spread, decoder={"hidden_size": 128}), seed=3)
    assert torch.equal(model.increment_modules[0].hidden.weight, again.increment_modules[0].hidden.weight)
