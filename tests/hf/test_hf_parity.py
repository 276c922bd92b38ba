"""Two hosts, one core: the native decoder and a Llama with the same weights and increments agree to 1e-5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from ropewalk import Decoder, DecoderConfig, IncrementConfig, Line, UserError
from ropewalk.hf import graft, llama
from ropewalk.host import increments_of
from ropewalk.text import encode

SHAPE: dict[str, Any] = {
    "context": 64,
    "width": 32,
    "heads": 4,
    "key_heads": 2,
    "layers": 3,
    "inner": 48,
    "theta": 500.0,
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
    decoder = native(law="unit")
    model = llama.llama(decoder)
    with torch.no_grad():
        assert (decoder(ids()).logits - model(ids()).logits).abs().max() < 1e-5


@pytest.mark.parametrize("gap", ["before", "after"])
@pytest.mark.parametrize("lines", ["one", "key_head"])
@pytest.mark.parametrize("per", ["layer", "shared"])
def test_any_increments(per: Any, lines: Any, gap: Any) -> None:
    decoder = native(law="bounded", per=per, lines=lines, gap=gap)
    chance = torch.Generator().manual_seed(1)
    d = {line: torch.rand(2, 20, generator=chance) * 3 for line in decoder.lines}

    def edit(line: Line, _: Tensor) -> Tensor:
        return d[line]

    with (
        graft(llama.llama(decoder, increments=True), per=per, lines=lines, gap=gap) as grafted,
        torch.no_grad(),
    ):
        assert grafted.lines == decoder.lines
        ours, theirs = decoder(ids(), edit=edit), grafted(ids(), edit=edit)
        plain = decoder(ids())
    assert torch.equal(increments_of(ours), increments_of(theirs))
    assert (ours.logits - plain.logits).abs().max() > 0.01
    assert (ours.logits - theirs.logits).abs().max() < 1e-5


def test_a_shared_law_with_the_same_weights() -> None:
    decoder = native(law="positive", per="shared", start="random")
    with torch.no_grad():
        decoder.laws[0].outer.weight.mul_(200.0)
    grafted = graft(llama.llama(decoder, increments=True), law="positive", per="shared")
    grafted.laws[0].law.load_state_dict(decoder.laws[0].state_dict())
    with torch.no_grad():
        ours, theirs = decoder(ids()), grafted(ids())
    assert increments_of(ours).std() > 0.01
    assert (increments_of(ours) - increments_of(theirs)).abs().max() < 1e-5
    assert (ours.logits - theirs.logits).abs().max() < 1e-5


def test_export_loads_with_plain_transformers(tmp_path: Path) -> None:
    decoder = native(law="unit")
    llama.export(decoder, tmp_path / "llama")
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
        ({"increments": IncrementConfig(law="bounded")}, "learned increments"),
        ({"encoding": "pope", "increments": IncrementConfig(law="unit")}, "encoding pope"),
        ({"decay": "alibi", "increments": IncrementConfig(law="unit")}, "decay alibi"),
    ],
)
def test_what_is_no_llama_is_not_exported(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    decoder = Decoder(DecoderConfig(**{**SHAPE, **changes}))
    with pytest.raises(UserError, match=message):
        llama.export(decoder, tmp_path / "llama")
    assert not list(tmp_path.iterdir())
