"""Our own adapter folder: without PEFT, safetensors and json, checked against its base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from families import host, perturb, tokens

from ropewalk.errors import UserError
from ropewalk.hf import GraftWarning, graft, load


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, torch.Tensor]:
    model, ids = host("llama"), tokens(1, 8)
    grafted = graft(model, parametrization="positive", per="layer", per_head=True, gap="after", hidden_size=7)
    perturb(grafted)
    with torch.no_grad():
        return grafted.save(tmp_path / "graft"), model(ids).logits


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loads_what_was_saved(saved: Any, dtype: torch.dtype) -> None:
    folder, logits = saved
    model = host("llama")
    first = [p.detach().clone() for p in load(model, folder).parameters()]
    with torch.no_grad():
        assert torch.equal(model(tokens(1, 8)).logits, logits)
    again = load(host("llama").to(dtype), folder)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), first, strict=True))
    assert again.gap == "after" and len(again.rows) == 4
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "increments.safetensors",
        "ropewalk.json",
    ]


def test_another_base_is_refused(saved: Any) -> None:
    folder, _ = saved
    with pytest.raises(UserError, match="with other weights than this LlamaForCausalLM"):
        load(host("llama", seed=9), folder)
    with pytest.warns(GraftWarning, match="may mean nothing here"):
        load(host("llama", seed=9), folder, strict=False)
    with pytest.raises(UserError, match="not on this Qwen2ForCausalLM"):
        load(host("qwen2"), folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "increments.safetensors").write_bytes(b"x"), "not the file that ropewalk.json"),
        (lambda f: (f / "increments.safetensors").unlink(), "cannot be read"),
        (lambda f: (f / "ropewalk.json").write_text("{"), "cannot be read as json"),
        (lambda f: (f / "ropewalk.json").unlink(), "does not exist"),
        (lambda f: _edit(f, format="other"), "no graft that this version reads"),
        (lambda f: _edit(f, schema=9), "schema 9"),
        (lambda f: _edit(f, base=None), "does not say which base"),
        (lambda f: _edit(f, increments={"parametrization": "no"}), "damaged"),
        (lambda f: _edit(f, increments={"parametrization": "bounded", "hidden_size": 9}), "does not fit"),
    ],
)
def test_damage_is_content_in_one_sentence(saved: Any, damage: Any, message: str) -> None:
    folder, _ = saved
    damage(folder)
    model = host("llama")
    with pytest.raises(UserError, match=message):
        load(model, folder)
    graft(model).detach()


def _edit(folder: Path, **changes: Any) -> None:
    path = folder / "ropewalk.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_base_in_fewer_bits_is_the_same_base(saved: Any) -> None:
    folder, _ = saved
    rounded: Any = host("llama", seed=9)  # other weights, as rounding makes them
    rounded.quantization_method = "eight bits"
    content = load(rounded, folder).save(folder.parent / "again")
    assert json.loads((content / "ropewalk.json").read_text())["base"]["quantized"] is True
    load(host("llama"), content)
