"""Rotation: right in both pairing conventions, at a theta other than 10,000, and about differences only."""

import cmath
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.models.gptj import modeling_gptj
from transformers.models.llama import modeling_llama

from ropewalk.core import encoding as encoding_module
from ropewalk.core.encoding import ENCODINGS, Pope, Rope

THETA = 500.0
SIZE = 8


def halves(x: list[float], position: float, theta: float) -> list[float]:
    """The reference for channels paired as (i, i + D/2), in complex numbers."""
    half = len(x) // 2
    turned = [
        complex(x[i], x[i + half]) * cmath.exp(1j * position * theta ** (-i / half)) for i in range(half)
    ]
    return [z.real for z in turned] + [z.imag for z in turned]


def interleaved(x: list[float], position: float, theta: float) -> list[float]:
    """The reference for channels paired as (2i, 2i + 1), in complex numbers."""
    half = len(x) // 2
    turned = [
        complex(x[2 * i], x[2 * i + 1]) * cmath.exp(1j * position * theta ** (-i / half)) for i in range(half)
    ]
    return [part for z in turned for part in (z.real, z.imag)]


def neighbors(size: int) -> torch.Tensor:
    """The permutation that lays interleaved channels out in halves."""
    return torch.cat([torch.arange(0, size, 2), torch.arange(1, size, 2)])


def turn(x: torch.Tensor, p: torch.Tensor, theta: float = THETA) -> torch.Tensor:
    """x (T, D) turned by Rope at positions p (T,)."""
    rope = Rope(x.shape[-1], 1, theta)
    q, k = rope(x[None, :, None], x[None, :, None], *rope.angles(p[None, :, None]))
    assert torch.equal(q, k)
    return q[0, :, 0]


def test_a_rotation_worked_out_by_hand() -> None:
    """theta 100 and four channels: frequencies 1 and 1/10; position 2 turns the pairs by 2 and 0.2 radians."""
    got = turn(torch.tensor([[1.0, 0.0, 0.0, 1.0]]), torch.tensor([2.0]), theta=100.0)
    expected = [math.cos(2), -math.sin(0.2), math.sin(2), math.cos(0.2)]
    assert got[0].tolist() == pytest.approx(expected, abs=1e-6)


@given(st.lists(st.floats(-3, 3), min_size=SIZE, max_size=SIZE), st.floats(-500, 500), st.floats(10, 1e6))
def test_rope_is_complex_multiplication_of_halves(x: list[float], position: float, theta: float) -> None:
    got = turn(torch.tensor([x]), torch.tensor([position]), theta)[0]
    assert got.tolist() == pytest.approx(halves(x, position, theta), abs=5e-4)


def test_interleaved_is_the_same_rotation_of_permuted_channels() -> None:
    x, p = torch.randn(5, SIZE), torch.tensor([0.0, 1.0, 2.5, -3.0, 40.0])
    order = neighbors(SIZE)
    got = torch.empty_like(x)
    got[:, order] = turn(x[:, order], p)
    expected = [interleaved(row.tolist(), at.item(), THETA) for row, at in zip(x, p, strict=True)]
    assert torch.allclose(got, torch.tensor(expected), atol=1e-5)
    assert not torch.allclose(turn(x, p), torch.tensor(expected), atol=1e-2)


def test_rope_turns_as_the_llama_of_transformers_does() -> None:
    config = LlamaConfig(
        hidden_size=4 * SIZE,
        num_attention_heads=4,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
    )
    q, k, n = torch.randn(2, 4, 9, SIZE), torch.randn(2, 2, 9, SIZE), torch.arange(9).expand(2, 9)
    cos, sin = modeling_llama.LlamaRotaryEmbedding(config)(q, n)
    expected = modeling_llama.apply_rotary_pos_emb(q, k, cos, sin)
    rope = Rope(SIZE, 2, THETA)
    got = rope(q.transpose(1, 2), k.transpose(1, 2), *rope.angles(n[..., None].float()))
    for ours, theirs in zip(got, expected, strict=True):
        assert torch.allclose(ours, theirs.transpose(1, 2), atol=1e-5)


