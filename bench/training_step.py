"""One training step (forward, backward, clip, AdamW) of the published model, against a plain Hugging Face Llama.

python bench/training_step.py [--rounds 15] [--busy]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import harness
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ropewalk import execution, loss
from ropewalk.decoder import Decoder, DecoderConfig
from ropewalk.increments import IncrementConfig
from ropewalk.optimizer import OptimizerConfig, Optimizers

WINDOWS, CONTEXT = 4, 512
LAWS = {
    "integer RoPE": IncrementConfig(law="unit"),
    "shared": IncrementConfig(law="positive", per="shared"),
    "per-layer": IncrementConfig(law="bounded", per="layer"),
    "per-layer, per-head": IncrementConfig(law="bounded", per="layer", lines="key_head"),
}


def native(increments: IncrementConfig, batch: torch.Tensor) -> Callable[[], None]:
    """A step as `ropewalk train` does it."""
    plan, notes = execution.plan()
    for note in notes:
        print(note)
    model = Decoder(DecoderConfig(increments=increments), seed=0)
    optimizers = Optimizers(model, OptimizerConfig())
    execution.apply(plan, model).train()

    def step() -> None:
        loss.nats(model(batch[:, :-1]).logits, batch[:, 1:]).backward()
        optimizers.step(1.0)

    return step


def llama(batch: torch.Tensor) -> Callable[[], None]:
    """The same shape as most people would train it: bf16 autocast, eager."""
    shape = LlamaConfig(
        vocab_size=257,
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=8,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
    )
    model = LlamaForCausalLM(shape).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(batch[:, :-1], use_cache=False).logits
        loss.nats(logits, batch[:, 1:]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--busy", action="store_true")
    rounds = parser.parse_args().rounds
    harness.refuse_if_busy()
    batch = torch.randint(0, 256, (WINDOWS, CONTEXT + 1), generator=torch.Generator().manual_seed(0))
    variants = {"Hugging Face Llama": llama(batch)} | {name: native(law, batch) for name, law in LAWS.items()}
    against_llama = harness.interleave("training step", variants, base="Hugging Face Llama", rounds=rounds)
    del variants["Hugging Face Llama"]
    against_integer = harness.interleave("price of increments", variants, base="integer RoPE", rounds=rounds)
    harness.report("training_step", {"against_llama": against_llama, "against_integer": against_integer})


if __name__ == "__main__":
    main()
