"""Decay as features of queries and keys: the product is the plain sum, and the width is what fast kernels need."""

import pytest
import torch

from ropewalk.core.decay import append_decay


@pytest.mark.parametrize(
    ("dtype", "parts"), [(torch.float32, 1), (torch.float64, 1), (torch.bfloat16, 3), (torch.float16, 3)]
)
@pytest.mark.parametrize("size", [2, 6, 8, 11])
def test_products_and_width(dtype: torch.dtype, parts: int, size: int) -> None:
    stream = torch.Generator().manual_seed(size)
    q, k = (torch.randn(2, 5, heads, size, generator=stream).to(dtype) for heads in (4, 2))
    c = -torch.rand(2, 5, 4, generator=stream).cumsum(1)
    query, key = append_decay(q, k, c)
    needed = size + 2 * parts
    assert query.shape == key.shape == (2, 5, 4, needed + -needed % 8) and query.dtype == key.dtype == dtype
    product = torch.einsum("bthf,bshf->bhts", query.double(), key.double())
    plain = torch.einsum("bthd,bshd->bhts", q.double(), k.double().repeat_interleave(2, 2))
    c = c.double().transpose(1, 2)
    assert torch.allclose(
        product, plain + c[..., :, None] - c[..., None, :], atol=2e-3 if dtype == torch.float16 else 1e-5
    )
    assert not query[..., needed:].any() and not key[..., needed:].any()


def test_the_running_sum_has_a_gradient() -> None:
    c = (-torch.rand(1, 4, 2)).requires_grad_()
    query, _ = append_decay(torch.zeros(1, 4, 2, 2).bfloat16(), torch.zeros(1, 4, 2, 2).bfloat16(), c)
    query.float().sum().backward()
    assert torch.equal(c.grad, torch.ones_like(c))
