"""The adapter that PEFT knows: fresh processes, other names, switching, disabling, unloading, LoRA either
way.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import fresh
import pytest
import torch
from families import host, tokens

from ropewalk.errors import UserError

peft = pytest.importorskip("peft")
from ropewalk.hf.peft import RopewalkConfig  # noqa: E402
from ropewalk.hf.peft import peft_host as host_of  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing"),  # PEFT asks transformers
    pytest.mark.filterwarnings(
        "ignore:.*for a second time|Already found a `peft_config`"
    ),  # adapters inside adapters are meant
]


def stir(model: Any) -> None:
    """Moves every adapter away from where it starts."""
    chance = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "output.weight" in name or "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=chance) * 0.5)


def lora() -> Any:
    return peft.LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"])


@pytest.mark.parametrize("per", ["layer", "shared"])
@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt_neox"])
def test_adapters_save_load_switch_and_unload(name: str, per: str, tmp_path: Path) -> None:
    ids = tokens(2, 10)
    with torch.no_grad():
        plain = host(name)(ids).logits
        model = peft.get_peft_model(host(name), RopewalkConfig(task_type="CAUSAL_LM", per=per))
        assert torch.equal(model(ids).logits, plain)
        assert all("ropewalk_" in n for n, p in model.named_parameters() if p.requires_grad)
        stir(model)
        moved = model(ids).logits
        assert (moved - plain).abs().max() > 1e-3
        with model.disable_adapter():
            assert torch.equal(model(ids).logits, plain)
        model.save_pretrained(tmp_path)
        again = peft.PeftModel.from_pretrained(host(name), tmp_path, adapter_name="other")
        assert torch.equal(again(ids).logits, moved)
        model.add_adapter("second", RopewalkConfig(task_type="CAUSAL_LM", per=per))
        model.set_adapter("second")
        assert torch.equal(model(ids).logits, plain)
        model.set_adapter("default")
        assert torch.equal(model(ids).logits, moved)
        assert torch.equal(model.unload()(ids).logits, plain)
        loaded = host(name)
        loaded.load_adapter(str(tmp_path))
        assert torch.equal(loaded(ids).logits, moved)
    assert not any(path.suffix in (".bin", ".pt", ".pkl") for path in tmp_path.iterdir())


def test_a_fresh_process_loads_an_adapter(tmp_path: Path) -> None:
    base, ids = host("llama"), tokens(1, 8)
    base.save_pretrained(tmp_path / "base")
    model = peft.get_peft_model(base, RopewalkConfig(task_type="CAUSAL_LM"))
    stir(model)
    model.save_pretrained(tmp_path / "adapter")
    with torch.no_grad():
        expected = model(ids).logits[0, -1, :5].tolist()
    program = (
        "import sys, json, torch, peft, transformers, ropewalk.hf\n"
        "base = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1] + '/base')\n"
        "model = peft.PeftModel.from_pretrained(base, sys.argv[1] + '/adapter')\n"
        "with torch.no_grad(): print(json.dumps(model(torch.tensor(json.loads(sys.argv[2]))).logits[0, -1, "
        ":5].tolist()))\n"
    )
    done = fresh.run(program, tmp_path, str(tmp_path), json.dumps(ids.tolist()))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == expected


@pytest.mark.parametrize("inner", ["steps", "low"])
def test_composes_with_lora_in_either_order(inner: str, tmp_path: Path) -> None:
    configs = {"steps": RopewalkConfig(task_type="CAUSAL_LM"), "low": lora()}
    outer = next(name for name in configs if name != inner)
    ids = tokens(2, 10)
    first = peft.get_peft_model(host("llama"), configs[inner], adapter_name=inner)
    model = peft.get_peft_model(first, configs[outer], adapter_name=outer)
    stir(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name or "ropewalk_" in name)
    model(ids, labels=ids).loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    first.save_pretrained(tmp_path / "a", selected_adapters=[inner])
    model.save_pretrained(tmp_path / "b", selected_adapters=[outer])
    again = peft.PeftModel.from_pretrained(host("llama"), tmp_path / "a" / inner, adapter_name=inner)
    again = peft.PeftModel.from_pretrained(again, tmp_path / "b" / outer, adapter_name=outer)
    with torch.no_grad():
        assert torch.equal(again(ids).logits, model(ids).logits)


def test_generation_and_measuring_through_peft() -> None:
    model = peft.get_peft_model(host("llama"), RopewalkConfig(task_type="CAUSAL_LM"))
    stir(model)
    ids = tokens(1, 6)
    how = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    cached = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **how)
    full = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **how)
    assert torch.equal(cached, full)
    with torch.no_grad():
        output = host_of(model)(ids)
    assert len(output.r) == 2 and all(r.abs().max() > 0 for r in output.r)


def test_the_wrong_base_and_merging_are_refused(tmp_path: Path) -> None:
    model = peft.get_peft_model(host("llama"), RopewalkConfig(task_type="CAUSAL_LM"))
    model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"another base model .its weights differ"):
        peft.PeftModel.from_pretrained(host("llama", seed=3), tmp_path)
    with pytest.raises(UserError, match="cannot be merged"):
        model.merge_and_unload()
    with pytest.raises(UserError, match="unknown parametrization"):
        peft.get_peft_model(host("llama"), RopewalkConfig(parametrization="sigmoid"))
    with pytest.raises(UserError, match="has no increments"):
        host_of(peft.get_peft_model(host("llama"), lora()))
    with pytest.raises(UserError, match="must agree in per"):
        model.add_adapter("other", RopewalkConfig(gap="after"))


def test_two_active_adapters_with_increments_are_refused() -> None:
    model = peft.get_peft_model(host("llama"), RopewalkConfig(task_type="CAUSAL_LM"))
    model.add_adapter("second", RopewalkConfig(task_type="CAUSAL_LM"))
    model.base_model.set_adapter(["default", "second"])
    with pytest.raises(UserError, match="default, second both have increments"):
        model(tokens(1, 4))


def test_target_modules_choose_layers() -> None:
    ids = tokens(1, 8)
    chosen = RopewalkConfig(task_type="CAUSAL_LM", target_modules=["model.layers.1.self_attn"])
    model = peft.get_peft_model(host("llama"), chosen)
    stir(model)
    with torch.no_grad():
        output = host_of(model)(ids)
    assert [str(row) for row in host_of(model).rows] == ["L1"] and len(output.r) == 1
    with pytest.raises(UserError, match="name no module that can have increments"):
        peft.get_peft_model(host("llama"), RopewalkConfig(target_modules=["mlp"]))


def test_loads_with_low_memory_and_merges_lora_beside_it(tmp_path: Path) -> None:
    ids = tokens(1, 8)
    model = peft.get_peft_model(host("llama"), RopewalkConfig(task_type="CAUSAL_LM"))
    stir(model)
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = model(ids).logits
        again = peft.PeftModel.from_pretrained(host("llama"), tmp_path, low_cpu_mem_usage=True)
        assert torch.equal(again(ids).logits, expected)
        both = peft.get_peft_model(again, lora(), adapter_name="low")
        for name, parameter in both.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
        unmerged = both(ids).logits
        both.merge_adapter()
        assert (both(ids).logits - unmerged).abs().max() < 1e-4
        both.unmerge_adapter()
        assert (both(ids).logits - unmerged).abs().max() < 1e-4


def test_settings_are_those_of_increments() -> None:
    from ropewalk import IncrementConfig

    assert RopewalkConfig(per="shared", std=0.5).increments == IncrementConfig(per="shared", std=0.5)


def test_a_graft_and_an_adapter_with_increments_exclude_each_other() -> None:
    from ropewalk.hf import graft

    config = RopewalkConfig(task_type="CAUSAL_LM")
    with pytest.raises(UserError, match="has a PEFT adapter with increments; unload"):
        graft(peft.get_peft_model(host("llama"), config).base_model.model)
    grafted = graft(host("llama"))
    with pytest.raises(UserError, match="already has a graft; detach"):
        peft.get_peft_model(grafted.model, config)


def test_lora_around_the_increments_is_refused() -> None:
    from ropewalk.hf import graft

    model = host("llama")
    graft(model)
    wrapped = peft.get_peft_model(
        model, peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear")
    )
    with pytest.raises(UserError, match="add that adapter first"):
        wrapped(tokens(1, 4))


def test_the_method_is_a_member_of_pefts_enumeration_on_every_python() -> None:
    PeftType = peft.PeftType
    assert PeftType.ROPEWALK is PeftType("ROPEWALK") is PeftType["ROPEWALK"]
    assert "ROPEWALK" in list(PeftType) and "ROPEWALK" in vars(PeftType)  # Python 3.12 looks members up there
    assert pickle.loads(pickle.dumps(PeftType.ROPEWALK)) is PeftType.ROPEWALK
