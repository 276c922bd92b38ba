"""Grafted models inside other tools, where these are installed: what they see, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from families import host, perturb, tokens

from ropewalk import UserError
from ropewalk.hf import graft
from ropewalk.hf.llama_export import byte_tokenizer


class Replaced(torch.nn.Module):
    """An attention of another tool: it computes by itself with the weights of the one it replaces."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.original_component = attention

    def forward(self, hidden_states: torch.Tensor, **given: Any) -> Any:
        return type(self.original_component).forward(self.original_component, hidden_states, **given)


def test_attentions_that_another_tool_replaced_are_noticed() -> None:
    model = host("llama")
    perturb(graft(model))
    ids = tokens(1, 6)
    with torch.no_grad():
        model(ids)
        for layer in model.model.layers:
            layer.self_attn = Replaced(layer.self_attn)
        with pytest.raises(UserError, match="were replaced after the graft"):
            model(ids)


def test_shared_increments_reach_attentions_that_another_tool_replaced() -> None:
    model = host("llama")
    perturb(graft(model, per="shared"))
    ids = tokens(1, 6)
    with torch.no_grad():
        expected = model(ids).logits
        for layer in model.model.layers:
            layer.self_attn = Replaced(layer.self_attn)
        assert torch.equal(model(ids).logits, expected)


# nnsight serves this submodule as `.E_output`, and `.output` stays the module's output
@pytest.mark.filterwarnings("ignore:.*submodule named 'output':UserWarning")
@pytest.mark.parametrize("per", ["layer", "shared"])
def test_nnsight_reads_and_changes_a_grafted_model(per: Any) -> None:
    nnsight = pytest.importorskip("nnsight")
    model, ids = host("llama"), tokens(1, 6)
    grafted = graft(model, per=per)
    perturb(grafted)
    own = grafted(ids, activations=["residual.1"])
    traced = nnsight.NNsight(model)
    with traced.trace(ids):
        residual = traced.model.layers[1].input.save()
        logits = traced.lm_head.output.save()
    assert torch.allclose(residual, own.activations["residual.1"])
    assert torch.allclose(logits, own.logits, atol=1e-6)


def bridge(model: Any, folder: Path) -> Any:
    """TransformerLens' bridge on a model; its tokenizer comes from a folder, from which the bridge opens it again."""
    bridges = pytest.importorskip("transformer_lens.model_bridge")

    byte_tokenizer().save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return bridges.TransformerBridge.boot_transformers(
        "tiny", hf_model=model, tokenizer=tokenizer, device="cpu"
    )


def test_transformer_lens_runs_shared_increments_and_refuses_those_of_layers(tmp_path: Path) -> None:
    pytest.importorskip("transformer_lens")
    ids = tokens(1, 6)
    shared = host("llama", "eager")
    perturb(graft(shared, per="shared"))
    with torch.no_grad():
        expected = shared(ids).logits
        assert torch.allclose(bridge(shared, tmp_path)(ids), expected, atol=1e-4)
        layered = host("llama", "eager")
        perturb(graft(layered))
        with pytest.raises(UserError, match="were replaced after the graft"):
            bridge(layered, tmp_path)(ids)
