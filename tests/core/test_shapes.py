"""The shapes in signatures are checked while these tests run, and a wrong one is noticed."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from shape_checks import names_dimensions, shapes_checked
from tiny import config
from torch import Tensor

from ropewalk.core import positions
from ropewalk.measure import torch_trace
from ropewalk.native import decoder


def zeros(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.long)


@pytest.mark.parametrize(
    ("increments", "position_ids", "what"),
    [
        (torch.zeros(2, 5, 1), zeros(2, 6), "position_ids"),  # T differs
        (torch.zeros(2, 5), zeros(2, 5), "r"),  # a dimension is missing
        (zeros(2, 5, 1), zeros(2, 5), "r"),  # not of floats
    ],
    ids=["size", "rank", "dtype"],
)
def test_a_wrong_argument_is_noticed(increments: torch.Tensor, position_ids: torch.Tensor, what: str) -> None:
    with pytest.raises(TypeCheckError, match=f"typechecking parameter '{what}'"):
        positions.positions_from_increments(increments, position_ids)


def test_a_wrong_result_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = decoder.Decoder(config(), seed=0).eval()
    assert model(zeros(2, 5)).logits.shape[:2] == (2, 5)
    monkeypatch.setattr(decoder.F, "rms_norm", lambda x, *rest: x[..., :1])
    with pytest.raises(TypeCheckError, match="RMSNorm"):
        model(zeros(2, 5))


def test_imported_names_are_checked_too() -> None:
    with pytest.raises(TypeCheckError, match="surprisal_and_entropy"):
        torch_trace.surprisal_and_entropy(torch.zeros(5, 9), zeros(4))


def first(x: Float[Tensor, "B T"]) -> Float[Tensor, " B"]:
    return x[:, 0]


def test_everything_is_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = types.ModuleType("ropewalk.example")
    monkeypatch.setattr(first, "__module__", module.__name__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    module.first = first
    with shapes_checked(module) as names:
        assert names == ["ropewalk.example.first"] and module.first is not first
        with pytest.raises(TypeCheckError):
            module.first(zeros(2, 5))
    assert module.first is first
    assert names_dimensions("Float[Tensor, 'B T'] | None") and not names_dimensions("Tensor")
