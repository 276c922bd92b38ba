"""A training step of a grafted 12-layer Hugging Face Llama, against the same host without increments: of the width
of GPT-2 small, and of the width of the post's model, where an increment network is a larger part of a layer.

python bench/graft_step.py [--rounds N] [--busy] [--device cuda]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import contestants
import harness
import torch
from transformers import LlamaForCausalLM

import ropewalk.hf
from ropewalk.system import allocator

COMMON = {"vocab_size": 257, "num_layers": 12, "context_length": 512}
SHAPES = {
    "12 layers, 768 wide, 2 windows of 512 tokens": (
        {"hidden_size": 768, "num_heads": 12, "intermediate_size": 2048},
        2,
    ),
    "12 layers, 256 wide, 8 windows of 512 tokens": (
        {"hidden_size": 256, "num_heads": 8, "intermediate_size": 1024},
        8,
    ),
}
BASE = "host alone"


def step(host: Any, batch: torch.Tensor, **how: str) -> contestants.Step:
    """One step of every weight of a fresh host, under bf16 autocast; with increments where `how` says which."""
    host = host.to(harness.DEVICE).train()
    model = ropewalk.hf.graft(host, **how) if how else None  # its increments are children of the host
    run = model or (lambda tokens: host(tokens, use_cache=False))
    optimizer = torch.optim.AdamW(host.parameters(), lr=1e-3, fused=True)

    def once() -> None:
        with torch.autocast(harness.DEVICE, torch.bfloat16):
            logits = run(batch[:, :-1]).logits
        contestants.loss.nats(logits, batch[:, 1:]).backward()
        torch.nn.utils.clip_grad_norm_(host.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return once


def compare(title: str, host: Callable[[], Any], batch: torch.Tensor) -> dict[str, harness.Row]:
    """The times of a step of the host alone and with each kind of increments; `host` makes a fresh one."""
    runs = {
        BASE: step(host(), batch),
        "shared": step(host(), batch, parametrization="positive", per="shared"),
        "per-layer": step(host(), batch, parametrization="bounded", per="layer"),
    }
    return harness.interleave(f"grafted, {title}", runs, base=BASE, rounds=12, warm=1)


def main() -> None:
    harness.refuse_if_busy()
    if harness.DEVICE == "cpu":
        allocator.keep_all_freed_memory()  # as ropewalk graft-train does
    tables = {}
    for title, (shape, windows) in SHAPES.items():
        batch = contestants.text()[:windows]
        config = contestants.llama_config(**COMMON, **shape)
        tables[title] = compare(title, partial(LlamaForCausalLM, config), batch)
    harness.report("graft_step", {"tables": tables})


if __name__ == "__main__":
    main()
