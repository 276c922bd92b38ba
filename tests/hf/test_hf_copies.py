"""Copies of a grafted model have increments and hooks of their own: deepcopy, pickle, torch.save, spawned workers."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import fresh
import pytest
import torch
from families import host, perturb, tokens

from ropewalk.core.host import increments_of
from ropewalk.hf import graft, graft_of


def deepcopied(model: Any) -> Any:
    return copy.deepcopy(model)


def pickled(model: Any) -> Any:
    return pickle.loads(pickle.dumps(model))


def saved(model: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@pytest.mark.parametrize("per", ["layer", "shared"])
@pytest.mark.parametrize("copied", [deepcopied, pickled, saved])
def test_a_copy_is_independent(copied: Any, per: Any) -> None:
    model, ids = host("llama"), tokens(1, 8)
    grafted = graft(model, per=per)
    perturb(grafted)
    with torch.no_grad():
        before = model(ids).logits
        other = copied(model)
        assert torch.equal(other(ids).logits, before)
        for parameter in grafted.parameters():
            parameter.add_(0.3)
        changed = model(ids).logits
        assert torch.equal(other(ids).logits, before) and (changed - before).abs().max() > 1e-3
        own = graft_of(other)
        assert own is not None and own is not grafted
        assert torch.equal(own(ids).logits, before)
        assert (own(ids, edit=lambda row, d: torch.ones_like(d)).logits - before).abs().max() > 1e-4
        own.detach()
        assert torch.equal(other(ids).logits, host("llama")(ids).logits)
        assert torch.equal(model(ids).logits, changed)


def test_gradients_of_a_copy_go_to_the_copy() -> None:
    model, ids = host("llama"), tokens(1, 8)
    grafted = graft(model)
    perturb(grafted)
    other = copy.deepcopy(grafted)
    other.model(ids, labels=ids).loss.backward()
    assert all(p.grad is None for p in grafted.parameters())
    assert all(p.grad is not None for p in other.parameters())
    assert other.model is not model and increments_of(other(ids)).shape == (1, 2, 8)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")
def test_peft_adapters_are_copied_too() -> None:
    peft = pytest.importorskip("peft")
    from ropewalk.hf.peft import RopewalkConfig, peft_host

    ids = tokens(1, 8)
    model = peft.get_peft_model(host("llama"), RopewalkConfig(task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "output.weight" in name:
                parameter.fill_(0.2)
        before = model(ids).logits
        other = copy.deepcopy(model)
        for name, parameter in model.named_parameters():
            if "output.weight" in name:
                parameter.add_(0.5)
        assert torch.equal(other(ids).logits, before) and not torch.equal(model(ids).logits, before)
        assert torch.equal(peft_host(other)(ids).logits, before)


def test_a_fresh_process_unpickles_a_graft(tmp_path: Path) -> None:
    model, ids = host("llama"), tokens(1, 6)
    perturb(graft(model))
    torch.save(model, tmp_path / "model.pt")
    program = (
        "import sys, torch\n"
        "model = torch.load(sys.argv[1], weights_only=False)\n"
        "with torch.no_grad(): print(float(model(torch.tensor([eval(sys.argv[2])])).logits.sum()))\n"
    )
    done = fresh.run(program, tmp_path, str(tmp_path / "model.pt"), str(ids[0].tolist()))
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        assert float(done.stdout.splitlines()[-1]) == pytest.approx(float(model(ids).logits.sum()), abs=1e-3)
