"""The loss in pieces is the loss at once."""

import pytest
import torch

from ropewalk.core import loss


def test_pieces_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, targets = torch.randn(3, 7, 11), torch.randint(0, 11, (3, 7))
    whole = loss.nats(logits, targets)
    monkeypatch.setattr(loss, "LOGITS_AT_ONCE", 25)
    assert float(loss.nats(logits, targets)) == pytest.approx(float(whole), rel=1e-6)
    wanted = logits.clone().requires_grad_()
    loss.nats(wanted, targets).backward()
    assert wanted.grad is not None and wanted.grad.abs().sum() > 0
