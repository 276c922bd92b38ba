"""What this machine can do at best, measured beside everything else: matrix products and copies of memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from harness import DEVICE

BF16, FP32, COPY = "peak: bf16 matmul", "peak: float32 matmul", "peak: copy"
SIZE = 8192 if DEVICE == "cuda" else 2048
COPIED = (1 << 30) if DEVICE == "cuda" else (1 << 27)


def variants() -> tuple[dict[str, Callable[[], object]], dict[str, float]]:
    """The three runs, and the work of each: floating-point operations, and bytes read and written."""

    def product(dtype: torch.dtype) -> Callable[[], object]:
        a, b = (torch.randn(SIZE, SIZE, device=DEVICE).to(dtype) for _ in range(2))
        return lambda: torch.nn.functional.linear(a, b)

    source = torch.ones(COPIED // 4, device=DEVICE)
    target = torch.empty_like(source)
    runs = {
        BF16: product(torch.bfloat16),
        FP32: product(torch.float32),
        COPY: lambda: target.copy_(source),
    }
    return runs, {BF16: 2.0 * SIZE**3, FP32: 2.0 * SIZE**3, COPY: 2.0 * COPIED}
