"""Execution: trains what a study lacks, goes on with what was cut off, leaves what is done alone.

On one device the trainings follow one another in this process; on several, every device has a process of its own
and takes the next training whose needs are there.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from ropewalk.corpus import prepare
from ropewalk.errors import UserError
from ropewalk.studies.dependencies import resolve_dependencies
from ropewalk.studies.plan import Job, place
from ropewalk.studies.variants import VARIANTS
from ropewalk.training.loop import ProgressCallback, train

State = Callable[[Job, str], ProgressCallback | None]
"""Told each job and what happens to it: "done", "resume", "start" or "failed: WHY"; gives who watches it."""


def done(job: Job, out: Path) -> bool:
    """True when the run's model is there."""
    return (job.folder(out) / "model" / "config.json").is_file()


def execute(jobs: Sequence[Job], out: Path, tell: State, devices: Sequence[str] = ("auto",)) -> list[Job]:
    """Runs all jobs that are not done, over the devices, in order as far as they allow it.

    devices: such as ("cuda:0", "cuda:1"), or ("cpu", "cpu") for two processes that share the cores. With more
    than one, `tell` is called in the processes and must be a function of a module. Returns the jobs that could not
    be trained (a runaway, a missing file, or a job that needs such a one); the others are not held up by them.
    """
    waiting = []
    for job in jobs:
        if done(job, out):
            tell(job, "done")
        else:
            waiting.append(job)
    if len(devices) == 1:
        return [job for job in waiting if not run(job, out, tell)]
    for corpus in dict.fromkeys(job.recipe.corpus for job in waiting):
        prepare(corpus)
    return _spread(waiting, out, tell, devices)


def run(job: Job, out: Path, tell: State) -> bool:
    """Trains one job; False, with the reason told, when it cannot be."""
    resume = (job.folder(out) / "recipe.json").is_file()
    watch = tell(job, "resume" if resume else "start")
    try:
        corpus = prepare(job.recipe.corpus)
        train(resolve_dependencies(job, out, corpus), corpus, job.folder(out), resume=resume, watch=watch)
    except UserError as error:
        tell(job, f"failed: {error}")
        return False
    return True


def _spread(waiting: list[Job], out: Path, tell: State, devices: Sequence[str]) -> list[Job]:
    threads = max(1, (os.cpu_count() or 1) // len(devices))
    context = multiprocessing.get_context("spawn")
    free = [
        ProcessPoolExecutor(1, mp_context=context, initializer=_settle, initargs=(device, threads))
        for device in devices
    ]
    pools, failed = list(free), list[Job]()
    running: dict[Future[bool], tuple[Job, ProcessPoolExecutor]] = {}
    try:
        while waiting or running:
            while free and (job := _next(waiting, out)) is not None:
                pool = free.pop()
                waiting.remove(job)
                running[pool.submit(run, job, out, tell)] = (job, pool)
            if not running:  # the rest needs what failed
                return failed + waiting
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job, pool = running.pop(future)
                free.append(pool)
                if not _outcome(future, job):
                    failed.append(job)
        return failed
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)


def _next(waiting: list[Job], out: Path) -> Job | None:
    """The first job whose needs are trained."""
    for job in waiting:
        needs = VARIANTS[job.variant].needs
        if needs is None or (place(out, job.group, needs, job.seed) / "model" / "config.json").is_file():
            return job
    return None


def _outcome(future: Future[bool], job: Job) -> bool:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise UserError(
            f"the process that trained {job.group}/{job.variant}/seed-{job.seed} was killed, perhaps for want of "
            "memory; what is done is kept: the same command goes on, with fewer devices if memory is short."
        ) from error


def _settle(device: str, threads: int) -> None:
    """In a new process: the device that it may use, and its share of the cores."""
    if device.startswith("cuda:"):
        os.environ["CUDA_VISIBLE_DEVICES"] = device.removeprefix("cuda:")
    torch.set_num_threads(threads)
