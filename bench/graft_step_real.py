"""A training step of a graft on a pretrained model, against the same step of the model without increments: every weight
learns, as with `ropewalk graft-train --trainable full`.

python bench/graft_step_real.py --model FOLDER [--context 128] [--rounds N] [--busy] [--device cuda]
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import graft_step
import harness
import torch

from ropewalk.hf.loading import open_model
from ropewalk.system import allocator

SPEED = 0.9
"""Of the speed without increments, at least."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, parents=[harness.OPTIONS])
    parser.add_argument("--model", default="HuggingFaceTB/SmolLM2-135M-Instruct", help="a name or a folder")
    parser.add_argument("--context", type=int, default=128, help="tokens in a window")
    given = parser.parse_args()
    harness.refuse_if_busy()
    if harness.DEVICE == "cpu":
        allocator.keep_all_freed_memory()  # as ropewalk graft-train does
    chance = torch.Generator().manual_seed(0)
    batch = torch.randint(100, 10_000, (1, given.context + 1), generator=chance).to(harness.DEVICE)
    title = f"{Path(given.model).name}, a window of {given.context} tokens"
    table = graft_step.compare(title, partial(open_model, given.model, dtype=torch.float32), batch)
    targets = [
        [f"{name}, speed of the step without increments", 1 / row["ratio"], ">=", SPEED]
        for name, row in table.items()
        if name != graft_step.BASE
    ]
    harness.report("graft_step_real", {"tables": {title: table}, "targets": targets})


if __name__ == "__main__":
    main()
