"""Write constraints.txt, the tested versions for pip, from uv.lock.

    python scripts/write_constraints.py           # write
    python scripts/write_constraints.py --check   # exit with 1 if the two files differ

Left out are the CUDA libraries: pip installs the CPU build of torch under these constraints.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAD = "# The tested versions, written from uv.lock by scripts/write_constraints.py.\n"
CUDA = ("cuda-", "nvidia-", "triton")


def constraints(lock: str) -> str:
    """The text of constraints.txt for the text of a uv.lock: one `name==version` for each package of an index."""
    packages = [package for package in tomllib.loads(lock)["package"] if "registry" in package["source"]]
    pins = [(package["name"], package["version"]) for package in packages]
    names = [name for name, _ in pins]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SystemExit(f"uv.lock holds several versions of {', '.join(twice)}; pip takes one")
    return HEAD + "".join(
        f"{name}=={version}\n" for name, version in sorted(pins) if not name.startswith(CUDA)
    )


def main() -> None:
    wanted = constraints((ROOT / "uv.lock").read_text(encoding="utf-8"))
    file = ROOT / "constraints.txt"
    if "--check" not in sys.argv:
        file.write_text(wanted, encoding="utf-8")
    elif file.read_text(encoding="utf-8") != wanted:
        sys.exit("constraints.txt does not match uv.lock; run: python scripts/write_constraints.py")


if __name__ == "__main__":
    main()
