"""What a training run left in its folder, and a watcher that interrupts one."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ropewalk.native import checkpoint
from ropewalk.training.loop import Progress


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without the one column that tells the time."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "bytes_per_second"} for line in lines]


def final(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / checkpoint.WEIGHTS)


def same(a: Path, b: Path) -> None:
    """Both runs ended with the same weights and the same metrics, bit for bit."""
    first, second = final(a), final(b)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert metrics(a) == metrics(b)


class Stop:
    """A watcher that presses Ctrl-C after a step."""

    def __init__(self, step: int, times: int = 1) -> None:
        self.step, self.times = step, times

    def __call__(self, progress: Progress) -> None:
        if progress.step == self.step:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)
