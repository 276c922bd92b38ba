"""Every option of a training step on a GPU: its distance from the CPU's step, and its speed. Used by `gpu_lease.py`.

    python scripts/gpu_steps.py parity --options '["compiled, graph"]' --out OUT [--tiny]

Appends one line for each option to OUT/.parity.jsonl or OUT/.bench.jsonl. Ends after a failure of the GPU itself, which
spoils a process; the caller starts another one for the rest.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PEAKS = {
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
}  # dense bfloat16 operations per second, by name of the card
INCREMENTS = {
    "per-layer": {"parametrization": "bounded", "per": "layer"},
    "shared": {"parametrization": "positive", "per": "shared"},
    "rope": {"parametrization": "integer"},
}
SHAPE = {
    "tiny": {
        "context_length": 32,
        "hidden_size": 16,
        "num_heads": 2,
        "num_layers": 2,
        "intermediate_size": 32,
    },
    "full": {},
}
BATCH = {"tiny": 4, "full": 64}
PARITY_STEPS = 3
OTHERS = ("Hugging Face Llama, compiled layers", "plain decoder, complex rotary")
"""The same shape as other people train it, for the bench."""

# In the order in which they are tried: what the recipe is most likely to use comes first.
OPTIONS: dict[str, dict[str, Any]] = {
    "float32, eager": {
        "scope": "none",
        "precision": "float32",
        "capture": False,
        "parts": 2,
        "tolerance": 1e-4,
    },
    "compiled, graph, one part": {"scope": "model", "parts": 1},
    "compiled, graph": {"scope": "model", "parts": 2},
    "eager, graph": {"scope": "none", "parts": 2},
    "compiled, graph, cudnn": {"scope": "model", "parts": 2, "attention": "cudnn"},
    "compiled, graph, flash": {"scope": "model", "parts": 2, "attention": "flash"},
    "compiled, graph, one part, cudnn": {"scope": "model", "parts": 1, "attention": "cudnn"},
    "compiled, graph, per-head": {"scope": "model", "parts": 2, "per_head": True},
    "compiled, graph, forget gate": {"scope": "model", "parts": 2, "decay": "forget"},
    "compiled, no graph": {"scope": "model", "capture": False, "parts": 2},
    "layers, graph": {"scope": "layers", "parts": 2},
    "eager": {"scope": "none", "capture": False, "parts": 2},
}
TINY_OPTIONS = ["float32, eager", "eager, graph", "compiled, graph"]
DEFAULTS = {
    "precision": "bfloat16",
    "capture": True,
    "attention": "auto",
    "per_head": False,
    "decay": None,
    "tolerance": 5e-2,
}


def size_of(tiny: bool) -> str:
    return "tiny" if tiny else "full"


def recipe_of(
    option: dict[str, Any], tiny: bool, increments: str = "per-layer", batch: int | None = None
) -> Any:
    """The recipe of an option: that of the published model, clipping off so that gradients can be compared."""
    from ropewalk.training.recipe import Recipe

    size = size_of(tiny)
    windows = batch or BATCH[size]
    return Recipe.model_validate(
        {
            "corpus": {"sources": [{"builtin": "python"}]},
            "model": {**SHAPE[size], "decay": option["decay"], "increments": {**INCREMENTS[increments], "init": "random", "per_head": option["per_head"] and increments == "per-layer"}},
            "optimizer": {"clip": 1e9, "warmup": 2},
            "train": {
                "steps": 1000, "batch_size": windows, "micro_batch_size": max(1, windows // option["parts"]),
                "precision": option["precision"], "log_every": 100, "validation_tokens": 1000,
            },
        }
    )  # fmt: skip


def step_of(option: dict[str, Any], tiny: bool, device: str = "auto") -> Any:
    """A fast step as an option describes it, over random tokens."""
    import numpy as np

    from ropewalk.corpus import Corpus
    from ropewalk.native.decoder import Decoder
    from ropewalk.training import execution
    from ropewalk.training.fast_step import FastStep
    from ropewalk.training.optimizer import Optimizers

    recipe = recipe_of(option, tiny, option["increments"])
    tokens = np.random.default_rng(3).integers(0, 257, 200_000).astype("<u2")
    corpus = Corpus(Path("nowhere"), "none", tokens, tokens[:20_000], {})
    layers = option["scope"] == "layers"
    plan, _ = execution.plan_execution(device, option["precision"], compile=layers, graphs=not layers)
    model = execution.apply_plan(plan, Decoder(recipe.model, seed=7))
    optimizers = Optimizers(model, recipe.optimizer)
    keys = ("scope", "attention", "capture")
    return FastStep(recipe, corpus, model, optimizers, **{key: option[key] for key in keys})


def trajectory(step: Any) -> tuple[Any, list[float], list[list[float]]]:
    """The gradient of the first step, and the losses and mean increments of the first few."""
    import torch

    step.replay()
    grads = [
        p.grad.detach().float().flatten().cpu() for p in step.optimizers.named.values() if p.grad is not None
    ]
    for _ in range(PARITY_STEPS - 1):
        step.replay()
    results = step.read(PARITY_STEPS)
    return (
        torch.cat(grads),
        [r.loss for r in results],
        [[row["mean"] for row in r.increments] for r in results],
    )


def reference(option: dict[str, Any], tiny: bool, out: Path) -> tuple[Any, list[float], list[list[float]]]:
    """The trajectory on the CPU, eager and in float32; kept in files for other options of the same model."""
    from safetensors.torch import load_file, save_file

    kind = f"{option['increments']}-{option['per_head']}-{option['decay']}"
    path = out / f".reference-{kind}.safetensors"
    if not path.exists():
        plain = {**option, "scope": "none", "precision": "float32", "capture": False, "attention": "auto"}
        gradient, losses, means = trajectory(step_of(plain, tiny, device="cpu"))
        path.with_suffix(".json").write_text(json.dumps([losses, means]))
        save_file({"gradient": gradient}, path)
    losses, means = json.loads(path.with_suffix(".json").read_text())
    return load_file(path)["gradient"], losses, means


def parity(option: dict[str, Any], tiny: bool, out: Path) -> dict[str, Any]:
    """Distances of an option's trajectory from the reference, and whether they are small enough."""
    expected, losses, means = reference(option, tiny, out)
    gradient, own_losses, own_means = trajectory(step_of(option, tiny))
    tolerance = option["tolerance"]
    found = {
        "gradient": float((gradient - expected).norm() / expected.norm()),
        "loss": max(abs(a - b) for a, b in zip(own_losses, losses, strict=True)),
        "increments": max(abs(a - b) for own, other in zip(own_means, means, strict=True) for a, b in zip(own, other, strict=True)),
    }  # fmt: skip
    return {**found, "passed": all(value < tolerance for value in found.values())}


