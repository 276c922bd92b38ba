"""What each token attends to: the weights of torch, for native decoders and grafts, and what even spacing changes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny import config, moved

from ropewalk.hf import graft
from ropewalk.measure import attention
from ropewalk.measure.attention import NONE, PREFIX, read_attention
from ropewalk.measure.reading import read
from ropewalk.native.decoder import Decoder
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.tokens.tokenizer import ByteTokenizer
from ropewalk.traces.builder import TraceBuilder
from ropewalk.views.page import details

TEXT = "rope 走 walk"


def dense(found: Any, count: int) -> np.ndarray:
    """(N, T, 1 + T): the kept weights at their places, the tokens before the text first."""
    whole = np.zeros((*found.tokens.shape[:2], count + 1))
    for n, t, m in np.argwhere(found.tokens != NONE):
        whole[n, t, found.tokens[n, t, m] + 1] = found.weights[n, t, m]
    return whole


@pytest.fixture(scope="module")
def llama() -> Any:
    torch.manual_seed(0)
    shape = transformers.LlamaConfig(
        vocab_size=257, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(shape).eval()


def test_the_kept_weights_are_torchs_largest() -> None:
    model = moved(Decoder(config(), seed=3))
    tokens = ByteTokenizer().encode(TEXT)
    found = read_attention(model, tokens)
    whole = torch.from_numpy(tokens.sequence)[None]
    weights = model(whole, activations=["attention.0", "attention.1"]).activations
    want = torch.stack([weights[f"attention.{i}"][0].mean(0)[1:] for i in (0, 1)]).detach().numpy()
    kept = np.sort(want, -1)[..., -8:].sum(-1)
    np.testing.assert_allclose(found.weights.sum(-1), kept, atol=1e-6)
    got = dense(found, len(tokens.ids))
    np.testing.assert_allclose(got[got > 0], want[got > 0], atol=1e-6)
    assert (found.tokens[:, 0] == NONE).sum() == 2 * 6 and set(found.tokens[0, 0]) == {0, PREFIX, NONE}


def test_a_graft_has_a_row_for_each_key_value_head_and_its_own_even_spacing(llama: Any) -> None:
    tokens = TokenizedText(np.arange(20), np.stack([np.arange(20), np.arange(1, 21)], 1))
    with graft(llama, parametrization="constant", per_head=True) as grafted:
        for parameter in grafted.hooks.modules.parameters() if hasattr(grafted.hooks, "modules") else []:
            parameter.data += 0.3
        found = read_attention(grafted, tokens)
    assert found.tokens.shape == (4, 20, 8)
    llama.set_attn_implementation("eager")
    with torch.no_grad():
        weights = llama(torch.arange(20)[None], output_attentions=True).attentions
    want = torch.stack([w[0].unflatten(0, (2, 2)).mean(1) for w in weights]).flatten(0, 1).numpy()
    even = found.weights if found.even is None else found.even
    for n, t, m in np.argwhere(found.tokens != NONE):
        assert even[n, t, m] == pytest.approx(want[n, t, found.tokens[n, t, m]], abs=1e-5)


def test_an_untouched_model_has_no_other_spacing_and_keeps_its_kernel(llama: Any) -> None:
    llama.set_attn_implementation("sdpa")
    tokens = TokenizedText(np.arange(9), np.stack([np.arange(9), np.arange(1, 10)], 1))
    with graft(llama, parametrization="integer") as host:
        assert read_attention(host, tokens).even is None
    assert llama.config._attn_implementation == "sdpa"


def test_the_pages_eight_bits_are_within_half_a_hundredth() -> None:
    model = moved(Decoder(config(), seed=3))
    found = read_attention(model, ByteTokenizer().encode(TEXT))
    import base64

    packed = details.attention(found)
    weights = np.frombuffer(base64.b64decode(packed["weights"]), np.uint8).reshape(found.weights.shape) / 255
    tokens = np.frombuffer(base64.b64decode(packed["tokens"]), "<u2").reshape(found.tokens.shape)
    np.testing.assert_allclose(weights, found.weights, atol=0.005)
    np.testing.assert_array_equal(tokens.astype(int) - 2, found.tokens)


@pytest.mark.parametrize("repeat", [True, False])
def test_a_long_text_is_read_in_the_windows_of_its_trace(repeat: bool) -> None:
    model = moved(Decoder(config(), seed=3))
    tokens = replace(ByteTokenizer().encode("a long rope is read in parts, " * 6), repeat_prefix=repeat)
    places = []
    found = read_attention(model, tokens, lambda place: places.append(place))
    assert found.tokens.shape == (2, len(tokens.ids), 8) and found.even is not None
    assert found.window == 64 - repeat and places[0] == -1 and len(places) > 3
    windows = list(TraceBuilder(model, "x", tokens).windows())
    assert places[1:] == [window.first - window.extra - 1 for window in windows[1:]]
    last = windows[-1]
    passed = model(torch.from_numpy(last.tokens)[None], activations=["attention.1"])
    want = passed.activations["attention.1"][0].mean(0)[-1].detach().numpy()  # of the text's last token
    for m, token in enumerate(found.tokens[1, -1]):
        at = 0 if token == PREFIX else last.extra + token - (last.first - 1)
        assert found.weights[1, -1, m] == pytest.approx(want[at], abs=1e-4)
    assert found.weights[1, -1, 0] == pytest.approx(want.max(), abs=1e-4)


def test_weights_that_would_not_fit_are_read_in_shorter_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "WEIGHTS", 2 * 4 * 20**2)
    found = read_attention(Decoder(config(), seed=3), ByteTokenizer().encode("x" * 50))
    assert found.window is not None and found.window <= 20 and (found.weights[:, -1] > 0).any()


@pytest.mark.parametrize("start", ["auto", "none"])
def test_a_reading_keeps_what_was_expected_before_each_token(start: Any) -> None:
    model = moved(Decoder(config(), seed=3))
    found = read(model, TEXT, start=start)
    sequence = found.trace.tokens if start == "none" else [256, *found.trace.tokens]
    logits = model(torch.tensor([list(sequence)])).logits[0]
    ids = logits.softmax(-1).topk(8).indices.numpy()
    assert (found.ids[0] == -1).all() == (start == "none")
    np.testing.assert_array_equal(found.ids[-len(ids) :], ids)
    assert found.ids.shape == (len(found.trace.tokens) + 1, 8)
