"""Attention: the tiled kernel, the masks and the decays equal the plain formula."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import config, moved, tokens
from torch.utils._python_dispatch import TorchDispatchMode

from ropewalk.core import attention
from ropewalk.core.decay import Alibi, ForgetGate, SharedForgetGate, append_decay
from ropewalk.core.kernels import causal_attention
from ropewalk.native.decoder import Decoder


def reference(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """softmax(q k' scale + bias) v with the future hidden; (B, T, H, D) in, the queries are the last tokens."""
    repeat = q.shape[2] // k.shape[2]
    k, v = k.repeat_interleave(repeat, 2), v.repeat_interleave(repeat, 2)
    scores = torch.einsum("bthe,bshe->bhts", q, k) * scale
    behind = k.shape[1] - q.shape[1]
    hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(behind + 1)
    scores = scores.masked_fill(hidden, -math.inf)
    return torch.einsum("bhts,bshd->bthd", (scores if bias is None else scores + bias).softmax(-1), v)


def draw(*shapes: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    stream = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=stream, dtype=dtype).requires_grad_() for shape in shapes]


@settings(max_examples=40)
@given(length=st.integers(1, 40), batch=st.integers(1, 3), seed=st.integers(0, 9))
def test_the_tiled_kernel_is_softmax_attention_with_its_gradients(length: int, batch: int, seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:  # many small tiles, of 8 queries and some of the heads
        patch.setattr(causal_attention, "QUERIES", 8)
        patch.setattr(causal_attention, "SCORES", 8 * 100)
        compare_with_the_formula(length, batch, seed)


def compare_with_the_formula(length: int, batch: int, seed: int) -> None:
    q, k, v = draw(*[(batch, length, 2, size) for size in (6, 6, 3)], seed=seed)
    expected = reference(q, k, v, 0.4)
    got = attention.attend(0.4 * q, k, v, training=True)
    assert torch.allclose(got, expected, atol=1e-12)
    weights = torch.randn(expected.shape, dtype=torch.float64)
    for ours, theirs in zip(
        torch.autograd.grad((got * weights).sum(), (q, k, v)),
        torch.autograd.grad((expected * weights).sum(), (q, k, v)),
        strict=True,
    ):
        assert torch.allclose(ours, theirs, atol=1e-11)


@pytest.mark.parametrize("heads", [1, 5, 40])
@pytest.mark.parametrize("length", [1, 127, 128, 129, 700])
def test_tiles_cover_every_query_of_every_head_once(heads: int, length: int) -> None:
    covered = torch.zeros(heads, length)
    end = 0
    for some, first, last, place in causal_attention.tiles(heads, length):
        covered[some, first:last] += 1
        assert place.start == end
        end = place.stop
        assert place.stop - place.start == covered[some, first:last].numel() * last
    assert (covered == 1).all()
    assert end == len(causal_attention._new_probabilities(torch.empty(heads, length, 2)))


def test_the_kernel_is_a_well_made_operator() -> None:
    """torch's own checks: schema, fake shapes, the autograd registration, the traced backward."""
    q, k, v = draw(*[(2, 11, size) for size in (4, 4, 3)], dtype=torch.float32)
    torch.library.opcheck(
        causal_attention._forward, (q, k, v), test_utils=("test_schema", "test_autograd_registration")
    )
    torch.library.opcheck(
        causal_attention._forward, (q, k, v), test_utils=("test_faketensor", "test_aot_dispatch_static")
    )
    kept = causal_attention._forward(q, k, v)[1].detach()
    plain = tuple(x.detach() for x in (v, q, k, v))
    torch.library.opcheck(
        causal_attention._backward, (*plain, kept), test_utils=("test_schema", "test_faketensor")
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_and_reading_mix_alike(dtype: torch.dtype) -> None:
    q, k, v = (x.detach().to(dtype) for x in draw((2, 19, 4, 8), (2, 19, 2, 8), (2, 19, 2, 8)))
    trained = attention.attend(q, k, v, training=True)
    read = attention.attend(q, k, v, training=False)
    close = 1e-6 if dtype == torch.float32 else 3e-2
    assert trained.dtype == read.dtype == dtype
    assert torch.allclose(trained.float(), read.float(), atol=close)


def test_several_queries_behind_a_memory_see_their_past_and_no_more() -> None:
    q, k, v = draw((1, 3, 2, 4), (1, 8, 2, 4), (1, 8, 2, 4))
    assert torch.allclose(attention.attend(0.5 * q, k, v), reference(q, k, v, 0.5), atol=1e-12)
    one = attention.attend(0.5 * q[:, -1:], k, v)
    assert torch.allclose(one, reference(q, k, v, 0.5)[:, -1:], atol=1e-12)


def test_documents_hide_each_other_and_the_future() -> None:
    documents = torch.tensor([[0, 0, 1, 1, 0]])
    bias = attention.attention_bias(documents, 5)
    assert bias.shape == (1, 1, 5, 5)
    seen = (bias[0, 0] == 0).tolist()
    for t in range(5):
        for s in range(5):
            assert seen[t][s] == (s <= t and documents[0, t] == documents[0, s])
    assert torch.equal(attention.attention_bias(documents, 2), bias[:, :, -2:])


def test_decay_adds_the_sum_between_key_and_query() -> None:
    a = -torch.rand(1, 6, 2)
    bias = attention.attention_bias(torch.zeros(1, 6, dtype=torch.long), 6, a.cumsum(1))
    for head in range(2):
        for t in range(6):
            for s in range(t + 1):
                assert bias[0, head, t, s].item() == pytest.approx(
                    a[0, s + 1 : t + 1, head].sum().item(), abs=1e-6
                )
            assert torch.isinf(bias[0, head, t, t + 1 :]).all()


def test_alibi_is_the_published_ladder_of_slopes() -> None:
    x = torch.zeros(2, 3, 16)
    alibi = Alibi(16, 8)
    a = alibi(x)
    assert a.shape == (2, 3, 8) and not alibi.state_dict()
    assert a[0, 0].tolist() == pytest.approx([-(2.0**-h) for h in range(1, 9)])
    bias = attention.attention_bias(torch.zeros(2, 3, dtype=torch.long), 3, a.cumsum(1))
    assert bias[0, 0, 2, 0].item() == pytest.approx(-1.0)


def test_a_forget_gate_begins_by_remembering() -> None:
    model = Decoder(config("integer", decoder={"decay": "forget"}), seed=0)
    gate = model.layers[0].attention.decay
    assert isinstance(gate, ForgetGate)
    a = gate(torch.zeros(1, 2, 32))
    assert a.exp().flatten().tolist() == pytest.approx([0.982] * 8, abs=1e-3)
    model.train()(tokens(1, 9)).logits.square().sum().backward()
    assert gate.gate.weight.grad is not None and gate.gate.weight.grad.abs().max() > 0


def test_the_shared_forget_gate_reads_the_embedding_and_decays_alike_in_all_layers() -> None:
    """The published gate: about 0.999 at the start; training, reading and cached decoding agree once it has moved."""
    model = Decoder(config("bounded", decoder={"decay": "shared-forget", "num_kv_heads": 2}), seed=0)
    gate = model.shared_decay
    assert isinstance(gate, SharedForgetGate) and all(layer.attention.decay is None for layer in model.layers)
    assert gate(torch.zeros(1, 1, 32)).exp().flatten().tolist() == pytest.approx([0.999] * 4, abs=1e-4)
    model.train()(tokens(1, 9)).logits.square().sum().backward()
    assert gate.hidden.weight.grad is not None and gate.hidden.weight.grad.abs().max() > 0
    plain = moved(model)(tokens(2, 9), activations=["attention.1"])
    assert torch.allclose(model.train()(tokens(2, 9)).logits, plain.logits, atol=1e-4)
    cache, model = model.new_cache(), model.eval()
    parts = [model(tokens(2, 9)[:, cut], kv_cache=cache).logits for cut in (slice(0, 4), slice(4, 9))]
    assert torch.allclose(torch.cat(parts, 1), plain.logits, atol=1e-4)
    torch.nn.init.constant_(gate.output.bias, -30.0)
    nearest = model(tokens(2, 9), activations=["attention.0", "attention.1"]).activations
    for weights in nearest.values():
        assert torch.allclose(weights, torch.eye(9).expand(2, 4, 9, 9), atol=1e-4)


@pytest.mark.parametrize("decay", [None, "alibi", "forget"])
def test_the_open_weights_are_those_that_mix(decay: str | None) -> None:
    model = moved(Decoder(config(decoder={"decay": decay, "num_kv_heads": 2}), seed=0))
    activations = model(tokens(2, 9), activations=["attention.1", "residual.1"]).activations
    weights = activations["attention.1"]
    assert weights.shape == (2, 4, 9, 9)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 4, 9), atol=1e-5)
    assert not weights.triu(1).any()
    layer = model.layers[1].attention
    x = model.layers[1].attention_norm(activations["residual.1"])
    v = (x @ layer.v.weight.T).view(2, 9, 2, 8).repeat_interleave(2, 2)
    mixed = torch.einsum("bhts,bshd->bthd", weights, v).reshape(2, 9, -1)
    p = model(tokens(2, 9), activations=["positions.1"]).activations["positions.1"]
    assert torch.allclose(layer.o(mixed), layer(x, *layer.encoding.angles(p)), atol=1e-4)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kv_heads", [1, 4])
