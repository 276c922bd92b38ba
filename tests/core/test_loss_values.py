"""Nats and bits by hand, and which logits are read in pieces."""

import math

import pytest
import torch

from ropewalk.core import loss


def test_surprisal_and_entropy_by_hand() -> None:
    shares = torch.tensor([[0.5, 0.25, 0.25, 0.0], [0.25, 0.25, 0.25, 0.25]])
    surprisal, entropy = loss.surprisal_and_entropy(shares.log(), torch.tensor([1, 3]))
    assert surprisal.tolist() == pytest.approx([math.log(4), math.log(4)])
    assert entropy.tolist() == pytest.approx([1.5 * math.log(2), 2 * math.log(2)])
    assert loss.nats(shares.log()[None], torch.tensor([[0, 2]])).item() == pytest.approx(1.5 * math.log(2))
    assert loss.bits_per_byte(math.log(2)) == 1.0


@pytest.mark.parametrize(
    ("tokens", "vocabulary", "pieces"),
    [(2, 10, False), (3, 10, True), (5, 9, False), (1, 30, True), (1, 20, False)],
)
def test_pieces_are_for_many_logits_of_large_vocabularies(
    monkeypatch: pytest.MonkeyPatch, tokens: int, vocabulary: int, pieces: bool
) -> None:
    monkeypatch.setattr(loss, "LOGITS_AT_ONCE", 20)
    monkeypatch.setattr(loss, "LARGE_VOCABULARY", 10)
    asked: list[torch.Size] = []
    real = loss.PiecewiseNats.apply
    monkeypatch.setattr(
        loss.PiecewiseNats,
        "apply",
        lambda logits, targets: (asked.append(logits.shape), real(logits, targets))[1],
    )
    logits = torch.randn(1, tokens, vocabulary)
    found = loss.nats(logits, torch.zeros(1, tokens, dtype=torch.long))
    assert bool(asked) == pieces
    assert found.item() == pytest.approx(-logits.log_softmax(-1)[..., 0].mean().item(), rel=1e-5)
