"""What people train with: checkpointing, packing, attention implementations, compilation, casts, Trainer."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from families import host, perturb, tokens

from ropewalk.errors import UserError
from ropewalk.hf import graft


def gradients(model: Any, grafted: Any, ids: torch.Tensor) -> list[torch.Tensor]:
    model.zero_grad()
    model(ids, labels=ids, use_cache=False).loss.backward()
    return [p.grad.clone() for p in grafted.parameters()]


def checkpointed(model: Any, reentrant: bool) -> None:
    """Turns gradient checkpointing on under whichever name this transformers has for it."""
    word = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    kwargs = {f"{word}_checkpointing_kwargs": {"use_reentrant": reentrant}}
    getattr(model, f"{word}_checkpointing_enable")(**kwargs)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("per", ["layer", "shared"])
@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt_neox", "llama4", "qwen3_next"])
def test_gradient_checkpointing_is_exact(name: str, per: Any, reentrant: bool) -> None:
    model, ids = host(name), tokens(2, 10)
    grafted = graft(model, per=per)
    perturb(grafted)
    model.train()
    plain = gradients(model, grafted, ids)
    checkpointed(model, reentrant=reentrant)
    if per == "shared" and reentrant:
        with pytest.raises(UserError, match="reentrant"):
            gradients(model, grafted, ids)
        return
    if reentrant:
        model.enable_input_require_grads()
    for got, expected in zip(gradients(model, grafted, ids), plain, strict=True):
        assert torch.allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_two_forwards_before_a_backward_do_not_mix() -> None:
    model, grafted = host("llama4"), None
    grafted = graft(model)
    perturb(grafted)
    model.train()
    short, long = tokens(1, 6), tokens(1, 9, seed=2)
    expected = [
        a + b for a, b in zip(gradients(model, grafted, short), gradients(model, grafted, long), strict=True)
    ]
    checkpointed(model, reentrant=False)
    model.zero_grad()
    losses = [model(ids, labels=ids, use_cache=False).loss for ids in (short, long)]
    (losses[0] + losses[1]).backward()
    for parameter, sum_ in zip(grafted.parameters(), expected, strict=True):
        assert torch.allclose(parameter.grad, sum_, rtol=1e-4, atol=1e-6)


def test_edits_under_checkpointing_are_refused() -> None:
    model = host("llama")
    grafted = graft(model)
    model.train()
    checkpointed(model, reentrant=False)
    with pytest.raises(UserError, match="disable checkpointing"):
        grafted(tokens(1, 4), edit=lambda row, d: d)


@pytest.mark.parametrize("per", ["layer", "shared"])
@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt_neox", "mistral"])
def test_packed_documents_are_separate_documents(name: str, per: Any) -> None:
    model, ids = host(name), tokens(1, 24)
    perturb(graft(model, per=per))
    sizes = (9, 7, 8)
    n = torch.cat([torch.arange(size) for size in sizes])[None]
    with torch.no_grad():
        apart = torch.cat([model(part, use_cache=False).logits for part in ids.split(sizes, 1)], 1)
        packed = model(ids, position_ids=n, use_cache=False).logits
    assert (packed - apart).abs().max() < 1e-4


@pytest.mark.parametrize("per", ["layer", "shared"])
def test_attention_implementations_agree(per: Any) -> None:
    logits = []
    for attention in ("eager", "sdpa", "flex_attention"):
        model = host("llama", attention=attention)
        perturb(graft(model, per=per))
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # flex attention says that it runs uncompiled
            logits.append(model(tokens(2, 16), use_cache=False).logits)
    assert (logits[0] - logits[1]).abs().max() < 2e-5
    assert (logits[0] - logits[2]).abs().max() < 2e-5


@pytest.mark.parametrize("per", ["layer", "shared"])
def test_compiles_without_graph_breaks(per: Any) -> None:
    model, ids = host("llama"), tokens(1, 8)
    perturb(graft(model, per=per))
    torch.compiler.reset()
    compiled = torch.compile(lambda x: model(x, use_cache=False).logits, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(ids), model(ids, use_cache=False).logits, atol=1e-5)
    torch.compiler.reset()


def test_bfloat16_hosts_learn_small_steps() -> None:
    model, ids = host("llama").to(torch.bfloat16), tokens(2, 10)
    grafted = graft(model).freeze_base()
    model.train()
    outer: list[Any] = [
        parametrization.parametrization.output.weight for parametrization in grafted.increment_modules
    ]
    optimizer = torch.optim.SGD(grafted.parameters(), lr=1e-7)
    model(ids, labels=ids, use_cache=False).loss.backward()
    assert all(p.grad.dtype == torch.float32 for p in grafted.parameters())
    optimizer.step()
    assert all(0 < weight.abs().max() < 1e-6 for weight in outer)


@pytest.mark.parametrize("per", ["layer", "shared"])
def test_trainer_trains_saves_and_reloads(per: Any, tmp_path: Path) -> None:
    from transformers import Trainer, TrainingArguments

    model = host("llama")
    grafted = graft(model, per=per).freeze_base()
    data = [{"input_ids": row, "labels": row} for row in tokens(8, 12)]
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=2,
        per_device_train_batch_size=4,
        learning_rate=0.05,
        save_steps=2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    checkpointed(model, reentrant=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Trainer says about pinned memory on a CPU
        Trainer(model=model, args=arguments, train_dataset=data).train()
    model.eval()
    ids = tokens(1, 12)
    with torch.no_grad():
        trained = grafted(ids)
        assert (torch.cat(trained.r, 2)).abs().max() > 1e-3
        from safetensors.torch import load_file

        again = host("llama", seed=4)
        graft(again, per=per)
        left = again.load_state_dict(load_file(tmp_path / "checkpoint-2" / "model.safetensors"), strict=False)
        assert not left.unexpected_keys
        assert torch.equal(again(ids).logits, trained.logits)
