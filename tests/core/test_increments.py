"""Laws: exact at the start, exact in their formulas, safe at the extremes, alive to learning."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny import LEARNED, config, moved, tokens
from torch import nn

from ropewalk.core import increments
from ropewalk.core.increment_config import PARAMETRIZATIONS, IncrementConfig
from ropewalk.core.increments import MODULES, bounded, positive
from ropewalk.errors import UserError
from ropewalk.native.decoder import Decoder

FORMS = [
    (parametrization, per, rows)
    for parametrization in LEARNED
    for per in ("layer", "shared")
    for rows in (False, True)
]
WIDE = st.floats(-1e4, 1e4, width=32)


def softplus(z: float) -> float:
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


@given(WIDE)
def test_positive_is_softplus_shifted_to_one(z: float) -> None:
    shift = math.log(math.e - 1)
    got = 1 + positive(torch.tensor(z)).double().item()
    assert got == pytest.approx(softplus(z + shift), rel=3e-7, abs=3e-7)


@given(WIDE, st.sampled_from([1.5, 2.0, 10.0, 100.0]))
def test_bounded_is_a_sigmoid_below_its_ceiling(z: float, ceiling: float) -> None:
    got = 1 + bounded(torch.tensor(z), ceiling).double().item()
    assert got == pytest.approx(ceiling * sigmoid(z - math.log(ceiling - 1)), rel=1e-6, abs=1e-6)
    assert got <= ceiling


@given(WIDE)
def test_gradients_are_those_of_the_formulas(z: float) -> None:
    at = torch.tensor(z, requires_grad=True)
    (slope,) = torch.autograd.grad(positive(at), at)
    assert slope.item() == pytest.approx(sigmoid(z + math.log(math.e - 1)), rel=1e-5, abs=1e-6)
    (slope,) = torch.autograd.grad(bounded(at, 10.0), at)
    s = sigmoid(z - math.log(9))
    assert slope.item() == pytest.approx(10 * s * (1 - s), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("z", [-3e38, -1e4, -90.0, 90.0, 1e4])
def test_nothing_overflows_at_the_extremes(z: float) -> None:
    at = torch.tensor([z], requires_grad=True)
    r = torch.cat([positive(at), bounded(at, 10.0)])
    r.sum().backward()
    assert torch.isfinite(r).all() and torch.isfinite(at.grad).all()
    assert bounded(torch.tensor(z), 10.0).item() == pytest.approx(-1.0 if z < 0 else 9.0)
    assert positive(torch.tensor(z)).item() == pytest.approx(-1.0 if z < 0 else z + math.log(1 - 1 / math.e))


def test_a_number_that_is_none_stays_none() -> None:
    nan = torch.tensor(math.nan)
    assert torch.isnan(positive(nan)) and torch.isnan(bounded(nan, 10.0))


@pytest.mark.parametrize(("parametrization", "per", "per_head"), FORMS)
def test_every_learned_parametrization_starts_at_exactly_zero_and_learns(
    parametrization: str, per: str, per_head: bool
) -> None:
    shape = config(parametrization, per=per, per_head=per_head, decoder={"num_kv_heads": 2})
    model = Decoder(shape, seed=3).train()
    output = model(tokens(2, 12))
    for r in output.r:
        assert r.shape == (2, 12, 2 if per_head else 1)
        assert r.dtype == torch.float32
        assert torch.equal(r, torch.zeros_like(r))
    output.logits.square().sum().backward()
    for own in model.increment_modules:
        largest = max(p.grad.abs().max() for p in own.parameters() if p.grad is not None)
        assert largest > 0
    before = Decoder(shape, seed=3)(tokens(2, 12)).logits
    with torch.no_grad():
        for name, parameter in model.increment_modules.named_parameters():
            if "norm" not in name:
                parameter.add_(0.5)
    assert not torch.allclose(model(tokens(2, 12)).logits, before, atol=1e-6)


@pytest.mark.parametrize(
    "parametrization",
    [parametrization for parametrization in MODULES if parametrization != "integer"],
)
def test_parametrizations_of_one_seed_share_every_other_weight(parametrization: str) -> None:
    plain = dict(Decoder(config("integer"), seed=5).named_parameters())
    other = dict(Decoder(config(parametrization), seed=5).named_parameters())
    assert set(plain) <= set(other)
    assert all(torch.equal(plain[name], other[name]) for name in plain)


def test_weights_change_with_the_seed() -> None:
    a, b = Decoder(config(), seed=1), Decoder(config(), seed=2)
    assert not torch.equal(a.embedding, b.embedding)


@pytest.mark.parametrize("parametrization", ["positive", "bounded", "signed"])
def test_the_random_start_has_the_published_spread(parametrization: str) -> None:
    """Every matrix is drawn from N(0, 0.02), the output layer too, and the biases put d at 1 where z is 0."""
    shape = config(parametrization, init="random", decoder={"hidden_size": 512, "num_heads": 8})
    own = Decoder(shape, seed=0).increment_modules[0]
    assert own.output.weight.std().item() == pytest.approx(0.02, rel=0.5)
    assert own.hidden.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not own.output.bias.any() and not own.hidden.bias.any()
    r = own(torch.randn(1, 200, 512), tokens(1, 200))
    assert 0 < r.abs().max() < 0.2


@pytest.mark.parametrize("init", ["identity", "random"])
def test_a_table_starts_at_one_or_around_it(init: str) -> None:
    (r,) = Decoder(config("table", per="shared", init=init), seed=0)(tokens(1, 5)).r
    assert r.abs().max() < 0.2 and bool(r.all()) == (init == "random") == bool(r.any())


def test_the_published_biases_put_the_increment_at_one() -> None:
    """The published constants, softplus(0.5413) and 10 sigmoid(ln 1/9), are z = 0 here, where d is exactly 1."""
    assert softplus(0.5413) == pytest.approx(1.0, abs=3e-5)
    assert 10 * sigmoid(math.log(1 / 9)) == pytest.approx(1.0)
    assert positive(torch.zeros(1)).item() == 0.0 and bounded(torch.zeros(1), 10.0).item() == 0.0


def test_a_frozen_parametrization_looks_its_table_up_and_never_learns() -> None:
    parametrization = increments.build_increments(
        IncrementConfig(parametrization="frozen", per_head=True), hidden_size=8, num_kv_heads=2, vocab_size=11
    )
    table = torch.randn(11, 2)
    parametrization.fill(table)
    seen = torch.tensor([[3, 10, 0]])
    assert torch.equal(parametrization(torch.zeros(1, 3, 8), seen), table[seen])
    assert not list(parametrization.parameters())
    with pytest.raises(UserError, match=r"must have shape \(11, 2\).*has \(11, 1\)"):
        parametrization.fill(torch.zeros(11, 1))


def test_unit_knows_one_line_whatever_is_asked() -> None:
    shape = config("integer", per_head=True, per="layer")
    model = Decoder(shape, seed=0)
    (r,) = model(tokens(1, 5)).r
    assert r.shape == (1, 5, 1) and not r.any()
    assert [str(row) for row in model.rows] == ["all"]


def test_constant_does_not_read_the_text() -> None:
    model = moved(Decoder(config("constant", per_head=True), seed=0))
    for r in model(tokens(2, 9)).r:
        assert torch.equal(r, r[:1, :1].expand_as(r))
        assert r.unique().numel() == 4


@pytest.mark.parametrize(
    "settings",
    [{"parametrization": "table"}, {"reads": "embedding"}, {"reads": "embedding", "per_head": True}],
)
def test_without_context_a_token_has_one_increment_in_each_layer(settings: dict) -> None:
    model = moved(Decoder(config(**settings), seed=0))
    text = tokens(3, 20) % 5
    with torch.inference_mode():
        for r in model(text).r:
            for token in range(5):
                seen = r[text == token]
                assert torch.allclose(seen, seen[:1].expand_as(seen), atol=1e-6)
            assert r.std() > 0.01
        first, second = model(text).r
    assert not torch.allclose(first, second)
    context = moved(Decoder(config(), seed=0))(text).r[1]
    assert context[text == 0].std() > 0.01


def test_only_networks_can_read_the_embedding() -> None:
    with pytest.raises(ValidationError, match="'constant' reads no embedding"):
        IncrementConfig(parametrization="constant", reads="embedding")


def test_a_new_parametrization_is_one_class_and_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    class Alternate(nn.Module):
        def __init__(self, config: IncrementConfig, width: int, rows: int, vocabulary: int) -> None:
            super().__init__()

        def forward(self, x: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
            return (tokens % 2).float()[..., None]

    monkeypatch.setitem(MODULES, "alternate", Alternate)
    monkeypatch.setitem(PARAMETRIZATIONS, "alternate", "d = 1 and d = 2 in turn")
    output = Decoder(config("alternate"), seed=0)(torch.tensor([[1, 2, 3]]), activations=["positions.0"])
    assert output.activations["positions.0"][0, :, 0].tolist() == [0.0, 1.0, 3.0]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"parametrization": "cubic"},
            "unknown parametrization 'cubic': choose one of integer, positive, bounded",
        ),
        ({"max_increment": 1.0}, "greater than 1"),
        ({"max_increment": math.inf}, "finite"),
        ({"hidden_size": 0}, "greater than or equal to 1"),
        ({"gap": "within"}, "'before' or 'after'"),
        ({"slope": 2}, "Extra inputs"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        IncrementConfig(**wrong)