def test_rope_turns_as_the_interleaved_gptj_of_transformers_does_once_permuted() -> None:
    x, n = torch.randn(2, 9, 4, SIZE), torch.arange(9)
    angle = n[:, None] * THETA ** (-torch.arange(0, SIZE, 2) / SIZE)
    theirs = modeling_gptj.apply_rotary_pos_emb(x, angle.sin()[None], angle.cos()[None])
    rope, order = Rope(SIZE, 4, THETA), neighbors(SIZE)
    got, _ = rope(x[..., order], x[..., order], *rope.angles(n[None, :, None].expand(2, 9, 1).float()))
    assert torch.allclose(got, theirs[..., order], atol=1e-5)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_pope_scores_are_those_of_the_formula() -> None:
    """score(query at m, key at n) = sum over channels of softplus(q) softplus(k) cos((n - m) f + phase)."""
    pope = Pope(SIZE, 2, THETA)
    with torch.no_grad():
        pope.phase_bias.copy_(torch.linspace(-7, 1, 2 * SIZE).view(2, SIZE))  # two beyond what is allowed
    q, k, p = torch.randn(1, 3, 4, SIZE), torch.randn(1, 3, 2, SIZE), torch.tensor([0.0, 1.3, 7.0])
    encoded_q, encoded_k = pope(q, k, *pope.angles(p[None, :, None]))
    assert encoded_q.shape == (1, 3, 4, 2 * SIZE) and encoded_k.shape == (1, 3, 2, 2 * SIZE)
    for t in range(3):
        for s in range(3):
            for head in range(4):
                key_head = head // 2
                expected = 0.0
                for c in range(SIZE):
                    phase = min(0.0, max(-2 * math.pi, pope.phase_bias[key_head, c].item()))
                    angle = (p[s] - p[t]).item() * THETA ** (-c / SIZE) + phase
                    magnitude = softplus(q[0, t, head, c].item()) * softplus(k[0, s, key_head, c].item())
                    expected += magnitude * math.cos(angle)
                got = encoded_q[0, t, head] @ encoded_k[0, s, key_head]
                assert got.item() == pytest.approx(expected, abs=1e-4)


def test_the_phase_of_pope_learns_from_its_start() -> None:
    pope = Pope(SIZE, 2, THETA)
    x, p = torch.randn(1, 4, 2, SIZE), torch.tensor([0.0, 1.0, 2.0, 3.0])[None, :, None]
    q, k = pope(x, x, *pope.angles(p))
    (q[:, 1:] * k[:, :-1]).sum().backward()
    assert pope.phase_bias.grad is not None and pope.phase_bias.grad.abs().min() > 0


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("rows", [1, 2])
def test_only_differences_of_positions_matter(name: str, rows: int) -> None:
    encoding = ENCODINGS[name](SIZE, 2, THETA)
    q, k, p = torch.randn(1, 6, 4, SIZE), torch.randn(1, 6, 2, SIZE), torch.rand(1, 6, rows).cumsum(1)

    def scores(p: torch.Tensor) -> torch.Tensor:
        a, b = encoding(q, k, *encoding.angles(p))
        return torch.einsum("bthd,bshd->bhts", a, b.repeat_interleave(2, 2))

    assert torch.allclose(scores(p), scores(p + 17.25), atol=1e-4)
    assert not torch.allclose(scores(p), scores(p * 1.5), atol=1e-2)


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("heads", [2, SIZE])
def test_each_key_head_has_its_own_line_and_its_query_heads_follow(name: str, heads: int) -> None:
    encoding = ENCODINGS[name](SIZE, heads, THETA)
    q, k = torch.randn(1, 5, 2 * heads, SIZE), torch.randn(1, 5, heads, SIZE)
    p = torch.rand(1, 5, heads).cumsum(1)
    both_q, both_k = encoding(q, k, *encoding.angles(p))
    for head in range(heads):
        alone_q, alone_k = encoding(q, k, *encoding.angles(p[..., head : head + 1]))
        assert torch.equal(both_k[:, :, head], alone_k[:, :, head])
        assert torch.equal(both_q[:, :, 2 * head : 2 * head + 2], alone_q[:, :, 2 * head : 2 * head + 2])