def bench(option: dict[str, Any], tiny: bool, out: Path) -> dict[str, Any]:
    """Seconds, bytes per second, model FLOPs utilization and peak memory of an option's step, after its warm-up."""
    import torch

    if name := option.get("other"):
        step, recipe = other_step(name), recipe_of({**DEFAULTS, "parts": 1}, tiny)
    else:
        fast = step_of(option, tiny)
        step, recipe = fast.replay, fast.recipe
    gpu = torch.cuda.is_available()
    times = timed(step, *((2, 3) if tiny else (5, 40)))
    seconds = sorted(times)[len(times) // 2]
    tokens = recipe.train.batch_size * recipe.model.context_length
    rate = operations(recipe.model) * tokens / seconds
    card = torch.cuda.get_device_name() if gpu else "CPU"
    peak = next((value for key, value in PEAKS.items() if key in card), None)
    return {
        "seconds": seconds, "spread": [min(times), max(times)], "bytes_per_second": tokens / seconds,
        "operations_per_second": rate, "mfu": peak and rate / peak,
        "peak_memory": torch.cuda.max_memory_allocated() if gpu else None, "largest_costs": costs(step) if gpu else {},
    }  # fmt: skip


def timed(step: Callable[[], None], rounds: int, count: int) -> list[float]:
    """Seconds of a step in each of some rounds of `count` steps, after a warm-up."""
    import torch

    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    for _ in range(5):
        step()
    times = []
    for _ in range(rounds):
        wait()
        began = time.perf_counter()
        for _ in range(count):
            step()
        wait()
        times.append((time.perf_counter() - began) / count)
    return times


def other_step(name: str) -> Callable[[], None]:
    """A step of somebody else's model, as bench/contestants.py describes it."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
    import contestants

    batch = contestants.text()
    made: Callable[[], None] = (
        contestants.llama(batch, True) if name == OTHERS[0] else contestants.plain(batch, True, False)
    )
    return made


def operations(model: Any) -> float:
    """Floating-point operations of a training step per token: 6 per matrix weight, and causal attention."""
    width = model.hidden_size
    weights = model.num_layers * (4 * width**2 + 3 * width * model.mlp_size) + model.vocab_size * width
    return 6.0 * (weights + model.num_layers * model.context_length * width)


def costs(step: Callable[[], None]) -> dict[str, float]:
    """The ten kernels that take most of a step, in seconds, and how many kernels a step has."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(3):
            step()
        torch.cuda.synchronize()
    events = sorted(profiled.key_averages(), key=lambda event: -event.self_device_time_total)
    found = {event.key[:80]: event.self_device_time_total / 3e6 for event in events[:10]}
    return {**found, "kernels": sum(event.count for event in events) / 3}


def work(kind: str, names: list[str], tiny: bool, out: Path) -> None:
    """Runs options one by one and appends each result to OUT/.KIND.jsonl; ends after a failure of the GPU itself."""
    run: Callable[..., dict[str, Any]] = {"parity": parity, "bench": bench}[kind]
    for name in names:
        began, broken = time.monotonic(), False
        try:
            forget_the_last()
            result = run(option_of(name, tiny), tiny, out)
        except Exception as error:  # whatever the compiler or the driver says is a result
            result = {"passed": False, "failed": f"{type(error).__name__}: {str(error).strip()[:300]}"}
            broken = "CUDA error" in str(error) or type(error).__name__ == "AcceleratorError"
        with (out / f".{kind}.jsonl").open("a") as file:
            file.write(json.dumps({"name": name, **result, "took": time.monotonic() - began}) + "\n")
        if broken:
            return


def forget_the_last() -> None:
    """Forgets compiled functions and memory: another option must not run what was compiled for this one, nor count it."""
    import torch

    torch._dynamo.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def option_of(name: str, tiny: bool) -> dict[str, Any]:
    """An option by name; "NAME / INCREMENTS" for other increments than per-layer. Tiny ones are exact: in float32."""
    if name in OTHERS:
        return {"other": name}
    base, _, increments = name.partition(" / ")
    option = {**DEFAULTS, **OPTIONS[base], "increments": increments or "per-layer"}
    return {**option, "precision": "float32", "tolerance": 1e-3} if tiny else option


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("parity", "bench"))
    parser.add_argument("--options", required=True, help="a JSON list of their names")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true")
    words = parser.parse_args()
    work(words.kind, json.loads(words.options), words.tiny, words.out)


if __name__ == "__main__":
    main()
