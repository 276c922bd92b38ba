"""What the live page is told: the numbers of capture, gaps set through the host's edit, and clear refusals."""

from typing import Any

import numpy as np
import pytest
import torch
from tiny import config, moved

from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.live.answers import LONGEST, Answers, Model
from ropewalk.live.sensitivities import DRAWS, ROUNDS, Sensitivities
from ropewalk.measure.capture import trace
from ropewalk.measure.probe import probe
from ropewalk.native.decoder import Decoder
from ropewalk.tokens.tokenizer import ByteTokenizer
from ropewalk.traces.trace import Trace
from ropewalk.views.token_names import token_names

TEXT = "rope 走 walk"


@pytest.fixture(scope="module")
def model() -> Decoder:
    return moved(Decoder(config(), seed=3))


def ask(answers: Answers, text: str = TEXT, **how: Any) -> tuple[dict[str, Any], Trace]:
    content = answers.answer({"model": "tiny", "text": text, **how})
    return content, Trace.loads(content["entry"]["file"].encode())


def test_an_answer_is_what_capture_gives(model: Decoder) -> None:
    content, got = ask(Answers({"tiny": Model(model)}))
    want = trace(model, TEXT)
    assert got.hash == want.hash
    assert content["loss"] == pytest.approx(float(want.surprisal.mean()), rel=1e-6)


def test_what_is_expected_is_what_the_model_says(model: Decoder) -> None:
    content, got = ask(Answers({"tiny": Model(model)}))
    logits = model(torch.tensor([[256, *got.tokens.tolist()]])).logits[0]
    shares, ids = logits.softmax(-1).topk(8)
    assert [name for name, _ in content["following"]] == token_names(ByteTokenizer(), ids[-1].tolist())
    assert [share for _, share in content["following"]] == pytest.approx(shares[-1].tolist(), abs=1e-4)
    for guesses, want in zip(content["entry"]["expected"], ids[:-1, :3].tolist(), strict=True):
        assert [name for name, _ in guesses] == token_names(ByteTokenizer(), want)


def test_a_long_text_has_expectations_everywhere(model: Decoder) -> None:
    content, got = ask(Answers({"tiny": Model(model)}), "on and on " * 20)
    assert got.context["windows"] > 2
    assert [len(guesses) for guesses in content["entry"]["expected"]] == [3] * len(got.tokens)


def test_a_gap_is_set_and_later_layers_follow(model: Decoder) -> None:
    answers = Answers({"tiny": Model(model)})
    base, before = ask(answers)
    content, after = ask(answers, edits=[[0, None, 4, 6.5]])
    assert after.values[0, 4] == np.float32(6.5)
    rest = [t for t in range(len(after.tokens)) if t != 4]
    np.testing.assert_array_equal(after.values[0, rest], before.values[0, rest])
    assert not np.allclose(after.values[1], before.values[1])
    assert content["loss"] != base["loss"]


def test_a_gap_can_be_set_with_every_other_held(model: Decoder) -> None:
    answers = Answers({"tiny": Model(model)})
    base, before = ask(answers)
    content, after = ask(answers, edits=[[0, None, 4, 6.5]], hold=True)
    np.testing.assert_allclose(after.values[1], before.values[1], rtol=1e-6)
    assert content["loss"] != base["loss"]


@pytest.mark.parametrize("hold", [False, True])
def test_a_gap_is_set_where_it_is_in_a_text_of_many_windows(model: Decoder, hold: bool) -> None:
    answers, text = Answers({"tiny": Model(model)}), "0123456789" * 15
    _, before = ask(answers, text)
    _, after = ask(answers, text, edits=[[1, None, 100, 3.5]], hold=hold)
    assert after.context["windows"] > 2 and after.values[1, 100] == np.float32(3.5)
    rest = [t for t in range(150) if t != 100]
    np.testing.assert_allclose(after.values[1, rest], before.values[1, rest], rtol=1e-5)


