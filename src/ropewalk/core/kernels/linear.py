"""A float32 matrix product for passes without a gradient, through oneDNN where that is the faster library.

torch multiplies float32 matrices on a CPU with MKL, which on AMD's processors leaves half of their vector width
unused; oneDNN, which torch contains for other dtypes, does not. Same precision, another order of summation.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

MIN_ROWS = 32
"""Rows from which oneDNN is faster: it repacks the matrix in every call."""


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x (..., in) times weight (out, in), transposed: (..., out), like torch.nn.functional.linear."""
    rows = x.numel() // max(1, x.shape[-1])
    plain = (
        torch.is_grad_enabled()
        or x.dtype != torch.float32
        or x.device.type != "cpu"
        or torch.compiler.is_compiling()
        or rows < MIN_ROWS
    )
    if plain or not onednn_wins():
        return F.linear(x, weight)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return product


@cache
def onednn_wins() -> bool:
    """True on AMD's processors with AVX2 or more, if this torch was built with oneDNN."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    try:
        with open("/proc/cpuinfo") as info:
            processor = info.read()
    except OSError:
        return False
    return "AuthenticAMD" in processor and " avx2" in processor
