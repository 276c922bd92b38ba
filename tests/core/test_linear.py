"""The float32 product without a gradient: the same numbers by either library, and a plain fallback."""

import pytest
import torch
import torch.nn.functional as F

from ropewalk.core.kernels import linear as kernel
from ropewalk.core.kernels.linear import MIN_ROWS, linear


@pytest.mark.parametrize("rows", [1, MIN_ROWS - 1, MIN_ROWS, 200])
@pytest.mark.parametrize("library", [True, False])
def test_either_library_gives_the_product(rows: int, library: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "onednn_wins", lambda: library and torch.backends.mkldnn.is_available())
    x, weight = torch.randn(2, rows, 48), torch.randn(33, 48)
    with torch.inference_mode():
        made = linear(x, weight)
        transposed = linear(x.transpose(0, 1), weight)
    wanted = (x.double() @ weight.double().T).float()
    assert made.shape == (2, rows, 33) and torch.allclose(made, wanted, atol=1e-4)
    assert torch.allclose(transposed, wanted.transpose(0, 1), atol=1e-4)


def test_a_gradient_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "onednn_wins", lambda: True)
    x, weight = torch.randn(MIN_ROWS, 8), torch.randn(4, 8, requires_grad=True)
    linear(x, weight).sum().backward()
    assert weight.grad is not None and torch.allclose(weight.grad, x.sum(0).expand(4, -1), atol=1e-5)


def test_other_types_keep_their_own_product() -> None:
    x, weight = torch.randn(MIN_ROWS, 8).bfloat16(), torch.randn(4, 8).bfloat16()
    with torch.inference_mode():
        assert torch.equal(linear(x, weight), F.linear(x, weight))
