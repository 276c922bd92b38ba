"""Native models through the Auto classes: the same logits, working generation, saved back as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import ropewalk
from ropewalk import Decoder, DecoderConfig, IncrementConfig, UserError
from ropewalk.hf import RopewalkForCausalLM
from ropewalk.native import checkpoint

SHAPE: dict[str, Any] = {
    "context_length": 64,
    "hidden_size": 32,
    "num_heads": 4,
    "num_layers": 2,
    "intermediate_size": 48,
}


@pytest.fixture(params=["rope", "pope", "forget"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    parametrization = IncrementConfig(per="layer", per_head=True)
    encoding = "pope" if request.param == "pope" else "rope"
    decay = "forget" if request.param == "forget" else None
    decoder = Decoder(DecoderConfig(**SHAPE, encoding=encoding, decay=decay, increments=parametrization))
    chance = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in decoder.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=chance) * 0.2)
    checkpoint.save_decoder(tmp_path / "native", decoder, {"recipe": "none"})
    return tmp_path / "native"


def ids() -> torch.Tensor:
    return torch.randint(0, 256, (2, 10), generator=torch.Generator().manual_seed(3))


def test_the_same_model_and_saved_back(folder: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert isinstance(model, RopewalkForCausalLM)
    with torch.no_grad():
        expected = ropewalk.load(folder)(ids()).logits
        output = model(ids(), labels=ids())
    assert torch.equal(output.logits, expected)
    assert output.loss == torch.nn.functional.cross_entropy(
        expected[:, :-1].flatten(0, 1), ids()[:, 1:].flatten()
    )
    model.save_pretrained(tmp_path / "again")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_generation(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    mask = torch.ones_like(ids())
    mask[0, :4] = 0

    def generate(**how: Any) -> torch.Tensor:
        torch.manual_seed(1)
        settings = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
        return model.generate(**{"input_ids": ids(), "attention_mask": mask, **settings, **how})

    greedy = generate()
    assert torch.equal(greedy, generate(use_cache=False))
    alone = generate(input_ids=ids()[:1, 4:], attention_mask=mask[:1, 4:])
    assert torch.equal(alone[0, 6:], greedy[0, 10:])
    assert torch.equal(generate(num_beams=3), generate(num_beams=3, use_cache=False))
    sampled = {"do_sample": True, "num_return_sequences": 2}
    assert torch.equal(generate(**sampled), generate(**sampled, use_cache=False))


def test_damage_and_strangers_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"model\.safetensors is damaged"):
        AutoModelForCausalLM.from_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "format": "other"}))
    with pytest.raises(UserError, match="ropewalk model"):
        AutoModelForCausalLM.from_pretrained(folder)
