"""What test_scale.py runs in several processes at once. Imported by them, so it must have no side effects."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import fresh
import tiny
import torch
import torch.distributed as dist
import torch.distributed.fsdp
import torch.distributed.tensor

from ropewalk.errors import UserError
from ropewalk.training.loop import Progress
from ropewalk.training.native_training import train
from ropewalk.training.optimizer import Optimizers
from ropewalk.training.recipe import Recipe


def recipe(**more: Any) -> Recipe:
    """Eight windows a step, two at a time, so that two and four processes have two and one backward passes."""
    return tiny.recipe(
        **{"steps": 8, "batch_size": 8, "micro_batch_size": 2, "validation_tokens": 300, **more}
    )


def together(ranks: int, folder: Path, **wishes: Any) -> tuple[list[int | None], list[str]]:
    """So many processes that train in `folder`: how each of them ended, None for one that hangs, and what it said.

    As torchrun does, this process keeps the store where they find one another.
    """
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    members = [
        fresh.context().Process(target=member, args=(rank, ranks, store.port, folder, wishes))
        for rank in range(ranks)
    ]
    for one in members:
        one.start()
    for one in members:
        one.join(fresh.PATIENCE)
    codes = [one.exitcode for one in members]
    for one in members:
        one.kill()
        one.join()
    return codes, [folder.with_name(f"{folder.name}-{rank}.err").read_text() for rank in range(len(members))]


def member(rank: int, ranks: int, port: int, folder: Path, wishes: dict[str, Any]) -> None:
    """One process: `wishes` are resume, shard, and `trouble` for the last of them."""
    torch.set_num_threads(1)
    sys.stderr = open(folder.with_name(f"{folder.name}-{rank}.err"), "w", buffering=1)  # noqa: SIM115
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    os.environ.update(where, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(ranks))
    trouble = wishes.pop("trouble", None)
    if trouble and rank == ranks - 1:
        _make(trouble)

    def watch(progress: Progress) -> None:
        print(f"step {progress.step}", file=sys.stderr)

    try:
        train(recipe(), tiny.corpus(), folder, watch=watch, **wishes)
    except UserError as error:
        print(f"ropewalk: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _make(trouble: str) -> None:
    """Lets this process be asked to stop within its second step, or go wrong within its fourth."""
    real, calls = Optimizers.step, []

    def step(self: Optimizers, fraction: float) -> float:
        calls.append(fraction)
        if trouble == "stopped" and len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        if trouble == "killed" and len(calls) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        if trouble in ("refused", "broken") and len(calls) == 4:
            raise UserError("my disk is full") if trouble == "refused" else ArithmeticError("out of the blue")
        return real(self, fraction)

    Optimizers.step = step  # type: ignore[method-assign]