def test_training_keeps_the_rotated_vectors_only() -> None:
    rope, x = Rope(SIZE, 1, THETA), torch.randn(1, 3, 1, SIZE, requires_grad=True)
    angles = rope.angles(torch.arange(3.0)[None, :, None])
    assert type(rope(x, x, *angles)[0].grad_fn).__name__ == "_RotationBackward"
    with torch.no_grad():
        assert rope(x, x, *angles)[0].grad_fn is None


@pytest.mark.parametrize("name", ENCODINGS)
def test_angles_are_float32_even_for_narrow_vectors(name: str) -> None:
    encoding = ENCODINGS[name](SIZE, 1, THETA)
    x = torch.randn(1, 3, 1, SIZE)
    p = torch.tensor([1000.25, 1000.5, 1000.75])[None, :, None]
    cos, sin = encoding.angles(p)
    assert cos.dtype == sin.dtype == torch.float32
    narrow, _ = encoding(x.bfloat16(), x.bfloat16(), cos, sin)
    exact, _ = encoding(x.bfloat16().float(), x.bfloat16().float(), cos, sin)
    assert narrow.dtype == torch.bfloat16
    assert torch.allclose(narrow.float(), exact, rtol=2**-8, atol=1e-3)


@pytest.mark.parametrize(("name", "rows"), [("rope", 1), ("rope", 2), ("pope", 1), ("pope", 2)])
def test_positions_get_the_gradient_of_the_open_formula(name: str, rows: int) -> None:
    """The hand-written backward against automatic differentiation of complex numbers, in every input."""
    encoding = ENCODINGS[name](8, 2, 100.0)
    if isinstance(encoding, Pope):
        encoding.phase_bias.data.uniform_(-3, 0)
    x = [torch.randn(2, 3, heads, 8, requires_grad=True) for heads in (4, 2)]
    p = (9 * torch.rand(2, 3, rows)).requires_grad_()
    wanted = [*x, p, *encoding.parameters()]
    weights = [torch.randn(2, 3, heads, 8 if name == "rope" else 16) for heads in (4, 2)]

    def loss(cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        return sum((a * w).sum() for a, w in zip(encoding(*x, cos, sin, 0.4), weights, strict=True))

    ours = torch.autograd.grad(loss(*encoding.angles(p)), wanted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding_module, "rotate", by_complex_numbers)
        patch.setattr(encoding_module._Rotation, "apply", openly)
        theirs = torch.autograd.grad(loss(*encoding.angles(p)), wanted)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def by_complex_numbers(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    turned = torch.complex(*x.chunk(2, -1)) * torch.complex(cos, sin)
    return torch.cat([turned.real, turned.imag], -1)


def openly(
    q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    heads = q.shape[2] // cos.shape[2]
    wide = [each.repeat_interleave(heads, 2) for each in (cos, sin)]
    return scale * by_complex_numbers(q, *wide), by_complex_numbers(k, cos, sin)


@pytest.mark.parametrize("name", ENCODINGS)
def test_queries_come_scaled_and_lie_head_by_head(name: str) -> None:
    encoding = ENCODINGS[name](SIZE, 2, THETA)
    q, k, p = torch.randn(2, 5, 4, SIZE), torch.randn(2, 5, 2, SIZE), torch.rand(2, 5, 1).cumsum(1)
    plain, scaled = encoding(q, k, *encoding.angles(p)), encoding(q, k, *encoding.angles(p), 0.3)
    assert torch.allclose(scaled[0], 0.3 * plain[0], atol=1e-6) and torch.equal(scaled[1], plain[1])
    if name == "rope":
        assert all(x.transpose(1, 2).is_contiguous() for x in plain)


@pytest.mark.parametrize("name", ENCODINGS)
def test_frequencies_are_no_weights(name: str) -> None:
    assert "frequencies" not in ENCODINGS[name](SIZE, 2, THETA).state_dict()


def test_a_band_needs_the_integer_positions() -> None:
    with pytest.raises(ValueError, match="integer positions"):
        Rope(SIZE, 1, THETA, "fast").angles(torch.zeros(1, 2, 1))
