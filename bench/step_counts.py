"""What a training step asks of a device, counted on a CPU: reads by the CPU, graph breaks, kernels of the compiled graph.

python bench/step_counts.py [--layers N]

Nothing is compiled to machine code: the compiler's output is counted and not run. A GPU's compiler fuses a little
differently, so the kernels are an estimate. Shapes are small; the counts do not depend on them.
"""

from __future__ import annotations

import argparse
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ropewalk.corpus import Corpus
from ropewalk.native.decoder import Decoder
from ropewalk.training import fast_step, loop
from ropewalk.training.distributed import SINGLE_PROCESS
from ropewalk.training.optimizer import Optimizers
from ropewalk.training.recipe import Recipe

READS = {
    "aten._local_scalar_dense.default",
    "aten.item.default",
    "aten.nonzero.default",
    "aten.equal.default",
}
VIEWS = {
    "view",
    "t",
    "transpose",
    "expand",
    "slice",
    "select",
    "unsqueeze",
    "detach",
    "alias",
    "split",
    "as_strided",
    "permute",
}
CALLS = {
    "fused loops": r"^\s+cpp_fused_\w+\(",
    "library calls": r"^\s+(?:extern_kernels\.\w+\(|\w+ = (?:torch\.ops|aten)\.\w+)|^\s+\w+ = torch\.ops\.",
}


class Counts(TorchDispatchMode):
    """Counts operators that start work on a device, and those that make the CPU wait."""

    def __init__(self) -> None:
        super().__init__()
        self.operators = self.reads = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.reads += str(func) in READS
        self.operators += func.overloadpacket.__name__ not in VIEWS
        return func(*args, **(kwargs or {}))


def recipe(layers: int, per_head: bool = False) -> Recipe:
    increments = {"parametrization": "bounded", "per": "layer", "hidden_size": 16, "per_head": per_head}
    shape = {
        "num_layers": layers,
        "hidden_size": 64,
        "num_heads": 8,
        "context_length": 32,
        "increments": increments,
    }
    train = {
        "steps": 50,
        "batch_size": 2,
        "micro_batch_size": 2,
        "precision": "bfloat16",
        "compile": False,
        "device": "cpu",
    }
    return Recipe.model_validate(
        {"corpus": {"sources": [{"builtin": "python"}]}, "model": shape, "train": train}
    )


def made(plan: Recipe) -> tuple[Corpus, Decoder, Optimizers]:
    tokens = np.arange(4000, dtype="<u2") % 257
    model = Decoder(plan.model, seed=0)
    model.compute_dtype = torch.bfloat16
    return Corpus(Path("nowhere"), "none", tokens, tokens, {}), model, Optimizers(model, plan.optimizer)


def ordinary(plan: Recipe) -> dict[str, int]:
    corpus, model, optimizers = made(plan)
    steps = loop.EagerSteps(plan, corpus, model, optimizers, 0, SINGLE_PROCESS)
    steps.advance(1)
    with Counts() as counts:
        steps.advance(1)
    return {"reads by the CPU": counts.reads, "operators": counts.operators}


def fast(plan: Recipe) -> dict[str, int]:
    corpus, model, optimizers = made(plan)
    step = fast_step.FastStep(plan, corpus, model, optimizers, scope="none")
    step.replay()
    with Counts() as counts:
        step.replay()
    with Counts() as passes:
        step.accumulate(step.tokens.windows(step.starts[0]))
    outside = counts.operators - passes.operators
    return {
        "reads by the CPU": counts.reads,
        "operators": counts.operators,
        "operators outside the passes": outside,
    }


def compiled(plan: Recipe) -> dict[str, int]:
    """Kernels of one micro-batch's forward and backward pass, from the compiler's output; graph breaks."""
    import torch._functorch.config as functorch
    from torch._inductor.codecache import CppPythonBindingsCodeCache
    from torch._inductor.graph import GraphLowering

    corpus, model, _ = made(plan)
    model.train()
    windows = torch.from_numpy(corpus.train[:66].astype(np.int64)).view(2, 33)
    explained = torch._dynamo.explain(fast_step.window_loss)(model, windows)
    torch._dynamo.reset()
    codes: list[str] = []
    functorch.force_non_lazy_backward_lowering = True
    GraphLowering.save_output_code = staticmethod(codes.append)  # type: ignore[method-assign]
    CppPythonBindingsCodeCache.load_pybinding_async = classmethod(lambda *_, **__: lambda: None)  # type: ignore[method-assign]
    with (
        torch._inductor.config.patch(fx_graph_cache=False),
        suppress(TypeError),
    ):  # a kernel that was not built
        torch.compile(fast_step.window_loss, fullgraph=True, dynamic=False)(model, windows)
    text = "\n".join(codes)
    calls = {name: len(re.findall(pattern, text, re.MULTILINE)) for name, pattern in CALLS.items()}
    return {
        "graph breaks": explained.graph_break_count,
        "graphs": explained.graph_count,
        "compiled": len(codes),
        **calls,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=6)
    words = parser.parse_args()
    torch.set_num_threads(1)
    found = {
        "layers": words.layers,
        "torch": torch.__version__,
        "ordinary, per-layer": ordinary(recipe(words.layers)),
        "ordinary, per-head": ordinary(recipe(words.layers, per_head=True)),
        "fast, per-layer": fast(recipe(words.layers)),
        "fast, per-head": fast(recipe(words.layers, per_head=True)),
        "compiled, one micro-batch": compiled(recipe(words.layers)),
    }
    path = Path(__file__).parent / "results" / "step_counts.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
