"""Two hosts, one core: the native decoder and a Llama with the same weights and increments agree to 1e-5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from ropewalk import Decoder, DecoderConfig, IncrementConfig, Row, UserError
from ropewalk.core.host import increments_of
from ropewalk.hf import graft, llama_export
from ropewalk.tokens.utf8_bytes import encode

SHAPE: dict[str, Any] = {
    "context_length": 64,
    "hidden_size": 32,
    "num_heads": 4,
    "num_kv_heads": 2,
    "num_layers": 3,
    "intermediate_size": 48,
    "rope_theta": 500.0,
}


def native(**increments: Any) -> Decoder:
    decoder = Decoder(DecoderConfig(**SHAPE, increments=IncrementConfig(**increments))).eval()
    with torch.no_grad():
        for parameter in decoder.layers.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8.0)
        for layer in decoder.layers:
            layer.attention_norm.weight.add_(0.3)
    return decoder


def ids() -> Tensor:
    return torch.randint(0, 257, (2, 20), generator=torch.Generator().manual_seed(3))


def test_unit_increments() -> None:
    decoder = native(parametrization="integer")
    model = llama_export.llama(decoder)
    with torch.no_grad():
        assert (decoder(ids()).logits - model(ids()).logits).abs().max() < 1e-5


@pytest.mark.parametrize("gap", ["before", "after"])
@pytest.mark.parametrize("per_head", [False, True])
@pytest.mark.parametrize("per", ["layer", "shared"])
def test_any_increments(per: Any, per_head: bool, gap: Any) -> None:
    decoder = native(parametrization="bounded", per=per, per_head=per_head, gap=gap)
    chance = torch.Generator().manual_seed(1)
    d = {row: torch.rand(2, 20, generator=chance) * 3 for row in decoder.rows}

    def edit(row: Row, _: Tensor) -> Tensor:
        return d[row]

    with (
        graft(llama_export.llama(decoder, increments=True), per=per, per_head=per_head, gap=gap) as grafted,
        torch.no_grad(),
    ):
        assert grafted.rows == decoder.rows
        ours, theirs = decoder(ids(), edit=edit), grafted(ids(), edit=edit)
        plain = decoder(ids())
    assert torch.equal(increments_of(ours), increments_of(theirs))
    assert (ours.logits - plain.logits).abs().max() > 0.01
    assert (ours.logits - theirs.logits).abs().max() < 1e-5


def test_a_shared_parametrization_with_the_same_weights() -> None:
    decoder = native(parametrization="positive", per="shared", init="random")
    with torch.no_grad():
        decoder.increment_modules[0].output.weight.mul_(200.0)
    grafted = graft(llama_export.llama(decoder, increments=True), parametrization="positive", per="shared")
    grafted.increment_modules[0].parametrization.load_state_dict(decoder.increment_modules[0].state_dict())
    with torch.no_grad():
        ours, theirs = decoder(ids()), grafted(ids())
    assert increments_of(ours).std() > 0.01
    assert (increments_of(ours) - increments_of(theirs)).abs().max() < 1e-5
    assert (ours.logits - theirs.logits).abs().max() < 1e-5


def test_export_loads_with_plain_transformers(tmp_path: Path) -> None:
    decoder = native(parametrization="integer")
    llama_export.export(decoder, tmp_path / "llama")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "llama")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "llama")
    text = "naïve 中文 \n\t🤝 <|en"
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == encode(text)
    assert tokenizer.decode(encode(text)) == text and tokenizer.eos_token_id == 256
    with torch.no_grad():
        assert (decoder(ids()).logits - model(ids()).logits).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"increments": IncrementConfig(parametrization="bounded")}, "learned increments"),
        ({"encoding": "pope", "increments": IncrementConfig(parametrization="integer")}, "encoding pope"),
        ({"decay": "alibi", "increments": IncrementConfig(parametrization="integer")}, "decay alibi"),
    ],
)
def test_what_is_no_llama_is_not_exported(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    decoder = Decoder(DecoderConfig(**{**SHAPE, **changes}))
    with pytest.raises(UserError, match=message):
        llama_export.export(decoder, tmp_path / "llama")
    assert not list(tmp_path.iterdir())