def test_setting_a_gap_to_what_it_is_changes_nothing(model: Decoder) -> None:
    answers = Answers({"tiny": Model(model)})
    base, before = ask(answers)
    content, _ = ask(answers, edits=[[1, None, 3, float(before.values[1, 3])]])
    assert content["loss"] == pytest.approx(base["loss"], abs=1e-6)


@pytest.mark.parametrize(
    "edits",
    ["x", [1], [[0, None, 4]], [[9, None, 1, 1.0]], [[0, None, 99, 1.0]], [[0, None, 1, "1"]], [[0, None, 1, 1e9]],
     [[0, None, 1, float("nan")]], [[0, None, True, 1.0]], [[0, None, 1, 1.0]] * 201],
)  # fmt: skip
def test_gaps_that_make_no_sense_are_refused(model: Decoder, edits: Any) -> None:
    with pytest.raises(UserError, match="gaps"):
        ask(Answers({"tiny": Model(model)}), edits=edits)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ([], "with a text"),
        ({"text": 3}, "with a text"),
        ({"text": "a", "model": "other"}, "not loaded"),
        ({"text": "", "model": "tiny"}, "empty"),
        ({"text": "a" * (LONGEST + 1), "model": "tiny"}, "characters"),
        ({"text": "\ud800", "model": "tiny"}, "surrogate"),
    ],
)
def test_requests_that_cannot_be_answered_say_why(model: Decoder, request_: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        Answers({"tiny": Model(model)}).answer(request_)


def test_every_line_of_a_model_can_be_set() -> None:
    model = moved(Decoder(config(per_head=True), seed=3))
    assert Row(1, 3) in model.rows
    _, after = ask(Answers({"tiny": Model(model)}), edits=[[1, 3, 2, 4.0]])
    assert after.values[after.rows.index(Row(1, 3)), 2] == 4.0


def test_no_model_is_refused() -> None:
    with pytest.raises(UserError, match="at least one model"):
        Answers({})


def test_tokens_are_named_as_the_page_shows_them() -> None:
    names = token_names(ByteTokenizer(), [97, 32, 10, 0xE7, 256])
    assert names == ["a", "␣", "⏎", "byte E7", "end of text"]


def test_sensitivities_are_refined_until_they_are_done(model: Decoder) -> None:
    answers = Answers({"tiny": Model(model)})
    request = {"model": "tiny", "text": TEXT}
    found = [answers.sensitivities(request) for _ in range(ROUNDS)]
    assert [one["done"] for one in found] == [False] * (ROUNDS - 1) + [True]
    traces = [Trace.loads(one["entry"]["file"].encode()) for one in found]
    assert [one.context["draws"] for one in traces] == [DRAWS * (n + 1) for n in range(ROUNDS)]
    assert traces[-1].error is not None and traces[0].error is not None
    assert np.nanmean(traces[-1].error) < np.nanmean(traces[0].error)
    exact = probe(model, TEXT, exact=True).trace.values
    away = np.abs(traces[-1].values - exact) / traces[-1].error
    assert np.nanmedian(away) < 2 and answers.sensitivities(request)["done"]


def test_a_model_without_a_prefix_has_no_gap_before_its_first_token(model: Decoder) -> None:
    tokens = ByteTokenizer().encode("abcd", "none")
    found = Sensitivities(model, "abcd", tokens).refine()
    assert (
        len(found.tokens) == 4
        and np.isnan(found.values[:, 0]).all()
        and np.isfinite(found.values[:, 1:]).all()
    )
    with pytest.raises(UserError, match="one token has no gap"):
        Sensitivities(model, "a", ByteTokenizer().encode("a", "none"))


def test_attention_follows_the_gaps_that_were_set(model: Decoder) -> None:
    answers = Answers({"tiny": Model(model)})
    plain, _ = ask(answers, attention=True)
    moved_, _ = ask(answers, attention=True, edits=[[0, None, 4, 9.0]])
    assert plain["entry"]["attention"]["count"] == 8 and plain["learned"]
    assert plain["entry"]["attention"]["weights"] != moved_["entry"]["attention"]["weights"]
    assert "attention" not in ask(answers)[0]["entry"]
