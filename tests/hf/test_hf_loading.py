"""`ropewalk.load`: every kind of model, adapters with what was trained beside them, one sentence for what is wrong."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from families import perturb, tokens

import ropewalk
from ropewalk.errors import UserError
from ropewalk.hf import adapter_file, graft, hub, load
from ropewalk.hf.describe import describe
from ropewalk.hf.llama_export import byte_tokenizer
from ropewalk.hf.loading import find_source
from ropewalk.loading import kind_of
from ropewalk.tokens.tokenizer import ByteTokenizer

SHAPE = {"vocab_size": 257, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE, **HEADS)).save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


def test_an_untouched_model_has_one_row_per_layer_and_increments_of_1(folder: Path) -> None:
    host = ropewalk.load(folder)
    trace = ropewalk.trace(host, "Hello é")
    assert [str(row) for row in trace.rows] == ["L0", "L1"] and (trace.values == 1).all()
    assert len(ropewalk.load(folder, per_head=True).rows) == 4
    assert len(ropewalk.generate(host, "ab", length=3, temperature=0).encode()) <= 9


def test_increments_find_their_base(folder: Path, tmp_path: Path) -> None:
    host = ropewalk.load(folder)
    grafted = ropewalk.graft(host, per="shared")
    perturb(grafted)
    grafted.save(tmp_path / "increments")
    assert kind_of(tmp_path / "increments") == "adapter"
    again = ropewalk.load(tmp_path / "increments")
    expected = ropewalk.trace(grafted, "Hello")
    assert np.array_equal(ropewalk.trace(again, "Hello").values, expected.values)
    moved = ropewalk.load(tmp_path / "increments", base=folder)
    assert np.array_equal(ropewalk.trace(moved, "Hello").values, expected.values)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")
def test_a_lora_is_not_dropped_silently(folder: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder)
    model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.3)
    grafted = graft(model, tokenizer=ByteTokenizer())
    perturb(grafted)
    out = adapter_file.save(grafted, tmp_path / "both", source=str(folder), requires="lora")
    model.save_pretrained(out / "lora")
    expected = ropewalk.trace(grafted, "Hello").surprisal
    assert np.allclose(
        ropewalk.trace(ropewalk.load(out), "Hello").surprisal, expected, atol=1e-5, equal_nan=True
    )
    with pytest.raises(UserError, match="trained together with the LoRA"):
        load(transformers.AutoModelForCausalLM.from_pretrained(folder), out)
    shutil.rmtree(out / "lora")
    with pytest.raises(UserError, match="is missing, which was trained with these increments"):
        ropewalk.load(out)


def test_a_resized_vocabulary_is_named(folder: Path, tmp_path: Path) -> None:
    graft(transformers.AutoModelForCausalLM.from_pretrained(folder)).save(tmp_path / "increments")
    larger = transformers.AutoModelForCausalLM.from_pretrained(folder)
    larger.resize_token_embeddings(300)
    with pytest.raises(UserError, match=r"embed_tokens.weight is \[300, 32\], was \[257, 32\]"):
        load(larger, tmp_path / "increments")


def test_a_hub_name_is_refused_at_once_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_reachable", lambda url: False)
    began = time.monotonic()
    with pytest.raises(UserError, match=r"nobody/nothing is no local folder.*cannot be reached"):
        ropewalk.load("nobody/nothing")
    assert time.monotonic() - began < 20


def cached(cache: Path, name: str, files: Path) -> None:
    """Puts the files of a folder into a cache of the hub, as a download does."""
    repository = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(files, repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")


@pytest.fixture
def offline_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")
@pytest.mark.parametrize("kind", ["ropewalk", "peft"])
def test_an_adapter_on_the_hub_finds_its_base_there(
    kind: str, folder: Path, tmp_path: Path, offline_hub: Path
) -> None:
    own, record = tmp_path / "own", {"ropewalk": "ropewalk.json", "peft": "adapter_config.json"}[kind]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    if kind == "ropewalk":
        grafted = graft(model, per="shared")
        perturb(grafted)
        grafted.save(own)
    else:
        peft.get_peft_model(
            model, peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
        ).save_pretrained(own)
    (own / record).write_text((own / record).read_text().replace(str(folder), "somebody/base"))
    cached(offline_hub, "somebody/base", folder)
    cached(offline_hub, "somebody/adapter", own)
    for name, same in (("somebody/adapter", own), ("somebody/base", folder)):
        opened, expected = ropewalk.load(name), ropewalk.load(same)
        assert torch.equal(opened(tokens(1, 5)).logits, expected(tokens(1, 5)).logits)
        assert opened.rows == expected.rows and (name == "somebody/base") == torch.equal(
            opened(tokens(1, 5)).logits, ropewalk.load(folder)(tokens(1, 5)).logits
        )
    assert describe("somebody/adapter")["base"] == "somebody/base"
    with pytest.raises(UserError, match="somebody/other is no local folder"):
        ropewalk.load("somebody/other")


def test_gguf_files_are_found(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert find_source(tmp_path) == find_source(tmp_path / "m.gguf")
    assert find_source("owner/name/m.gguf").name == "owner/name"
    with pytest.raises(UserError, match="does not exist"):
        find_source("m.gguf")
    with pytest.raises(UserError, match="cannot open the tokenizer"):
        ropewalk.load(tmp_path / "m.gguf")
    (tmp_path / "n.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match="holds 2 GGUF files"):
        find_source(tmp_path)


def test_mistakes_are_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        ropewalk.load("./nowhere/at/all")
    with pytest.raises(UserError, match="has no base"):
        ropewalk.load("per-layer", base=folder)
    with pytest.raises(UserError, match="holds no increments"):
        ropewalk.load(folder, base=folder)
    with pytest.raises(UserError, match="so NumPy cannot read it"):
        ropewalk.load(folder, backend="numpy")
    bare = tmp_path / "bare"
    config = transformers.LlamaConfig(**{**SHAPE, "vocab_size": 99}, **HEADS)
    transformers.LlamaForCausalLM(config).save_pretrained(bare)
    with pytest.raises(UserError, match="has no tokenizer files"):
        ropewalk.load(bare)
    assert json.loads((bare / "config.json").read_text())["vocab_size"] == 99


def test_numpy_traces_like_torch() -> None:
    light, full = ropewalk.load("per-layer", backend="numpy"), ropewalk.load("per-layer")
    a, b = ropewalk.trace(light, "The cat sat."), ropewalk.trace(full, "The cat sat.")
    assert np.allclose(a.values, b.values, atol=1e-4) and a.context == b.context
    with pytest.raises(UserError, match="edits need PyTorch"):
        ropewalk.trace(light, "abc", edit=lambda row, d: d)
    with pytest.raises(UserError, match="generating needs PyTorch"):
        ropewalk.generate(light, "abc")
