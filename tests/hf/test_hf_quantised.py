"""Hosts in 8 and 4 bits. The packages are no part of the tested versions; where they are missing, so are these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from families import perturb, tokens

from ropewalk.hf import graft, load

pytestmark = pytest.mark.filterwarnings("default")  # what these packages say is theirs


def bitsandbytes(**bits: Any) -> Any:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    return transformers.BitsAndBytesConfig(**bits)


def torchao() -> Any:
    found = pytest.importorskip("torchao.quantization", reason="torchao is not installed")
    return transformers.TorchAoConfig(found.Int8WeightOnlyConfig())


KINDS = {
    "8 bits": lambda: bitsandbytes(load_in_8bit=True),
    "4 bits": lambda: bitsandbytes(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    "torchao int8": torchao,
}


def small() -> Any:
    """A Llama whose matrices are wide enough for blocks of 64 numbers."""
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 128}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape, **heads)).eval()


@pytest.fixture(params=KINDS)
def quantized(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Any]:
    """A small Llama, written and opened again in fewer bits."""
    kind = KINDS[request.param]()
    small().save_pretrained(tmp_path / "base")
    more = {"dtype": torch.float32} if request.param == "torchao int8" else {"device_map": "cpu"}
    opened = transformers.AutoModelForCausalLM.from_pretrained
    return request.param, opened(tmp_path / "base", quantization_config=kind, **more).eval()


def test_a_quantized_host_is_grafted_read_kept_and_given_back(quantized: Any, tmp_path: Path) -> None:
    kind, model = quantized
    ids = tokens(1, 8)
    with torch.no_grad():
        plain = model(ids).logits
        grafted = graft(model).freeze_base()
        assert torch.equal(model(ids).logits, plain)
        perturb(grafted)
        moved = model(ids).logits
        assert not torch.equal(moved, plain)
    greedy = {"max_new_tokens": 4, "do_sample": False}
    cached, anew = (model.generate(ids, use_cache=use, **greedy) for use in (True, False))
    assert torch.equal(cached, anew)
    if (
        kind != "4 bits"
    ):  # bitsandbytes packs 4-bit weights for CPUs at the first reading and has no gradient then
        model(ids, labels=ids).loss.backward()
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in grafted.parameters())
    grafted.save(tmp_path / "graft")
    grafted.detach()
    with torch.no_grad():
        assert torch.equal(model(ids).logits, plain)
        load(model, tmp_path / "graft")
        assert torch.equal(model(ids).logits, moved)


def test_increments_go_from_a_plain_base_to_the_same_in_fewer_bits(quantized: Any, tmp_path: Path) -> None:
    _, model = quantized
    perturb(grafted := graft(small()))
    grafted.save(tmp_path / "graft")
    assert len(load(model, tmp_path / "graft").rows) == len(grafted.rows)
