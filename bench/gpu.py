"""Every option of a training step on a GPU: compiled or not, CUDA graphs, fused rotary, micro-batches, parametrizations.

python bench/gpu.py [--rounds N]

An option that fails is listed with what it said, and the rest go on.
"""

from __future__ import annotations

import sys

import contestants
import harness
import peaks
from profile_of import costs

PLAIN = {"compile": False}
GRAPHS = {"graphs": True}
FUSED = {"fused_rotary": True}
OPTIONS = {
    "compiled": {},
    "eager": PLAIN,
    "eager, fused rotary": PLAIN | FUSED,
    "compiled, fused rotary": FUSED,
    "compiled, CUDA graphs": GRAPHS,
    "compiled, CUDA graphs, fused rotary": GRAPHS | FUSED,
}


def main() -> None:
    if harness.DEVICE != "cuda":
        sys.exit("bench/gpu.py needs a GPU; on a CPU run bench/training_step.py.")
    batch = contestants.text()
    limits, work = peaks.variants()
    runs, failed = {}, {}
    parametrization = contestants.LAWS["per-layer"]
    wished = {name: (parametrization, contestants.MICRO, options) for name, options in OPTIONS.items()}
    wished["compiled, micro-batches of 16"] = (parametrization, 16, {})
    for name, other in contestants.LAWS.items():
        if other is not parametrization:
            wished[f"compiled, {name}"] = (other, contestants.MICRO, {})
    for name, (increments, micro, options) in wished.items():
        try:
            run = contestants.native(increments, batch, micro=micro, **options)
            run()
            run()
            runs[name] = run
        except Exception as error:  # whatever the compiler or the driver says belongs into the report
            failed[name] = {"failed": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"}
            print(name, failed[name]["failed"], flush=True)
    work |= dict.fromkeys(runs, contestants.operations())
    bound = dict.fromkeys(runs, peaks.BF16)
    table = harness.interleave(
        "options, per-layer", limits | runs, base="compiled", rounds=20, work=work, limits=bound
    )
    seen = contestants.WINDOWS * contestants.SHAPE["context"]
    speed = {name: {"per_second": seen / table[name]["seconds"]} for name in runs}
    price = {f"compiled, {name}": name for name in ("integer RoPE", "shared")}
    over = {
        name: table["compiled"]["seconds"] / table[key]["seconds"]
        for key, name in price.items()
        if key in table
    }
    minutes = 50_000 * min(table[name]["seconds"] for name in runs) / 60
    harness.report(
        "gpu",
        {
            "tables": {"option (per second: operations)": table | failed, "bytes": speed},
            "targets": [
                ["the published recipe, minutes", minutes, "<=", 8.0],
                *([["per-layer over integer RoPE", over["integer RoPE"], "<=", 1.03]] if over else []),
            ],
            "profile": {name: costs(runs[name]) for name in ("compiled", "eager") if name in runs},
        },
    )


if __name__ == "__main__":
    main()
