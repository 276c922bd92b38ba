"""Execution: device, precision and compilation, chosen once and recorded.

A plan says what a training step runs on; two runs are bit-equal only under equal plans. Knows models, not
data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast

import torch

from ropewalk.core.encoding import Rope
from ropewalk.errors import UserError
from ropewalk.native.decoder import Decoder, Layer, layer_with_increments, run_layer
from ropewalk.system import allocator, available_memory
from ropewalk.training.compilation import compiled, compiler_problem

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class ExecutionPlan:
    """What a run executes on: device, compute dtype, compiled or eager, CPU threads, torch version, CUDA graphs,
    and whether the fused kernel rotates.
    """

    device: str
    precision: str
    compiled: bool
    threads: int
    torch: str
    graphs: bool = False
    fused_rotary: bool = False


def plan_execution(
    device: str = "auto",
    precision: Precision = "auto",
    compile: bool = True,
    graphs: bool = False,
    fused_rotary: bool = False,
) -> tuple[ExecutionPlan, list[str]]:
    """The best plan this machine allows, and one sentence for each wish it could not grant.

    graphs: replay compiled regions as CUDA graphs. fused_rotary: rotate by `ropewalk.core.kernels.triton_rotary`. Both
    are written for GPUs and not yet tried on one.
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
    if graphs and not (compile and device == "cuda"):
        notes.append("running without CUDA graphs: they need a GPU and train.compile")
        graphs = False
    if fused_rotary and device != "cuda":
        notes.append("running without the fused rotary kernel: it needs a GPU")
        fused_rotary = False
    threads, version = torch.get_num_threads(), torch.__version__
    return ExecutionPlan(device, precision, compile, threads, version, graphs, fused_rotary), notes


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
    for layer in cast(Iterable[Layer], model.layers):
        if isinstance(layer.attention.encoding, Rope):
            layer.attention.encoding.fused = plan.fused_rotary
    if plan.compiled:
        mode = "reduce-overhead" if plan.graphs else "default"
        model.layer_fn = compiled(run_layer, mode)
        model.layer_with_increments_fn = compiled(layer_with_increments, mode)
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
