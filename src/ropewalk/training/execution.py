"""Execution: device, precision and compilation, chosen once and recorded.

A plan says what a training step runs on; two runs are bit-equal only under equal plans. Knows models, not
data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch

from ropewalk.errors import UserError
from ropewalk.native.decoder import Decoder, layer_with_increments, run_layer
from ropewalk.system import allocator, available_memory
from ropewalk.training.compilation import compiled, compiler_problem

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class ExecutionPlan:
    """What a run executes on: device, compute dtype, compiled or eager, CPU threads, torch version, and whether the step
    stays on the device (`ropewalk.training.fast_step`; on a GPU, as one CUDA graph).
    """

    device: str
    precision: str
    compiled: bool
    threads: int
    torch: str
    graphs: bool = False


def plan_execution(
    device: str = "auto",
    precision: Precision = "auto",
    compile: bool = True,
    graphs: bool = False,
) -> tuple[ExecutionPlan, list[str]]:
    """The best plan this machine allows, and one sentence for each setting that it could not use.

    graphs: keep the step on the device and replay it as one CUDA graph, where there is a GPU.
    """
    notes = []
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda"):
        raise UserError(f'expected device "cpu", "cuda" or "auto", got \'{device}\'; choose one of them.')
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError('device \'cuda\' was asked for but torch sees no GPU; use device = "cpu" or "auto".')
    if precision == "auto":
        precision = "bfloat16" if device == "cuda" or native_bfloat16() else "float32"
    if compile and device == "cpu" and (problem := compiler_problem()):
        notes.append(f"running without compilation, about a sixth slower: {problem}")
        compile = False
    if graphs and device != "cuda":
        notes.append("running the step of train.cuda_graphs without a CUDA graph: that needs a GPU")
    threads, version = torch.get_num_threads(), torch.__version__
    return ExecutionPlan(device, precision, compile, threads, version, graphs), notes


def free_memory(plan: ExecutionPlan, sharing: int = 1) -> float:
    """Bytes of memory that this process may take on the plan's device, one of `sharing` on this machine that want the
    same. What it keeps and does not use goes back before it is counted."""
    if plan.device == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info()[0]
    allocator.release_freed_memory()
    return available_memory.available_bytes(sharing=sharing)


def apply_plan(plan: ExecutionPlan, model: Decoder) -> Decoder:
    """Moves the model to the plan's device and makes its training passes run as planned."""
    model.to(plan.device)
    model.compute_dtype = getattr(torch, plan.precision)
    if plan.device == "cpu":
        allocator.keep_all_freed_memory()
    if plan.compiled and not plan.graphs:  # the fast step compiles the whole model instead
        model.layer_fn = compiled(run_layer)
        model.layer_with_increments_fn = compiled(layer_with_increments)
    return model


@cache
def native_bfloat16() -> bool:
    """True where the CPU multiplies bfloat16 matrices in hardware."""
    try:
        with open("/proc/cpuinfo") as info:
            flags = info.read()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
