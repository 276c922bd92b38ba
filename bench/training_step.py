"""One training step of the published model (64 windows of 512 bytes), against the same shape as others train it.

python bench/training_step.py [--rounds N] [--busy] [--device cuda]
"""

from __future__ import annotations

import contestants
import floors
import harness
import peaks
from profile_of import costs

from ropewalk.core.increment_config import IncrementConfig

BASE = "Hugging Face Llama"


def main() -> None:
    harness.refuse_if_busy()
    batch = contestants.text()
    limits, work = peaks.variants()
    others = contestants.rivals(batch)
    ours = {
        name: contestants.native(parametrization, batch)
        for name, parametrization in contestants.PARAMETRIZATIONS.items()
    }
    other_micro = contestants.MICRO // 4
    small = {f"integer RoPE, micro-batches of {other_micro}": IncrementConfig(parametrization="integer")}
    small = {
        name: contestants.native(parametrization, batch, micro=other_micro)
        for name, parametrization in small.items()
    }
    steps = others | ours | small
    work |= dict.fromkeys(steps, contestants.operations())
    bound = dict.fromkeys(steps, peaks.BF16)
    everybody = harness.interleave(
        "training step", limits | steps, base=BASE, rounds=3, warm=1, work=work, limits=bound
    )
    del others, small
    price = harness.interleave(
        "price of increments",
        {
            peaks.BF16: limits[peaks.BF16],
            floors.PRODUCTS: floors.products(),
            floors.ATTENTION: floors.attentive(),
            floors.MIXING: floors.mixing(),
            floors.NETWORKS: floors.networks(),
        }
        | ours,
        base="integer RoPE",
        rounds=32,
        warm=1,
        work=work,
        limits=dict.fromkeys(ours, peaks.BF16),
    )
    row = price["integer RoPE"]
    both, bare = (
        sum(price[floor]["ratio"] for floor in some)
        for some in ((floors.PRODUCTS, floors.ATTENTION), (floors.PRODUCTS, floors.MIXING))
    )
    harness.report(
        "training_step",
        {
            "findings": [
                f"Its matrix products and its attention alone, with nothing between them, take {both:.0%} of integer "
                f"RoPE's step, so a step that did nothing else would reach {row['of_peak'] / both:.0%} of the peak; one "
                "whose attention were nothing but the six products of each tile, without a softmax, "
                f"{row['of_peak'] / bare:.0%}.",
                f"The products of six increment networks take {price[floors.NETWORKS]['ratio']:.1%} of it by themselves; "
                "what increments cost beyond that is the rest of the networks and the gradient of the positions, which "
                "every layer's rotation must give back.",
            ],
            "tables": {"against others": everybody, "price of increments": price},
            "targets": [
                ["integer RoPE, share of the bf16 peak", row["of_peak"], ">=", 0.70],
                ["per-layer over integer RoPE", price["per-layer"]["ratio"], "<=", 1.03],
                ["shared over integer RoPE", price["shared"]["ratio"], "<=", 1.01],
            ],
            "profile": {name: costs(ours[name]) for name in ("integer RoPE", "per-layer")},
        },
    )


if __name__ == "__main__":
    main()
