"""How much memory this process may still take, and the sentence for asking more: before the kernel ends it.

The least of what the machine has free, what its control groups (containers, batch systems) leave, and what its own
limit on address space leaves.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from ropewalk.errors import UserError

GB = 1e9


def available_bytes(root: Path = Path("/"), sharing: int = 1) -> float:
    """Bytes of memory that are free for this process, one of `sharing` that want the same; infinite where nothing tells.
    root: of /proc and /sys."""
    common = min([_machine(root), *_groups(root)]) / sharing
    return max(0.0, min(common, _address_space(root)))


def require_memory(needed: float, what: str, instead: str, free: float | None = None) -> None:
    """UserError when `what` needs more bytes than are free; `instead` says what to do then."""
    free = available_bytes() if free is None else free
    if needed > free:
        raise UserError(
            f"{what} needs about {_size(needed)} of memory and {_size(free)} are free; {instead}."
        )


def out_of_memory_message(error: BaseException) -> str | None:
    """One sentence for an error that means that memory ran out, on the CPU or a GPU; None for any other."""
    torch: Any = sys.modules.get("torch")
    device = torch is not None and isinstance(error, torch.OutOfMemoryError)
    host = isinstance(error, MemoryError) or "can't allocate memory" in str(error)
    if not (device or host):
        return None
    asked = re.search(r"[Tt]ried to allocate ([\d.]+ (?:[KMGT]i?B|bytes))", str(error))
    where = "the GPU's memory" if device else "memory"
    return (
        f"{where} ran out{f' (asked for {asked[1]})' if asked else ''}; take less at a time (train.micro_batch_size "
        "or model.context_length in a recipe, a shorter text elsewhere), or end what else runs here."
    )


def _size(count: float) -> str:
    return f"{count / GB:,.1f} GB" if count >= 0.1 * GB else f"{count / 1e6:,.1f} MB"


def _machine(root: Path) -> float:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    if found:
        return float(found[1]) * 1024
    names = os.sysconf_names if hasattr(os, "sysconf_names") else {}
    if "SC_PHYS_PAGES" in names and "SC_PAGE_SIZE" in names:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    return float("inf")


def _groups(root: Path) -> list[float]:
    """What each control group around this process leaves (version 2, then version 1)."""
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0":
            home, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            home = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        own = home / path.lstrip("/")
        for group in [own, *own.parents]:
            if group.is_relative_to(home):
                found.append(_left(group, *names))
    return found


def _left(group: Path, limit: str, used: str, cached: str) -> float:
    found = [_text(group / name).strip() for name in (limit, used)]
    if not all(text.isdigit() for text in found):
        return float("inf")
    given_back = re.search(rf"^{cached} (\d+)$", _text(group / "memory.stat"), re.MULTILINE)
    return float(found[0]) - float(found[1]) + float(given_back[1] if given_back else 0)


def _address_space(root: Path) -> float:
    try:
        import resource
    except ImportError:  # on Windows
        return float("inf")
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    pages = _text(root / "proc/self/statm").split()
    if limit == resource.RLIM_INFINITY or not pages:
        return float("inf")
    return float(limit - int(pages[0]) * resource.getpagesize())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
