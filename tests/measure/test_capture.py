"""Capture: every token measured once, as a single pass would, with surprisal and entropies beside it."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import config, moved

from ropewalk.core import loss
from ropewalk.core.host import Output, increments_of
from ropewalk.errors import UserError
from ropewalk.measure.capture import trace, trace_many
from ropewalk.native.decoder import Decoder
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.tokens.tokenizer import ByteTokenizer
from ropewalk.tokens.utf8_bytes import END
from ropewalk.traces.builder import windows

TEXT = "A naïve cat. 猫が座る。"


@pytest.fixture(scope="module")
def model() -> Decoder:
    return moved(Decoder(config(per_head=True), seed=0), scale=0.2)


@given(total=st.integers(1, 500), context=st.integers(2, 60))
def test_windows_cover_every_token_once_with_half_a_context_behind(total: int, context: int) -> None:
    kept = []
    for first, keep, last in windows(total, context):
        assert 0 <= first <= keep < last <= total and last - first <= context
        assert keep - first >= context // 2 or first == 0
        kept += range(keep, last)
    assert kept == list(range(total))


@pytest.mark.parametrize("start", ["auto", "none"])
def test_a_short_text_is_a_single_pass(model: Decoder, start: Any) -> None:
    data = list(TEXT.encode())
    sequence = torch.tensor([[END, *data] if start == "auto" else data])
    skip = sequence.shape[1] - len(data)
    with torch.inference_mode():
        output = model(sequence)
    log = output.logits[0].double().log_softmax(-1)
    entropy = -(log.exp() * log).sum(-1).numpy()
    surprisal = [-log[t - 1, sequence[0, t]].item() for t in range(1, sequence.shape[1])]
    made = trace(model, TEXT, start=start)
    assert made.tokens.tolist() == data and made.rows == model.rows
    assert np.allclose(made.values, increments_of(output)[0, :, skip:], atol=1e-6)
    undefined = 1 - skip
    assert np.isnan(made.surprisal[:undefined]).all() and np.isnan(made.entropy[:undefined]).all()
    assert np.allclose(made.surprisal[undefined:], surprisal, atol=1e-4)
    assert np.allclose(made.entropy[undefined:], entropy[:-1], atol=1e-4)
    assert np.allclose(made.entropy_after, entropy[skip:], atol=1e-4)
    prefix = [END] * skip
    assert made.context == {"start": start, "prefix": prefix, "window": 64, "overlap": 32, "windows": 1}
    assert (made.kind, made.unit, made.gap) == ("increment", "token-equivalents", "before")


def test_positions_of_a_trace_are_those_the_model_advanced(model: Decoder) -> None:
    with torch.inference_mode():
        p = model(torch.tensor([list(TEXT.encode())]), activations=["positions.1"]).activations[
            "positions.1"
        ][0]
    made = trace(model, TEXT, start="none")
    assert np.allclose(made.positions[4:], p.T, rtol=1e-5, atol=1e-4)
    after = moved(Decoder(config(gap="after"), seed=0), scale=0.2)
    with torch.inference_mode():
        p = after(torch.tensor([list(TEXT.encode())]), activations=["positions.1"]).activations[
            "positions.1"
        ][0]
    made = trace(after, TEXT, start="none")
    assert made.gap == "after"
    assert np.allclose(made.positions[1:], p.T, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("start", ["auto", "none"])
def test_a_long_text_is_read_in_windows(model: Decoder, start: Any) -> None:
    text = TEXT * 9
    made = trace(model, text, start=start)
    total = len(text.encode())
    assert total > 3 * model.context_length
    assert made.context["windows"] == len(list(windows(total + (start == "auto"), model.context_length))) > 4
    assert np.isfinite(made.values).all() and np.isfinite(made.surprisal[1:]).all()
    begin = trace(model, text.encode()[:60].decode("utf-8", "ignore"), start=start)
    early = slice(0, 50)
    assert np.allclose(made.values[:, early], begin.values[:, early], atol=1e-6)
    sequence = torch.tensor(([END] if start == "auto" else []) + list(text.encode()))
    first, keep, last = list(windows(len(sequence), model.context_length))[2]
    with torch.inference_mode():
        output = model(sequence[None, first:last])
    skip = len(sequence) - total
    inside = slice(keep - skip, last - skip)
    assert np.allclose(made.values[:, inside], increments_of(output)[0, :, keep - first :], atol=1e-6)
    surprisal, _ = loss.surprisal_and_entropy(output.logits[0, :-1], sequence[first + 1 : last])
    assert np.allclose(made.surprisal[inside], surprisal[keep - first - 1 :], atol=1e-5)


@pytest.mark.parametrize("start", ["auto", "none"])
def test_a_single_token(model: Decoder, start: Any) -> None:
    made = trace(model, "x", start=start)
    assert made.values.shape == (8, 1) and np.isfinite(made.entropy_after).all()
    assert np.isfinite(made.surprisal).all() == (start == "auto")


@given(
    texts=st.lists(
        st.text(min_size=1, max_size=90).filter(lambda t: t.isascii() or t.isprintable()), max_size=7
    ),
    start=st.sampled_from(["auto", "none"]),
    tokens_per_pass=st.integers(1, 400),
)
@settings(max_examples=40)
def test_many_texts_at_once_are_traced_as_one_by_one(
    model: Decoder, texts: list[str], start: Any, tokens_per_pass: int
) -> None:
    made = trace_many(model, texts, start=start, tokens_per_pass=tokens_per_pass)
    assert [one.text for one in made] == texts
    for one in made:
        alone = trace(model, one.text, start=start)
        assert one.context == alone.context and one.tokens.tolist() == alone.tokens.tolist()
        for name in ("values", "surprisal", "entropy", "entropy_after"):
            assert np.allclose(getattr(one, name), getattr(alone, name), atol=2e-5, equal_nan=True), name


def test_a_token_between_windows_is_expected_from_the_longer_past(model: Decoder) -> None:
    text = "abcdefgh" * 12
    made, last = trace(model, text, start="none"), model.context_length
    with torch.inference_mode():
        log = model(torch.tensor([list(text.encode())[:last]])).logits[0, -1].double().log_softmax(-1)
    assert made.entropy_after[last - 1] == pytest.approx(-(log.exp() * log).sum().item(), abs=1e-4)


def test_two_captures_are_the_same_value(model: Decoder) -> None:
    assert trace(model, TEXT * 9).hash == trace(model, TEXT * 9).hash != trace(model, TEXT * 8).hash


def test_an_edit_shows_in_the_trace(model: Decoder) -> None:
    assert (trace(model, TEXT, edit=lambda row, d: torch.full_like(d, 2.0)).values == 2.0).all()


def test_an_empty_text_is_refused(model: Decoder) -> None:
    with pytest.raises(UserError, match="the text is empty"):
        trace(model, "")


def test_tokens_that_the_host_does_not_know_are_refused(model: Decoder) -> None:
    own = ByteTokenizer().encode("ab")
    with pytest.raises(UserError, match="expected tokens from 0 to 256"):
        trace(model, "ab", tokens=TokenizedText(own.ids + 400, own.spans))


def test_a_diverged_model_is_content() -> None:
    broken = moved(Decoder(config("signed"), seed=0))
    with torch.no_grad():
        broken.increment_modules[0].output.bias.fill_(float("nan"))
    with pytest.raises(UserError, match="diverged"):
        trace(broken, "abc")


class Half:
    """A host that is no decoder: one line, d = 1.5, and a distribution that knows the next token for certain."""

    rows = config(per="shared").rows
    context_length = 8
    vocab_size = 257
    tokenizer = ByteTokenizer()
    gap = "before"

    def describe(self) -> dict[str, Any]:
        return {"name": "half"}

    def __call__(
        self, tokens: torch.Tensor, position_ids: Any = None, *, document_ids: Any = None, edit: Any = None,
        activations: Collection[str] = (), kv_cache: Any = None,
    ) -> Output:  # fmt: skip
        logits = torch.full((*tokens.shape, 257), -torch.inf)
        logits.scatter_(-1, (tokens + 1)[..., None], 0.0)
        return Output(logits, (torch.full((*tokens.shape, 1), 0.5),))


def test_any_host_will_do_and_certainty_has_no_entropy() -> None:
    made = trace(Half(), "abcdefghijkl", start="none")
    assert (made.values == 1.5).all() and made.provenance == {"name": "half"}
    assert (
        (made.surprisal[1:] == 0).all() and (made.entropy[1:] == 0).all() and (made.entropy_after == 0).all()
    )
