"""A training step of a grafted 12-layer Hugging Face Llama, against the same host without increments.

python bench/graft_step.py [--rounds N] [--busy] [--device cuda]
"""

from __future__ import annotations

import contestants
import harness
import torch
from transformers import LlamaForCausalLM

import ropewalk.hf

SHAPE = {"vocabulary": 257, "width": 256, "heads": 8, "layers": 12, "inner": 1024, "context": 512}
WINDOWS = 8
BASE = "host alone"


def step(batch: torch.Tensor, **how: str) -> contestants.Step:
    """One step of every weight, under bf16 autocast."""
    host = LlamaForCausalLM(contestants.llama_config(**SHAPE)).to(harness.DEVICE).train()
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


def main() -> None:
    harness.refuse_if_busy()
    batch = contestants.text()[:WINDOWS]
    runs = {
        BASE: step(batch),
        "shared": step(batch, law="positive", per="shared"),
        "per-layer": step(batch, law="bounded", per="layer"),
    }
    table = harness.interleave("step of a grafted host", runs, base=BASE, rounds=8, warm=1)
    harness.report("graft_step", {"tables": {"12 layers, 8 windows of 512 tokens": table}})


if __name__ == "__main__":
    main()
