"""One training on several processes, as torchrun or accelerate start them: DDP, or FSDP2 with `shard`.

Every process reads its own windows of a batch; the first one writes. Alone, everything here does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from ropewalk.errors import UserError
from ropewalk.hf.grafting import Graft


@contextmanager
def started(device: str) -> Iterator[tuple[int, int]]:
    """(rank, number of processes); joins the others if a launcher started this process."""
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield 0, 1
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield dist.get_rank(), dist.get_world_size()
    finally:
        dist.destroy_process_group()


def spread(graft: Graft, *, shard: bool, device: str, mixed: torch.dtype | None) -> None:
    """Makes a grafted model's passes the processes' common work: DDP, or FSDP2 where `shard`.

    mixed: the dtype to compute the sharded base in, None for its own. Increments are sharded by themselves,
    so that they stay float32.
    """
    trainable = [p for p in graft.model.parameters() if p.requires_grad]
    if not shard:
        if trainable:
            config = graft.anatomy.config
            sparse = any(
                getattr(config, name, None)
                for name in ("num_experts", "num_local_experts", "n_routed_experts")
            )
            graft.run = torch.nn.parallel.DistributedDataParallel(
                graft.model, find_unused_parameters=bool(sparse)
            )
        return
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(device, (dist.get_world_size(),))
    policy = (
        MixedPrecisionPolicy(param_dtype=mixed, reduce_dtype=torch.float32)
        if mixed
        else MixedPrecisionPolicy()
    )
    for law in graft.laws:
        if any(True for _ in law.parameters()):
            fully_shard(law, mesh=mesh)
    for layer in graft.anatomy.layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(graft.model, mesh=mesh, mp_policy=policy)


def mean(value: float) -> float:
    """A number averaged over the processes."""
    return float(sum(_everyones(value)) / dist.get_world_size())


def agreed(answer: bool) -> bool:
    """The first process's answer, for all of them."""
    return bool(_everyones(float(answer))[0])


def _everyones(value: float) -> list[float]:
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    own = torch.tensor([value], dtype=torch.float64, device=device)
    gathered = [torch.zeros_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, own)
    return [float(entry) for entry in gathered]


class Follower:
    """What a process that does not write has in place of a run folder."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.folder, self.plan = folder, plan

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def checkpoint_folder(self, step: int) -> Path:
        return self.folder / "checkpoints" / f"step-{step:08d}"

    def checkpoints(self) -> list[Path]:
        """Complete checkpoint folders, newest first."""
        return sorted((self.folder / "checkpoints").glob("step-*"), reverse=True)

    def provenance(self, **more: Any) -> dict[str, Any]:
        return more

    def __getattr__(self, name: str) -> Any:
        if name in ("note", "log", "sync", "prune", "forget_after", "check_plan", "check_corpus"):
            return lambda *args, **kwargs: None
        raise AttributeError(name)


def refuse_alone(shard: bool, ranks: int) -> None:
    """UserError where sharding was asked for and there is nobody to share with."""
    if shard and ranks < 2:
        raise UserError(
            "sharding needs several processes; start it with: torchrun --nproc-per-node N -m ropewalk.cli "
            "graft-train ..."
        )
