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
from ropewalk.measure.dose import AFTER, dose_response
from ropewalk.measure.extrapolation import loss_by_position
from ropewalk.measure.knockout import REPLACEMENTS, jitter, means_of_others, measure_knockouts, permuted
from ropewalk.measure.lookback import read_lookback
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
    found = measure_knockouts(even, tiny.tokens(3, 33), byte_kind_numbers)
    assert set(found.std.values()) == {0.0}
    for key, cost in found.costs.items():
        np.testing.assert_allclose(cost, 0, atol=1e-6, err_msg=str(key))


def test_costs_are_the_losses_of_the_edited_runs():
    host, tokens = model(), tiny.tokens(10, 33)
    found = measure_knockouts(host, tokens, byte_kind_numbers)
    assert {key[0] for key in found.costs} == set(REPLACEMENTS)
    assert {key[1] for key in found.costs} == {"all", "L0", "L1", "L2"}
    assert ("constant 1", "all", True) not in found.costs and ("constant 1", "L1", True) in found.costs

    def ones(row, d):
        return torch.ones_like(d) if row.layer == 1 else d

    with torch.no_grad():
        logits = host(tokens[:, :-1], edit=ones).logits
    loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").mean(1)
    np.testing.assert_allclose(found.costs["constant 1", "L1", False] + found.clean, loss.numpy(), rtol=1e-5)


def test_the_last_layer_has_no_later_one_so_both_costs_agree():
    found = measure_knockouts(model(), tiny.tokens(4, 33), byte_kind_numbers)
    for name in REPLACEMENTS:
        np.testing.assert_allclose(found.costs[name, "L2", True], found.costs[name, "L2", False], atol=1e-6)
    assert not np.allclose(
        found.costs["shuffled", "L0", True], found.costs["shuffled", "L0", False], atol=1e-7
    )


def test_a_shared_row_is_one_target_and_another_text_is_another_text():
    found = measure_knockouts(model("positive", per="shared"), tiny.tokens(4, 33), byte_kind_numbers)
    assert {key[1] for key in found.costs} == {"all"}
    same = tiny.tokens(1, 33).repeat(3, 1)
    again = measure_knockouts(model(), same, byte_kind_numbers)
    np.testing.assert_allclose(again.costs["other text", "all", False], 0, atol=1e-6)


def test_jitter_of_nothing_is_free_and_of_something_is_not():
    host, tokens = model("integer"), tiny.tokens(4, 33)
    np.testing.assert_allclose(jitter(host, tokens, {0: 0.0, 1: 0.0, 2: 0.0}), 0, atol=1e-6)
    some = {0: 0.5, 1: 0.5, 2: 0.5}
    assert np.abs(jitter(host, tokens, some)).max() > 0
    np.testing.assert_array_equal(jitter(host, tokens, some), jitter(host, tokens, some))
    assert np.abs(jitter(host, tokens, {None: 0.5})).max() > 0


def test_jitter_gives_each_layer_its_own_standard_deviation():
    host, tokens = model("integer"), tiny.tokens(4, 33)
    first, last = (jitter(host, tokens, {i: 0.5 * (i == layer) for i in range(3)}) for layer in (0, 2))
    pooled = jitter(host, tokens, dict.fromkeys(range(3), 0.5 / 3**0.5))
    assert not np.allclose(first, last, atol=1e-7) and not np.allclose(pooled, last, atol=1e-7)
    found = measure_knockouts(model(), tokens, byte_kind_numbers)
    with torch.no_grad():
        d = 1 + torch.cat([r.transpose(1, 2) for r in model()(tokens[:, :-1]).r], 1)
    for layer in range(3):
        assert found.std[layer] == pytest.approx(float(d[:, layer].double().std(unbiased=False)), rel=1e-4)


def test_a_model_whose_increments_are_a_byte_table_loses_nothing_to_the_mean_by_byte():
    shared = model("positive", per="shared")  # reads the embedding alone
    tokens = torch.randint(97, 105, (6, 33), generator=torch.Generator().manual_seed(3))
    found = measure_knockouts(shared, tokens, byte_kind_numbers)
    np.testing.assert_allclose(found.costs["byte mean", "all", False], 0, atol=1e-6)
    assert np.abs(found.costs["kind mean", "all", False]).max() > 1e-5


def test_means_leave_out_the_window_that_is_scored():
    d = torch.tensor([[1.0, 2.0], [3.0, 5.0], [7.0, 9.0]])
    groups = torch.tensor([[0, 1], [0, 0], [1, 2]])
    expected = torch.tensor([[4.0, 7.0], [1.0, 1.0], [2.0, 11 / 4]])
    torch.testing.assert_close(means_of_others(d, groups), expected)


def test_the_dose_of_one_gap_is_the_loss_of_an_edited_run():
    host, tokens = model(), tiny.tokens(1, 60)[0].numpy()
    at = np.array([5, 20, 43])
    got = dose_response(host, tokens, at, (1.0, 2.0))
    np.testing.assert_allclose(got[:, 0], 0, atol=1e-6)

    def doubled(row, d):
        return torch.cat([d[:, :20], 2 * d[:, 20:21], d[:, 21:]], 1)

    window = torch.from_numpy(tokens[: 20 + AFTER + 1])[None]
    loss = []
    for edit in (None, doubled):
        with torch.no_grad():
            logits = host(window, edit=edit).logits[0, 20:-1]
        loss.append(torch.nn.functional.cross_entropy(logits, window[0, 21:]).item())
    assert got[1, 1] == pytest.approx(loss[1] - loss[0], abs=1e-5)


def test_the_mean_attended_distance_by_hand():
    host, tokens = model(per_head=True), tiny.tokens(3, 20)
    got = read_lookback(host, tokens)
    assert got.distance.shape == got.increments.shape == (3, 3, 4)
    with torch.no_grad():
        out = host(tokens, activations=["attention.1"])
    weights = out.activations["attention.1"][2, 3].numpy()
    total = sum(weights[t, s] for t in range(20) for s in range(1, t + 1))
    far = sum(weights[t, s] * (t - s) for t in range(20) for s in range(1, t + 1))
    assert got.distance[2, 1, 3] == pytest.approx(far / total, rel=1e-4)
    assert got.increments[2, 1, 3] == pytest.approx(1 + float(out.r[1][2, 1:, 3].mean()), rel=1e-5)
    one = read_lookback(model("positive", per="shared"), tokens)
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
