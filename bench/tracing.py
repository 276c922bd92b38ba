"""Tracing 2,000 bytes: increments, surprisal and entropies of every byte, against a bare pass over the same windows.

python bench/tracing.py [--rounds N] [--busy] [--device cuda]
"""

from __future__ import annotations

import contestants
import harness
import torch
from transformers import LlamaForCausalLM

from ropewalk.measure import capture
from ropewalk.traces import builder

BYTES = 2_000
BASE = "Hugging Face Llama, logits only"


def main() -> None:
    harness.refuse_if_busy()
    text = ("The quick brown fox jumps over the lazy dog. " * BYTES)[:BYTES]
    tokens = torch.tensor([list(text.encode())], device=harness.DEVICE)
    context = contestants.SHAPE["context_length"]
    llama = LlamaForCausalLM(contestants.llama_config(**contestants.SHAPE)).to(harness.DEVICE).eval()

    @torch.inference_mode()
    def bare() -> None:
        for first, _, last in builder.windows(BYTES, context):
            llama(tokens[:, first:last], use_cache=False).logits.cpu()

    runs = {BASE: bare}
    for name, parametrization in contestants.PARAMETRIZATIONS.items():
        model = contestants.decoder(parametrization).to(harness.DEVICE).eval()
        runs[name] = lambda model=model: capture.trace(model, text)
    table = harness.interleave(
        f"tracing {BYTES} bytes, float32", runs, base=BASE, rounds=15, work=dict.fromkeys(runs, BYTES)
    )
    harness.report(
        "tracing",
        {
            "tables": {f"{BYTES} bytes, float32 (per second: bytes)": table},
            "targets": [["per-layer, seconds", table["per-layer"]["seconds"], "<=", 0.315]],
        },
    )


if __name__ == "__main__":
    main()
