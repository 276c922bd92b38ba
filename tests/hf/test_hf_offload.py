"""Hosts whose weights accelerate keeps elsewhere compute the same, whichever was first: the graft or the offloading."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import host, perturb, tokens

from ropewalk.hf import graft, graft_of
from ropewalk.hf.identity import identity

accelerate = pytest.importorskip("accelerate")


@pytest.mark.parametrize("per", ["layer", "shared"])
@pytest.mark.parametrize("first", ["graft", "offload"])
def test_offloaded_hosts_compute_the_same(first: str, per: Any) -> None:
    ids = tokens(1, 8)
    model = host("llama")
    perturb(graft(model, per=per))
    with torch.no_grad():
        expected = model(ids).logits
    other = host("llama")
    if first == "graft":
        perturb(graft(other, per=per))
        other = accelerate.cpu_offload(other)
    else:
        other = accelerate.cpu_offload(other)
        perturb(graft(other, per=per))
    with torch.no_grad():
        assert (other(ids).logits - expected).abs().max() < 1e-5
        own = graft_of(other)
        assert own is not None and own.describe()["hash"] == identity(host("llama"))["weights"]
