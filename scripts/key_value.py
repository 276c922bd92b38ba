"""The published look-up task: 16 pairs of a key and a value, one question, the loss on the answer alone.

    OMP_NUM_THREADS=1 python scripts/key_value.py runs/key-value
    OMP_NUM_THREADS=1 python scripts/key_value.py runs/key-value --variants rope increments --seeds 42 43 --minutes 20

A sequence is k v (16 times), a separator, a key; the answer is that key's value. Keys are 16 different ones of 32, values any
of 32, so chance is 1 in 32. 128 wide, 4 heads, 4 layers, 20,000 steps of 128 fresh sequences, AdamW at 3e-4 with 500 steps of
warm-up and a cosine, as published; accuracy on 2,000 sequences of another seed. Different here: RMSNorm, SwiGLU and N(0, 0.02)
in place of LayerNorm, GELU and PyTorch's initialization, and the paper's PoPE in place of the published reading of it.

`experiments/lookup.py` is another task: several steps, loss on everything, byte models. The same command continues.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ropewalk.analyses.result import Chart, Result
from ropewalk.core.increment_config import IncrementConfig
from ropewalk.native import checkpoint
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder
from ropewalk.system.files import write_atomically
from ropewalk.training.execution import apply_plan, plan_execution
from ropewalk.training.optimizer import OptimizerConfig, Optimizers, rate_fraction

PAIRS, VALUES = 16, 32
SEPARATOR = VALUES
LENGTH = 2 * PAIRS + 2
HELD_OUT = 2_000
VARIANTS = {
    "rope": ("rope", IncrementConfig(parametrization="integer")),
    "increments": ("rope", IncrementConfig(parametrization="positive", per="shared", init="random")),
    "per-layer increments": ("rope", IncrementConfig(parametrization="bounded", init="random")),
    "pope": ("pope", IncrementConfig(parametrization="integer")),
    "pope, increments": ("pope", IncrementConfig(parametrization="positive", per="shared", init="random")),
}
PUBLISHED = {"rope": 0.903, "increments": 0.926, "pope": 0.854, "pope, increments": 0.849}
SAVE_MINUTES = 2.0


def sequences(seed: int, step: int, size: int) -> tuple[Tensor, Tensor]:
    """`size` sequences (size, LENGTH) and their answers (size,), of one seed and step."""
    stream = torch.Generator().manual_seed(seed * 1_000_003 + step)
    keys = torch.rand(size, VALUES, generator=stream).argsort(1)[:, :PAIRS]
    values = torch.randint(VALUES, (size, PAIRS), generator=stream)
    asked = torch.randint(PAIRS, (size, 1), generator=stream)
    pairs = torch.stack([keys, values], 2).flatten(1)
    question = torch.cat([torch.full((size, 1), SEPARATOR), keys.gather(1, asked)], 1)
    return torch.cat([pairs, question], 1), values.gather(1, asked)[:, 0]


def answers(model: Decoder, tokens: Tensor) -> Tensor:
    """Logits (B, V) of the token after a sequence."""
    position_ids = torch.arange(LENGTH).expand(tokens.shape)
    x, _ = model.run_layers(tokens, position_ids)
    return F.linear(model.norm(x[:, -1]).float(), model.embedding)


@torch.no_grad()
def accuracy(model: Decoder, seed: int) -> tuple[float, float]:
    """Share of held-out answers that are right, and their loss in nats."""
    tokens, answer = sequences(seed + 999, 0, HELD_OUT)
    logits = torch.cat([answers(model.eval(), part) for part in tokens.split(250)])
    return float((logits.argmax(1) == answer).float().mean()), float(F.cross_entropy(logits, answer))


def train(name: str, seed: int, folder: Path, options: argparse.Namespace) -> bool:
    """Trains until the end or until the minutes are over; whether it is at its end."""
    encoding, increments = VARIANTS[name]
    shape = DecoderConfig(
        vocab_size=VALUES + 2, context_length=LENGTH, hidden_size=options.width, num_heads=4, num_layers=4,
        encoding=encoding, increments=increments,
    )  # fmt: skip
    model = Decoder(shape, seed=seed)
    config = OptimizerConfig(lr=3e-4, warmup=500, clip=1e9)
    optimizers = Optimizers(model, config)
    step, curve = 0, list[dict[str, float]]()
    if (folder / checkpoint.TRAINING).exists():
        weights, moments, state = checkpoint.read_training(folder, model)
        model.load_state_dict(weights)
        optimizers.restore(moments)
        step, curve = state["step"], state["curve"]
    plan, _ = plan_execution("cpu", compile=options.compile)
    apply_plan(plan, model)
    saved = time.monotonic()
    while step < options.steps:
        tokens, answer = sequences(seed, step, options.batch)
        F.cross_entropy(answers(model.train(), tokens), answer).backward()
        optimizers.step(rate_fraction(config, step, options.steps))
        step += 1
        done = step == options.steps
        if step % options.every == 0 or done:
            right, loss = accuracy(model, seed)
            curve.append({"step": step, "accuracy": right, "loss": loss})
            print(f"{name}, seed {seed}, step {step:,}: {right:.1%}, {loss:.3f} nats", flush=True)
        if done or time.monotonic() - saved > 60 * SAVE_MINUTES:
            state = {"step": step, "curve": curve}
            provenance = {"name": name, "seed": seed, "steps": options.steps, "batch": options.batch}
            checkpoint.save_decoder(folder, model, provenance, training=(optimizers.state(), state))
            saved = time.monotonic()
            if saved > options.until and not done:
                return False
    return True


def table(folder: Path, options: argparse.Namespace) -> Result:
    """What is trained so far, beside the published accuracies."""
    rows = []
    for name in VARIANTS:
        for path in sorted(folder.glob(f"{name} */{checkpoint.TRAINING}")):
            last = json.loads(path.read_text(encoding="utf-8"))["curve"]
            if last and last[-1]["step"] == options.steps:
                seed = int(path.parent.name.rpartition(" ")[2])
                rows.append({"variant": name, "seed": seed, **last[-1], "published": PUBLISHED.get(name)})
    return Result(
        "key-value",
        "The published key-value task: accuracy on held-out questions",
        {
            "variant": "positions",
            "seed": "seed",
            "step": "steps",
            "accuracy": "accuracy",
            "loss": "loss, nats",
            "published": "published accuracy",
        },
        tuple(rows),
        chart=Chart("bars", "variant", "accuracy", by="seed", base=1 / VALUES),
        notes=(
            f"Batches of {options.batch}, {options.width} wide; {HELD_OUT:,} held-out sequences; chance is {1 / VALUES:.3f}. One "
            "number for each seed, no verdict. RMSNorm, SwiGLU and the paper's PoPE in place of the published LayerNorm, GELU "
            "and reading of PoPE.",
        ),
        command="python scripts/key_value.py FOLDER",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--every", type=int, default=1_000, help="steps between measurements")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after the next checkpoint")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    options.until = time.monotonic() + 60 * options.minutes
    for seed in options.seeds:
        for name in options.variants:
            if not train(name, seed, options.folder / f"{name} {seed}", options):
                return
    result = table(options.folder, options)
    write_atomically(options.folder / "key-value.json", json.dumps(result.to_json(), indent=1).encode())
    write_atomically(options.folder / "key-value.md", result.markdown().encode())
    print(result.markdown())


if __name__ == "__main__":
    main()
