"""Greedy decoding of 200 bytes: with the memory of earlier bytes, without it, and as Hugging Face does it.

python bench/decoding.py [--rounds N] [--busy] [--device cuda]
"""

from __future__ import annotations

import contestants
import floors
import harness
import peaks
import torch
from transformers import LlamaForCausalLM

from ropewalk.native import generate
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder

BYTES = 200
PROMPT = [256, *b"The rope "]
UNCACHED, CACHED = "per-layer, uncached", "per-layer"
CALLS, PRODUCTS = "floor: calls, per-layer 16 wide", "floor: products alone"


@torch.inference_mode()
def without_memory(model: Decoder) -> None:
    tokens = torch.tensor([PROMPT], device=harness.DEVICE)
    for _ in range(BYTES):
        tokens = torch.cat([tokens, model(tokens).logits[:, -1:].argmax(-1)], 1)


def main() -> None:
    harness.refuse_if_busy()
    parametrization = contestants.PARAMETRIZATIONS[CACHED]
    thin = (
        Decoder(DecoderConfig(hidden_size=16, intermediate_size=16, increments=parametrization), seed=0)
        .to(harness.DEVICE)
        .eval()
    )
    models = {
        name: contestants.decoder(parametrization).to(harness.DEVICE).eval()
        for name, parametrization in contestants.PARAMETRIZATIONS.items()
    }
    llama = LlamaForCausalLM(contestants.llama_config(**contestants.SHAPE)).to(harness.DEVICE).eval()
    tokens = torch.tensor([PROMPT], device=harness.DEVICE)
    asked = {"max_new_tokens": BYTES, "min_new_tokens": BYTES, "do_sample": False, "pad_token_id": 0}
    mask = torch.ones_like(tokens)
    limits, work = peaks.variants()
    runs = {peaks.COPY: limits[peaks.COPY], UNCACHED: lambda: without_memory(models[CACHED])}
    runs |= {
        name: lambda model=model: generate.generate(model, [PROMPT], length=BYTES)
        for name, model in models.items()
    }
    runs[PRODUCTS] = floors.vectors(BYTES)
    runs[CALLS] = lambda: generate.generate(thin, [PROMPT], length=BYTES)
    runs["Hugging Face Llama, its cache"] = lambda: llama.generate(tokens, attention_mask=mask, **asked)
    weights = 4.0 * sum(p.numel() for p in models["integer RoPE"].parameters())
    work |= {name: weights * BYTES for name in runs if name not in (peaks.COPY, CALLS, PRODUCTS)}
    table = harness.interleave(
        f"decoding {BYTES} bytes, float32",
        runs,
        base=UNCACHED,
        rounds=12,
        warm=1,
        work=work,
        limits=dict.fromkeys(models, peaks.COPY),
    )
    cached, products, calls = (table[name]["ratio"] for name in (CACHED, PRODUCTS, CALLS))
    harness.report(
        "decoding",
        {
            "findings": [
                f"Of the uncached pass, the products of a vector with every matrix take {products:.3f} by themselves, "
                f"and the calls of a step with almost nothing to compute, those of a model 16 wide, {calls:.3f}: "
                f"together {products + calls:.3f}, and per-layer decoding takes {cached:.3f}."
            ],
            "tables": {f"{BYTES} bytes, float32 (per second: bytes of weights read)": table},
            "targets": [["cached over uncached", table[CACHED]["ratio"], "<=", 0.10]],
        },
    )


if __name__ == "__main__":
    main()
