"""The executor: trains missing models, resumes interrupted ones, skips finished ones.

On one device the training runs follow one another in this process; on several, every device has a process of its own and
takes the next training run for which all that it needs is ready.
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
from ropewalk.studies.plan import Job
from ropewalk.system.parent import end_with_parent
from ropewalk.training.loop import ProgressCallback

Observer = Callable[[Job, str], ProgressCallback | None]
"""Called with each job and its state: "done", "resume", "start" or "failed: WHY"; returns a progress callback."""


def parse_devices(text: str) -> list[str]:
    """The devices that a user names: "cuda:0,cuda:1", or "cpu:8" and "cpu,cpu" for processes that share the cores."""
    names = []
    for name in (part.strip() for part in text.split(",")):
        kind, _, count = name.partition(":")
        if kind == "cpu" and count:
            if not count.isdecimal() or not 1 <= int(count) <= 1024:
                raise UserError(
                    f"expected a number of processes after 'cpu:', got '{count}'; write such as cpu:8."
                )
            names += ["cpu"] * int(count)
        else:
            names.append(name)
    return names


def execute(
    jobs: Sequence[Job], out: Path, observe: Observer, devices: Sequence[str] = ("auto",)
) -> list[Job]:
    """Runs all jobs that are not done, over the devices, in order as far as they allow it.

    devices: such as ("cuda:0", "cuda:1"), or ("cpu", "cpu") for two processes that share the cores. With more than one,
    `observe` is called in the processes and must be a function of a module. Returns the jobs that could not be trained
    (diverged, a missing file, or a job that needs such a one); the others are not held up by them.
    """
    waiting = []
    for job in jobs:
        if job.done(out):
            observe(job, "done")
        else:
            waiting.append(job)
    if len(devices) == 1:
        return [job for job in waiting if not run(job, out, observe)]
    for corpus in dict.fromkeys(job.corpus for job in waiting):
        prepare(corpus)
    return _distribute(waiting, out, observe, devices)


def run(job: Job, out: Path, observe: Observer) -> bool:
    """Trains one job; False, with the reason reported, when it cannot be."""
    resume = (job.folder(out) / "recipe.json").is_file()
    watch = observe(job, "resume" if resume else "start")
    try:
        job.train(out, resume=resume, watch=watch)
    except UserError as error:
        observe(job, f"failed: {error}")
        return False
    return True


def _distribute(waiting: list[Job], out: Path, observe: Observer, devices: Sequence[str]) -> list[Job]:
    threads = max(1, (os.cpu_count() or 1) // len(devices))
    context = multiprocessing.get_context("spawn")
    free = [
        ProcessPoolExecutor(1, mp_context=context, initializer=_use_device, initargs=(device, threads))
        for device in devices
    ]
    pools, failed = list(free), list[Job]()
    running: dict[Future[bool], tuple[Job, ProcessPoolExecutor]] = {}
    try:
        while waiting or running:
            while free and (job := next((j for j in waiting if j.ready(out)), None)) is not None:
                pool = free.pop()
                waiting.remove(job)
                running[pool.submit(run, job, out, observe)] = (job, pool)
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


def _outcome(future: Future[bool], job: Job) -> bool:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise UserError(
            f"the process that trained {job.name} was killed, perhaps because memory ran out; finished runs are kept: "
            "give the same command to continue, with fewer devices if memory is short."
        ) from error


def _use_device(device: str, threads: int) -> None:
    """In a new process: the device that it may use, and its share of the cores. It ends when the parent does."""
    end_with_parent()
    if device.startswith("cuda:"):
        os.environ["CUDA_VISIBLE_DEVICES"] = device.removeprefix("cuda:")
    torch.set_num_threads(threads)
