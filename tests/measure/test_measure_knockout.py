from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ropewalk.analyses.byte_kinds import byte_kind_numbers
from ropewalk.errors import UserError
from ropewalk.measure import windows
from ropewalk.measure.extrapolation import loss_by_position
from ropewalk.measure.knockout import REPLACEMENTS, jitter, knockouts, permuted
from ropewalk.measure.lookback import lookback
from ropewalk.native.decoder import Decoder


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 30), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_shuffling_keeps_every_value_in_its_row_and_group(seed, rows, length, kinds):
    stream = torch.Generator().manual_seed(seed)
    values = torch.rand(rows, length, generator=stream)
    groups = torch.randint(0, kinds, (rows, length), generator=stream)
    got = permuted(values, groups, seed)
    assert torch.equal(got, permuted(values, groups, seed))
    for row in range(rows):
        for kind in range(kinds):
            at = groups[row] == kind
            assert torch.equal(got[row, at].sort().values, values[row, at].sort().values)


def test_shuffling_moves_values():
    values = torch.arange(50.0)[None]
    assert not torch.equal(permuted(values, torch.zeros(1, 50, dtype=torch.int64), 1), values)


def model(parametrization: str = "bounded", **more: object) -> Decoder:
    return tiny.moved(Decoder(tiny.config(parametrization, decoder={"num_layers": 3}, **more)))


def test_a_model_with_even_steps_pays_nothing():
    even = Decoder(tiny.config("bounded")).eval()
    found = knockouts(even, tiny.tokens(3, 33), byte_kind_numbers)
    assert found.spread == 0.0
    for key, cost in found.costs.items():
        np.testing.assert_allclose(cost, 0, atol=1e-6, err_msg=str(key))


def test_costs_are_the_losses_of_the_edited_runs():
    host, tokens = model(), tiny.tokens(10, 33)
    found = knockouts(host, tokens, byte_kind_numbers)
    assert {key[0] for key in found.costs} == set(REPLACEMENTS)
    assert {key[1] for key in found.costs} == {"all", "L0", "L1", "L2"}
    assert ("one", "all", True) not in found.costs and ("one", "L1", True) in found.costs

    def ones(row, d):
        return torch.ones_like(d) if row.layer == 1 else d

    with torch.no_grad():
        logits = host(tokens[:, :-1], edit=ones).logits
    loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").mean(1)
    np.testing.assert_allclose(found.costs["one", "L1", False] + found.clean, loss.numpy(), rtol=1e-5)


def test_the_last_layer_has_no_later_one_so_both_costs_agree():
    found = knockouts(model(), tiny.tokens(4, 33), byte_kind_numbers)
    for name in REPLACEMENTS:
        np.testing.assert_allclose(found.costs[name, "L2", True], found.costs[name, "L2", False], atol=1e-6)
    assert not np.allclose(
        found.costs["shuffled", "L0", True], found.costs["shuffled", "L0", False], atol=1e-7
    )


def test_a_shared_line_is_one_target_and_another_text_is_another_text():
    found = knockouts(model("positive", per="shared"), tiny.tokens(4, 33), byte_kind_numbers)
    assert {key[1] for key in found.costs} == {"all"}
    same = tiny.tokens(1, 33).repeat(3, 1)
    again = knockouts(model(), same, byte_kind_numbers)
    np.testing.assert_allclose(again.costs["other text", "all", False], 0, atol=1e-6)


def test_jitter_of_nothing_is_free_and_of_something_is_not():
    host, tokens = model("integer"), tiny.tokens(4, 33)
    np.testing.assert_array_equal(jitter(host, tokens, 0.0), 0)
    assert np.abs(jitter(host, tokens, 0.5)).max() > 0
    np.testing.assert_array_equal(jitter(host, tokens, 0.5), jitter(host, tokens, 0.5))


def test_the_mean_attended_distance_by_hand():
    host, tokens = model(per_head=True), tiny.tokens(3, 20)
    got = lookback(host, tokens)
    assert got.distance.shape == got.increments.shape == (3, 3, 4)
    with torch.no_grad():
        out = host(tokens, activations=["attention.1"])
    weights = out.activations["attention.1"][2, 3].numpy()
    total = sum(weights[t, s] for t in range(20) for s in range(1, t + 1))
    far = sum(weights[t, s] * (t - s) for t in range(20) for s in range(1, t + 1))
    assert got.distance[2, 1, 3] == pytest.approx(far / total, rel=1e-4)
    assert got.increments[2, 1, 3] == pytest.approx(1 + float(out.increments[1][2, 1:, 3].mean()), rel=1e-5)
    one = lookback(model("positive", per="shared"), tokens)
    assert (one.increments == one.increments[:, :1, :1]).all()


def test_the_loss_by_position_goes_beyond_the_context():
    host, tokens = model(), tiny.tokens(2, 150)
    got = loss_by_position(host, tokens)
    assert got.shape == (2, 149) and np.isfinite(got).all()
    with torch.no_grad():
        logits = host(tokens[:1, :-1]).logits
    assert got[0, 100] == pytest.approx(float(-logits[0, 100].log_softmax(-1)[tokens[0, 101]]), rel=1e-4)


def test_windows_do_not_overlap_and_short_texts_are_refused():
    got = windows.cut(np.arange(100), 9, 5)
    assert got.shape == (5, 10) and len(set(got.flatten().tolist())) == 50
    assert len(windows.cut(np.arange(100), 9, 99)) == 10
    assert windows.tokens_of("ab").tolist() == [256, 97, 98]
    with pytest.raises(UserError, match="longer"):
        windows.cut(np.arange(15), 9, 5)
