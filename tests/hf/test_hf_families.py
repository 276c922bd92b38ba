"""Every family of the table: identity at the start, gradients, exact restoration, cached equal to
uncached.
"""

from __future__ import annotations

import pytest
import torch
from families import CONFIGS, STILL, host, perturb, tokens

from ropewalk.hf import graft

PER = ("layer", "shared")
CHUNKS = (7, 4, 1, 1, 1)
CASES = [(name, per) for name in CONFIGS for per in PER]


def _state(model: torch.nn.Module) -> tuple[list[str], list[int], list[int], list[str]]:
    modules = list(model.modules())
    return (
        list(model.state_dict()),
        [len(m._forward_pre_hooks) for m in modules],
        [len(m._forward_hooks) for m in modules],
        sorted(key for m in modules for key in m.__dict__),
    )


def cached(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    memory, logits, first = None, [], 0
    for size in CHUNKS:
        out = model(ids[:, first : first + size], past_key_values=memory, use_cache=True)
        memory, first = out.past_key_values, first + size
        logits.append(out.logits)
    return torch.cat(logits, 1)


@pytest.mark.parametrize(("name", "per"), CASES)
def test_identity_gradient_cache_and_restoration(name: str, per: str) -> None:
    model = host(name)
    ids = tokens(2, sum(CHUNKS))
    before = _state(model)
    with torch.no_grad():
        plain = model(ids, use_cache=False).logits
    grafted = graft(model, per=per)  # type: ignore[arg-type]
    assert grafted.structure.layers_without_rope == STILL.get(name, ())
    with torch.no_grad():
        assert torch.equal(model(ids, use_cache=False).logits, plain)
        perturb(grafted)
        moved = model(ids, use_cache=False).logits
        assert (moved - plain).abs().max() > 1e-3
        assert (cached(model, ids) - moved).abs().max() < 1e-3
    model(ids, labels=ids, use_cache=False).loss.backward()
    for parametrization in grafted.increment_modules:
        assert all(
            p.grad is not None and p.grad.abs().sum() > 0 for n, p in parametrization.named_parameters()
        )
    grafted.detach()
    model.zero_grad()
    assert _state(model) == before
    with torch.no_grad():
        assert torch.equal(model(ids, use_cache=False).logits, plain)


@pytest.mark.parametrize(
    "name", ["llama", "gpt_neox", "gemma3", "glm4", "phi3", "gpt_oss", "falcon", "cohere"]
)
def test_one_line_per_key_head(name: str) -> None:
    model = host(name)
    ids = tokens(2, 9)
    with torch.no_grad():
        plain = model(ids).logits
        grafted = graft(model, per_head=True)
        heads = grafted.structure.num_kv_heads
        assert len(grafted.rows) == heads * len(grafted.increment_modules)
        assert (model(ids).logits - plain).abs().max() < 1e-5
        perturb(grafted)
        changed = model(ids).logits
        first = grafted.rows[0]
        edited = grafted(ids, edit=lambda row, d: d + 0.5 if row == first else d).logits
    assert (changed - plain).abs().max() > 1e-3
    if heads > 1:
        assert (edited - changed).abs().max() > 1e-4
