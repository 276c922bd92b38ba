"""The probe finds planted dependences, agrees with finite differences, and says what it cannot do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from ropewalk import Row, UserError
from ropewalk.core.host import Output, apply_edit
from ropewalk.measure.gap_changes import change_cost, scale_gaps
from ropewalk.measure.hosts import with_rows_per_layer
from ropewalk.measure.probe import ProbePlan, plan_probe, probe
from ropewalk.measure.probe_passes import _random_scores
from ropewalk.native.decoder import Decoder
from ropewalk.tokens.tokenized_text import TokenizedText

WEIGHT = 1.7


class Planted:
    """Predictions hang on the gap before the last token 7 in line 0, with a known weight, and on nothing
    else.
    """

    rows = (Row(0), Row(1))
    context_length = 512
    vocab_size = 8
    tokenizer = None
    gap = "before"

    def describe(self) -> dict[str, Any]:
        return {"name": "planted"}

    def __call__(self, tokens: Tensor, n: Any = None, *, edit: Any = None, **_: Any) -> Output:
        d = 1 + torch.cat([apply_edit(edit, (row,), torch.zeros(*tokens.shape, 1)) for row in self.rows], -1)
        index = torch.where(tokens == 7, torch.arange(tokens.shape[1]), -1).cummax(1).values
        stretch = (d[..., 0] - 1).gather(1, index.clamp(min=0)) * (index >= 0)
        z = WEIGHT * stretch
        return Output(
            torch.cat([torch.stack([torch.zeros_like(z), z], -1), torch.full((*z.shape, 6), -40.0)], -1), ()
        )


def text_of(ids: list[int]) -> tuple[str, TokenizedText]:
    spans = np.stack([np.arange(len(ids)), np.arange(1, len(ids) + 1)], 1)
    return "x" * len(ids), TokenizedText(np.array(ids, np.int64), spans)


def test_a_planted_dependence_is_found_where_it_is() -> None:
    ids = [0, 1] * 12
    ids[10] = 7
    text, tokens = text_of(ids)
    found = probe(Planted(), text, plan_probe(tokens, window=6, past=5, draws=400), tokens=tokens)  # type: ignore[arg-type]
    place = 10 - 5
    truth = WEIGHT**2 / 4
    assert abs(found.trace.values[0, place] - truth) < 4 * found.error[0, place] < truth
    others = np.delete(found.trace.values, place, 1)
    assert not others.any() and not found.trace.values[1].any()
    ones = sum(ids[t + 1] for t in range(10, 16))
    assert found.observed[0, place] == pytest.approx(WEIGHT * (ones - 6 / 2))


def test_a_planted_change_has_its_closed_form() -> None:
    ids = [0, 1] * 12
    ids[10] = 7
    _, tokens = text_of(ids)
    host: Any = Planted()
    found = scale_gaps(
        host, plan_probe(tokens, window=6, past=5), tokens, [10, 11], factors=[0.5, 1.0], each_row=True
    )
    content = {(s.token, s.row, s.factor): s for s in found}
    assert len(content) == 2 * 3 * 2
    z = torch.tensor(WEIGHT * -0.5)
    p = torch.sigmoid(z)
    divergence = -0.5 * (torch.log(p) + torch.log(1 - p)) - torch.log(torch.tensor(2.0))
    for row in (None, Row(0)):
        assert content[10, row, 0.5].divergence == pytest.approx(float(divergence), abs=1e-6)
    for token, row, factor in [(10, Row(1), 0.5), (11, None, 0.5), (10, None, 1.0)]:
        assert content[token, row, factor].divergence == pytest.approx(0, abs=1e-7)
        assert content[token, row, factor].loss_change == pytest.approx(0, abs=1e-7)


def native(gap: Any = "before") -> Decoder:
    return tiny.moved(Decoder(tiny.config("integer", gap=gap)))


@pytest.mark.parametrize("per_head", [False, True])
def test_agrees_with_finite_differences_and_the_enumerated_fisher(per_head: bool) -> None:
    host = with_rows_per_layer(native(), per_head)
    ids = tiny.tokens(1, 12)[0]
    text, tokens = text_of(ids.tolist())
    wanted = ProbePlan(window=3, past=6, draws=600, gaps=(6,))
    found = probe(host, text, wanted, tokens=tokens)
    step = 2.0**-7

    def log(row: Row, change: float) -> Tensor:
        def edit(own: Row, d: Tensor) -> Tensor:
            return d + change * torch.nn.functional.one_hot(torch.tensor(6), d.shape[1]) if own == row else d

        return torch.log_softmax(host(ids[None, :9], edit=edit).logits[0, 6:9].double(), -1)

    with torch.no_grad():
        for number, row in enumerate(host.rows):
            slope = (log(row, step) - log(row, -step)) / (2 * step)
            fisher = float((log(row, 0.0).exp() * slope**2).sum() / 3)
            assert abs(found.trace.values[number, 0] - fisher) < 5 * found.error[number, 0] + 0.02 * fisher
            own = float(slope.gather(-1, ids[7:10, None]).sum())
            assert found.observed[number, 0] == pytest.approx(own, rel=0.02, abs=2e-3)


def test_an_opened_host_computes_the_same_and_has_every_line() -> None:
    decoder, ids = native(), tiny.tokens(2, 10)
    assert decoder.rows == (Row(),)
    twin = with_rows_per_layer(decoder)
    assert twin.rows == (Row(0), Row(1))
    with torch.no_grad():
        assert torch.equal(twin(ids).logits, decoder(ids).logits)
    learned = Decoder(tiny.config("bounded", per="layer"))
    assert with_rows_per_layer(learned) is learned


@pytest.mark.parametrize("gap", ["before", "after"])
def test_equal_surroundings_give_equal_numbers_wherever_they_stand(gap: Any) -> None:
    host = with_rows_per_layer(native(gap=gap))
    text, tokens = text_of(tiny.tokens(1, 5)[0].tolist() * 6)
    found = probe(host, text, plan_probe(tokens, window=4, past=5, draws=2), tokens=tokens)
    first = found.observed[:, :5]
    assert np.abs(first).max() > 1e-3
    assert np.allclose(first, found.observed[:, 5:10], atol=1e-5)
    assert np.allclose(first, found.observed[:, 10:15], atol=1e-5)


def test_both_conventions_move_the_same_gap() -> None:
    text, tokens = text_of(tiny.tokens(1, 16)[0].tolist())
    found = [
        probe(
            with_rows_per_layer(native(gap=gap)),
            text,
            plan_probe(tokens, window=4, past=5, draws=2),
            tokens=tokens,
        ).observed
        for gap in ("before", "after")
    ]
    assert np.allclose(found[0], found[1], atol=1e-5)


def test_the_whole_text_has_a_place_for_gaps_that_were_not_measured() -> None:
    text, tokens = text_of(tiny.tokens(1, 16)[0].tolist())
    found = probe(
        with_rows_per_layer(native()), text, plan_probe(tokens, window=4, past=5, draws=2), tokens=tokens
    )
    whole = found.whole_text(tokens)
    assert whole.text == text and len(whole.tokens) == 16
    assert np.isnan(whole.values).any(0).nonzero()[0].tolist() == [0, 1, 2, 3, 4, 12, 13, 14, 15]
    assert np.array_equal(whole.values[:, 5:12], found.trace.values)


@pytest.mark.parametrize("exact", [False, True])
def test_an_interrupted_probe_keeps_what_it_measured(exact: bool) -> None:
    def interrupt(done: int, total: int) -> None:
        seen.append(done)

    class Impatient(Decoder):
        def __call__(self, *given: Any, **more: Any) -> Any:
            if len(seen) == 2:
                raise KeyboardInterrupt
            return super().__call__(*given, **more)

    seen: list[int] = []
    host = with_rows_per_layer(native())
    host.__class__ = Impatient
    found = probe(host, "the cat sat. " * 30, draws=2, exact=exact, progress=interrupt)
    assert 0 < len(found.trace.tokens) == seen[-1] < 390 and found.complete == seen[-1] / 390
    assert found.trace.context["gaps_not_measured"] == 390 - seen[-1]


def test_a_sensitivity_is_no_increment() -> None:
    text, tokens = text_of(tiny.tokens(1, 16)[0].tolist())
    host = with_rows_per_layer(native())
    trace = probe(host, text, plan_probe(tokens, window=4, past=5, draws=2), tokens=tokens).trace
    assert trace.kind == "sensitivity" and trace.context["first_token"] == 5 and trace.tokens.shape == (7,)
    assert np.array(trace.context["standard_error"]).shape == trace.values.shape
    with pytest.raises(UserError, match="increment"):
        _ = trace.increments
    assert all(p.grad is None for p in host.parameters())  # type: ignore[attr-defined]


def test_mistakes_are_content() -> None:
    _, tokens = text_of([1] * 20)
    with pytest.raises(UserError, match=r"20 tokens and a gap needs 32 before it"):
        plan_probe(tokens)
    with pytest.raises(UserError, match="at least 1 and 2 draws"):
        plan_probe(tokens, window=2, past=2, draws=1)
    with pytest.raises(UserError, match="do not fit into the model's context of 8"):
        plan_probe(tokens, window=4, past=4, context_length=8)
    host: Any = Planted()
    with pytest.raises(UserError, match="token 2 is not among the measured gaps, 4 to 15"):
        scale_gaps(host, plan_probe(tokens, window=4, past=4), tokens, [2])
    assert (
        plan_probe(tokens, window=4, past=4, draws=3)
        .cost()
        .startswith("12 gaps, each with 4 tokens before it")
    )
    assert change_cost(plan_probe(tokens, window=4, past=4), 2, 3, 4, each_row=True) == (
        "2 gaps changed 16 times: 272 tokens forward"
    )


@pytest.mark.parametrize("kind", ["native", "native after", "hugging face"])
def test_exact_sensitivities_are_those_of_finite_differences(kind: str) -> None:
    if kind == "hugging face":
        families = pytest.importorskip("families")
        host: Any = families.graft_of_integers("llama")
        ids = families.tokens(1, 7)[0]
    else:
        host = with_rows_per_layer(native(gap="after" if "after" in kind else "before"))
        ids = tiny.tokens(1, 7)[0]
    text, tokens = text_of(ids.tolist())
    exact = probe(host, text, tokens=tokens, exact=True)
    assert exact.trace.values.shape == (2, 6) and not exact.error.any() and exact.agreement is None
    late, step = int(host.gap == "after"), 2.0**-6
    with torch.no_grad():
        for number, row in enumerate(host.rows):
            for t in range(1, 7):

                def log(change: float, row: Row = row, t: int = t) -> Tensor:
                    def edit(own: Row, d: Tensor) -> Tensor:
                        at = torch.nn.functional.one_hot(torch.tensor(t - late), d.shape[1])
                        return d + change * at if own == row else d

                    return torch.log_softmax(host(ids[None], edit=edit).logits[0, t:].double(), -1)

                slope = (log(step) - log(-step)) / (2 * step)
                fisher = float((log(0.0).exp() * slope**2).sum() / (7 - t))
                assert exact.trace.values[number, t - 1] == pytest.approx(fisher, rel=0.03, abs=1e-6)


def test_draws_approach_the_exact_value_and_rank_alike() -> None:
    host = with_rows_per_layer(native())
    text, tokens = text_of(tiny.tokens(1, 9)[0].tolist())
    exact = probe(host, text, tokens=tokens, exact=True)
    drawn = probe(host, text, tokens=tokens, draws=800)
    assert (
        np.abs(drawn.trace.values - exact.trace.values) < 5 * drawn.error + 0.02 * exact.trace.values
    ).all()
    assert np.allclose(drawn.observed, exact.observed, atol=1e-4)
    assert drawn.agreement is not None and drawn.agreement > 0.7
    assert drawn.mean_over_rows().mean() == pytest.approx(1)


def test_random_scores_have_the_covariance_of_drawn_labels() -> None:
    logits = torch.tensor([[[0.0, 1.0, -1.0, 0.5]]]).expand(1, 40_000, 4)
    z = _random_scores(logits, torch.Generator().manual_seed(0))[0].double()
    p = logits[0, 0].double().softmax(-1)
    assert z.mean(0).abs().max() < 0.01
    assert torch.allclose(z.T @ z / len(z), torch.diag(p) - torch.outer(p, p), atol=0.01)


class Counted:
    """A host that counts the tokens it reads; without `new_cache` where it has none."""

    def __init__(self, host: Any, cached: bool) -> None:
        self.host, self.read, self.differentiated = host, 0, 0
        if cached:
            self.new_cache = host.new_cache

    def __getattr__(self, name: str) -> Any:
        if name == "new_cache":
            raise AttributeError(name)
        return getattr(self.host, name)

    def __call__(self, tokens: Tensor, *words: Any, **more: Any) -> Output:
        self.read += tokens.numel()
        self.differentiated += tokens.numel() if torch.is_grad_enabled() else 0
        return self.host(tokens, *words, **more)


@pytest.mark.parametrize("gap", ["before", "after"])
def test_a_text_is_read_once_and_not_differentiated_before_a_planned_gap(gap: Any) -> None:
    host = with_rows_per_layer(native(gap=gap))
    text, tokens = text_of(tiny.tokens(1, 20)[0].tolist())
    plan = plan_probe(tokens, window=4, past=9, draws=2)
    found = []
    for cached in (True, False):
        counted: Any = Counted(host, cached)
        found.append(probe(counted, text, plan, tokens=tokens).observed)
        gaps, whole = len(plan.gaps), plan.length
        assert counted.read == gaps * whole
        assert counted.differentiated == gaps * (4 + (gap == "after") if cached else whole)
    assert np.abs(found[0]).max() > 1e-3 and np.allclose(found[0], found[1], atol=1e-5)
    counted = Counted(host, True)
    probe(counted, text, tokens=tokens, draws=8)
    assert counted.read == 20


@pytest.mark.parametrize(("text", "gaps"), [("ab", 2), ("a", 1), ("北", 3)])
def test_short_texts_are_measured_whole(text: str, gaps: int) -> None:
    host = native()
    if text == "a":
        with pytest.raises(UserError, match="at least two tokens"):
            probe(host, text, draws=2)
        return
    found = probe(
        host, text, draws=2
    )  # the end-of-document token before the text gives its first token a gap
    assert found.trace.values.shape == (2, gaps) and found.trace.context["mode"] == "whole text"
    assert probe(host, text, draws=2, start="none").trace.values.shape == (2, gaps - 1)


def test_a_long_text_is_measured_in_windows_gap_by_gap() -> None:
    host = native()
    reported: list[int] = []
    found = probe(host, "the cat sat. " * 12, draws=2, progress=lambda done, total: reported.append(done))
    assert found.trace.values.shape == (2, 156) and reported[-1] == 156 and len(reported) > 3
    assert np.array_equal(found.trace.spans[:, 0], np.arange(156))
