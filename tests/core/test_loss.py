"""The loss in pieces is the loss at once, and so is its gradient."""

import pytest
import torch
import torch.nn.functional as F

from ropewalk.core import loss


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pieces_add_up(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    logits, targets = torch.randn(3, 7, 11).to(dtype), torch.randint(0, 11, (3, 7))
    whole = logits.clone().requires_grad_()
    expected = F.cross_entropy(whole.flatten(0, 1).float(), targets.flatten())
    (expected * 0.3).backward()
    monkeypatch.setattr(loss, "LOGITS_AT_ONCE", 25)
    monkeypatch.setattr(loss, "LARGE_VOCABULARY", 2)
    assert float(loss.nats(logits, targets)) == pytest.approx(float(expected.detach()), rel=1e-6)
    pieces = logits.clone().requires_grad_()
    value = loss.nats(pieces, targets)
    (value * 0.3).backward()
    assert pieces.grad is not None and whole.grad is not None and pieces.grad.dtype == dtype
    tolerance = 1e-6 if dtype == torch.float32 else 1e-2
    assert torch.allclose(pieces.grad, whole.grad, rtol=tolerance, atol=1e-7)


@pytest.mark.parametrize(("at_once", "sizes"), [(25, [2, 2, 2, 1]), (5, [1] * 7)])
def test_a_piece_holds_so_many_logits_and_at_least_one_token(
    monkeypatch: pytest.MonkeyPatch, at_once: int, sizes: list[int]
) -> None:
    assert 4 * loss.LOGITS_AT_ONCE == 64 << 20
    monkeypatch.setattr(loss, "LOGITS_AT_ONCE", at_once)
    read: list[int] = []
    plain = torch.Tensor.log_softmax
    monkeypatch.setattr(torch.Tensor, "log_softmax", lambda x, axis: (read.append(len(x)), plain(x, axis))[1])
    loss.PiecewiseNats.apply(torch.randn(7, 11), torch.zeros(7, dtype=torch.int64))
    assert read == sizes


def test_pieces_can_be_differentiated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "LOGITS_AT_ONCE", 25)
    monkeypatch.setattr(loss, "LARGE_VOCABULARY", 2)
    logits = torch.randn(2, 7, 11, requires_grad=True)
    value = loss.nats(logits, torch.zeros(2, 7, dtype=torch.int64))
    value.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="differentiated once"):
        value.backward()
