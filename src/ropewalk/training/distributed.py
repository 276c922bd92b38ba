"""One training run on several processes, as torchrun or accelerate start them: DDP, or FSDP2 where it is sharded.

Every process trains on its own windows of a batch; the first one reads and writes the run's files and prints. When one
stops, all stop. With a single process, everything here does nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ropewalk.errors import UserError
from ropewalk.system.locks import lock

WAIT = timedelta(minutes=30)
"""The longest that processes wait for one another, such as for a checkpoint to be written."""
GONE = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Socket closed", "Timed out")


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of one training run, seen from number `rank` of `ranks`."""

    rank: int = 0
    ranks: int = 1

    @property
    def first(self) -> bool:
        """Whether this process reads and writes files and prints."""
        return self.rank == 0

    def everyone(self, *values: float) -> list[list[float]]:
        """The numbers of every process, in the order of their ranks."""
        if self.ranks == 1:
            return [list(values)]
        own = torch.tensor(values, dtype=torch.float64, device=_exchange_device())
        parts = [torch.empty_like(own) for _ in range(self.ranks)]
        dist.all_gather(parts, own)
        return torch.stack(parts).tolist()

    def mean(self, value: float) -> float:
        """A number averaged over the processes."""
        return sum(row[0] for row in self.everyone(value)) / self.ranks

    def broadcast(self, value: Any) -> Any:
        """The first process's plain json value, for all of them."""
        if self.ranks == 1:
            return value
        text = json.dumps(value).encode() if self.first else b""
        length = int(self.everyone(len(text))[0][0])
        letters = torch.tensor(list(text), dtype=torch.uint8) if self.first else torch.empty(length).byte()
        letters = letters.to(_exchange_device())
        dist.broadcast(letters, 0)
        return json.loads(bytes(letters.tolist()))


SINGLE_PROCESS = ProcessGroup()


def launched() -> ProcessGroup:
    """The process group that a launcher started, from its environment; a single process without a launcher."""
    launcher = {name: os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK")}
    if not all(launcher.values()):
        return SINGLE_PROCESS
    try:
        ranks, rank = int(launcher["WORLD_SIZE"]), int(launcher["RANK"])
    except ValueError as error:
        raise UserError(
            f"WORLD_SIZE is '{launcher['WORLD_SIZE']}' and RANK '{launcher['RANK']}', expected numbers; start this with torchrun "
            "or accelerate, or unset both."
        ) from error
    return ProcessGroup(rank, ranks) if ranks > 1 else SINGLE_PROCESS


def local_world_size() -> int:
    """How many processes a launcher started on this machine, this one among them; 1 without a launcher."""
    launcher = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, int(launcher)) if launched() is not SINGLE_PROCESS and launcher.isdecimal() else 1


@contextmanager
def join_process_group(device: str) -> Iterator[ProcessGroup]:
    """The process group that a launcher started, connected.

    The first process that fails raises its own error; the others, which lose the connection at their next exchange or
    receive the launcher's signal, exit silently with status 1. Where no process reports a cause (it was killed), one of
    those left raises a UserError.
    """
    team = launched()
    if team is SINGLE_PROCESS:
        yield team
        return
    store = _joined(team, device)
    try:
        yield team
    except Exception as error:
        if not _first_to_fail(store):
            _leave()
        if _lost_connection(error):
            error = UserError(
                "another process of this training exited or stopped responding (killed, or out of memory?); the "
                "same command with --resume continues from the last checkpoint."
            )
        if team.rank and isinstance(error, UserError):
            print(f"ropewalk: process {team.rank} of {team.ranks}: {error}", file=sys.stderr)
            raise SystemExit(1) from error
        raise error
    else:  # after a failure, the others would not reach this barrier
        dist.barrier()
        if device == "cuda":
            dist.destroy_process_group()
            _joined.cache_clear()


@cache
def _joined(team: ProcessGroup, device: str) -> dist.Store:
    """Joins the others; returns the store that all of them see.

    With gloo the group lives as long as the process: destroying it right after its last exchange can deadlock, because
    a thread of the group that frees tensors waits for Python's lock.
    """
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    store, _, _ = next(dist.rendezvous("env://", timeout=WAIT))
    backend = "nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=team.rank, world_size=team.ranks, timeout=WAIT)
    return store


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Only one of the processes that a launcher started on this machine enters this at a time, for one folder."""
    if launched() is SINGLE_PROCESS:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    turn = lock(folder / ".turn", wait=True)
    try:
        yield
    finally:
        turn.close()


def check_batch(team: ProcessGroup, batch: int, shard: bool) -> None:
    """UserError where a batch cannot be shared evenly, or where a model is to be sharded by a single process."""
    if batch % team.ranks:
        raise UserError(
            f"a batch of {batch} windows cannot be shared evenly by {team.ranks} processes; choose a multiple."
        )
    if shard and team.ranks < 2:
        raise UserError(
            "sharding needs several processes; start the command with: torchrun --nproc-per-node N -m ropewalk ..."
        )


class Replica(DistributedDataParallel):
    """A model that every process has a copy of; gradients are averaged. It has the model's rows."""

    @property
    def rows(self) -> Any:
        return self.module.rows

    def will_sync_module_buffers(self) -> bool:
        """Never: buffers are constants, the same everywhere."""
        return False


def wrap_ddp_or_fsdp(
    model: nn.Module,
    *,
    device: str,
    shard: bool,
    parts: Iterable[nn.Module] = (),
    apart: Iterable[nn.Module] = (),
    mixed: torch.dtype | None = None,
    casts: bool = True,
    unused: bool = False,
) -> nn.Module:
    """The model wrapped for several processes: DDP, or FSDP2 where `shard`.

    parts are sharded one by one, so that only one is whole at a time, and are computed in the dtype `mixed`
    (None: their own), their inputs too where `casts`; what is in `apart` keeps its own dtype. unused: some
    parameters may take no part in a pass.
    """
    if not shard:
        if not any(p.requires_grad for p in model.parameters()):
            return model
        return Replica(model, find_unused_parameters=unused)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(device, (dist.get_world_size(),))
    policy = MixedPrecisionPolicy()
    if mixed:
        policy = MixedPrecisionPolicy(mixed, reduce_dtype=torch.float32, cast_forward_inputs=casts)
    for module in apart:
        if any(True for _ in module.parameters()):
            fully_shard(module, mesh=mesh)
    for part in parts:
        fully_shard(part, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    return model


def _exchange_device() -> str:
    return "cuda" if dist.get_backend() == "nccl" else "cpu"


def _first_to_fail(store: dist.Store) -> bool:
    try:
        return store.add("failures", 1) == 1
    except RuntimeError:  # the process that held the store has exited
        return True


def _leave() -> NoReturn:
    """Ends this process at once with status 1: an ordinary exit may abort on threads that still wait for the others."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _lost_connection(error: Exception) -> bool:
    """Whether an error means that another process has exited."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in GONE)
    )
