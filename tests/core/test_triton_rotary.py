"""The fused rotary kernel equals the plain formula, its positions' gradient too, in Triton's interpreter.

TRITON_INTERPRET=1 pytest tests/test_rotary_triton.py, where Triton is installed.
"""

import os
from importlib.util import find_spec

import pytest
import torch

from ropewalk.core.encoding import Rope
from ropewalk.core.increment_config import IncrementConfig
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder

pytestmark = pytest.mark.skipif(
    find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") != "1",
    reason="needs Triton, and TRITON_INTERPRET=1 in the environment",
)


@pytest.mark.parametrize(("heads", "keys", "size", "rows"), [(2, 2, 8, 1), (6, 3, 12, 3), (4, 1, 4, 1)])
def test_it_turns_and_differentiates_as_the_plain_formula(
    heads: int, keys: int, size: int, rows: int
) -> None:
    rope = Rope(size, keys, 1000.0)
    q, k = torch.randn(2, 5, heads, size), torch.randn(2, 5, keys, size)
    p = 40 * torch.rand(2, 5, rows)
    weights = torch.randn_like(q), torch.randn_like(k)
    found = []
    for fused in (False, True):
        rope.fused = fused
        given = [x.clone().requires_grad_() for x in (q, k, p)]
        turned = rope(given[0], given[1], *rope.angles(given[2]))
        loss = sum((x * w).sum() for x, w in zip(turned, weights, strict=True))
        found.append((*turned, *torch.autograd.grad(loss, given)))
    for plain, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-4, rtol=1e-4)


def test_a_model_with_it_trains_as_one_without() -> None:
    parametrization = IncrementConfig(init="random", per_head=True)
    config = DecoderConfig(
        hidden_size=16,
        num_heads=4,
        num_kv_heads=2,
        num_layers=2,
        context_length=8,
        increments=parametrization,
    )
    tokens = torch.randint(0, 256, (2, 8))
    gradients = []
    for fused in (False, True):
        model = Decoder(config, seed=3).train()
        for layer in model.layers:
            layer.attention.encoding.fused = fused
        model(tokens).logits.square().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-3)
