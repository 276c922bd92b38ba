"""Peak memory of a training step against the context, each in a process of its own.

python bench/memory.py [--device cuda]

A micro-batch holds about 8,192 tokens whatever the context, as in `ropewalk train`; the peak is the whole process's.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import contestants
import harness
import torch

from ropewalk.core import loss
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder
from ropewalk.training import execution
from ropewalk.training.optimizer import OptimizerConfig, Optimizers

CONTEXTS = (512, 1024, 2048, 4096)
TOKENS = 8_192


def peak(context: int) -> float:
    """Bytes at most in use during three steps of one micro-batch."""
    batch = torch.randint(0, 256, (TOKENS // context, context + 1), device=harness.DEVICE)
    model = Decoder(
        DecoderConfig(context_length=context, increments=contestants.PARAMETRIZATIONS["per-layer"]), seed=0
    )
    execution.apply_plan(execution.plan_execution(harness.DEVICE)[0], model).train()
    optimizers = Optimizers(model, OptimizerConfig())
    for _ in range(3):
        loss.nats(model(batch[:, :-1]).logits, batch[:, 1:]).backward()
        optimizers.step(1.0)
    if harness.DEVICE == "cuda":
        return float(torch.cuda.max_memory_allocated())
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    if "--context" in sys.argv:
        print(json.dumps(peak(int(sys.argv[sys.argv.index("--context") + 1]))))
        return
    rows = {}
    for context in CONTEXTS:
        command = [sys.executable, *sys.argv, "--context", str(context)]
        content = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        rows[f"context {context}"] = {"gigabytes": json.loads(content.splitlines()[-1]) / 1e9}
        print(f"context {context}: {rows[f'context {context}']['gigabytes']:.2f} GB", flush=True)
    most = rows[f"context {CONTEXTS[-1]}"]["gigabytes"]
    harness.report(
        "memory",
        {
            "tables": {"peak of a step, per-layer, 8,192 tokens": rows},
            "targets": [["context 4,096, gigabytes", most, "<=", 8.0]],
        },
    )


if __name__ == "__main__":
    main()
