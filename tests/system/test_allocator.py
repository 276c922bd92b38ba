"""The heap: memory that passes and trainings free is not cleared anew for their next tensors."""

import platform
import subprocess
import sys

import pytest

from ropewalk.system import allocator

glibc = pytest.mark.skipif(sys.platform != "linux" or not platform.libc_ver()[0], reason="asks glibc")

TRACE = """
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder
from ropewalk.measure import capture
model = Decoder(DecoderConfig(num_layers=1), seed=0).eval()
work = lambda: capture.trace(model, "a" * 2000)
"""
LARGE = "work = lambda: [torch.zeros(1 << 26, dtype=torch.uint8).numel() for _ in range(8)]"
SELDOM, OFTEN = 1_000, 5_000


def cleared(wish: str, work: str) -> int:
    """Pages that the system clears for some work, at least so many of several times: the heap grows until its pieces
    lie well."""
    count = (
        "def cleared():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    work()\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "print(min(cleared() for _ in range(5)))"
    )
    code = f"import resource, torch\nfrom ropewalk.system import allocator\n{wish}\n{work}\n{count}"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return int(ran.stdout)


@glibc
def test_tracing_keeps_memory() -> None:
    assert cleared("", TRACE) < SELDOM
    assert cleared("allocator.keep_freed_memory = lambda: True", TRACE) > OFTEN


@glibc
def test_large_tensors_go_back_unless_a_training_keeps_all() -> None:
    assert cleared("assert allocator.keep_freed_memory()", LARGE) > OFTEN
    assert cleared("assert allocator.keep_all_freed_memory()", LARGE) < SELDOM


@glibc
def test_what_is_kept_can_be_given_back() -> None:
    code = (
        "import torch\n"
        "from ropewalk.system import allocator\n"
        "assert allocator.keep_all_freed_memory()\n"
        "def held(): return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "together = [torch.ones(1 << 24, dtype=torch.uint8) for _ in range(16)]\n"
        "del together\n"
        "kept = held(); allocator.release_freed_memory(); print(kept - held())"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(ran.stdout) > 200e6


def test_who_keeps_all_goes_on_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(allocator, "_ask", lambda *wishes: (asked.extend(wishes), True)[1])
    monkeypatch.setattr(allocator, "_all", False)
    assert allocator.keep_all_freed_memory() and asked
    asked.clear()
    assert allocator.keep_freed_memory() and not asked