def test_decay_in_the_features_equals_decay_in_a_mask(kv_heads: int, training: bool) -> None:
    q, k, v = draw((2, 13, 4, 6), (2, 13, kv_heads, 6), (2, 13, kv_heads, 5), dtype=torch.float32)
    a = -torch.rand(2, 13, 4, generator=torch.Generator().manual_seed(1))
    running = a.cumsum(1).requires_grad_()
    leaves = (q, k, v, running)
    bias = attention.attention_bias(torch.zeros(2, 13, dtype=torch.long), 13, running)
    expected = attention.attend(q, k, v, bias=bias)
    got = attention.attend(*append_decay(q, k, running), attention.repeat_heads(v, 4), training=training)
    assert torch.allclose(got, expected, atol=1e-5)
    weights = torch.randn(expected.shape)
    for own, other in zip(
        torch.autograd.grad((got * weights).sum(), leaves),
        torch.autograd.grad((expected * weights).sum(), leaves),
        strict=True,
    ):
        assert torch.allclose(own, other, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_large_decay_keeps_its_precision_in_sixteen_bits(dtype: torch.dtype) -> None:
    q, k = (torch.zeros(1, 400, 1, 8, dtype=dtype) for _ in range(2))
    running = torch.full((1, 400, 1), -0.7301).cumsum(1)
    q, k = append_decay(q, k, running)
    assert q.dtype == k.dtype == dtype and q.shape[-1] == k.shape[-1] == 16
    scores = torch.einsum("bthe,bshe->bhts", q.float(), k.float())[0, 0]
    expected = running[0, :, 0, None] - running[0, None, :, 0]
    assert (scores - expected).abs().max() < 1e-3  # one number of bfloat16 would be off by up to 0.5
    if dtype == torch.bfloat16:
        assert (running.to(dtype).float() - running).abs().max() > 0.1


class LargestSquare(TorchDispatchMode):
    """Whether any operator returns a tensor whose last two sizes are `length`."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length, self.found = length, list[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.shape[-2:] == (self.length, self.length):
            self.found.append(str(func))
        return out


@pytest.mark.parametrize("decay", ["alibi", "forget"])
def test_training_with_a_decay_makes_no_mask(decay: str) -> None:
    model = moved(Decoder(config(decoder={"decay": decay, "num_kv_heads": 2}), seed=0)).train()
    with LargestSquare(19) as seen:
        model(tokens(2, 19)).logits.square().sum().backward()
    assert not seen.found
    with LargestSquare(19) as seen:
        model(tokens(2, 19), document_ids=torch.zeros(2, 19, dtype=torch.long))
    assert seen.found  # a mask would be noticed


@pytest.mark.parametrize("decay", ["alibi", "forget"])
def test_a_decoder_with_a_decay_computes_the_same_with_and_without_a_mask(decay: str) -> None:
    model = moved(Decoder(config(decoder={"decay": decay, "num_kv_heads": 2}), seed=0))
    ids = tokens(2, 19)
    masked = model(ids, document_ids=torch.zeros(2, 19, dtype=torch.long)).logits
    assert torch.allclose(model(ids).logits, masked, atol=1e-4)
    assert torch.allclose(model.train()(ids).logits, masked, atol=1e-4)


def test_a_decay_changes_what_is_seen() -> None:
    plain = Decoder(config("integer"), seed=0)
    alibi = Decoder(config("integer", decoder={"decay": "alibi"}), seed=0)
    weights = [
        m(tokens(1, 20), activations=["attention.0"]).activations["attention.0"][0, 0, -1]
        for m in (plain, alibi)
    ]
    assert weights[1][0] < weights[0][0] / 10
    assert weights[1][-1] > 2 * weights[0][-1]
